"""FAISS on a GPU finds what it finds on the CPU: ``pytest -m gpu``, figures printed. The checks run here, too, small.

Needs a build of FAISS for GPUs in the place of faiss-cpu (docs/install.md).
"""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from retrieval import index as index_module
from retrieval.faiss_build import load_faiss
from retrieval.index import VectorIndex

DIM, K = 512, 10


def unit_rows(n: int, dim: int, seed: int = 0) -> np.ndarray:
    """Rows around a thousand centres, as pictures lie around motifs."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(1000, dim)).astype(np.float32)
    out = np.empty((n, dim), np.float32)
    for start in range(0, n, 100_000):
        part = out[start : start + 100_000]
        part[:] = centres[rng.integers(0, 1000, len(part))]
        part += rng.normal(0, 0.5, part.shape)
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return out


def on_cpu(found: VectorIndex) -> VectorIndex:
    plain = VectorIndex.__new__(VectorIndex)
    plain.__dict__.update(found.__dict__ | {"_gpu": None})
    return plain


def latency_ms(index: VectorIndex, queries: np.ndarray) -> tuple[float, np.ndarray]:
    """The 95th percentile of one query at a time, and what they find."""
    index.search(queries[:5], K)
    seconds, rows = [], []
    for query in queries:
        began = time.perf_counter()
        rows.append(index.search(query[None], K)[1][0])
        seconds.append(time.perf_counter() - began)
    return float(np.quantile(seconds, 0.95)) * 1e3, np.stack(rows)


@pytest.mark.parametrize(
    "count", [3_000, *(pytest.param(n, marks=pytest.mark.gpu) for n in (1_000_000, 10_000_000))], ids=str
)
@pytest.mark.parametrize("kind", ["flat", "ivf"])
def test_a_search_finds_the_same_on_both(
    kind: Any, count: int, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    faiss = load_faiss()
    large = count > 100_000
    if large and not getattr(faiss, "get_num_gpus", lambda: 0)():
        pytest.skip("no FAISS for a GPU, or no GPU")
    vectors = unit_rows(count, DIM if large else 32)
    index = VectorIndex.build(vectors, kind)
    queries = unit_rows(200 if large else 20, vectors.shape[1], seed=1)
    ours, found = latency_ms(index, queries)
    theirs, wanted = latency_ms(on_cpu(index), queries)
    shared = np.mean([len(set(a) & set(b)) / K for a, b in zip(found, wanted, strict=True)])
    if large:
        with capsys.disabled():
            line = (
                f"\ncuda: {kind}, {count:,} x {DIM}: p95 {ours:.2f} ms, on the CPU {theirs:.2f} ms, shared {shared:.3f}"
            )
            request.config.get_terminal_writer().line(line)
        assert index._gpu is not None
    assert shared >= 0.99


class FakeCard:
    """faiss with a GPU that is the CPU: what is asked of it, and a card that has no room."""

    def __init__(self, faiss: Any, *, cuvs: bool, full: bool = False) -> None:
        self._faiss, self._cuvs, self._full = faiss, cuvs, full
        self.cloned: list[bool] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._faiss, name)

    def get_num_gpus(self) -> int:
        return 1

    def GpuClonerOptions(self) -> Any:
        return SimpleNamespace(use_cuvs=self._cuvs)

    def StandardGpuResources(self) -> object:
        return object()

    def index_cpu_to_gpu(self, resources: object, device: int, index: Any, options: Any) -> Any:
        if self._full:
            raise RuntimeError("out of memory\nmore")
        if options.use_cuvs and not isinstance(index, self._faiss.IndexFlat):
            raise RuntimeError("this type of index is not implemented for cuVS")
        self.cloned.append(options.use_cuvs)
        return self._faiss.clone_index(index)


@pytest.mark.parametrize(("kind", "cuvs"), [("flat", True), ("ivf", False)])
def test_cuvs_is_asked_for_what_it_knows(monkeypatch: pytest.MonkeyPatch, kind: Any, cuvs: bool) -> None:
    card = FakeCard(load_faiss(), cuvs=True)
    monkeypatch.setattr(index_module, "load_faiss", lambda: card)
    vectors = unit_rows(2_000, 16)
    index = VectorIndex.build(vectors, kind)
    assert card.cloned == [cuvs]
    assert index.search(vectors[:50], 1)[1][:, 0].tolist() == list(range(50))
    allowed = np.arange(2_000) % 2 == 1
    assert all(row % 2 for row in index.search(vectors[:50], 5, allowed)[1].ravel())


def test_a_card_without_room_is_said_and_the_cpu_searches(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(index_module, "load_faiss", lambda: FakeCard(load_faiss(), cuvs=False, full=True))
    vectors = unit_rows(500, 16)
    assert VectorIndex.build(vectors, "flat").search(vectors[:5], 1)[1][:, 0].tolist() == [0, 1, 2, 3, 4]
    assert "out of memory" in caplog.text
