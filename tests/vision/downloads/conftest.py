"""A cache folder of a test's own, with no hub and no package index, and a manifest of one model."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import constants

from vision.downloads import store as weights
from vision.downloads import wheels as fetch_packages
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


@pytest.fixture
def without_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Take wheels from where pip would, without its half second a wheel."""

    def copy(requirement: str, pieces: object, place: Path, tr: object) -> Path:
        place.mkdir(parents=True)
        name = requirement.split("==")[0].replace("-", "_")
        wheels = list((tmp_path / "wheels").glob(f"{name}-*.whl"))
        if not wheels:
            raise fetch_packages.SourceFailed(f"{requirement} is not in the package index")
        return Path(shutil.copy(wheels[0], place))

    return lambda: monkeypatch.setattr(fetch_packages, "_download", copy)
