"""A library indexed on one processor finds the same pictures on another, whose towers compute in another type."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image

from image_db.indexing import index_paths
from image_db.library import Library
from retrieval.candidates import Candidate, Query
from retrieval.search import Searcher
from tests.tower_dtypes import DTYPES, choose_dtype
from vision.images import load_image
from vision.interfaces import JointEncoder
from vision.joint_encoder.checkpoint import shipped_towers
from vision.joint_encoder.encoder import load_embedded_encoder

PHOTOGRAPHS = ("bus.png", "cheetah.jpg", "cheetah1.jpg", "lion.jpg", "tower.jpg", "groot.jpeg")
CROPS = {"whole": (0, 0, 1, 1), "left": (0, 0, 0.6, 1), "right": (0.4, 0, 1, 1), "low": (0, 0.4, 1, 1)}
CAPTIONS = ("a spotted big cat", "a lion with a mane", "a tall tower against the sky", "a bus in a street")
TOP = 10
# From float32 to bfloat16 the cosines of these photographs move by up to 0.008, so two that are nearer than twice that
# may change places, as ties may.
BFLOAT16_NEAR = 0.016


def crops(folder: Path) -> Path:
    """Four of each photograph, under names without words: only looks can find them."""
    folder.mkdir()
    gradio = find_spec("gradio")  # found, not imported: that takes seconds
    assert gradio is not None
    assert gradio.origin is not None
    assets = Path(gradio.origin).parent / "media_assets" / "images"
    for row, name in enumerate(PHOTOGRAPHS):
        photograph = load_image(assets / name, target_px=300)
        for column, (left, top, right, low) in enumerate(CROPS.values()):
            box = (left * photograph.width, top * photograph.height, right * photograph.width, low * photograph.height)
            photograph.crop(tuple(map(round, box))).save(folder / f"IMG_{row}{column}.png")
    return folder


@pytest.fixture(scope="module")
def searched(
    tmp_path_factory: pytest.TempPathFactory, model_path: Callable[[str], Path]
) -> dict[tuple[str, str], list[list[Candidate]]]:
    """(Type when indexed, type when searched) → for every query all pictures, best first."""
    for name in shipped_towers():
        model_path(name)
    folder = tmp_path_factory.mktemp("precision")
    pictures = crops(folder / "pictures")
    encoders: dict[str, JointEncoder] = {}
    for dtype in DTYPES:
        with pytest.MonkeyPatch.context() as patch:
            choose_dtype(patch, dtype)
            encoders[dtype] = load_embedded_encoder()
            with Library.create(folder / dtype, encoders[dtype].identity) as library:
                assert index_paths(library, encoders[dtype], [pictures]).usable == len(PHOTOGRAPHS) * len(CROPS)
    with Image.open(pictures / "IMG_22.png") as example:
        queries = [*(Query(caption) for caption in CAPTIONS), Query(example=example.convert("RGB"))]
    found = {}
    for indexed in DTYPES:
        for asked in DTYPES:
            with Library.open(folder / indexed) as library:
                found[indexed, asked] = Searcher(library, encoders[asked]).search_batch(queries, 99, explained=False)
    return found


@pytest.mark.parametrize(("indexed", "asked"), [("float32", "bfloat16"), ("bfloat16", "float32")])
def test_the_top_ten_are_the_same_whatever_the_library_was_indexed_in(
    searched: dict[tuple[str, str], list[list[Candidate]]], indexed: str, asked: str
) -> None:
    """Each of the ten stays ahead of all pictures, within the ten and below, that are not nearer than BFLOAT16_NEAR."""
    for home, abroad in zip(searched[asked, asked], searched[indexed, asked], strict=True):
        assert len(home) == len(abroad) == len(PHOTOGRAPHS) * len(CROPS)
        place = {candidate.record.path.name: rank for rank, candidate in enumerate(abroad)}
        for better in home[:TOP]:
            for worse in home:
                if better.visual - worse.visual > BFLOAT16_NEAR:
                    assert place[better.record.path.name] < place[worse.record.path.name]
