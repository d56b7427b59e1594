"""``vignette bench studio``: what it opens, what it says where it cannot, and that it measures."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from composer.article.serialization import from_json, to_json
from composer.benchmarks.runner import BenchFailed
from composer.benchmarks.studio import Load, find_browser, long_article, served
from composer.cli import main
from composer.errors import UsageError


def test_the_article_is_as_long_as_the_goal_says_and_survives_being_saved(tmp_path: Path) -> None:
    article = long_article(tmp_path / "pictures", Load())
    assert (len(article.sections), len(article.pictures)) == (40, 25)
    assert {len(placement.candidates) for placement in article.placements} == {8}
    assert len({picture.id for picture in article.pictures}) == 25
    assert from_json(json.loads(json.dumps(to_json(article)))) == article


def test_without_playwright_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "playwright" else there(name, *a))
    assert main(["bench", "studio"]) == 2
    told = capsys.readouterr().err
    assert told.endswith("run: pip install playwright\n")


def test_without_chromium_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("playwright")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="chromium_missing"):
        find_browser()
    with pytest.raises(UsageError, match=r"^chromium_not_program: path=/no/such$"):
        find_browser("/no/such")


def test_a_page_that_does_not_start_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = [sys.executable, "-c", "import sys; sys.exit('vignette: no disk')"]
    begin: Any = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda command, **options: begin(broken, **options))
    with pytest.raises(BenchFailed, match=r"^page_not_started: reason=vignette: no disk$"), served(tmp_path):
        pass


@pytest.mark.browser
def test_it_measures_what_a_person_waits_for(chromium_path: str) -> None:
    from composer.benchmarks.studio import bench_studio

    said: list[str] = []
    small = Load(sections=4, pictures=2, alternatives=2, sessions=2, rounds=1)
    measures = bench_studio(chromium_path, said.append, small)
    assert list(measures) == ["open_40_25_s", "edit_ms", "replace_ms", "sessions10_edit_ms"]
    assert all(measure.value > 1 for name, measure in measures.items() if name.endswith("ms"))
    assert [measure.reference for measure in measures.values()] == [2.0, 300.0, 300.0, 300.0]
    assert len(said) == 4
