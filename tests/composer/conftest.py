"""Fixtures of the composer's tests."""

from __future__ import annotations

import importlib.metadata
import shutil
import threading
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import pytest

from vision.downloads.store import manifest

if TYPE_CHECKING:
    from composer.studio.session_registry import SessionRegistry

FONT_PACKAGES = {"noto-chinese-fonts": "pylopdf-fonts-zh-cn", "noto-script-fonts": "manimgx-fonts"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Articles about the pictures that ``KnowingEncoder`` knows."""
    from tests.composer.knowing import write_articles

    folder = tmp_path_factory.mktemp("data")
    write_articles(folder)
    return folder


@pytest.fixture(scope="session")
def fonts_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the fonts of the manifest, as ``vignette models pull`` would leave it, without a network: the
    packages are among the tests' own requirements."""
    home = tmp_path_factory.mktemp("fonts-home")
    for name, package in FONT_PACKAGES.items():
        folder = home / "models" / name
        folder.mkdir(parents=True)
        by_name = {Path(str(file)).name: file for file in importlib.metadata.files(package) or ()}
        for file in manifest()[name].files:
            shutil.copyfile(str(by_name[file.path].locate()), folder / file.path)
    return home


@pytest.fixture(autouse=True)
def _no_dictionary_of_this_machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a scripted model writes is put together in the same way whether `vignette models pull` was run or not."""
    if request.node.get_closest_marker("slow") is None:
        for name in ("installed_dictionary", "installed_encyclopedia", "installed_chinese_dictionary"):
            monkeypatch.setattr(f"composer.pipeline.pipeline.{name}", lambda: None)


@pytest.fixture
def with_fonts(fonts_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIGNETTE_HOME", str(fonts_home))


@pytest.fixture
def without_fonts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither fetched fonts nor the system's: what a bare machine has."""
    from composer.export import pdf_fonts as fonts

    monkeypatch.setenv("VIGNETTE_HOME", str(tmp_path / "empty-home"))
    bare = fonts.fonts(system=False)
    monkeypatch.setattr(fonts, "_fonts", lambda folders, system: bare)


@pytest.fixture
def sessions(tmp_path: Path) -> SessionRegistry:
    from composer.studio.draft_store import DraftStore
    from composer.studio.models import StudioModels
    from composer.studio.session_registry import SessionRegistry
    from tests.composer.article_samples import picture
    from tests.composer.fake_pipeline import FakePipeline
    from tests.composer.quick_sessions import Models

    fake = FakePipeline([picture(tmp_path, "hens.jpg"), picture(tmp_path, "cows.jpg", "indianred")])
    return SessionRegistry(StudioModels(lambda: Models(fake)), DraftStore(tmp_path / "drafts"))


@pytest.fixture
def bugs(monkeypatch: pytest.MonkeyPatch) -> SimpleQueue[Any]:
    """What threads died of; the server's log would show it."""
    died: SimpleQueue[Any] = SimpleQueue()
    monkeypatch.setattr(threading, "excepthook", lambda args: died.put(args.exc_type))
    return died
