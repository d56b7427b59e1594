"""What the towers multiply in where torch runs them: float32, or bfloat16 where the processor is faster in it.

The environment variable VIGNETTE_TOWER_DTYPE chooses ``float32``, ``bfloat16`` or ``auto`` (the default). Cosines of
photographs differ by up to 0.008 between the two, so a library may be indexed in one and searched in the other: only
pictures that are nearly tied change places. Import it lazily: torch comes with it.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from vision.errors import ModelError

DTYPE_VARIABLE = "VIGNETTE_TOWER_DTYPE"
DTYPES = ("auto", "float32", "bfloat16")


def tower_dtype(device: torch.device) -> torch.dtype:
    """The type that $VIGNETTE_TOWER_DTYPE names, or with ``auto`` the one that ``device`` is fastest in.

    Raises ModelError for an unknown name and for bfloat16 where the processor does not compute in it.
    """
    chosen = os.environ.get(DTYPE_VARIABLE) or "auto"
    if chosen not in DTYPES:
        raise ModelError("variable_unknown", variable=DTYPE_VARIABLE, value=chosen, known=list(DTYPES))
    if chosen == "float32":
        return torch.float32
    if computes_bfloat16(device.type):
        return torch.bfloat16
    if chosen == "bfloat16":
        raise ModelError("no_bfloat16", variable=DTYPE_VARIABLE, device=device.type)
    return torch.float16 if device.type == "cuda" else torch.float32


def autocast(dtype: torch.dtype, device: torch.device) -> AbstractContextManager[Any]:
    """Within it torch multiplies in ``dtype``."""
    return nullcontext() if dtype == torch.float32 else torch.autocast(device.type, dtype)


def computes_bfloat16(kind: str) -> bool:
    """Whether a ``cpu`` or ``cuda`` device here has instructions for it; others emulate it, slower than float32."""
    if kind == "cuda":
        return torch.cuda.is_bf16_supported()
    return kind == "cpu" and bool(torch.cpu._is_avx512_bf16_supported())
