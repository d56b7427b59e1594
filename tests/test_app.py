"""What the page's command accepts, and what of Gradio the page leans on. The page itself: tests/browser."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from composer.cli import main as vignette
from composer.web.command_line import offered_libraries
from image_db.errors import LibraryMissing

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.filterwarnings("ignore::DeprecationWarning:gradio.queueing")
def test_the_ways_of_pandas_that_gradio_uses_only_warn() -> None:
    from gradio.queueing import Queue

    assert list(Queue._get_df([{"a": 1, "b": None}]).columns) == ["a", "b"]


# The command


def test_a_library_that_was_named_must_exist_and_the_sample_need_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIGNETTE_HOME", str(tmp_path))
    assert offered_libraries(None) == []
    with pytest.raises(LibraryMissing):
        offered_libraries([tmp_path / "none"])


def test_the_command_goes_on_as_the_page_with_the_same_options(monkeypatch: pytest.MonkeyPatch) -> None:
    def execv(path: str, command: list[str]) -> None:
        raise SystemExit(command[1:])  # execv never returns

    monkeypatch.setattr("composer.cli.COMMANDS", ("app",))
    monkeypatch.setattr(os, "execv", execv)
    with pytest.raises(SystemExit) as started:
        vignette(["app", "--library", "a", "--library", "b", "--port", "8000"])
    assert started.value.code == [
        "-P",
        str(ROOT / "app.py"),
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


HOSTILE = "raise SystemExit('code of the working folder was run')"


def test_nothing_of_the_working_folder_is_ever_imported(tmp_path: Path) -> None:
    for name in (
        "app.py",
        "gradio.py",
        "json.py",
        "composer/__init__.py",
        "composer/web/__init__.py",
        "vision/__init__.py",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(HOSTILE)
    # As the installed command does: its own folder stands first on the path, not the one it is started in.
    start = "import sys; sys.argv[0] = 'vignette'; from composer.cli import main; sys.exit(main())"
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "VIGNETTE_HOME": str(tmp_path / "home"),
        "VIGNETTE_PASSWORD": "",
    }
    command = [sys.executable, "-P", "-c", start, "app", "--host", "0.0.0.0"]
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert "working folder" not in ran.stderr + ran.stdout
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "--host 0.0.0.0 is not an address of this machine alone" in ran.stderr, "it is the page itself that refuses"
