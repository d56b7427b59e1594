"""A page that is told to end cleans up behind itself."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from composer.benchmarks.studio import served


@pytest.mark.skipif(os.name != "posix", reason="ends the server with SIGTERM")
def test_a_server_that_is_told_to_end_leaves_no_uploads_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, temporary = tmp_path / "home", tmp_path / "tmp"
    home.mkdir()
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    with served(home):
        (work,) = temporary.glob("vignette-*")
        (work / "uploads").mkdir(exist_ok=True)
        (work / "uploads/mine.jpg").write_bytes(b"private")
    assert not list(temporary.glob("vignette-*"))
