"""A cache folder of a test's own, with no hub and no package index, and a manifest of one model."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import constants

from vision.downloads import store as weights
from vision.downloads.manifest import WeightEntry


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    monkeypatch.setenv("VIGNETTE_HOME", str(home))
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")  # nothing listens there
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1 << 16)
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)  # between tries
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    (tmp_path / "wheels").mkdir()
    return home


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., WeightEntry]:
    """Put one model in the manifest instead of those that ship."""

    def put(entry: WeightEntry) -> WeightEntry:
        monkeypatch.setattr(weights, "manifest", lambda: {entry.name: entry})
        return entry

    return put
