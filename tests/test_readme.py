"""The README is short and promises only what exists; what holds for every page is in test_docs.py."""

from __future__ import annotations

import os
import re
import shlex
import tomllib
from pathlib import Path

import pytest

from composer import cli
from composer.request import LANGUAGES
from composer.settings import DEFAULT_PROFILE, profile_names

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
LINES = [line.split("  #")[0].strip() for block in BLOCKS for line in block.splitlines() if line.strip()]
SPANS = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", README, flags=re.MULTILINE | re.DOTALL))
TARGETS = {target for text in (*LINES, *SPANS) for target in re.findall(r"^make (\w+)", text)}


def section(title: str) -> str:
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def first_column(table: str) -> list[str]:
    return re.findall(r"^\| `([^`]+)`", table, flags=re.MULTILINE)


def test_the_two_commands_come_first() -> None:
    assert [line.split()[:2] for line in BLOCKS[0].splitlines()] == [["make", "demo"], ["make", "test"]]
    assert README.index("make demo") < 60


def test_it_is_short_and_shows_a_picture() -> None:
    assert len(README.split()) < 900
    assert re.search(r"^!\[[^\]]+\]\(docs/screenshots/", README, re.MULTILINE)


def test_every_make_target_named_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert {"demo", "test", "check"} <= TARGETS
    assert set(re.findall(r"^(\w+):", makefile, flags=re.MULTILINE)) >= TARGETS


@pytest.mark.parametrize("span", sorted({span for span in SPANS if span.startswith("vignette ")}))
def test_every_command_named_in_the_text_exists(span: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = [word for word in shlex.split(span)[1:] if not word.startswith("-")]
    with pytest.raises(SystemExit) as caught:
        cli.main([*words, "--help"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: vignette {' '.join(words)}")


def test_the_table_of_commands_lists_them_all() -> None:
    assert sorted(first_column(section("Commands"))) == sorted(f"vignette {name}" for name in cli.COMMANDS)


def test_the_table_of_profiles_lists_them_all() -> None:
    assert sorted(first_column(section("Profiles"))) == sorted(profile_names())
    assert f"`{DEFAULT_PROFILE}` (default)" in README


def test_the_pythons_named_are_those_that_install() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    oldest, too_new = re.findall(r"3\.(\d+)", project["requires-python"])
    *first, last = [f"3.{minor}" for minor in range(int(oldest), int(too_new))]
    assert f"Python {', '.join(first)} or {last}" in README


def test_the_languages_named_are_those_it_writes() -> None:
    assert f"It writes {' and '.join(LANGUAGES.values())}." in README


def test_ci_runs_a_command_of_the_readme() -> None:
    run = ROOT / ".ci" / "run"
    commands = [line for line in run.read_text(encoding="utf-8").splitlines() if line.startswith("make ")]
    assert commands == ["make test"]
    assert os.access(run, os.X_OK)
