"""Exactly one FAISS is installed, by every way of installing, and two are found out."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from retrieval import faiss_build
from retrieval.errors import IndexUnusable
from retrieval.faiss_build import load_faiss

ROOT = Path(__file__).resolve().parents[2]


def test_every_extra_and_every_lock_brings_one_faiss() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = {"": [], **project["optional-dependencies"]}
    for name, extra in groups.items():
        brought = [line for line in (*project["dependencies"], *extra) if line.startswith("faiss")]
        assert len(brought) == 1, f"the extra {name} brings {brought}"
    locked = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "requirements").glob("*.txt"))
    assert len(re.findall(r"^faiss", locked, re.MULTILINE)) == 1


def test_the_build_that_is_installed_answers() -> None:
    build = faiss_build.faiss_build()
    assert build.distribution in faiss_build.faiss_distributions()
    assert build.version == load_faiss().__version__
    assert build.options


def test_two_builds_one_over_the_other_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faiss_build, "faiss_distributions", lambda: ["faiss-cpu", "faiss-gpu-cu12"])
    load_faiss.cache_clear()
    with pytest.raises(IndexUnusable) as told:
        load_faiss()
    assert told.value.key == "faiss_twice"
    load_faiss.cache_clear()
