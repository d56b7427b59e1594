"""A tower, a bridge and a language model of a few kilobytes each, all of the real classes, and articles to train on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from tests.vision.tiny_gguf import write_tiny_gguf
from vision.bridge.grid_tower import VisionTower
from vision.bridge.language_model import CausalModel, load_causal
from vision.bridge.projector import Bridge, BridgeConfig
from vision.interfaces import ModelIdentity
from vision.joint_encoder.open_clip import preprocess

COLOURS = {"red": (220, 20, 20), "green": (20, 200, 20), "blue": (20, 20, 220), "white": (240, 240, 240)}


def tiny_tower(seed: int = 0) -> VisionTower:
    """3 × 3 places of 12 features."""
    generator = torch.Generator().manual_seed(seed)
    module = torch.nn.Conv2d(3, 12, 8, stride=8)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    transform = preprocess({"size": (24, 24), "mean": (0.5,) * 3, "std": (0.5,) * 3, "resize_mode": "squash"})
    identity = ModelIdentity("tiny-tower", f"{seed:064x}")
    return VisionTower(identity, module, lambda pixels: module(pixels).flatten(2).transpose(1, 2), transform)


def tiny_language(folder: Path, architecture: str = "qwen2") -> CausalModel:
    return load_causal(str(tiny_language_file(folder, architecture)))


def tiny_language_file(folder: Path, architecture: str = "qwen2") -> Path:
    file = folder / f"{architecture}.gguf"
    return file if file.is_file() else write_tiny_gguf(file, architecture, "F32")


def tiny_config(tower: VisionTower, language: CausalModel, **changes: object) -> BridgeConfig:
    settings: dict[str, object] = {"queries": 4, "layers": 1, "heads": 2, "width": 32}
    return BridgeConfig(
        tower.identity.name,
        tower.identity.sha256,
        tower.tokens,
        tower.width,
        language.identity.name,
        language.identity.sha256,
        language.embeddings.shape[1],
        **(settings | changes),  # type: ignore[arg-type]
    )


def tiny_bridge(tower: VisionTower, language: CausalModel, seed: int = 0, **changes: object) -> Bridge:
    torch.manual_seed(seed)
    bridge = Bridge(tiny_config(tower, language, **changes))
    bridge.match(language.embeddings)
    return bridge.eval()


def picture(colour: str, seed: int = 0) -> Image.Image:
    """A plain wall with a little noise of its own."""
    noise = np.random.default_rng(seed).integers(-15, 16, (24, 24, 3))
    return Image.fromarray(np.clip(np.array(COLOURS[colour]) + noise, 0, 255).astype(np.uint8))


def write_articles(folder: Path, books: int = 3, articles: int = 4) -> Path:
    """Each article shows a wall of each colour after a paragraph that names it."""
    (folder / "images").mkdir(parents=True)
    lines = []
    for number in range(books * articles):
        blocks: list[dict[str, str]] = []
        for place, colour in enumerate(COLOURS):
            name = f"images/{number}-{colour}.png"
            picture(colour, seed=10 * number + place).save(folder / name)
            blocks.append({"type": "paragraph", "text": f"{colour} is the wall."})
            blocks.append(
                {
                    "type": "figure",
                    "image": name,
                    "alt": f"A {colour} wall.",
                    "caption": f"The {colour} wall of a house.",
                }
            )
        row = {"id": str(number), "book": f"book-{number % books}", "title": "Walls", "license": "CC BY 4.0"}
        lines.append(json.dumps(row | {"source": "made for tests", "blocks": blocks}))
    (folder / "train.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder
