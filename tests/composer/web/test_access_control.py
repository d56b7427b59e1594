"""Only this machine reaches the server unless more is meant, and no other page can make a browser use it."""

from __future__ import annotations

import base64
import logging
import sys
import threading
import traceback
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from composer.cli import main as vignette
from composer.errors import UsageError
from composer.i18n import localize
from composer.web import log_redaction
from composer.web.access_control import (
    GUESSES_OF_ALL,
    GUESSES_OF_ONE,
    Access,
    Guard,
    GuessLimit,
    check_access,
    is_loopback,
)
from composer.web.server import serve
from tests.live_server import free_port
from vision.errors import Phrase

LOCAL = check_access("127.0.0.1", public=False, login="")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.8.8"])
def test_an_address_of_this_machine_needs_nothing_else(host: str) -> None:
    assert is_loopback(host)
    access = check_access(host, public=False, login="")
    assert access.loopback
    assert access.names is not None
    assert "localhost" in access.names


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "example.org", "::", "", "127.0.0.1.example.org"])
def test_any_other_address_needs_a_flag_and_a_password(host: str) -> None:
    with pytest.raises(UsageError, match=r"^host_not_local"):
        check_access(host, public=False, login="anna:long enough")
    with pytest.raises(UsageError, match=r"^password_needed"):
        check_access(host, public=True, login="")
    assert not check_access(host, public=True, login="anna:long enough").loopback


@pytest.mark.parametrize("login", ["anna", "anna:", ":long enough", "anna:short"])
def test_a_weak_password_is_refused_and_not_repeated(login: str) -> None:
    with pytest.raises(UsageError, match=r"^password_weak: least=10$") as refused:
        check_access("0.0.0.0", public=True, login=login)
    assert login not in str(refused.value)


def asked(
    method: str = "GET",
    path: str = "/",
    *,
    access: Access = LOCAL,
    guesses: GuessLimit | None = None,
    address: str = "127.0.0.1",
    **headers: str,
) -> httpx.Response:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-own", b"1")]})
        await send({"type": "http.response.body", "body": b"inside"})

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=Guard(app, access, guesses), client=(address, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:7860") as client:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return await client.request(method, path, headers=named)

    import anyio

    return anyio.run(ask)


@pytest.mark.parametrize(
    "host", ["127.0.0.1:7860", "localhost:1", "LOCALHOST", "localhost.", "[::1]:7860", "127.0.0.1"]
)
def test_the_names_of_this_machine_are_answered(host: str) -> None:
    answer = asked(host=host)
    assert (answer.status_code, answer.text) == (200, "inside")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "frame-ancestors 'self'" in answer.headers["content-security-policy"]
    assert answer.headers["x-own"] == "1"


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:7860", "127.0.0.1.evil.example", "localhost.evil.example", "127.0.0.1@evil.example",
     "", "localhost:7860:80", "192.168.1.5", "0.0.0.0:7860"],
)  # fmt: skip
def test_a_name_pointed_at_this_machine_is_not(host: str) -> None:
    assert asked(host=host).status_code == 421


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:8080", "https://localhost", "x"])
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_another_page_cannot_use_the_server(method: str, origin: str) -> None:
    assert asked(method, origin=origin).status_code == 403


def test_the_page_itself_and_programs_can() -> None:
    assert asked("POST", origin="http://127.0.0.1:7860").status_code == 200
    assert asked("POST").status_code == 200
    assert asked("GET", sec_fetch_site="cross-site", sec_fetch_mode="navigate").status_code == 200, "a link to the page"
    assert asked("GET", sec_fetch_site="same-origin", sec_fetch_mode="cors").status_code == 200
    assert asked("GET", sec_fetch_site="cross-site", sec_fetch_mode="no-cors").status_code == 403, "an <img> elsewhere"


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file=http://evil.example/x.png",
        "/gradio_api/file%3D/etc/passwd",
        "/gradio_api/file%253D/etc/passwd",
        "/gradio_api/FILE=/etc/passwd",
        "//gradio_api//file=/etc/passwd",
        "/%67radio_api/file=/etc/passwd",
        "/gradio_api/file/etc/passwd",
        "/file=/etc/passwd",
        "/gradio_api/proxy=https://evil.hf.space/x",
        "/gradio_api/monitoring/summary",
        "/monitoring",
    ],
)
def test_nothing_is_served_by_path_or_fetched_for_others(path: str) -> None:
    assert asked(path=path).status_code == 404


@pytest.mark.parametrize(
    "path", ["/", "/gradio_api/upload", "/vignette-files/file", "/gradio_api/filesystem", "/config"]
)
def test_what_the_page_needs_is_open(path: str) -> None:
    assert asked(path=path).status_code == 200


class TestPassword:
    access = check_access("0.0.0.0", public=True, login="anna:correct horse ä")

    def ask(self, said: str | None, path: str = "/") -> httpx.Response:
        if said is None:
            return asked(path=path, access=self.access)
        return asked(path=path, access=self.access, authorization=said)

    @staticmethod
    def basic(text: str) -> str:
        return "Basic " + base64.b64encode(text.encode()).decode()

    def test_everything_asks_for_it(self) -> None:
        for path in (
            "/",
            "/config",
            "/gradio_api/info",
            "/vignette-files/token",
            "/gradio_api/queue/data",
            "/assets/x.js",
        ):
            answer = self.ask(None, path)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"].startswith("Basic ")
            assert "inside" not in answer.text
            assert self.ask(self.basic("anna:correct horse ä"), path).status_code == 200

    @pytest.mark.parametrize(
        "said",
        ["", "Basic", "Basic !!!", "Bearer abc", "Basic " + base64.b64encode(b"anna:wrong").decode(),
         "Basic " + base64.b64encode(b"anna").decode(), "Basic " + base64.b64encode(b"\xff\xfe").decode()],
    )  # fmt: skip
    def test_nothing_else_will_do(self, said: str) -> None:
        assert self.ask(said).status_code == 401

    def test_any_name_may_be_asked_for_since_its_users_know_the_password(self) -> None:
        answer = asked(access=self.access, host="my.example", authorization=self.basic("anna:correct horse ä"))
        assert answer.status_code == 200


class TestGuessing:
    """A clock that stands still: no one waits for a minute."""

    access = check_access("0.0.0.0", public=True, login="anna:correct horse ä")

    def setup_method(self) -> None:
        self.now_s = 1000.0
        self.guesses = GuessLimit(lambda: self.now_s)

    def guess(self, password: str, address: str) -> int:
        said = TestPassword.basic(f"anna:{password}")
        return asked(access=self.access, guesses=self.guesses, address=address, authorization=said).status_code

    def test_an_address_has_so_many_guesses_a_minute_and_the_right_one_is_none_of_them(self) -> None:
        assert self.guess("correct horse ä", "10.0.0.1") == 200
        statuses = [self.guess(f"wrong {n}", "10.0.0.1") for n in range(60)]
        assert statuses == [401] * GUESSES_OF_ONE + [429] * (60 - GUESSES_OF_ONE)
        assert self.guess("correct horse ä", "10.0.0.1") == 429, "or guessing would go on"
        assert self.guess("correct horse ä", "10.0.0.2") == 200
        self.now_s += 61
        assert self.guess("correct horse ä", "10.0.0.1") == 200

    def test_all_addresses_share_a_limit_that_leaves_those_alone_who_knew_the_password(self) -> None:
        assert self.guess("correct horse ä", "10.0.0.1") == 200
        statuses = [self.guess("wrong", f"10.0.1.{n}") for n in range(GUESSES_OF_ALL + 20)]
        assert statuses == [401] * GUESSES_OF_ALL + [429] * 20
        assert self.guess("correct horse ä", "10.0.0.1") == 200
        assert self.guess("correct horse ä", "10.0.2.1") == 429

    def test_a_network_of_ipv6_is_one_address(self) -> None:
        statuses = [self.guess("wrong", f"2001:db8::{n:x}") for n in range(1, GUESSES_OF_ONE + 2)]
        assert statuses[-1] == 429
        assert self.guess("wrong", "2001:db8:1::1") == 401

    def test_a_browser_that_has_not_been_asked_makes_no_guess(self) -> None:
        for _ in range(GUESSES_OF_ONE + 5):
            answer = asked(access=self.access, guesses=self.guesses, accept_language="zh")
            assert (answer.status_code, answer.text.strip()) == (401, localize(Phrase("login_needed"), "zh"))


# The command


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    seen: list[str] = []

    def execv(path: str, command: list[str]) -> None:
        seen.extend(command)
        raise SystemExit(0)  # execv never returns

    monkeypatch.setattr("composer.cli.COMMANDS", ("app",))
    monkeypatch.setattr("os.execv", execv)
    monkeypatch.setenv("VIGNETTE_PASSWORD", "")  # what the command sets in its place goes at the end
    return seen


def test_a_password_given_to_the_command_stays_out_of_the_list_of_processes(
    started: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    port = str(free_port())
    with pytest.raises(SystemExit):
        vignette(
            ["app", "--host", "0.0.0.0", "--public", "--password", "anna:correct horse", "--log-text", "--port", port]
        )
    assert "--public" in started
    assert "--log-text" in started
    assert not any("correct horse" in part for part in started)
    assert os.environ["VIGNETTE_PASSWORD"] == "anna:correct horse"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--host", "0.0.0.0"], "is not an address of this machine alone"),
        (["--host", "0.0.0.0", "--public"], "--public needs a password"),
        (["--library-root", "/no/such/folder"], "--library-root /no/such/folder is not a folder on this machine"),
        (["--mcp", "--password", "anna:correct horse"], "--mcp works on this machine only and without a password"),
    ],
)
def test_the_page_refuses_to_start_where_others_could_come_in(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VIGNETTE_PASSWORD", raising=False)
    assert serve(lambda studio: pytest.fail("it was built"), options) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "correct horse" not in error


@pytest.mark.parametrize(
    "options", [["--host", "0.0.0.0"], ["--port", "70000"], ["--mcp", "--password", "anna:correct horse"]]
)
def test_the_command_refuses_before_a_model_is_fetched(
    options: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetched(*given: object) -> None:
        raise AssertionError(given)

    monkeypatch.delenv("VIGNETTE_PASSWORD", raising=False)
    monkeypatch.setattr("composer.commands.profiles.settings_for", fetched)
    monkeypatch.setattr("os.execv", fetched)
    assert vignette(["app", *options]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


# The log

CANARY = "the canary sang at dawn"


def canary() -> None:
    raise ValueError(f"cannot read {CANARY!r}")


@pytest.fixture
def withheld() -> Iterator[None]:
    kept = traceback.print_exc, sys.excepthook, threading.excepthook
    filters = {name: list(logging.getLogger(name).filters) for name in log_redaction._LOGGERS}
    log_redaction.withhold_text()
    yield
    traceback.print_exc, sys.excepthook, threading.excepthook = kept
    for name, before in filters.items():
        logging.getLogger(name).filters[:] = before


def test_the_log_says_where_and_what_kind_but_not_what_was_written(
    withheld: None, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    try:
        canary()
    except ValueError as error:
        traceback.print_exc()
        sys.excepthook(ValueError, error, error.__traceback__)
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application: %s", CANARY)
    thread = threading.Thread(target=canary)
    thread.start()
    thread.join()
    told = capsys.readouterr().err + caplog.text
    assert CANARY not in told
    assert told.count("builtins.ValueError (message withheld, see --log-text)") == 4
    assert told.count("in canary") == 4
