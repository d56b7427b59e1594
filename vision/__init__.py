"""Vignette's eyes and voice: towers, bridges, language models, weights. Knows no libraries and no articles."""

import os

# The name on the package index, where ``vignette`` is another project; as in pyproject.toml.
DISTRIBUTION = "vignette-studio"


def own_version() -> str:
    """Vignette's version as installed; "unknown" where it runs from a folder that nobody installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "unknown"


def usable_cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
