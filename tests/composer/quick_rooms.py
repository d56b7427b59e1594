"""Rooms whose articles are written by rule, and what tests do with them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from composer.studio.session import Room
from composer.studio.session_registry import Rooms
from tests.composer.article_samples import farm_article
from tests.composer.fake_pipeline import FakePipeline


class Models:
    """A workshop whose pipeline writes by rule."""

    workers = 1
    encoder: Any = None

    def __init__(self, fake: FakePipeline) -> None:
        self.fake = fake

    def pipeline(self, library_dir: Path) -> FakePipeline:
        return self.fake


def fake_of(rooms: Rooms) -> FakePipeline:
    models = rooms.studio.models()
    assert isinstance(models, Models)
    return models.fake


def finished(room: Room) -> Room:
    work = room.work
    if work is not None and work.job is not None:
        assert work.job.wait(20)
    assert room.work is None
    return room


def adopted(rooms: Rooms, tmp_path: Path) -> Room:
    return rooms.adopt(rooms.new_owner(), farm_article(tmp_path / "farm"), tmp_path)


def heard(bugs: list[Any]) -> list[Any]:
    """A thread is heard of a moment after what it did is over."""
    deadline_s = time.monotonic() + 10
    while not bugs and time.monotonic() < deadline_s:
        time.sleep(0.01)
    return bugs
