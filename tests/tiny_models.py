"""Tiny random checkpoints, built and saved in about a second, complete with tokenizer and processor.

They load through the same calls as published ones, so tests exercise the real path: a SmolVLM and a
Qwen2-VL (pictures), a Llama (text only) and an open_clip model. Deliberately knows nothing of Vignette;
the weights are random but seeded, so what a model writes is noise, the same noise every time.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CONTEXT_TOKENS = 2048
_CORPUS = (
    "The red parrot sits in the old tree by the river and watches the boats go by.",
    "A day on the farm begins before the sun is up; the cows are waiting at the gate.",
    "Which picture fits the paragraph? Answer with one letter: A, B, C or D.\n\nThe answer is A.",
    "如何养好一只宠物：每天陪它散步，给它干净的水。",
)
_SPECIAL = ("<|pad|>", "<|start|>", "<|end|>", "<image>", "<fake_token_around_image>", "<global-img>")
_TILES = tuple(f"<row_{row}_col_{col}>" for row in range(1, 5) for col in range(1, 5))
_QWEN = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")

_TEMPLATE_HEAD = "{% for message in messages %}<|start|>{{ message['role'] }}\n"
_TEMPLATE_TAIL = "<|end|>\n{% endfor %}{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
TEXT_TEMPLATE = _TEMPLATE_HEAD + "{{ message['content'] }}" + _TEMPLATE_TAIL
PICTURE_TEMPLATE = (
    _TEMPLATE_HEAD + "{% for part in message['content'] %}{% if part['type'] == 'image' %}PLACEHOLDER"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}" + _TEMPLATE_TAIL
)


def tiny_tokenizer(template: str) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=[*_SPECIAL, *_TILES, *_QWEN],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator(_CORPUS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        pad_token="<|pad|>",
        eos_token="<|end|>",
        chat_template=template,
        model_max_length=CONTEXT_TOKENS,
        clean_up_tokenization_spaces=False,
        extra_special_tokens={
            "image_token": "<image>",
            "fake_image_token": "<fake_token_around_image>",
            "global_image_token": "<global-img>",
            "end_of_utterance_token": "<|end|>",
        },
    )


def tiny_settings(vocab_size: int, end_id: int) -> dict[str, object]:
    return {
        "vocab_size": vocab_size,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": CONTEXT_TOKENS,
        "eos_token_id": end_id,
        "bos_token_id": None,
        "pad_token_id": 0,
        # Wide weights, so that a random model has preferences and a changed input changes them.
        "initializer_range": 0.3,
    }


_LM_KINDS: dict[str, dict[str, object]] = {
    "llama": {},
    "mistral": {"sliding_window": 8, "head_dim": 8},
    "lfm2": {"layer_types": ["conv", "full_attention"]},
}


def build_tiny_lm(directory: Path, kind: str = "llama", template: str = TEXT_TEMPLATE) -> Path:
    """A random two-layer language model: plain (llama), of sliding windows (mistral) or half convolutions (lfm2)."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    tokenizer = tiny_tokenizer(template)
    torch.manual_seed(0)
    settings = tiny_settings(len(tokenizer), tokenizer.eos_token_id) | _LM_KINDS[kind]
    AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **settings)).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


def build_tiny_vlm(directory: Path) -> Path:
    """A random SmolVLM of two layers: 32-pixel tiles of four tokens, up to four tiles and a global view."""
    import torch
    from transformers import SmolVLMConfig, SmolVLMForConditionalGeneration, SmolVLMImageProcessor, SmolVLMProcessor
    from transformers.models.smolvlm.video_processing_smolvlm import SmolVLMVideoProcessor

    tokenizer = tiny_tokenizer(PICTURE_TEMPLATE.replace("PLACEHOLDER", "<image>"))
    torch.manual_seed(0)
    config = SmolVLMConfig(
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        text_config={"model_type": "llama", **tiny_settings(len(tokenizer), tokenizer.eos_token_id)},
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 32,
            "patch_size": 8,
            "initializer_range": 0.3,
        },
        pad_token_id=0,
    )
    SmolVLMForConditionalGeneration(config).save_pretrained(directory)
    processor = SmolVLMProcessor(
        image_processor=SmolVLMImageProcessor(size={"longest_edge": 64}, max_image_size={"longest_edge": 32}),
        tokenizer=tokenizer,
        video_processor=SmolVLMVideoProcessor(),
        image_seq_len=4,
        chat_template=tokenizer.chat_template,
    )
    processor.save_pretrained(directory)
    return directory


def build_tiny_qwen_vl(directory: Path) -> Path:
    """A random Qwen2-VL of two layers: three-axis positions, one token per 8 × 8 pixels."""
    import torch
    from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration, Qwen2VLImageProcessor, Qwen2VLProcessor
    from transformers.models.qwen2_vl.video_processing_qwen2_vl import Qwen2VLVideoProcessor

    tokenizer = tiny_tokenizer(PICTURE_TEMPLATE.replace("PLACEHOLDER", "<|vision_start|><|image_pad|><|vision_end|>"))
    tokenizer.image_token = "<|image_pad|>"
    ids = {name: tokenizer.convert_tokens_to_ids(name) for name in _QWEN}
    torch.manual_seed(0)
    config = Qwen2VLConfig(
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        text_config={
            **tiny_settings(len(tokenizer), tokenizer.eos_token_id),
            "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [1, 1, 2]},
        },
        vision_config={
            "depth": 1,
            "embed_dim": 32,
            "hidden_size": 32,
            "num_heads": 2,
            "mlp_ratio": 2,
            "patch_size": 4,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "initializer_range": 0.3,
        },
    )
    Qwen2VLForConditionalGeneration(config).save_pretrained(directory)
    limits = {"shortest_edge": 16 * 16, "longest_edge": 48 * 48}
    patches = {"patch_size": 4, "merge_size": 2, "temporal_patch_size": 2}
    processor = Qwen2VLProcessor(
        image_processor=Qwen2VLImageProcessor(size=limits, **patches),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(**patches),
        chat_template=tokenizer.chat_template,
    )
    processor.save_pretrained(directory)
    return directory


def build_tiny_open_clip(directory: Path) -> Path:
    """A random open_clip model of one layer a tower, for ``local-dir:`` names, with CLIP's own tokenizer."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    directory.mkdir(parents=True, exist_ok=True)
    model_cfg = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8},
        "text_cfg": {
            "context_length": 32,
            "vocab_size": 49408,
            "width": 16,
            "heads": 2,
            "layers": 1,
        },
    }
    preprocess_cfg = {"size": [32, 32], "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
    config = {"model_cfg": model_cfg, "preprocess_cfg": preprocess_cfg}
    (directory / "open_clip_config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    torch.manual_seed(0)
    model = open_clip.create_model(f"local-dir:{directory}", load_weights=False)
    save_file(model.state_dict(), str(directory / "open_clip_model.safetensors"))
    return directory
