"""The arithmetics that a tower may run in here, and how far vectors of one may be from vectors of the exact other."""

from __future__ import annotations

import pytest

DTYPES = ("float32", "bfloat16")
# Of unit vectors, against the same network in float32 as another program runs it: float32 differs by the order of its
# sums, bfloat16 keeps 8 bits of every product.
FLOAT32_ATOL = 2e-5
BFLOAT16_ATOL = 2e-2
VECTOR_ATOL = {"float32": FLOAT32_ATOL, "bfloat16": BFLOAT16_ATOL}


def choose_dtype(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Towers that are loaded from now on run in it; skips where this processor cannot."""
    from vision.joint_encoder.precision import DTYPE_VARIABLE, computes_bfloat16

    if name == "bfloat16" and not computes_bfloat16("cpu"):
        pytest.skip("this processor does not compute in bfloat16")
    monkeypatch.setenv(DTYPE_VARIABLE, name)
