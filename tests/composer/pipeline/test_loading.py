"""Settings become models; what cannot run as it should says so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from composer.i18n import localize
from composer.pipeline.loading import load_language_model
from composer.settings import load_settings
from tests.vision.tiny_gguf import write_tiny_gguf
from vision.interfaces import Message


def test_without_a_compiler_transformers_runs_a_gguf_file_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf")
    monkeypatch.setenv("VIGNETTE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr("shutil.which", lambda name: None)
    model = load_language_model(replace(load_settings("tiny").writer, model=str(path)))
    notice = model.notice  # type: ignore[attr-defined]
    assert notice.key == "slow_without_kernels"
    assert "pip install ziglang" in localize(notice, "en")
    assert len(model.score([Message.of("user", "hi")], ["a"])) == 1
