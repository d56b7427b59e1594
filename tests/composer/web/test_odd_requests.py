"""Whatever a program sends, it gets one clear answer soon: never an error inside, a hang, or a path of this machine."""

from __future__ import annotations

import inspect
import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from composer.web.http_api import Api
from composer.web.request_checks import MAX_BODY_BYTES
from tests.composer.small_pipeline import paint
from tests.live_server import LiveServer

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:gradio.queueing"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:gradio_client"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:starlette"),
]
ROOT = Path(__file__).resolve().parents[3]
BUDGET_S = 20.0
ACTIONS = ("undo", "edit_text", "move_section", "set_caption", "show_picture", "refit", "retry", "accept", "propose")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    running = LiveServer(tmp_path_factory.mktemp("odd"))
    yield running
    running.close()


@pytest.fixture(scope="module")
def http(server: LiveServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=BUDGET_S) as client:
        yield client


def told(http: httpx.Client, path: str, body: bytes) -> tuple[int, str]:
    """Status and text of the answer; of a call that begins, the end of its events."""
    begun = http.post(path, content=body, headers={"Content-Type": "application/json"})
    if begun.status_code != 200 or "/call/" not in f"/{path}":
        return begun.status_code, begun.text
    events = http.get(f"{path}/{begun.json()['event_id']}").text
    return 200, events[events.rindex("event: ") :]


def call(http: httpx.Client, endpoint: str, **values: Any) -> Any:
    status, text = told(http, f"gradio_api/call/v2/{endpoint}", json.dumps(values).encode())
    assert (status, text[:15]) == (200, "event: complete"), text
    (value,) = json.loads(text.partition("data: ")[2])
    return value


def odd(chance: random.Random, depth: int = 0) -> Any:
    """A JSON value that nobody expects."""
    makers: list[Callable[[], Any]] = [
        lambda: None,
        lambda: chance.choice([True, False]),
        lambda: chance.choice([0, -1, 1, 2**31, 2**63, -(2**63) - 1, 10**400, 1e308, 0.5, -0.0]),
        lambda: chance.choice(["", " ", "\0", "\ud800", "\u202e", "../../etc/passwd", "/etc/passwd", "null", "1e999"]),
        lambda: (
            chance.choice(["x", "é", "字", "\U0001f600", "\n", "<b>", "{0}", "{given}", "%s", "'\"`;--"])
            * chance.choice([1, 7, 300, 20_000])
        ),
        lambda: {"path": chance.choice(["/etc/passwd", "", 5, "a" * 5000, "\ud800", "\0"]), "meta": MARK},
    ]
    if depth < 3:
        makers += [
            lambda: [odd(chance, depth + 1) for _ in range(chance.randrange(4))],
            lambda: {str(odd(chance, 3))[:50]: odd(chance, depth + 1) for _ in range(chance.randrange(3))},
        ]
    return chance.choice(makers)()


MARK = {"_type": "gradio.FileData"}


def odd_body(chance: random.Random, endpoint: str, key: dict[str, str]) -> tuple[str, bytes]:
    """Path and body of a call of which something is wrong, or odd."""
    parameters = Api.parameters()[endpoint]
    usual: dict[str, Any] = {
        "instruction": "Old walls",
        "text": "# Walls\n\nOld walls.",
        "words": 200,
        "format": "html",
    }
    usual |= {**key, "action": chance.choice(ACTIONS), "values": {"at": 0, "text": "New.", "id": "0" * 64}}
    if endpoint in ("delete", "stop"):
        usual["draft"] = "0" * 32
    if endpoint == "search":
        usual["words"] = "a red wall"
    given = {name: usual.get(name, one.default) for name, one in parameters.items()}
    given = {name: value for name, value in given.items() if value is not inspect.Parameter.empty}
    for name in chance.sample(list(given), min(len(given), chance.choice([1, 1, 2, 3]))):
        if isinstance(given[name], dict) and chance.random() < 0.7:
            given[name] = {**given[name], chance.choice(["at", "text", "id", "new"]): odd(chance)}
        else:
            given[name] = odd(chance)
    way = chance.random()
    if way < 0.08:
        given[str(odd(chance, 3))[:30]] = odd(chance)
    elif way < 0.14 and given:
        del given[chance.choice(list(given))]
    path = f"gradio_api/call/v2/{endpoint}"
    body: Any = given
    if way > 0.85:
        path, body = f"gradio_api/call/{endpoint}", {"data": list(given.values())}
    data = json.dumps(body, allow_nan=True).encode()
    if 0.14 <= way < 0.2:
        at = chance.randrange(len(data) + 1)
        data = (
            data[:at]
            + chance.choice([b"", b"\xff", b"[" * 5000, b"NaN", b"}", data])
            + data[at + chance.randrange(3) :]
        )
    return path, data


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("count", [80, pytest.param(3_000, marks=pytest.mark.slow)])
def test_odd_calls_are_answered_in_words(
    http: httpx.Client, server: LiveServer, capfd: pytest.CaptureFixture[str], count: int
) -> None:
    made = call(http, "compose", instruction="Old walls", words=200)
    kept = call(http, "illustrate", text="# Kept\n\nThese words stay.", images="0")
    key = {"owner": made["owner"], "draft": made["draft"]}
    stays = {"owner": kept["owner"], "draft": kept["draft"]}
    chance = random.Random(20261127)
    endpoints = sorted(Api.ENDPOINTS)
    for number in range(count):
        path, body = odd_body(chance, endpoints[number % len(endpoints)], key)
        try:
            status, text = told(http, path, body)
        except httpx.TimeoutException:
            pytest.fail(f"no answer in {BUDGET_S:.0f} s to call {number}: {path} {body[:2000]!r}")
        about = (path, body[:400], text[:400])
        assert status < 500, about
        said = json.loads(text.partition("data: ")[2] if status == 200 else text)
        if text.startswith("event: error"):
            assert said["error"], about
        elif status != 200:
            assert said["detail"], about
        assert "something went wrong inside" not in text, about
        for here in (str(server.folder), str(ROOT), "site-packages"):
            assert here not in text, about
    assert call(http, "article", **stays)["article"] == kept["article"], "other drafts stay as they are"
    assert "Traceback" not in capfd.readouterr().err


def test_odd_calls_of_the_page_itself_are_answered(http: httpx.Client) -> None:
    """The page's own functions, which no program is meant to call, and values no browser sends."""
    config = http.get("config").json()
    chance = random.Random(7)
    for _ in range(60):
        fn = chance.choice(config["dependencies"])["id"] if chance.random() < 0.9 else odd(chance, 3)
        body = {"fn_index": fn, "data": odd(chance), "session_hash": chance.choice(["s", "", odd(chance, 3)])}
        sent = http.post("gradio_api/queue/join", content=json.dumps(body).encode())
        assert sent.status_code < 500, (body, sent.text)
    for _ in range(60):
        body = {"component_id": chance.choice([1, 5, odd(chance, 3)]), "fn_name": "act", "data": odd(chance)}
        body["session_hash"] = "s"
        sent = http.post("gradio_api/component_server", content=json.dumps(body).encode())
        assert sent.status_code == 200 or sent.json()["detail"], (body, sent.text)


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("call/v2/compose", b"{", 400, "not JSON"),
        ("call/v2/compose", b'{"instruction": "\xff"}', 400, "not JSON"),
        ("call/v2/compose", b'{"instruction": NaN}', 400, "not JSON"),
        ("call/v2/compose", b"[" * 200_000, 400, "not JSON"),
        ("call/v2/compose", b"null", 422, "JSON object"),
        ("call/v2/compose", b"", 422, "instruction is missing"),
        ("call/v2/compose", b'{"instruction": "x", "colour": 1}', 422, "colour is not known"),
        ("call/v2/edit", b'{"owner": "x"}', 422, "draft is missing"),
        ("call/v2/paint", b"{}", 404, "no endpoint paint"),
        ("call/compose", b'{"data": ["x"]}', 422, "list of 13 arguments"),
        ("call/compose", b'{"data": {"a": 1}}', 422, "list of 13 arguments"),
        ("call/v2/add_picture", b'{"owner": "", "draft": "", "picture": {"path": "/etc/passwd", "meta": {"_type": 1}}}',
         422, "not uploaded here"),
        ("call/v2/compose", b'{"instruction": "%s"}' % (b"x" * MAX_BODY_BYTES), 413, "larger than 8 MB"),
        ("queue/join", b"x", 400, "not JSON"),
    ],
)  # fmt: skip
def test_what_is_no_call_is_refused_before_anything_runs(
    http: httpx.Client, path: str, body: bytes, status: int, words: str
) -> None:
    sent = http.post(f"gradio_api/{path}", content=body, headers={"Content-Type": "application/json"})
    assert (sent.status_code, words in sent.json()["detail"]) == (status, True), sent.text


def test_the_events_of_the_page_pass(http: httpx.Client) -> None:
    """Those that do not wait are sent to ``run/predict``, which is no endpoint of the API."""
    names = {d["api_name"] for d in http.get("config").json()["dependencies"]}
    assert "predict" not in names
    sent = http.post("gradio_api/run/predict", json={"fn_index": 0, "data": [], "session_hash": "s"})
    assert "endpoint" not in sent.text


def test_a_body_without_a_length_is_cut_off(server: LiveServer) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(MAX_BODY_BYTES // 100_000 + 5):
            yield b" " * 100_000

    sent = httpx.post(f"{server.url}gradio_api/call/v2/compose", content=pieces(), timeout=BUDGET_S)
    assert sent.status_code == 413


@pytest.mark.parametrize("name", ["", "\x00", "..", "a" * 5000 + ".png", "../../x.png", "a/b\\c.png", "\u202egnp.exe"])
def test_odd_names_of_uploads_stay_in_their_folder(http: httpx.Client, server: LiveServer, name: str) -> None:
    sent = http.post("gradio_api/upload", files={"files": (name, b"\x89PNG")})
    assert sent.status_code in (200, 400, 413), sent.text
    uploads = server.work_dir / "uploads"
    for path in sent.json() if sent.status_code == 200 else []:
        assert Path(path).resolve().is_relative_to(uploads.resolve())
        assert Path(path).is_file()


def test_a_page_named_as_a_picture_is_found_out_before_the_line(http: httpx.Client, tmp_path: Path) -> None:
    pages = (
        b"<html><script>alert(1)</script></html>",
        b"\x89PNG\r\n\x1a\n<html>",
        b"GIF89a<script>alert(1)</script>",
        b"",
    )
    for page in pages:
        (path,) = http.post("gradio_api/upload", files={"files": ("a.png", page)}).json()
        sent = {"instruction": "x", "must_use": [{"path": path, "meta": MARK}]}
        status, text = told(http, "gradio_api/call/v2/compose", json.dumps(sent).encode())
        assert (status, "a.png" in text) == (200, True), (page, text)
        assert text.startswith("event: error"), (page, text)
        assert "owner" not in text, "no draft was begun"
    picture = paint(tmp_path / "a.png", "red")
    (path,) = http.post("gradio_api/upload", files={"files": ("a.png", picture.read_bytes())}).json()
    done = call(http, "compose", instruction="Walls", words=200, must_use=[{"path": path, "meta": MARK}])
    assert done["state"] == "done"


@pytest.mark.parametrize(
    "path", ["dev/reload", "deep_link?session_hash=x", "runs", "run-history/records", "vibe-code", "profiling/summary"]
)
def test_what_gradio_offers_to_developers_is_closed(http: httpx.Client, path: str) -> None:
    assert http.get(f"gradio_api/{path}").status_code == 404
    assert re.search(r"served", http.get(f"gradio_api/{path}").text)
