"""The logits of the original code at the published widths, on weights made by a rule (slow: 650 MB of them)."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from vision.xcomposer.checkpoint import load_weights, tensor_shapes, weight_files
from vision.xcomposer.config import read_config
from vision.xcomposer.model import XComposerCausalLM

ORIGINAL = Path(__file__).parents[2] / "fixtures" / "xcomposer" / "original_logits.json"
TOWER = "vit.vision_tower.vision_model"


def published_shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    width, inner, vision = config["hidden_size"], config["intermediate_size"], config["vision"]
    head = width // config["num_attention_heads"]
    seen, mlp = vision["hidden_size"], vision["intermediate_size"]
    shapes: dict[str, tuple[int, ...]] = {
        "plora_glb_GN": (1, 1, 4 * seen),
        "plora_sub_GN": (1, 1, 1, 4 * seen),
        "model.tok_embeddings.weight": (config["vocab_size"], width),
        "model.norm.weight": (width,),
        "output.weight": (config["vocab_size"], width),
        "vision_proj.0.weight": (width, 4 * seen),
        "vision_proj.0.bias": (width,),
        "vision_proj.2.weight": (width, width),
        "vision_proj.2.bias": (width,),
        f"{TOWER}.embeddings.class_embedding": (seen,),
        f"{TOWER}.embeddings.patch_embedding.weight": (seen, 3, 14, 14),
        f"{TOWER}.embeddings.position_embedding.weight": (1601, seen),
    }
    for layer in range(config["num_hidden_layers"]):
        name = f"model.layers.{layer}"
        shapes |= {f"{name}.attention_norm.weight": (width,), f"{name}.ffn_norm.weight": (width,)}
        for part, outputs, inputs in (
            ("attention.wqkv", (config["num_attention_heads"] + 2 * config["num_key_value_heads"]) * head, width),
            ("attention.wo", width, width),
            ("feed_forward.w1", inner, width),
            ("feed_forward.w3", inner, width),
            ("feed_forward.w2", width, inner),
        ):
            shapes |= {
                f"{name}.{part}.weight": (outputs, inputs),
                f"{name}.{part}.Plora_A.weight": (256, inputs),
                f"{name}.{part}.Plora_B.weight": (outputs, 256),
            }
    norms = [f"{TOWER}.pre_layrnorm", f"{TOWER}.post_layernorm"]
    for layer in range(vision["num_hidden_layers"]):
        name = f"{TOWER}.encoder.layers.{layer}"
        norms += [f"{name}.layer_norm1", f"{name}.layer_norm2"]
        for part, shape in (
            *((f"self_attn.{each}_proj", (seen, seen)) for each in ("q", "k", "v", "out")),
            ("mlp.fc1", (mlp, seen)),
            ("mlp.fc2", (seen, mlp)),
        ):
            shapes |= {f"{name}.{part}.weight": shape, f"{name}.{part}.bias": shape[:1]}
    for norm in norms:
        shapes |= {f"{norm}.weight": (seen,), f"{norm}.bias": (seen,)}
    return shapes


def by_rule(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    values = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape).astype(np.float32) * 0.02
    if name.endswith("norm.weight") or (
        name.endswith("weight") and any(part in name for part in ("layer_norm", "layernorm", "layrnorm"))
    ):
        values += 1.0
    return torch.from_numpy(values.astype(np.float32))


@pytest.mark.slow
def test_logits_are_the_original_s(tmp_path: Path) -> None:
    original = json.loads(ORIGINAL.read_text(encoding="utf-8"))
    (tmp_path / "config.json").write_text(json.dumps(original["config"]), encoding="utf-8")
    save_file(
        {name: by_rule(name, shape) for name, shape in published_shapes(original["config"]).items()},
        tmp_path / "model.safetensors",
    )
    files = weight_files(tmp_path, "original")
    shapes = tensor_shapes(files, "original")
    config = read_config(tmp_path, shapes, "original")
    model = load_weights(config, files, shapes, "original", torch.float32, torch.device("cpu"))
    for case in original["cases"]:
        logits = run(model, case["parts"])
        assert len(logits) == case["tokens"]
        expected = torch.tensor(case["last_logits"])
        torch.testing.assert_close(logits[-1, : len(expected)], expected, atol=1e-4, rtol=0)
        norms = torch.tensor(case["logits_norm_every_100"])
        torch.testing.assert_close(logits[::100].norm(dim=-1), norms, atol=1e-3, rtol=0)


@torch.inference_mode()
def run(model: XComposerCausalLM, parts: list[list[Any]]) -> torch.Tensor:
    ids: list[int] = []
    vectors = []
    for kind, value in parts:
        if kind == "ids":
            ids += value
            continue
        seed, height, width = value
        values = np.random.RandomState(seed).standard_normal((1, 3, height, width)).astype(np.float32)
        vectors.append(model.see(torch.from_numpy(values)))
        ids += [model.picture_id] * len(vectors[-1])
    logits: torch.Tensor = model(torch.tensor([ids]), picture_vectors=torch.cat(vectors) if vectors else None).logits[0]
    return logits
