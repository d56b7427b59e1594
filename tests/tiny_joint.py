"""A tiny open_clip model of the shipped encoder's shape: timm image tower, BERT text tower, projections."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "##s", "&", ".", "如", "何", "养"]
WORDS += ["a", "red", "parrot", "boats", "go", "by", "tea", "cafe"]


def build_tiny_bert_clip(folder: Path, seed: int = 0) -> Path:
    """Random weights, saved as open_clip saves them, with tokenizer and tower configuration beside."""
    import open_clip
    import torch
    from safetensors.torch import save_file
    from tokenizers import BertWordPieceTokenizer
    from transformers import PreTrainedTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    wordpiece = BertWordPieceTokenizer({word: i for i, word in enumerate(WORDS)}, lowercase=True)
    special = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    PreTrainedTokenizerFast(tokenizer_object=wordpiece._tokenizer, **special).save_pretrained(folder)
    tower = {
        "model_type": "bert",
        "vocab_size": len(WORDS),
        "hidden_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
        "intermediate_size": 48,
        "max_position_embeddings": 40,
        "pad_token_id": 0,
    }
    (folder / "config.json").write_text(json.dumps(tower))
    config = {
        "model_cfg": {
            "embed_dim": 16,
            "vision_cfg": {
                "image_size": 32,
                "timm_model_name": "tf_efficientnet_lite0",
                "timm_model_pretrained": False,
                "timm_pool": "avg",
                "timm_proj": "linear",
                "timm_proj_bias": True,
            },
            "text_cfg": {
                "context_length": 32,
                "hf_model_name": str(folder),
                "hf_tokenizer_name": str(folder),
                "hf_proj_type": "linear",
                "hf_pooler_type": "mean_pooler",
            },
        },
        "preprocess_cfg": {"size": [32, 32], "mean": [0.5] * 3, "std": [0.5] * 3, "resize_mode": "squash"},
    }
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    torch.manual_seed(seed)
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False, pretrained_text=False)
    with torch.no_grad():
        for name, value in model.named_parameters():
            # Biases and scales start at 0 and 1, where a mistake in their use would not show.
            if value.ndim == 1:
                value.add_(torch.randn_like(value) * 0.1)
            elif name.startswith("text."):
                value.mul_(10)
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "open_clip_model.safetensors")
    return folder


def open_clip_vectors(folder: Path, images: Sequence[Image], texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """What open_clip itself makes of a local checkpoint."""
    import open_clip
    import torch

    model, transform = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    model.eval()
    with torch.inference_mode():
        seen = model.encode_image(torch.stack([transform(image) for image in images]), normalize=True)
        read = model.encode_text(open_clip.get_tokenizer(f"local-dir:{folder}")(list(texts)), normalize=True)
    return seen.numpy(), read.numpy()
