"""Fusion weights follow what the unseen books of a training run show."""

from pathlib import Path

import numpy as np
import pytest

from composer.evaluation.fit_fusion import fit_fusion, fit_to_galleries
from retrieval.fusion import CosineScale, CosineScales, FusionWeights
from vision.errors import DataError
from vision.training.dataset import Figure
from vision.training.joint.train import UNSEEN_FOLDER, VECTORS_FILE

SCALES = CosineScales(CosineScale(0.0, 0.2), CosineScale(0.0, 0.2), CosineScale(0.0, 0.2))


def figures(n: int = 40) -> list[Figure]:
    return [
        Figure(Path(f"{i}.jpg"), f"thing{i} there", f"say {i}" if i % 4 else "", "ab"[i % 2], "x", "T", f"w{i}", "")
        for i in range(n)
    ]


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def vectors(n: int = 40, *, looks: float, meaning: float) -> dict[str, np.ndarray]:
    """How much a picture's vector, and its alt text's, has of what its texts say; the rest is noise."""
    chance = np.random.default_rng(0)
    said = unit(chance.normal(size=(n, 16)))

    def near(share: float) -> np.ndarray:
        return unit(share * said + (1 - share) * unit(chance.normal(size=(n, 16))))

    found = {"images": near(looks), "alts": near(meaning), "fold": np.zeros(n, int)}
    found |= dict.fromkeys(("captions", "sections"), said)
    return found | {f"joint_{name}": said for name in ("captions", "sections", "alts")}


def fitted(**shares: float) -> FusionWeights:
    return fit_to_galleries(figures(), vectors(**shares), lambda _: SCALES).weights


def test_what_finds_the_right_picture_gets_the_weight() -> None:
    by_looks, by_meaning = fitted(looks=0.6, meaning=0.0), fitted(looks=0.0, meaning=0.6)
    assert by_looks.visual > max(0.5, 5 * by_looks.textual)
    assert by_meaning.textual > max(0.5, 5 * by_meaning.visual)
    assert by_looks.visual_alone > by_meaning.visual_alone


def test_weights_that_no_example_tells_of_stay_as_they_are() -> None:
    found, shipped = fitted(looks=0.5, meaning=0.5), FusionWeights()
    for name in ("lexical_guessed", "lexical_unread", "offset_unread", "example", "offset_example"):
        assert getattr(found, name) == getattr(shipped, name)


def test_the_threshold_lies_where_a_picture_is_as_likely_right_as_wrong() -> None:
    """``fused`` is a probability, and right and wrong weigh the same."""
    found = fit_to_galleries(figures(160), vectors(160, looks=0.2, meaning=0.4), lambda _: SCALES)
    assert 0.35 < found.min_fused < 0.65


def test_every_gallery_is_one_book_and_is_told_of() -> None:
    seen: list[list[int]] = []
    told: list[tuple[int, int]] = []

    def scales(rows: np.ndarray) -> CosineScales:
        seen.append(rows.tolist())
        return SCALES

    fit_to_galleries(figures(), vectors(looks=0.5, meaning=0.5), scales, lambda *step: told.append(step))
    assert seen == [list(range(0, 40, 2)), list(range(1, 40, 2))]
    assert told == [(1, 2), (2, 2)]


def test_a_folder_without_unseen_books_or_of_other_data_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^no_vectors_of_run: "):
        fit_fusion(tmp_path, figures())
    (tmp_path / UNSEEN_FOLDER).mkdir(parents=True)
    np.savez(tmp_path / UNSEEN_FOLDER / VECTORS_FILE, **vectors(looks=0.5, meaning=0.5))
    with pytest.raises(DataError, match=r"^run_of_other_data: .*pictures=40, count=30$"):
        fit_fusion(tmp_path, figures(30))
