"""The ceiling of decoding: every weight is read once a token, so memory bandwidth bounds it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from composer.evaluation.report import Measure

BYTES_A_THREAD = 256 << 20  # far more than any cache
REPEATS = 5


def memory_gb_per_s(threads: int) -> float:
    """The best of a few passes in which every thread sums an array of its own."""
    arrays = [np.ones(BYTES_A_THREAD // 8) for _ in range(threads)]
    best = 0.0
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(REPEATS):
            start = time.perf_counter()
            list(pool.map(np.max, arrays))
            best = max(best, threads * BYTES_A_THREAD / (time.perf_counter() - start) / 1e9)
    return best


def bytes_a_token(model: Path) -> int:
    """Packed weights read to write one token: all but a table of embeddings that is not the output matrix too."""
    from vision.downloads.store import home
    from vision.llm.model_cache import open_cached

    matrices = open_cached(model, home() / "converted").matrices
    apart = "output.weight" in matrices
    return sum(m.data.nbytes for name, m in matrices.items() if not (apart and name == "token_embd.weight"))


def bench_limit(model: Path, threads: int) -> dict[str, Measure]:
    bandwidth = memory_gb_per_s(threads)
    return {
        "memory_gb_per_s": Measure(bandwidth, "GB/s"),
        "decode_limit_tokens_per_s": Measure(bandwidth * 1e9 / bytes_a_token(model), "tokens/s"),
    }
