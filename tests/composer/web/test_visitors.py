"""What others than this machine's owner see of it: the named libraries and folders, and no path."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from composer.web.access_control import check_access
from composer.web.page_service import PageService
from tests.composer.small_pipeline import paint
from tests.live_server import LiveServer

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:gradio.queueing"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:starlette"),
]
LOGIN = "anna:correct horse"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    folder = tmp_path_factory.mktemp("visited")
    paint(folder / "offered/red.png", "red")
    access = check_access("127.0.0.1", public=True, login=LOGIN, roots=[folder / "offered"])
    running = LiveServer(folder, access=access)
    yield running
    running.close()


@pytest.fixture(scope="module")
def http(server: LiveServer) -> Iterator[httpx.Client]:
    user, _, password = LOGIN.partition(":")
    with httpx.Client(base_url=server.url, auth=(user, password), timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def made(http: httpx.Client) -> dict[str, Any]:
    """An article, as the API tells it."""
    event = http.post("gradio_api/call/v2/compose", json={"instruction": "Old walls", "words": 200}).json()["event_id"]
    answer = http.get(f"gradio_api/call/v2/compose/{event}").text
    done: dict[str, Any] = json.loads(answer.rsplit("data: ", 1)[1])[0]
    assert done["state"] == "done"
    return done


def test_no_path_of_this_machine_is_in_what_the_server_answers(
    server: LiveServer, http: httpx.Client, made: dict[str, Any]
) -> None:
    service = PageService(server.studio)
    mine = {"owner": made["owner"], "draft": made["draft"], "ui": "en"}
    answers = [
        http.get("").text,
        http.get("config").text,
        http.get("gradio_api/info").text,
        json.dumps(made),
        *(
            json.dumps(service.__getattribute__(name)(values))
            for name, values in (
                ("act", {**mine, "do": "look"}),
                ("browse", {"ui": "en"}),
                ("browse", {"ui": "en", "library": str(server.libraries[0])[:20]}),
                ("index", {"ui": "en", "pictures": "offered/none"}),
                ("act", {**mine, "do": "show_picture", "at": 0, "id": "x"}),
            )
        ),
    ]
    for answer in answers:
        assert str(server.folder) not in answer, answer[:200]


def test_the_page_offers_visitors_the_named_folders_and_no_fetch(server: LiveServer) -> None:
    service = PageService(server.studio)
    start = service.browse({"ui": "en"})["start"]
    assert '<option value="offered">' in start
    assert 'data-lib="sample"' not in start
    assert "error" in service.sample({"ui": "en"})
    assert "error" in service.index({"ui": "en", "pictures": str(server.folder / "offered")})


def test_an_exported_folder_names_files_and_no_folders(
    server: LiveServer, http: httpx.Client, made: dict[str, Any]
) -> None:
    told = PageService(server.studio).export({"owner": made["owner"], "draft": made["draft"], "format": "zip"})
    archive = zipfile.ZipFile(io.BytesIO(http.get(told["url"]).content))
    name = next(name for name in archive.namelist() if name.endswith("article.json"))
    article = archive.read(name).decode()
    assert str(server.folder) not in article
    assert all(Path(image["path"]).name == image["path"] for image in json.loads(article)["images"].values())
