from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import retrieval.index as module
from retrieval.errors import IndexUnusable
from retrieval.index import EXACT_UP_TO, SCAN_UP_TO, IndexKey, Kind, VectorIndex, kind_for
from vision.interfaces import EncoderIdentity

ENCODER = EncoderIdentity("tester", "ab" * 32, 24, 24)
KINDS: tuple[Kind, ...] = ("flat", "sq8", "ivf")


def unit(n: int, dim: int = 24, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def brute(vectors: np.ndarray, queries: np.ndarray, k: int, allowed: np.ndarray | None = None) -> np.ndarray:
    cosines = queries @ vectors.T
    if allowed is not None:
        cosines[:, ~allowed] = -np.inf
    return np.argsort(-cosines, axis=1)[:, :k]


@pytest.fixture
def coded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes libraries of more than 100 vectors large ones."""
    monkeypatch.setattr(module, "EXACT_UP_TO", 100)
    monkeypatch.setattr(module, "NARROW", 20)


def test_the_exact_index_agrees_with_numpy() -> None:
    vectors, queries = unit(700), unit(30, seed=1)
    cosines, rows = VectorIndex.build(vectors, "flat").search(queries, 12)
    assert np.array_equal(rows, brute(vectors, queries, 12))
    assert cosines == pytest.approx(np.take_along_axis(queries @ vectors.T, rows, 1), abs=1e-6)


def test_the_coded_index_finds_nearly_all_neighbours() -> None:
    vectors, queries = unit(3000), unit(50, seed=1)
    truth = brute(vectors, queries, 10)
    _, rows = VectorIndex.build(vectors, "sq8").search(queries, 10)
    recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(truth, rows, strict=True)])
    assert recall > 0.95


@pytest.mark.parametrize(("kind", "least"), [("sq8", 0.99), ("ivf", 0.8)])
def test_what_codes_propose_is_ordered_by_the_vectors_themselves(
    kind: Kind, least: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Near neighbours, which codes mix up, in a file whose pages are let go between queries."""
    let_go: list[np.ndarray] = []
    plain = module._let_go
    monkeypatch.setattr(module, "_let_go", lambda vectors: (let_go.append(vectors), plain(vectors)))
    close = unit(40)[np.arange(4000) % 40] + 0.2 * unit(4000, seed=5)
    unit_rows = (close / np.linalg.norm(close, axis=1, keepdims=True)).astype("<f4")
    (tmp_path / "vectors.f32").write_bytes(unit_rows.tobytes())
    vectors = np.memmap(tmp_path / "vectors.f32", "<f4", "r").reshape(unit_rows.shape)
    queries = unit_rows[::300]
    cosines, rows = VectorIndex.build(vectors, kind).search(queries, 10)
    truth = brute(unit_rows, queries, 10)
    assert np.mean([len(set(a) & set(b)) / 10 for a, b in zip(truth, rows, strict=True)]) >= least
    assert cosines == pytest.approx(np.take_along_axis(queries @ unit_rows.T, rows, 1), abs=1e-6)
    again = VectorIndex.build(vectors, kind)
    for query, found in zip(queries, rows, strict=True):
        assert again.search(query[None], 10)[1][0].tolist() == found.tolist()
    assert len(let_go) == (2 * len(queries) if kind != "flat" else 0), (
        "after every query: one reads 200 MB of a million"
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.003, 0.2, 0.9])
def test_a_filter_never_leaks_and_never_empties_the_result(kind: Kind, share: float, coded: None) -> None:
    vectors, queries = unit(2000), unit(8, seed=2)
    allowed = np.random.default_rng(3).random(2000) < share
    reachable = int(allowed.sum())
    _, rows = VectorIndex.build(vectors, kind).search(queries, 25, allowed)
    found = rows[rows >= 0]
    assert allowed[found].all()
    assert ((rows >= 0).sum(axis=1) == min(25, reachable)).all()
    assert all(len(set(row[row >= 0])) == (row >= 0).sum() for row in rows)


@pytest.mark.parametrize("share", [0.003, 0.2, 0.9])
def test_a_filtered_exact_search_agrees_with_numpy(share: float) -> None:
    vectors, queries = unit(2000), unit(8, seed=2)
    allowed = np.random.default_rng(3).random(2000) < share
    k = min(5, int(allowed.sum()))
    _, rows = VectorIndex.build(vectors, "flat").search(queries, k, allowed)
    assert np.array_equal(rows, brute(vectors, queries, k, allowed))


@pytest.mark.parametrize("kind", KINDS)
def test_fewer_rows_than_asked_are_padded(kind: Kind) -> None:
    cosines, rows = VectorIndex.build(unit(300), kind).search(unit(2, seed=1), 5, np.arange(300) < 3)
    assert (rows[:, 3:] == -1).all()
    assert np.isneginf(cosines[:, 3:]).all()
    assert sorted(rows[0, :3]) == [0, 1, 2]


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_allowed_finds_nothing(kind: Kind) -> None:
    _, rows = VectorIndex.build(unit(300), kind).search(unit(1), 4, np.zeros(300, bool))
    assert (rows == -1).all()


def test_an_empty_library_has_an_index() -> None:
    _, rows = VectorIndex.build(unit(0)).search(unit(2), 3)
    assert rows.tolist() == [[-1, -1, -1], [-1, -1, -1]]


def test_larger_libraries_get_coarser_indexes() -> None:
    assert [kind_for(n) for n in (0, EXACT_UP_TO, EXACT_UP_TO + 1, SCAN_UP_TO + 1)] == ["flat", "flat", "sq8", "ivf"]


def test_a_large_index_is_kept_and_read_back(tmp_path: Path, coded: None, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, queries = unit(400), unit(3, seed=1)
    first = VectorIndex.open(vectors, "visual", "7", ENCODER, tmp_path / "index")
    monkeypatch.setattr(VectorIndex, "build", lambda *_: pytest.fail("the kept index was not used"))
    again = VectorIndex.open(vectors, "visual", "7", ENCODER, tmp_path / "index")
    for one, other in zip(first.search(queries, 9), again.search(queries, 9), strict=True):
        assert np.array_equal(one, other)


def test_a_small_index_leaves_no_file(tmp_path: Path) -> None:
    VectorIndex.open(unit(50), "visual", "7", ENCODER, tmp_path / "index")
    assert not (tmp_path / "index").exists()


def test_another_revision_replaces_the_kept_index(tmp_path: Path, coded: None) -> None:
    VectorIndex.open(unit(400), "visual", "7", ENCODER, tmp_path)
    VectorIndex.open(unit(400), "textual", "7", ENCODER, tmp_path)
    (old,) = tmp_path.glob("visual-*")
    VectorIndex.open(unit(400, seed=9), "visual", "8", ENCODER, tmp_path)
    assert not old.exists()
    assert len(list(tmp_path.glob("visual-*"))) == len(list(tmp_path.glob("textual-*"))) == 1
    assert not list(tmp_path.glob("*.part"))


def test_the_name_of_a_kept_index_depends_on_all_it_was_made_from() -> None:
    key = IndexKey("visual", "7", "ab", "1.15.1", "sq8", 400, 24)
    others = [
        replace(key, space="textual"),
        replace(key, revision="8"),
        replace(key, encoder="cd"),
        replace(key, faiss="1.16.0"),
        replace(key, kind="ivf"),
        replace(key, n=401),
        replace(key, dim=25),
    ]
    assert len({key.file_name, *(other.file_name for other in others)}) == 8


def test_a_damaged_index_is_rebuilt(tmp_path: Path, coded: None) -> None:
    vectors = unit(400)
    VectorIndex.open(vectors, "visual", "7", ENCODER, tmp_path)
    (path,) = tmp_path.glob("visual-*")
    path.write_bytes(path.read_bytes()[:500])
    again = VectorIndex.open(vectors, "visual", "7", ENCODER, tmp_path)
    assert again.search(vectors[:5], 1)[1].ravel().tolist() == [0, 1, 2, 3, 4]
    assert len(path.read_bytes()) > 500


def test_an_index_whose_folder_cannot_be_written_is_searched(tmp_path: Path, coded: None) -> None:
    (tmp_path / "index").write_text("a file where the folder should be")
    index = VectorIndex.open(unit(400), "visual", "7", ENCODER, tmp_path / "index")
    assert index.search(unit(1), 1)[1][0, 0] == 0


def test_vectors_of_another_width_are_refused_by_name() -> None:
    with pytest.raises(IndexUnusable) as caught:
        VectorIndex.open(unit(10, dim=16), "visual", "7", ENCODER, None)
    assert caught.value.key == "vectors_other_dim"
    assert caught.value.values == {"dim": 16, "encoder": "tester", "expected": 24}


def test_vectors_that_are_not_finite_are_refused() -> None:
    vectors = unit(10)
    vectors[3, 3] = np.nan
    with pytest.raises(IndexUnusable) as caught:
        VectorIndex.build(vectors)
    assert caught.value.key == "vectors_not_finite"
