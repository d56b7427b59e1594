"""Nothing that a person wrote is in what the server prints or leaves behind; its API is there as MCP tools if asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from composer.errors import UsageError
from composer.i18n import localize

ROOT = Path(__file__).resolve().parents[3]
CANARY = "zanzibarcanary"

# A server as `vignette app` runs it, with a model that quotes what it was given when it fails.
SERVER = """
import sys, tempfile, threading
from pathlib import Path
from composer.web.log_redaction import withhold_text
withhold_text()
from tests.composer.scripted_model import ScriptedModel, question
from tests.composer.pipeline.test_pipeline import answer
from tests.live_server import LiveServer

def told(prompt, sampling):
    if "CHOKE" in question(prompt):
        raise ZeroDivisionError(question(prompt))
    return answer(prompt, sampling)

server = LiveServer(Path(sys.argv[1]), model=ScriptedModel(told), mcp="--mcp" in sys.argv)
print(server.url, flush=True)
sys.stdin.read()
server.close()
"""


def served(folder: Path, *options: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    environment["VIGNETTE_HOME"] = str(folder / "home")  # without the dictionaries of this machine
    return subprocess.Popen(
        [sys.executable, "-c", SERVER, str(folder), *options],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def call(url: str, endpoint: str, **values: Any) -> str:
    begun = httpx.post(f"{url}gradio_api/call/v2/{endpoint}", json=values, timeout=30)
    if begun.status_code != 200:
        return begun.text
    return httpx.get(f"{url}gradio_api/call/v2/{endpoint}/{begun.json()['event_id']}", timeout=60).text


def use(url: str) -> None:
    """Everything that can go well or wrong, each with the canary in what is said."""
    done = json.loads(call(url, "compose", instruction=f"Old walls of {CANARY}", words=200).rsplit("data: ", 1)[1])[0]
    mine = {"owner": done["owner"], "draft": done["draft"]}
    call(url, "edit", **mine, action="edit_text", values={"at": 0, "text": f"{CANARY} CHOKE says something long here."})
    assert "something went wrong" in call(url, "edit", **mine, action="propose", values={"at": 0, "action": "rewrite"})
    call(url, "edit", **mine, action=CANARY, values={})
    call(url, "search", words=CANARY)
    call(url, "compose", instruction=f"{CANARY}", library=CANARY)
    call(
        url, "compose", instruction=CANARY, must_use=[{"path": f"/{CANARY}.png", "meta": {"_type": "gradio.FileData"}}]
    )
    call(url, "export", **mine, format=CANARY)
    httpx.get(f"{url}{CANARY}?q={CANARY}")
    httpx.post(f"{url}gradio_api/queue/join", json={"data": [CANARY], "fn_index": 0, "session_hash": CANARY})
    httpx.post(f"{url}gradio_api/upload", files={"files": (f"{CANARY}.png", f"{CANARY}".encode())})


class Served:
    """A server of its own process, and what it printed."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self._process = served(folder, *options)
        assert self._process.stdout is not None
        self.log = ""
        for line in self._process.stdout:
            self.log += line
            if line.startswith("http://127"):
                break
        else:
            pytest.fail(self.log)
        self.url = line.strip()

    def stop(self) -> None:
        with self._process as process:
            if process.poll() is None and process.stdin is not None and process.stdout is not None:
                process.stdin.close()
                self.log += process.stdout.read()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    pytest.importorskip("mcp", reason="MCP is not installed and NOT tested: pip install 'gradio[mcp]'")
    running = Served(tmp_path_factory.mktemp("log"), "--mcp")
    yield running
    running.stop()


# MCP


@pytest.fixture
def tools(server: Served) -> str:
    return f"{server.url}gradio_api/mcp/"


def ask(url: str, method: str, **parameters: Any) -> dict[str, Any]:
    answer = httpx.post(
        url,
        json={"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters},
        headers={"Accept": "application/json, text/event-stream"},
        timeout=60,
    )
    assert answer.status_code == 200, answer.text
    body = answer.text.rsplit("data: ", 1)[-1]
    result: dict[str, Any] = json.loads(body)["result"]
    return result


def test_an_assistant_finds_the_endpoints_as_tools_and_uses_them(tools: str) -> None:
    listed = {tool["name"]: tool for tool in ask(tools, "tools/list")["tools"]}
    names = {name.removeprefix("Vignette_") for name in listed}
    assert names == {
        "libraries", "compose", "illustrate", "article", "edit", "search", "add_picture", "export", "drafts", "stop",
        "delete",
    }  # fmt: skip
    compose = next(tool for name, tool in listed.items() if name.endswith("compose"))
    assert "Write an article about something" in compose["description"]
    assert compose["inputSchema"]["properties"]["instruction"]["description"] == "What the article should be about."
    made = ask(tools, "tools/call", name=compose["name"], arguments={"instruction": "old walls", "words": 200})
    assert made.get("isError") is not True
    assert "The Red Wall" in made["content"][0]["text"]
    wrong = ask(tools, "tools/call", name=compose["name"], arguments={"instruction": ""})
    assert wrong["isError"] is True
    assert localize(UsageError("empty_instruction"), "en") in wrong["content"][0]["text"]


def test_another_page_cannot_use_the_tools(tools: str) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    assert httpx.post(tools, json=body, headers={"Origin": "http://evil.example"}).status_code == 403
    assert httpx.post(tools, json=body, headers={"Host": "evil.example"}).status_code == 421


# Last, since it ends the server to read the whole of its log.


def test_what_was_written_is_in_no_log_and_in_no_file_but_drafts_and_uploads(server: Served) -> None:
    use(server.url)
    outside = [p for p in server.folder.rglob("*") if p.is_file() and not {"drafts", "uploads"} & set(p.parts)]
    assert outside, "there is something to look through"
    assert [p for p in outside if CANARY.encode() in p.read_bytes() or CANARY in p.name] == []
    server.stop()
    assert CANARY not in server.log
    assert "builtins.ZeroDivisionError (message withheld, see --log-text)" in server.log
    assert "composer/studio/session.py" in server.log, "where it went wrong is told"
