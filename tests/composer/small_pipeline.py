"""A small studio for tests: a real library of coloured pictures, a real searcher, and a scripted model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from composer.pipeline.pipeline import Pipeline
from composer.settings import Settings
from image_db.indexing import index_paths
from image_db.library import Library
from retrieval.search import Searcher
from tests.composer.scripted_model import Answer, Scores, ScriptedModel
from tests.fakes import PALETTE, ColourEncoder

COLOURS = ("red", "green", "blue", "yellow", "purple", "orange")


def paint(path: Path, colour: str, caption: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Light and shade of its own, or all plain pictures would be near-duplicates to a perceptual hash.
    shades = np.random.default_rng(list(str(path.name).encode())).uniform(0.85, 1.0, (6, 8, 1))
    blocks = (np.array(PALETTE[colour]) * shades).astype(np.uint8)
    Image.fromarray(blocks).resize((320, 240), Image.Resampling.NEAREST).save(path)
    if caption:
        path.with_suffix(".txt").write_text(caption, encoding="utf-8")
    return path


def make_library(folder: Path, encoder: ColourEncoder, colours: tuple[str, ...] = COLOURS) -> Library:
    for colour in colours:
        paint(folder / "pictures" / f"{colour}.png", colour, f"a {colour} wall in the old town")
    library = Library.create(folder / "library", encoder.identity)
    if colours:
        index_paths(library, encoder, [folder / "pictures"])
    return library


def make_pipeline(
    folder: Path,
    answer: Answer,
    scores: Scores | None = None,
    settings: Settings | None = None,
    colours: tuple[str, ...] = COLOURS,
) -> Pipeline:
    encoder = ColourEncoder()
    library = make_library(folder, encoder, colours)
    model = ScriptedModel(answer, scores)
    return Pipeline(settings or Settings("test"), model, encoder, library, Searcher(library, encoder))
