"""The API as a program uses it: Gradio's client and curl against the real server, with a scripted model."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from composer.errors import ComposerError, DraftError, EditError, UsageError
from composer.i18n import localize
from composer.web.http_api import Api
from tests.composer.pipeline.test_pipeline import DRAFT, answer
from tests.composer.scripted_model import ScriptedModel, question
from tests.composer.small_pipeline import paint
from tests.live_server import LiveServer
from vision.interfaces import Prompt, Sampling

ROOT = Path(__file__).resolve().parents[3]
DOCS = (ROOT / "docs/api.md").read_text(encoding="utf-8")
# Gradio sums up its queue now and then by ways that pandas 3 has given up.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:gradio.queueing"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:gradio_client"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:starlette"),
]
TOPIC = re.compile(r"Topic-\w+")


class Scripted(ScriptedModel):
    """Names each article after its topic; ``gate`` holds the writing, ``slow_s`` slows it."""

    def __init__(self) -> None:
        super().__init__(self._told)
        self.gate = threading.Event()
        self.gate.set()
        self.begun: list[str] = []

    def _told(self, prompt: Prompt, sampling: Sampling) -> str:
        asked = question(prompt)
        topic = TOPIC.search(asked)
        if "Plan an illustrated" in asked and topic:
            self.begun.append(topic.group())
            assert self.gate.wait(30)
            return f" {topic.group()}\n1. The Red Wall\n2. The Blue Wall"
        if "BROKEN" in asked:
            raise ZeroDivisionError(f"the model choked on {asked}")
        return answer(prompt, sampling)


@pytest.fixture(scope="module")
def model() -> Scripted:
    return Scripted()


@pytest.fixture(scope="module")
def server(model: Scripted, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    running = LiveServer(tmp_path_factory.mktemp("api"), model=model)
    yield running
    running.close()


@pytest.fixture(scope="module")
def connect(server: LiveServer) -> Callable[[], Any]:
    from gradio_client import Client

    # Without, every call reads the system's certificates anew, for a connection that is not encrypted.
    return lambda: Client(server.url, verbose=False, ssl_verify=False)


@pytest.fixture(scope="module")
def client(connect: Callable[[], Any]) -> Any:
    return connect()


class Plain:
    """Calls as curl makes them, one after the other.

    Gradio's client 2.7 ends a call with CancelledError where it begins while the server closes the stream of events
    that the call before it used: its race, seen with ten at once on a busy machine.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def predict(self, *given: Any, api_name: str, **values: Any) -> Any:
        name = api_name.strip("/")
        values |= dict(zip(Api.parameters()[name], given, strict=False))
        with httpx.Client(base_url=f"{self._url}gradio_api/call/v2/", timeout=60) as http:
            begun = http.post(name, json=values).json()
            events = http.get(f"{name}/{begun['event_id']}").text
        last = events[events.rindex("event: ") :]
        assert last.startswith("event: complete"), last
        (value,) = json.loads(last.partition("data: ")[2])
        return value


@pytest.fixture(scope="module")
def plain(server: LiveServer) -> Callable[[], Plain]:
    return lambda: Plain(server.url)


def refused(call: Callable[..., Any], *args: Any, **kwargs: Any) -> str:
    from gradio_client.exceptions import AppError

    with pytest.raises(AppError) as error:
        call(*args, **kwargs)
    return str(error.value)


def compose(client: Any, topic: str = "Topic-a", **values: Any) -> dict[str, Any]:
    done: dict[str, Any] = client.predict(f"Old walls, {topic}", words=200, **values, api_name="/compose")
    return done


def key(done: dict[str, Any]) -> dict[str, str]:
    return {"owner": done["owner"], "draft": done["draft"]}


def texts(done: dict[str, Any]) -> list[str]:
    return [section["text"] for section in done["article"]["sections"]]


def test_an_article_is_made_edited_and_exported(client: Any, server: LiveServer) -> None:
    assert client.predict(api_name="/libraries") == [{"name": "library", "pictures": 6}]
    job = client.submit("Old walls, Topic-x", images="2", words=200, api_name="/compose")
    told = list(job)
    assert [t["state"] for t in told][:1] == ["running"]
    done = told[-1]
    assert (done["state"], done["article"]["title"]) == ("done", "Topic-x")
    assert set(done["stages"]) >= {"write", "place", "caption", "find", "choose", "finish"}
    shown = [p for p in done["article"]["placements"] if p["chosen"]]
    assert len(shown) == 2
    picture = done["article"]["images"][shown[0]["chosen"]]
    assert "path" not in picture, "paths of the server's are nobody's business"
    assert str(server.folder) not in json.dumps(done)
    assert httpx.get(picture["url"]).headers["content-type"].startswith("image/")

    edited = client.predict(**key(done), action="edit_text", values={"at": 0, "text": "New."}, api_name="/edit")
    assert texts(edited)[0] == "New."
    other = next(c["id"] for c in shown[0]["candidates"] if c["id"] != shown[0]["chosen"])
    edited = client.predict(**key(done), action="replace_picture", values={"at": 0, "id": other}, api_name="/edit")
    assert edited["article"]["placements"][0]["chosen"] == other
    for _ in range(2):
        edited = client.predict(**key(done), action="undo", api_name="/edit")
    assert edited["article"] == done["article"]

    made = client.predict(**key(done), format="html", api_name="/export")
    assert made["name"].endswith(".html")
    page = httpx.get(made["url"])
    assert "attachment" in page.headers["content-disposition"]
    assert "<h1>Topic-x</h1>" in page.text
    listed = client.predict(done["owner"], api_name="/drafts")
    assert [(d["draft"], d["title"]) for d in listed] == [(done["draft"], "Topic-x")]
    assert client.predict(**key(done), api_name="/delete") == []


def test_a_text_is_illustrated_with_an_upload(client: Any, tmp_path: Path) -> None:
    from gradio_client import handle_file

    own = handle_file(str(paint(tmp_path / "own.png", "pink", "a pink wall")))
    done = client.predict(DRAFT, images="2", must_use=[own], api_name="/illustrate")
    assert done["article"]["title"] == "Walls"
    assert "own" in json.dumps([p["caption"] for p in done["article"]["placements"] if p["chosen"]])
    brought = client.predict(
        **key(done), picture=handle_file(str(paint(tmp_path / "b.png", "cyan"))), api_name="/add_picture"
    )
    shown = client.predict(
        **key(done), action="insert_picture", values={"at": 3, "id": brought["id"]}, api_name="/edit"
    )
    assert brought["id"] in [p["chosen"] for p in shown["article"]["placements"]]


def test_pictures_found_for_a_draft_can_be_shown_there(client: Any) -> None:
    done = compose(client, images="1")
    assert "not among those found" in refused(
        client.predict, **key(done), action="show_picture", values={"at": 0, "id": "0" * 64}, api_name="/edit"
    )
    (found,) = client.predict("a purple wall", count=1, **key(done), api_name="/search")
    assert found["caption"] == "a purple wall in the old town"
    assert "purple" in found["why"]
    assert httpx.get(found["url"]).status_code == 200
    shown = client.predict(**key(done), action="show_picture", values={"at": 0, "id": found["id"]}, api_name="/edit")
    assert shown["article"]["placements"][0]["chosen"] == found["id"]


ATTIC = UsageError("library_unknown", name="attic", known=["library"])
A_THOUSAND = UsageError("field_range", field="count", given=1000, least=1, most=50)


@pytest.mark.parametrize(
    ("endpoint", "values", "error"),
    [
        ("compose", {"instruction": "  "}, UsageError("empty_instruction")),
        ("compose", {"instruction": ["x"]}, None),
        ("compose", {"instruction": "x" * 1_000_000}, UsageError("instruction_too_long", limit=10_000)),
        ("compose", {"instruction": "x", "images": "many"}, UsageError("pictures_wrong", given="many", most=50)),
        ("compose", {"instruction": "x", "words": 7}, UsageError("words_wrong", given=7, least=100, most=5000)),
        ("compose", {"instruction": "x", "words": 1.5}, None),
        ("compose", {"instruction": "x", "seed": 2**70}, None),
        ("compose", {"instruction": "x", "tone": ["vivid"]}, None),
        ("compose", {"instruction": "x", "language": ["en"]}, None),
        ("compose", {"instruction": "x", "fast": "yes"}, None),
        ("compose", {"instruction": "x", "library": ["a"]}, None),
        (
            "compose",
            {"instruction": "x", "library": "attic"},
            UsageError("library_unknown", name="attic", known=["library"]),
        ),
        ("compose", {"instruction": "x", "owner": "me"}, DraftError("owner_unknown")),
        ("compose", {"instruction": "x", "owner": ["me"]}, None),
        ("compose", {"instruction": "x", "must_use": "a.png"}, None),
        ("compose", {"instruction": "x", "sources": "a.md"}, None),
        ("illustrate", {"text": ""}, UsageError("empty_text")),
        ("illustrate", {"text": ["a"]}, None),
        ("search", {"words": ""}, UsageError("search_empty")),
        ("search", {"words": ["x"]}, None),
        (
            "search",
            {"words": "x", "count": 1000},
            UsageError("field_range", field="count", given=1000, least=1, most=50),
        ),
        ("search", {"words": "x", "count": "many"}, None),
        ("article", {"owner": "x" * 43, "draft": "0" * 32}, DraftError("draft_gone")),
        ("article", {"owner": "x" * 43, "draft": ["0"]}, None),
        ("drafts", {"owner": 5}, None),
        ("edit", {"owner": "x" * 43, "draft": "0" * 32, "action": "undo", "values": "all"}, None),
    ],
)
def test_what_is_wrong_is_said(
    client: Any, server: LiveServer, endpoint: str, values: dict[str, Any], error: ComposerError | None
) -> None:
    """Without an error of its own a value of the wrong kind names its field."""
    told = raw_call(server, endpoint, **values)
    assert told.startswith("event: error"), told
    field = list(values)[-1]
    wanted = f"{field} is " if error is None else localize(error, "en")
    assert wanted in json.loads(told.partition("data: ")[2])["error"]


def test_a_wrong_edit_is_said_and_changes_nothing(client: Any) -> None:
    done = compose(client)
    for action, values, error in (
        ("dance", {}, UsageError("action_unknown", name="dance")),
        ("edit_text", {"at": 99, "text": "x"}, EditError("gone")),
        ("edit_text", {"at": "none", "text": "x"}, UsageError("not_a_number")),
        ("edit_text", {"at": 0, "text": 5}, UsageError("field_wrong_kind", field="text", given=5, wanted="text")),
        ("refit", {"count": 99}, UsageError("count_wrong", count=99, most=50)),
    ):
        told = refused(client.predict, **key(done), action=action, values=values, api_name="/edit")
        assert told == localize(error, "en")
    assert "odt" in refused(client.predict, **key(done), format="odt", api_name="/export")
    assert client.predict(**key(done), api_name="/article")["article"] == done["article"]


def test_only_uploads_are_taken_as_pictures(client: Any, server: LiveServer, tmp_path: Path) -> None:
    from gradio_client import handle_file

    library_picture = next((server.folder / "walls/pictures").glob("*.png"))
    inside = server.work_dir / "uploads/link.png"
    inside.parent.mkdir(exist_ok=True)
    inside.symlink_to(library_picture)
    for path in (
        "/etc/passwd",
        str(library_picture),
        str(inside),
        str(inside.parent / "../../walls/pictures/red.png"),
        "",
    ):
        sent = {"path": path, "meta": {"_type": "gradio.FileData"}, "url": None}
        begun = httpx.post(f"{server.url}gradio_api/call/v2/compose", json={"instruction": "x", "must_use": [sent]})
        assert (begun.status_code, begun.json()["detail"]) == (422, localize(UsageError("upload_unknown"), "en")), path
    inside.unlink()
    (tmp_path / "evil.png").write_text("<svg onload=alert(1)>")
    message = refused(client.predict, "x", must_use=[handle_file(str(tmp_path / "evil.png"))], api_name="/compose")
    assert "evil.png is not a picture of a known format" in message


def test_an_upload_that_is_too_large_is_refused_while_it_comes(server: LiveServer, monkeypatch: Any) -> None:
    sent = httpx.post(
        f"{server.url}gradio_api/upload", files={"files": ("a.png", b"\x89PNG" + bytes(41_000_000))}, timeout=60
    )
    assert sent.status_code == 413


def raw_call(server: LiveServer, endpoint: str, **values: Any) -> str:
    """What ``curl`` would get: the event stream of a call."""
    begun = httpx.post(f"{server.url}gradio_api/call/v2/{endpoint}", json=values)
    assert begun.status_code == 200, begun.text
    return httpx.get(f"{server.url}gradio_api/call/v2/{endpoint}/{begun.json()['event_id']}", timeout=30).text


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_unexpected_error_is_told_without_what_was_written(
    client: Any,
) -> None:
    done = compose(client)
    edit = {**key(done), "action": "edit_text", "values": {"at": 0, "text": "A BROKEN paragraph of some length."}}
    client.predict(**edit, api_name="/edit")
    told = refused(
        client.predict, **key(done), action="propose", values={"at": 0, "action": "rewrite"}, api_name="/edit"
    )
    assert "something went wrong inside" in told
    assert "BROKEN" not in told


# Many at once


def test_ten_sessions_at_once_do_not_mix_and_lose_no_edit(plain: Callable[[], Plain]) -> None:
    def session(number: int) -> None:
        client = plain()
        topic = f"Topic-{number}"
        done = compose(client, topic)
        assert done["article"]["title"] == topic
        for step in range(4):
            at = step % 2
            edited = client.predict(
                **key(done), action="edit_text", values={"at": at, "text": f"{topic} says {step}."}, api_name="/edit"
            )
            assert texts(edited)[at] == f"{topic} says {step}."
        client.predict(**key(done), action="set_title", values={"text": f"{topic}, ended"}, api_name="/edit")
        end = client.predict(**key(done), api_name="/article")
        assert texts(end) == [f"{topic} says 2.", f"{topic} says 3.", texts(done)[2]]
        assert end["article"]["title"] == f"{topic}, ended"
        for _ in range(5):
            end = client.predict(**key(done), action="undo", api_name="/edit")
        assert end["article"] == done["article"], "every edit was a step of its own"
        assert len(client.predict(done["owner"], api_name="/drafts")) == 1

    with ThreadPoolExecutor(10) as pool:
        for job in [pool.submit(session, number) for number in range(10)]:
            job.result(60)


def test_two_programs_at_one_draft_lose_no_edit(plain: Callable[[], Plain]) -> None:
    done = compose(plain())

    def work(at: int) -> None:
        client = plain()
        for step in range(5):
            client.predict(**key(done), action="edit_text", values={"at": at, "text": f"{at}:{step}"}, api_name="/edit")

    with ThreadPoolExecutor(3) as pool:
        for job in [pool.submit(work, at) for at in range(3)]:
            job.result(60)
    client = plain()
    assert texts(client.predict(**key(done), api_name="/article")) == ["0:4", "1:4", "2:4"]
    for _ in range(15):
        end = client.predict(**key(done), action="undo", api_name="/edit")
    assert end["article"] == done["article"]


def test_the_line_is_fair_and_says_how_many_come_before(client: Any, model: Scripted) -> None:
    model.gate.clear()
    model.begun.clear()
    jobs = []
    try:
        for number in range(6):
            jobs.append(client.submit(f"Old walls, Topic-q{number}", words=200, api_name="/compose"))
            wait_for(lambda job=jobs[-1]: job.outputs())
        firsts = [job.outputs()[0] for job in jobs]
        assert [first["state"] for first in firsts] == ["running"] + ["waiting"] * 5
        assert [first.get("before", 0) for first in firsts] == [0, 1, 2, 3, 4, 5]
        done_elsewhere = compose_nothing(client)
        assert done_elsewhere == [{"name": "library", "pictures": 6}], "short questions do not wait"
    finally:
        model.gate.set()
    for job in jobs:
        assert job.result(30)["state"] == "done"
    begun = list(dict.fromkeys(model.begun))  # each is asked for in several drafts
    assert begun == [f"Topic-q{number}" for number in range(6)]
    places = [told.get("before", 0) for told in jobs[5].outputs() if told["state"] == "waiting"]
    assert places == sorted(places, reverse=True)


def compose_nothing(client: Any) -> Any:
    return client.predict(api_name="/libraries")


def test_a_cancelled_job_frees_the_line_and_keeps_what_stands(connect: Callable[[], Any], model: Scripted) -> None:
    client, other = connect(), connect()
    model.gate.clear()
    try:
        first = client.submit("Old walls, Topic-c1", words=200, api_name="/compose")
        wait_for(lambda: first.outputs())
        told = first.outputs()[0]
        second = other.submit("Old walls, Topic-c2", words=200, api_name="/compose")
        wait_for(lambda: second.outputs())
        first.cancel()
    finally:
        model.gate.set()
    assert second.result(30)["article"]["title"] == "Topic-c2"
    wait_for(lambda: client.predict(**key(told), api_name="/article")["state"] == "stopped")


def wait_for(found: Callable[[], Any], most_s: float = 20) -> None:
    until = time.monotonic() + most_s
    while not found():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)


# The server


def test_nothing_else_on_this_machine_is_served(client: Any, server: LiveServer, tmp_path: Path) -> None:
    done = compose(client)
    draft = next((server.folder / "drafts").rglob("*.draft"))
    export = client.predict(**key(done), format="zip", api_name="/export")
    (secret,) = (server.work_dir / "exports").rglob("*.zip")
    picture = next((server.folder / "walls/pictures").glob("*.png"))
    link = server.work_dir / "uploads/leak.txt"
    link.parent.mkdir(exist_ok=True)
    link.symlink_to("/etc/hostname")
    ways = []
    for path in ("/etc/passwd", str(draft), str(secret), str(picture), str(link), str(ROOT / "app.py")):
        for form in (path, path.replace("/", "%2F"), path.replace("/", "%252F"), f"../../../../../../../..{path}"):
            ways += [f"gradio_api/file={form}", f"file={form}", f"vignette-files/{form}", f"gradio_api/file%3D{form}",
                     f"static/{form}", f"assets/{form}", f"custom_component/x/component/{form}"]  # fmt: skip
        ways += [f"static/..%2f..%2f..%2f..%2f..%2f..%2f..%2f..{path}", f"assets/....//....//....//{path}"]
    ways += [
        f"vignette-files/{export['url'].rsplit('/', 1)[1][:-1]}",
        "vignette-files/",
        "vignette-files/..%2f",
        "gradio_api/file=http://e/",
    ]
    secrets = (
        b"root:",
        done["owner"].encode(),
        b"PK\x03\x04",
        b"\x89PNG",
        b"import gradio",
        Path("/etc/hostname").read_bytes(),
    )
    with httpx.Client(base_url=server.url) as http:
        for way in ways:
            answer = http.get(f"{server.url}{way}")
            assert answer.status_code in (307, 400, 403, 404, 405), (way, answer.status_code)
            assert not any(secret in answer.content for secret in secrets), way
    link.unlink()


def test_another_page_cannot_use_the_live_server(server: LiveServer) -> None:
    evil = {"Origin": "http://evil.example"}
    assert httpx.get(server.url, headers={"Host": "evil.example"}).status_code == 421
    for method, path in (("POST", "gradio_api/call/libraries"), ("POST", "gradio_api/upload"), ("OPTIONS", "config")):
        answer = httpx.request(method, server.url + path, headers=evil, json={"data": []})
        assert answer.status_code in (200, 403)
        assert "access-control-allow-origin" not in answer.headers
        if method == "POST":
            assert answer.status_code == 403


def test_the_page_names_no_other_host_but_its_own(server: LiveServer) -> None:
    html = httpx.get(server.url).text
    config = httpx.get(server.url + "config").json()
    assert config["analytics_enabled"] is False
    for address in re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?(https?://[^"' )]+)""", html):
        assert address.startswith(server.url), address
    assert "fonts.googleapis" not in html
    assert "fonts.gstatic" not in json.dumps(config)


# The documentation


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOCS, re.DOTALL)


def test_the_documented_programs_run_as_they_stand(server: LiveServer, tmp_path: Path) -> None:
    paint(tmp_path / "boat.png", "cyan", "a boat")
    Image.open(tmp_path / "boat.png").save(tmp_path / "boat.jpg")
    code = "\n".join(blocks("python")).replace("http://127.0.0.1:7860", server.url)
    code = code.replace("A day on the farm", "Old walls, Topic-doc").replace("My boat", "Old walls, Topic-boat")
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert "[{'name': 'library', 'pictures': 6}]" in ran.stdout
    assert "Topic-doc" in ran.stdout
    (export,) = tmp_path.glob("*.html")
    assert "<h1>Topic-doc</h1>" in export.read_text()


def test_the_documented_curl_commands_run_as_they_stand(server: LiveServer, tmp_path: Path) -> None:
    (script,) = blocks("bash")
    script = script.replace("http://127.0.0.1:7860", server.url.rstrip("/"))
    script = script.replace("A day on the farm", "Old walls, Topic-curl")
    ran = subprocess.run(["bash", "-ec", script], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("event: complete") == 3
    assert "event: generating" in ran.stdout
    assert '"Topic-curl"' in ran.stdout


def test_every_endpoint_is_documented_with_its_arguments(server: LiveServer) -> None:
    known = httpx.get(server.url + "gradio_api/info").json()["named_endpoints"]
    rows = dict(re.findall(r"^\| `(/\w+)` \|([^|]*)\|", DOCS, re.MULTILINE))
    assert set(rows) == set(known)
    for name, endpoint in known.items():
        assert re.findall(r"`(\w+)", rows[name]) == [p["parameter_name"] for p in endpoint["parameters"]]


def test_every_action_is_documented() -> None:
    from composer.studio.actions import COMMANDS, EDITS

    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", DOCS, re.MULTILINE)
    documented = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert {*EDITS, *COMMANDS} - {"stop"} <= documented
