"""What the page's command accepts, and what of Gradio the page leans on. The page itself: tests/browser."""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from composer.cli import main as vignette
from composer.errors import UsageError
from composer.web.command_line import add_options, address_of, check_port, offered_libraries, open_browser, page_command
from image_db.errors import LibraryMissing
from image_db.library import Library
from image_db.sample.build import sample_folder
from tests.fakes import ColourEncoder

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
    monkeypatch.setattr("composer.web.command_line.offered_libraries", list)
    monkeypatch.setattr(os, "execv", execv)
    with pytest.raises(SystemExit) as started:
        vignette(["app", "--library", "a", "--library", "b", "--port", "8000"])
    assert started.value.code == [
        "-P",
        str(ROOT / "app.py"),
        "--profile",
        "auto",
        "--host",
        "127.0.0.1",
        "--port",
        "8000",
        "--library",
        "a",
        "--library",
        "b",
    ]


def test_every_switch_of_the_command_reaches_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    def execv(path: str, command: list[str]) -> None:
        raise SystemExit(" ".join(command))

    parser = argparse.ArgumentParser()
    add_options(parser)
    switches = [action.option_strings[0] for action in parser._actions if action.const is True]
    monkeypatch.setattr("composer.cli.COMMANDS", ("app",))
    monkeypatch.setattr("composer.web.command_line.access_of", lambda args: None)
    monkeypatch.setattr(os, "execv", execv)
    with pytest.raises(SystemExit) as started:
        vignette(["app", *switches])
    assert {"--log-json", "--no-browser"} <= set(switches) <= set(str(started.value.code).split())


def test_what_is_named_and_is_not_there_is_said_before_the_page_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("composer.cli.COMMANDS", ("app",))
    monkeypatch.setattr(os, "execv", lambda *command: pytest.fail("the page was started"))
    for option in ("--library", "--open"):
        assert vignette(["app", option, str(tmp_path / "none"), "--profile", "embedded"]) == 1
        assert str(tmp_path / "none") in capsys.readouterr().err


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


def test_the_library_used_last_and_the_sample_are_offered_where_none_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIGNETTE_HOME", str(tmp_path / "home"))
    encoder = ColourEncoder().identity
    for folder in (sample_folder(), tmp_path / "own"):
        Library.create(folder, encoder).close()
    assert offered_libraries(None) == [sample_folder()]
    assert offered_libraries([tmp_path / "own", Path("sample")]) == [tmp_path / "own", sample_folder()]
    assert offered_libraries(None) == [tmp_path / "own", sample_folder()], "what was named first is the default now"


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield int(taken.getsockname()[1])


def test_a_port_in_use_is_said_before_anything_is_loaded_and_a_free_one_is_named(taken_port: int) -> None:
    with pytest.raises(UsageError) as refused:
        check_port("127.0.0.1", taken_port)
    assert refused.value.key == "port_taken"
    free = refused.value.values["free"]
    assert isinstance(free, int)
    assert free != taken_port
    check_port("127.0.0.1", free)


@pytest.mark.parametrize(("host", "port", "key"), [("127.0.0.1", 0, "port_wrong"), ("127.0.0.1", 65536, "port_wrong")])
def test_what_is_no_port_is_refused(host: str, port: int, key: str) -> None:
    with pytest.raises(UsageError) as refused:
        check_port(host, port)
    assert refused.value.key == key


def test_the_page_says_in_one_line_that_its_port_is_in_use(taken_port: int, tmp_path: Path) -> None:
    environment = {**os.environ, "VIGNETTE_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    command = [*page_command(), "--port", str(taken_port), "--no-browser"]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.count("\n") == 1
    assert f"--port {taken_port} is in use" in ran.stderr


@pytest.mark.skipif(os.name != "posix", reason="a shell script stands for the browser")
def test_the_page_opens_in_the_browser_once_it_answers_unless_it_is_not_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = tmp_path / "seen"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" >> {seen}\n')
    browser.chmod(0o755)
    for more, shown in (([], True), (["--no-browser"], False)):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        environment = {**os.environ, "VIGNETTE_HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "BROWSER": str(browser)}
        command = [*page_command(), "--port", str(port), "--profile", "tiny", *more]
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as ran:
            assert ran.stdout is not None
            assert ran.stdout.readline() == f"http://127.0.0.1:{port}\n"
            with urlopen(f"http://127.0.0.1:{port}/") as answer:  # what was printed answers already
                assert answer.status == 200
            while shown and not seen.is_file():
                assert ran.poll() is None
            ran.terminate()
        assert seen.is_file() == shown
        if shown:
            assert seen.read_text() == f"http://127.0.0.1:{port}\n"
        seen.unlink(missing_ok=True)


@pytest.mark.skipif(os.name != "posix" or sys.platform == "darwin", reason="macOS and Windows always have a screen")
def test_without_a_screen_no_browser_is_started_in_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("webbrowser.open", lambda address: pytest.fail("a text browser would take the terminal away"))
    assert not open_browser("http://127.0.0.1:7860")


def test_an_address_of_ipv6_stands_in_brackets() -> None:
    assert address_of("::1", 7860) == "http://[::1]:7860"
    assert address_of("localhost", 80) == "http://localhost:80"
