"""Behind a proxy that serves it under a path, everything works, and what is closed stays closed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import httpx
import pytest

from composer.errors import UsageError
from composer.web.access_control import check_access, check_root
from tests.composer.small_pipeline import paint
from tests.live_server import LiveServer, free_port
from tests.reverse_proxy import ReverseProxy

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:gradio.queueing"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:gradio_client"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:starlette"),
]
FORWARDED = {"X-Forwarded-Host": "{host}", "X-Forwarded-Proto": "http", "X-Forwarded-Prefix": "/vignette"}


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], LiveServer]]:
    """Servers by their ``--root-path``, each started once."""
    running: dict[str, LiveServer] = {}

    def served(root: str) -> LiveServer:
        if root not in running:
            access = check_access("127.0.0.1", public=False, login="", root=root)
            running[root] = LiveServer(tmp_path_factory.mktemp("behind"), access=access)
        return running[root]

    yield served
    for server in running.values():
        server.close()


def use_everything(address: str, tmp_path: Path) -> None:
    """Make, edit, search, upload and export by the API as a program does that knows ``address`` alone."""
    from gradio_client import Client, handle_file

    client = Client(f"{address}/", verbose=False, ssl_verify=False)
    told = list(client.submit("Old walls", images="2", words=200, api_name="/compose"))
    assert [said["state"] for said in (told[0], told[-1])] == ["running", "done"]
    done = told[-1]
    key = {"owner": done["owner"], "draft": done["draft"]}
    urls = [image["url"] for image in done["article"]["images"].values()]
    (found,) = client.predict("a purple wall", count=1, **key, api_name="/search")
    own = handle_file(str(paint(tmp_path / "own.png", "pink")))
    brought = client.predict(**key, picture=own, api_name="/add_picture")
    urls += [found["url"], brought["url"]]
    assert len(urls) >= 4
    for url in urls:
        assert url.startswith(f"{address}/"), url
        assert httpx.get(url).headers["content-type"].startswith("image/"), url
    edited = client.predict(**key, action="edit_text", values={"at": 0, "text": "New."}, api_name="/edit")
    assert edited["article"]["sections"][0]["text"] == "New."
    made = client.predict(**key, format="docx", api_name="/export")
    assert made["url"].startswith(f"{address}/")
    assert httpx.get(made["url"]).content.startswith(b"PK")


@pytest.mark.parametrize("strip", [True, False], ids=["taken-off", "left-on"])
@pytest.mark.parametrize("headers", [FORWARDED, {**FORWARDED, "Host": "{name}"}], ids=["own-host", "host-without-port"])
def test_a_path_is_enough_where_the_proxy_says_what_was_asked(
    serve: Callable[[str], LiveServer], tmp_path: Path, strip: bool, headers: Mapping[str, str]
) -> None:
    with ReverseProxy(serve("/vignette").url, strip=strip, headers=headers) as proxy:
        use_everything(proxy.url, tmp_path)


def test_a_whole_address_needs_nothing_of_the_proxy(tmp_path: Path) -> None:
    port = free_port()
    with ReverseProxy(f"http://127.0.0.1:{port}", headers={"Host": "{name}"}) as proxy:
        access = check_access("127.0.0.1", public=False, login="", root=proxy.url)
        server = LiveServer(tmp_path, access=access, port=port)
        try:
            use_everything(proxy.url, tmp_path)
        finally:
            server.close()


def test_scripts_of_the_proxys_address_are_this_servers_own_and_no_others(serve: Callable[[str], LiveServer]) -> None:
    with ReverseProxy(serve("/vignette").url, headers=FORWARDED) as proxy:

        def asked(origin: str) -> int:
            return httpx.post(
                f"{proxy.url}/gradio_api/call/v2/libraries", json={}, headers={"Origin": origin}
            ).status_code

        assert asked(f"http://{proxy.host}") == 200
        assert asked("http://evil.example") == 403
        assert asked("null") == 403
        assert httpx.options(f"{proxy.url}/config", headers={"Origin": "http://evil.example"}).status_code == 403


def test_the_page_names_the_proxys_address(serve: Callable[[str], LiveServer]) -> None:
    with ReverseProxy(serve("/vignette").url, headers=FORWARDED) as proxy:
        assert httpx.get(f"{proxy.url}/config").json()["root"] == proxy.url
        assert httpx.get(f"{proxy.url}/").status_code == 200


@pytest.mark.parametrize("path", ["gradio_api/file=/etc/passwd", "file=/etc/passwd", "monitoring/summary"])
def test_what_is_closed_stays_closed_under_the_path(serve: Callable[[str], LiveServer], path: str) -> None:
    for way in (path, f"vignette/{path}", f"vignette/vignette/{path}", f"%76ignette/{path}", f"vignette//{path}"):
        assert httpx.get(f"{serve('/vignette').url}{way}").status_code == 404, way


@pytest.mark.parametrize(
    ("given", "root", "path"),
    [
        ("", "", ""),
        ("/", "", ""),
        ("/vignette", "/vignette", "/vignette"),
        ("vignette/", "/vignette", "/vignette"),
        ("/tools/~anna/v1.0/", "/tools/~anna/v1.0", "/tools/~anna/v1.0"),
        ("https://example.org", "https://example.org", ""),
        ("http://example.org:8080/a//b/", "http://example.org:8080/a/b", "/a/b"),
    ],
)
def test_where_a_proxy_serves_is_a_path_or_an_address(given: str, root: str, path: str) -> None:
    access = check_access("127.0.0.1", public=False, login="", root=given)
    assert (check_root(given), access.root, access.root_path) == (root, root, path)


@pytest.mark.parametrize(
    "given",
    ["ftp://example.org/x", "https://", "/a?b", "/a#b", "/../x", "/a b", "/gradio_api", "/vignette-files/x", "/a\\b",
     "https://anna:secret@example.org/", "/vigne\u0442te", "javascript:alert(1)"],
)  # fmt: skip
def test_anything_else_is_refused(given: str) -> None:
    with pytest.raises(UsageError, match=r"^root_path_wrong"):
        check_root(given)


def test_the_proxys_name_is_answered_and_no_other() -> None:
    access = check_access("127.0.0.1", public=False, login="", root="https://Example.org:8443/vignette")
    assert access.names is not None
    assert "example.org" in access.names
    assert (
        check_access("127.0.0.1", public=False, login="", root="/vignette").names
        == check_access("127.0.0.1", public=False, login="").names
    )
