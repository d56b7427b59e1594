"""What is measured of the two stores, on small libraries: that it is measured at all, and what counts as the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from composer.benchmarks import store_worker, stores
from image_db.stores.opening import open_library
from retrieval.stores.store_loading import pictures_of
from tests.composer.benchmarks.test_library import small_library
from tests.fakes import ColourEncoder


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ([("a", 0.9), ("b", 0.5)], [("a", 0.9), ("b", 0.5)], True),
        ([("a", 0.5), ("b", 0.5)], [("b", 0.5), ("a", 0.5 + 1e-7)], True),
        ([("a", 0.9), ("b", 0.5)], [("a", 0.9), ("c", 0.5)], True),  # which of two equal ones is the last
        ([("a", 0.9), ("b", 0.5)], [("c", 0.9), ("b", 0.5)], False),
        ([("a", 0.9), ("b", 0.5)], [("b", 0.9), ("a", 0.5)], False),
        ([("a", 0.9), ("b", 0.5)], [("a", 0.9), ("b", 0.4)], False),
        ([("a", 0.9), ("b", 0.5)], [("a", 0.9)], False),
        ([], [], True),
    ],
)
def test_answers_are_the_same_up_to_ties(
    one: list[tuple[str, float]], other: list[tuple[str, float]], same: bool
) -> None:
    assert stores.same_up_to_ties(one, other) is same
    assert stores.same_up_to_ties(other, one) is same


def test_both_stores_are_measured_on_a_library_and_on_made_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_worker, "QUERIES", 8)
    monkeypatch.setattr(store_worker, "WARMING", 1)
    pytest.importorskip("milvus_lite", reason="pip install 'vignette-studio[cluster]'")
    folder = small_library(tmp_path)
    found = stores.parity_of_library(folder, ColourEncoder())
    assert {name: measure.value for name, measure in found.items()} == {
        "same_caption": 1.0,
        "same_word": 1.0,
        "same_filtered": 1.0,
    }
    with open_library(folder) as library:
        stores.write_models(tmp_path, list(pictures_of(library)))
    told = {}
    for kind in ("folder", "milvus"):
        told[kind] = store_worker.fill(kind, tmp_path, 300) | store_worker.ask(kind, tmp_path)
    measures = stores._compared(told["folder"], told["milvus"])
    assert measures["milvus_shared_top10"].value > 0.99, "so few are compared one by one in both"
    assert all(measure.value > 0 and measure.reference for measure in measures.values())
    assert any(len(answer) for answer in told["folder"]["found"][-store_worker.QUERIES :]), (
        "the filter lets some through"
    )
