"""The command line: exit codes, one line for an error, and commands that explain themselves."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from composer import cli
from composer.errors import OutputExists, UsageError
from image_db.errors import LibraryMissing
from retrieval.errors import IndexUnusable
from vision.downloads.store import manifest
from vision.errors import WeightsError

ROOT = Path(__file__).resolve().parent.parent
Probe = Callable[[Callable[[], int]], None]


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> Probe:
    """Make ``vignette probe`` the only command; it does what it is given."""

    def install(action: Callable[[], int]) -> None:
        module = ModuleType("composer.commands.probe")

        def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
            subparsers.add_parser("probe").set_defaults(run=lambda args: action())

        module.__dict__["register"] = register
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setattr(cli, "COMMANDS", ("probe",))

    return install


def failing(error: BaseException) -> Callable[[], int]:
    def action() -> int:
        raise error

    return action


@pytest.mark.parametrize("code", [0, 1])
def test_what_a_command_returns_is_the_exit_code(probe: Probe, code: int) -> None:
    probe(lambda: code)
    assert cli.main(["probe"]) == code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (WeightsError("no such model; run: vignette models pull"), 1),
        (LibraryMissing("no library in /tmp/x"), 1),
        (IndexUnusable("the index is of another library"), 1),
        (OutputExists("a key without words"), 1),
        (UsageError("another"), 2),
    ],
)
def test_an_expected_error_is_one_line_on_stderr(
    probe: Probe, capsys: pytest.CaptureFixture[str], error: Exception, code: int
) -> None:
    probe(failing(error))
    assert cli.main(["probe"]) == code
    captured = capsys.readouterr()
    assert captured.err == f"vignette: {error}\n"
    assert captured.out == ""


def test_an_interrupt_ends_with_130(probe: Probe, capsys: pytest.CaptureFixture[str]) -> None:
    probe(failing(KeyboardInterrupt()))
    assert cli.main(["probe"]) == 130
    assert capsys.readouterr().err == "\nvignette: interrupted\n"


def test_a_bug_keeps_its_traceback(probe: Probe) -> None:
    probe(failing(ZeroDivisionError("a bug")))
    with pytest.raises(ZeroDivisionError, match="a bug"):
        cli.main(["probe"])


def test_debug_shows_the_traceback_of_an_expected_error_too(probe: Probe) -> None:
    probe(failing(WeightsError("x")))
    with pytest.raises(WeightsError):
        cli.main(["--debug", "probe"])


@pytest.mark.parametrize("argv", [["nonsense"], ["--nonsense"], ["probe", "--nonsense"], ["--deb", "probe"]])
def test_wrong_usage_ends_with_2(probe: Probe, capsys: pytest.CaptureFixture[str], argv: list[str]) -> None:
    probe(lambda: 0)
    with pytest.raises(SystemExit) as caught:
        cli.main(argv)
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("usage: vignette")


def test_without_a_command_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 0
    text = capsys.readouterr().out
    assert all(f"\n    {name} " in text for name in cli.COMMANDS)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_explains_itself_with_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main([name, "--help"])
    assert caught.value.code == 0
    assert f"vignette {name} " in capsys.readouterr().out.split("examples:")[1]


@pytest.mark.skipif(os.name != "posix", reason="POSIX pipes")
def test_a_reader_that_goes_away_is_no_traceback(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    env = os.environ | {"VIGNETTE_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "composer.cli", "models", "list"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, env=env, cwd=ROOT)
    os.close(write)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


# --- vignette models


@pytest.fixture
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VIGNETTE_HOME", str(tmp_path))
    return tmp_path


def test_models_list_shows_every_model_and_that_it_is_not_here(
    empty_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["models", "list"]) == 0
    captured = capsys.readouterr()
    rows = [line.split() for line in captured.out.splitlines()]
    assert [row[0] for row in rows] == list(manifest())
    assert {row[3] for row in rows} == {"-"}
    assert str(empty_home) in captured.err


def test_models_refuses_a_name_it_does_not_know_as_wrong_usage(
    empty_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["models", "pull", "minilm-l6-v2", "gpt"]) == 2
    assert capsys.readouterr().err.startswith("vignette: there is no model 'gpt'; known: qwen2.5-coder-1.5b-instruct,")


def test_models_verify_of_a_damaged_model_fails_and_names_the_remedy(
    empty_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = empty_home / "models" / "efficientnet-lite2"
    folder.mkdir(parents=True)
    (folder / "efficientnet-lite2-9656183e.pth").write_bytes(b"not a model")
    assert cli.main(["models", "verify"]) == 1
    captured = capsys.readouterr()
    assert captured.out.split()[:2] == ["efficientnet-lite2", "damaged:"]
    assert captured.err == "vignette: run: vignette models pull efficientnet-lite2\n"


ENCODER = ["efficientnet-lite2", "efficientnet-lite1", "efficientnet-lite0", "minilm-l6-v2", "all-mpnet-base-v2"]


@pytest.mark.parametrize(
    ("profile", "names"),
    [
        (None, ["qwen2.5-coder-1.5b-instruct", *ENCODER, "smollm2-135m-instruct"]),
        ("tiny", ["smollm2-135m-instruct", *ENCODER]),
        ("hub", []),
    ],
)
def test_pull_fetches_what_the_profile_uses_the_fonts_of_pdfs_and_facts_for_small_writers(
    profile: str | None, names: list[str]
) -> None:
    from composer.commands.profiles import needed
    from composer.settings import load_settings

    facts = ["cc-cedict", "wikipedia-vital", "gcide"] if names else []
    assert needed(load_settings(profile or "embedded")) == [*names, "noto-chinese-fonts", "noto-script-fonts", *facts]


def test_indexing_fetches_the_encoder_and_what_drafts_where_auto_picks_them(monkeypatch: pytest.MonkeyPatch) -> None:
    from composer.commands import profiles
    from composer.profiles.choice import Resolved
    from composer.settings import load_settings

    asked: list[tuple[list[str], list[str]]] = []
    resolved = Resolved(load_settings("embedded"), (), True)
    monkeypatch.setattr("composer.profiles.choice.resolve", lambda *_, **__: resolved)
    monkeypatch.setattr("composer.profiles.machine.is_offline", lambda: False)
    monkeypatch.setattr("composer.profiles.wanted.is_here", lambda name: False)
    monkeypatch.setattr(profiles, "fetch", lambda models, parts, extras: asked.append((list(models), list(extras))))
    for drafts in (False, True):
        profiles.settings_for("auto", encoder_only=True, drafts=drafts)
    assert asked == [(ENCODER, []), (ENCODER, ["smollm2-135m-instruct"])]


def test_a_dictionary_that_cannot_be_fetched_holds_up_nothing_but_a_pull_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def pull_all(names: list[str], progress: object) -> list[Path]:
        if "gcide" in names:
            raise WeightsError("model_unknown", name="gcide", known=[])
        return [Path("/cache", name) for name in names]

    monkeypatch.setattr("vision.downloads.store.pull_all", pull_all)
    assert cli.main(["models", "pull"]) == 0
    captured = capsys.readouterr()
    assert "noto-chinese-fonts\t/cache/noto-chinese-fonts" in captured.out
    assert "gcide" not in captured.out
    assert "models pull gcide" in captured.err
    assert cli.main(["models", "pull", "gcide"]) == 1


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["compose", "x", "--library", "L", "--out", "LONG"], 2, "File name too long"),
        (["compose", "x", "--library", "LONG", "--out", "o"], 2, "File name too long"),
        (["compose", "x", "--library", "L", "--out", "o", "--profile", "LONG.toml"], 2, "File name too long"),
        (
            ["compose", "x", "--library", "L", "--out", "o", "--profile", "latin.toml"],
            2,
            "latin.toml is not valid TOML",
        ),
        (
            ["compose", "x", "--library", "L", "--out", "latin.toml/o"],
            1,
            "latin.toml/o cannot be written: Not a directory",
        ),
        (["index", "LONG", "--library", "L"], 2, "File name too long"),
        (["library", "info", "--library", "LONG"], 2, "File name too long"),
        (["batch", "LONG", "--library", "L", "--out", "o"], 2, "File name too long"),
        (["export", "list", "--out", "x.pdf"], 1, "article.json has format None"),
        (["export", "deep", "--out", "x.pdf"], 1, "is damaged"),
        (["export", "list", "--out", "LONG.pdf"], 2, "File name too long"),
    ],
)
def test_paths_that_no_disk_takes_and_files_of_other_kinds_are_one_line(
    args: list[str],
    code: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("latin.toml").write_bytes(b'description = "caf\xe9"')
    for name, text in (("list", "[]"), ("deep", "[" * 100_000)):
        Path(name).mkdir()
        Path(name, "article.json").write_text(text)
    assert cli.main([word.replace("LONG", "n" * 300) for word in args]) == code
    printed = capsys.readouterr().err
    assert said in printed
    assert "Traceback" not in printed


# What is said of other systems in docs/install.md

WITHOUT_UNIX = """
import importlib, os, pkgutil, signal, sys

GONE = {"fcntl", "resource", "pwd", "grp", "syslog", "readline", "curses"}

class Gone:
    def find_spec(self, name, path=None, target=None):
        if name in GONE:
            raise ModuleNotFoundError(f"{name} is a module of Unix", name=name)

for name in GONE:
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Gone())
for module, names in ((os, "sched_getaffinity fork killpg setsid getpgid mkfifo statvfs posix_fadvise sysconf"),
                      (signal, "SIGHUP SIGKILL SIGUSR1 SIGPIPE")):
    for name in names.split():
        if hasattr(module, name):
            delattr(module, name)
"""


def run_without_unix(code: str, tmp_path: Path) -> str:
    environment = {**os.environ, "VIGNETTE_HOME": str(tmp_path)}
    command = [sys.executable, "-c", WITHOUT_UNIX + code]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_commands_answer_without_what_only_unix_has(tmp_path: Path) -> None:
    printed = run_without_unix(
        """
from composer.cli import COMMANDS, main
for words in (*([name, "--help"] for name in COMMANDS), ["models", "list"], ["library", "formats"]):
    try:
        assert main(words) == 0
    except SystemExit as ended:
        assert ended.code == 0, words
""",
        tmp_path,
    )
    assert printed.count("usage: vignette") == len(cli.COMMANDS)
    assert "JPEG" in printed


@pytest.mark.slow
def test_every_module_is_imported_without_what_only_unix_has(tmp_path: Path) -> None:
    printed = run_without_unix(
        """
for name in ("vision", "image_db", "retrieval", "composer"):
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, f"{name}."):
        importlib.import_module(module.name)
        print(module.name)
""",
        tmp_path,
    )
    assert {"composer.web.server", "retrieval.search", "vision.llm.model"} <= set(printed.split())
