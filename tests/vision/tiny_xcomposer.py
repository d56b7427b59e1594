"""Tiny random InternLM-XComposer checkpoints, written tensor by tensor under the published names.

The names and shapes are spelt out here, not taken from the code that reads them. Tiles are of 56 px, 4 × 4 patches
merged to 2 × 2; the square of generation 2 is of 70 px, 25 places.
"""

from __future__ import annotations

import io
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

WIDTH, MLP, LAYERS, HEADS, KV_HEADS, VOCABULARY = 64, 96, 2, 4, 2, 420
TOWER_WIDTH, TOWER_MLP, TOWER_LAYERS, PATCH = 64, 80, 2, 14
TILE_PX, SQUARE_PX = 56, 70
START, END = "[UNUSED_TOKEN_146]", "[UNUSED_TOKEN_145]"
_CORPUS = (
    "The red parrot sits in the old tree by the river and watches the boats go by.",
    "A day on the farm begins before the sun is up; the cows are waiting at the gate.",
    "Which picture fits the paragraph? Answer yes or no. The answer is A.",
    "给定文章，根据上述文章，选择适合插入图像的行。适合插入图像的行是",
)

CONFIG: dict[str, Any] = {
    "architectures": ["InternLMXComposer2ForCausalLM"],
    "auto_map": {"AutoModelForCausalLM": "modeling_internlm_xcomposer2.InternLMXComposer2ForCausalLM"},
    "model_type": "internlmxcomposer2",
    "vocab_size": VOCABULARY,
    "hidden_size": WIDTH,
    "intermediate_size": MLP,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": KV_HEADS,
    "max_position_embeddings": 2048,
    "rope_theta": 1000000,
    "rope_scaling": {"type": "dynamic", "factor": 2.0},
    "rms_norm_eps": 1e-05,
    "bias": False,
    "hidden_act": "silu",
    "torch_dtype": "float32",
}


def published_shapes(*, tiles: bool = True, bias: bool = False) -> dict[str, tuple[int, ...]]:
    """Every tensor of a checkpoint of 2.5 (``tiles``) or 2."""
    head = WIDTH // HEADS
    projections = {
        "attention.wqkv": ((HEADS + 2 * KV_HEADS) * head, WIDTH),
        "attention.wo": (WIDTH, WIDTH),
        "feed_forward.w1": (MLP, WIDTH),
        "feed_forward.w3": (MLP, WIDTH),
        "feed_forward.w2": (WIDTH, MLP),
    }
    shapes: dict[str, tuple[int, ...]] = {
        "model.tok_embeddings.weight": (VOCABULARY, WIDTH),
        "model.norm.weight": (WIDTH,),
        "output.weight": (VOCABULARY, WIDTH),
    }
    for layer in range(LAYERS):
        for name, (outputs, inputs) in projections.items():
            prefix = f"model.layers.{layer}.{name}"
            shapes[f"{prefix}.weight"] = (outputs, inputs)
            shapes[f"{prefix}.Plora_A.weight"] = (256, inputs)
            shapes[f"{prefix}.Plora_B.weight"] = (outputs, 256)
            if bias and name.startswith("attention"):
                shapes[f"{prefix}.bias"] = (outputs,)
        shapes[f"model.layers.{layer}.attention_norm.weight"] = (WIDTH,)
        shapes[f"model.layers.{layer}.ffn_norm.weight"] = (WIDTH,)
    tower = "vit.vision_tower.vision_model"
    grid = (TILE_PX if tiles else SQUARE_PX) // PATCH
    shapes |= {
        f"{tower}.embeddings.class_embedding": (TOWER_WIDTH,),
        f"{tower}.embeddings.patch_embedding.weight": (TOWER_WIDTH, 3, PATCH, PATCH),
        f"{tower}.embeddings.position_embedding.weight": (grid * grid + 1, TOWER_WIDTH),
    }
    norms = [f"{tower}.pre_layrnorm", f"{tower}.post_layernorm"]
    for layer in range(TOWER_LAYERS):
        prefix = f"{tower}.encoder.layers.{layer}"
        norms += [f"{prefix}.layer_norm1", f"{prefix}.layer_norm2"]
        linear = {f"self_attn.{part}_proj": (TOWER_WIDTH, TOWER_WIDTH) for part in ("k", "v", "q", "out")}
        linear |= {"mlp.fc1": (TOWER_MLP, TOWER_WIDTH), "mlp.fc2": (TOWER_WIDTH, TOWER_MLP)}
        for name, shape in linear.items():
            shapes |= {f"{prefix}.{name}.weight": shape, f"{prefix}.{name}.bias": shape[:1]}
    for norm in norms:
        shapes |= {f"{norm}.weight": (TOWER_WIDTH,), f"{norm}.bias": (TOWER_WIDTH,)}
    seen = TOWER_WIDTH * (4 if tiles else 1)
    shapes |= {
        "vision_proj.0.weight": (WIDTH, seen),
        "vision_proj.0.bias": (WIDTH,),
        "vision_proj.2.weight": (WIDTH, WIDTH),
        "vision_proj.2.bias": (WIDTH,),
    }
    if tiles:
        shapes |= {"plora_glb_GN": (1, 1, seen), "plora_sub_GN": (1, 1, 1, seen)}
    return shapes


def weight(name: str, shape: tuple[int, ...], scale: float) -> torch.Tensor:
    """Random, but the same for the same name; norms about one."""
    values = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape).astype(np.float32)
    values *= np.float32(scale)
    norm = name.endswith("norm.weight") or ("norm" in name and name.endswith("weight"))
    return torch.from_numpy(np.asarray(values + np.float32(1.0) if norm else values))


def write_tokenizer(folder: Path) -> None:
    """A SentencePiece model of the published kind: BPE, bytes for unknown characters, the unused tokens as pieces."""
    from sentencepiece import SentencePieceTrainer

    made = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(_CORPUS),
        model_writer=made,
        model_type="bpe",
        vocab_size=VOCABULARY,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        user_defined_symbols=["\n", "[UNUSED_TOKEN_141]", END, START],
        hard_vocab_limit=False,
        minloglevel=2,
        num_threads=1,
    )
    (folder / "tokenizer.model").write_bytes(made.getvalue())


def write_tiny_xcomposer(
    folder: Path,
    *,
    tiles: bool = True,
    scale: float = 0.15,
    shapes: dict[str, tuple[int, ...]] | None = None,
    pickled: bool = False,
    **config: Any,
) -> Path:
    """A checkpoint of 2.5, or of 2 without ``tiles``; ``config`` changes or (with None) removes settings."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    settings = CONFIG | ({} if tiles else {"img_size": SQUARE_PX}) | config
    kept = {key: value for key, value in settings.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(kept), encoding="utf-8")
    wanted = published_shapes(tiles=tiles, bias=bool(kept.get("bias", True))) if shapes is None else shapes
    tensors = {name: weight(name, shape, scale) for name, shape in wanted.items()}
    if pickled:
        torch.save(tensors, folder / "pytorch_model.bin")
    else:  # in two files, as large checkpoints come
        names = list(tensors)
        for number, part in enumerate((names[::2], names[1::2]), 1):
            save_file({name: tensors[name] for name in part}, folder / f"model-{number:05}-of-00002.safetensors")
    write_tokenizer(folder)
    return folder
