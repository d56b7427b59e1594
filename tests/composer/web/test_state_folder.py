"""``vignette app --state``: where a page keeps what people make, so that several pages may share it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from composer.studio.studio import Studio
from composer.web import server
from tests.live_server import free_port
from vision.downloads.store import home


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def started(monkeypatch: pytest.MonkeyPatch, *options: str) -> Studio:
    """The studio of a page that is interrupted as soon as it would be served."""
    made: list[Studio] = []

    def launch(build: Any, studio: Studio, **_: Any) -> None:
        made.append(studio)
        raise KeyboardInterrupt

    monkeypatch.setattr(server, "launch", launch)
    monkeypatch.setattr(server, "offered_libraries", lambda given: [])
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")
    assert (
        server.serve(lambda studio: None, ["--port", str(free_port()), "--profile", "tiny", "--no-browser", *options])
        == 130
    )
    return made[0]


def test_pages_with_one_state_show_each_other_s_articles(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    one, other = (started(monkeypatch, "--state", str(tmp_path)) for _ in range(2))
    owner = one.sessions.store.new_owner()
    draft = one.sessions.store.drafts_of(owner).new(info={"title": "Sheep"})
    assert [(info.id, info.title) for info in other.sessions.drafts(owner)] == [(draft.id, "Sheep")]
    assert other.libraries._home == tmp_path / "libraries"


def test_without_it_the_home_keeps_all(monkeypatch: pytest.MonkeyPatch) -> None:
    studio = started(monkeypatch)
    assert studio.sessions.store.folder == home() / "drafts"
