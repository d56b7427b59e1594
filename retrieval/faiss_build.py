"""Which build of FAISS is installed. All are imported as ``faiss``: two of them lie one over the other."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from functools import cache
from typing import Any

from retrieval.errors import IndexUnusable

# Distributions that bring a package named faiss: the index's names, and those of the cuVS builds.
_DISTRIBUTIONS = ("faiss-cpu", "faiss-gpu", "faiss-gpu-cu11", "faiss-gpu-cu12", "faiss-gpu-cu13", "faiss-gpu-cuvs")


@dataclass(frozen=True, slots=True)
class FaissBuild:
    """``gpus`` that it finds; ``options`` are what it was compiled for, such as "AVX512" and "GPU"."""

    distribution: str
    version: str
    options: str
    gpus: int


@cache
def load_faiss() -> Any:
    """The module, untyped: its stubs describe the C++ constructors, not the Python ones.

    Raises IndexUnusable where two builds are installed, one over the other.
    """
    installed = faiss_distributions()
    if len(installed) > 1:
        raise IndexUnusable("faiss_twice", packages=installed)
    import faiss

    return faiss


def faiss_build() -> FaissBuild:
    """What is installed, asked of itself. Raises IndexUnusable as ``load_faiss``."""
    faiss = load_faiss()
    names = faiss_distributions()
    gpus = int(getattr(faiss, "get_num_gpus", lambda: 0)())
    return FaissBuild(names[0] if names else "faiss", str(faiss.__version__), faiss.get_compile_options().strip(), gpus)


def faiss_distributions() -> list[str]:
    """Those that are installed."""
    found = []
    for name in _DISTRIBUTIONS:
        try:
            importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        found.append(name)
    return found
