"""Nearest vectors by inner product: FAISS behind one small class.

Up to ``EXACT_UP_TO`` vectors the search is exact; above that vectors are held as 8-bit codes, and above
``SCAN_UP_TO`` in an inverted file (measured in docs/research/search.md).
What the codes propose is compared again by the vectors themselves.

An index is derived data: it is kept beside the library only where building it takes longer than reading it, under a
name made of all it depends on, and rebuilt whenever that changes.
"""

from __future__ import annotations

import hashlib
import json
import logging
import mmap
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from retrieval.errors import IndexUnusable
from retrieval.faiss_build import load_faiss

if TYPE_CHECKING:
    from vision.interfaces import EncoderIdentity

Kind: TypeAlias = Literal["flat", "sq8", "ivf"]

EXACT_UP_TO = 100_000
SCAN_UP_TO = 200_000
NARROW = 50_000  # so few allowed vectors are compared one by one, whatever the index
TRAINING_VECTORS = 100_000
PROBED_SHARE = 1 / 32  # of an inverted file's lists
COMPARED_AGAIN = 90  # so many more than asked for are taken from codes, which mix up near neighbours


@dataclass(frozen=True, slots=True)
class IndexKey:
    """All that an index on disk depends on; another value of any field means another index."""

    space: str  # "visual" or "textual"
    revision: str
    encoder: str
    faiss: str
    kind: Kind
    n: int
    dim: int

    @property
    def file_name(self) -> str:
        digest = hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()
        return f"{self.space}-{digest[:16]}.faiss"


class VectorIndex:
    """Nearest rows of a matrix of unit vectors.

    ``vectors`` (n, D) float32 may be a memory map; it is read when the index is built and for narrow searches.
    """

    def __init__(self, vectors: np.ndarray, index: Any, kind: Kind) -> None:
        self.vectors = vectors
        self.kind = kind
        self._index = index
        self._gpu = _on_gpu(index, kind) if kind in ("flat", "ivf") else None

    @classmethod
    def build(cls, vectors: np.ndarray, kind: Kind | None = None) -> VectorIndex:
        """Index the rows. Raises IndexUnusable for vectors that are not finite."""
        faiss = load_faiss()
        n, dim = vectors.shape
        chosen = kind or kind_for(n)
        sample = np.ascontiguousarray(vectors[:: max(1, n // TRAINING_VECTORS)], np.float32)
        if not np.isfinite(sample).all():
            raise IndexUnusable("vectors_not_finite")
        if chosen == "flat":
            index = faiss.IndexFlatIP(dim)
        elif chosen == "sq8":
            index = faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)
        else:
            lists = max(1, min(int(n**0.5), len(sample) // 39 or 1))
            coarse = faiss.IndexFlatIP(dim)
            index = faiss.IndexIVFScalarQuantizer(
                coarse, dim, lists, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
            )
            index.cp.niter = 10
        if n and not index.is_trained:
            index.train(sample)
        for start in range(0, n, TRAINING_VECTORS):
            index.add(np.ascontiguousarray(vectors[start : start + TRAINING_VECTORS], np.float32))
        return cls(vectors, index, chosen)

    @classmethod
    def open(
        cls, vectors: np.ndarray, space: str, revision: str, encoder: EncoderIdentity, folder: Path | None
    ) -> VectorIndex:
        """The index of these vectors: the one kept in ``folder`` where it fits, else a new one.

        ``folder`` None keeps nothing; a damaged file, or a folder that cannot be written, costs a rebuild.
        Raises IndexUnusable where the vectors' dimension is not the encoder's.
        """
        faiss = load_faiss()
        n, dim = vectors.shape
        expected = encoder.visual_dim if space == "visual" else encoder.textual_dim
        if dim != expected:
            raise IndexUnusable("vectors_other_dim", dim=dim, encoder=encoder.name, expected=expected)
        kind = kind_for(n)
        if kind == "flat" or folder is None:
            return cls.build(vectors, kind)
        key = IndexKey(space, revision, encoder.sha256, faiss.__version__, kind, n, dim)
        path = folder / key.file_name
        if path.exists():
            with suppress(RuntimeError):  # a damaged file
                stored = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
                if stored.ntotal == n and stored.d == dim:
                    return cls(vectors, stored, kind)
        built = cls.build(vectors, kind)
        keep_file(path, lambda temporary: faiss.write_index(built._index, str(temporary)))
        return built

    def search(self, queries: np.ndarray, k: int, allowed: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest rows of each query: cosines (q, k) falling, and row numbers (q, k) int64.

        ``allowed`` (n,) bool restricts the rows; all of them are then considered, so fewer than k come back
        (padded with row -1, cosine -inf) only where fewer are allowed.
        """
        n = len(self.vectors)
        queries = np.ascontiguousarray(queries, np.float32)
        reachable = n if allowed is None else int(np.count_nonzero(allowed))
        width = min(k, reachable)
        scores = np.full((len(queries), k), -np.inf, np.float32)
        rows = np.full((len(queries), k), -1, np.int64)
        if width == 0 or len(queries) == 0:
            return scores, rows
        if allowed is not None and reachable <= NARROW and (self.kind != "flat" or reachable * 4 < n):
            found = self._compare(queries, width, np.flatnonzero(allowed))
        elif self.kind == "flat":
            found = self._ask(queries, width, allowed, reachable)
        else:
            _, proposed = self._ask(queries, min(width + COMPARED_AGAIN, reachable), allowed, reachable)
            found = self._compare_again(queries, width, proposed)
        scores[:, :width], rows[:, :width] = found
        scores[rows < 0] = -np.inf
        return scores, rows

    def _ask(
        self, queries: np.ndarray, width: int, allowed: np.ndarray | None, reachable: int
    ) -> tuple[np.ndarray, np.ndarray]:
        faiss = load_faiss()
        if self.kind == "flat" and allowed is None and self._gpu is not None:
            scores, rows = self._gpu.search(queries, width)
            return scores, rows
        settings: dict[str, Any] = {}
        if allowed is not None:
            # The selector points into this array, which must outlive the search.
            bits = np.packbits(allowed, bitorder="little")
            settings["sel"] = faiss.IDSelectorBitmap(bits)
        if self.kind != "ivf":
            scores, rows = self._index.search(
                queries, width, params=faiss.SearchParameters(**settings) if settings else None
            )
            return scores, rows
        lists = self._index.nlist
        # A filter thins every list, so proportionally more of them are read.
        probed = min(lists, int(np.ceil(lists * PROBED_SHARE * len(self.vectors) / reachable)) or 1)
        searched = self._gpu if allowed is None and self._gpu is not None else self._index
        scores, rows = searched.search(queries, width, params=faiss.SearchParametersIVF(nprobe=probed, **settings))
        short = (rows < 0).any(axis=1)
        if short.any():
            everything = faiss.SearchParametersIVF(nprobe=lists, **settings)
            scores[short], rows[short] = self._index.search(queries[short], width, params=everything)
        return scores, rows

    def _compare_again(self, queries: np.ndarray, width: int, proposed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The nearest of the rows proposed for each query, (q, m) with -1 for none, by their own vectors."""
        scores = np.empty((len(queries), width), np.float32)
        rows = np.empty((len(queries), width), np.int64)
        for i, query in enumerate(queries):
            own = np.sort(proposed[i])  # near each other on the disk, and equal ones in the library's order
            cosines = np.where(own < 0, -np.inf, np.asarray(self.vectors[np.maximum(own, 0)], np.float32) @ query)
            order = np.argsort(-cosines, kind="stable")[:width]
            scores[i], rows[i] = cosines[order], own[order]
            _let_go(self.vectors)
        return scores, rows

    def _compare(self, queries: np.ndarray, width: int, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        cosines = queries @ np.asarray(self.vectors[chosen], np.float32).T
        order = np.argsort(-cosines, axis=1, kind="stable")[:, :width]
        return np.take_along_axis(cosines, order, axis=1), chosen[order]


def _let_go(vectors: np.ndarray) -> None:
    """Unmap what was read of vectors that are a file: a row brings up to 2 MB around it into the process's memory."""
    mapped: Any = vectors
    while isinstance(mapped, np.ndarray):
        mapped = mapped.base
    if isinstance(mapped, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def keep_file(path: Path, write: Callable[[Path], None]) -> None:
    """Write derived data whole or, where the folder cannot be written, not at all; older files of its kind go.

    The kind is the name up to the first "-".
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        temporary.replace(path)
        for stale in path.parent.glob(f"{path.name.split('-')[0]}-*{path.suffix}"):
            if stale != path:
                stale.unlink(missing_ok=True)
    except (OSError, RuntimeError):  # FAISS reports a full disk as RuntimeError
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def kind_for(n: int) -> Kind:
    """The kind of index that is quickest for n vectors without losing neighbours that matter."""
    if n <= EXACT_UP_TO:
        return "flat"
    return "sq8" if n <= SCAN_UP_TO else "ivf"


def _on_gpu(index: Any, kind: Kind) -> Any | None:
    """A copy on the GPU where faiss-gpu finds one, by cuVS where the build has it and knows the kind; GPU indexes know
    no selectors, so the CPU's stays as well. None where there is no GPU, or too little memory on it, which is logged.
    """
    faiss = load_faiss()
    if not getattr(faiss, "get_num_gpus", lambda: 0)():
        return None
    options = faiss.GpuClonerOptions()
    if kind != "flat" and hasattr(options, "use_cuvs"):
        options.use_cuvs = False  # it is on in builds with cuVS, which refuse lists of codes
    try:
        return faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, index, options)
    except RuntimeError as error:
        logging.getLogger(__name__).warning("searching on the CPU: %s", str(error).splitlines()[0][:200])
        return None
