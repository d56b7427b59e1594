"""What the page's command accepts, and what of Gradio the page leans on. The page itself: tests/browser."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from composer.cli import main as vignette
from composer.studio.libraries import offered_folders
from image_db.errors import LibraryMissing


@pytest.mark.filterwarnings("ignore::DeprecationWarning:gradio.queueing")
def test_the_ways_of_pandas_that_gradio_uses_only_warn() -> None:
    from gradio.queueing import Queue

    assert list(Queue._get_df([{"a": 1, "b": None}]).columns) == ["a", "b"]


# The command


def test_a_library_that_was_named_must_exist_and_the_sample_need_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIGNETTE_HOME", str(tmp_path))
    assert offered_folders(None) == []
    with pytest.raises(LibraryMissing):
        offered_folders([tmp_path / "none"])


def test_the_command_goes_on_as_the_page_with_the_same_options(monkeypatch: pytest.MonkeyPatch) -> None:
    def execv(path: str, command: list[str]) -> None:
        raise SystemExit(command[1:])  # execv never returns

    monkeypatch.setattr("composer.cli.COMMANDS", ("app",))
    monkeypatch.setattr(os, "execv", execv)
    with pytest.raises(SystemExit) as started:
        vignette(["app", "--library", "a", "--library", "b", "--port", "8000"])
    assert started.value.code == [
        "-m",
        "app",
        "--profile",
        "embedded",
        "--host",
        "127.0.0.1",
        "--port",
        "8000",
        "--library",
        "a",
        "--library",
        "b",
    ]
