"""What stands behind the API's endpoints: values checked, drafts begun and followed, articles told as JSON.

Nothing that comes in is trusted, and nothing that goes out names a path of this machine. Knows no Gradio.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable
from pathlib import Path
from typing import Any, TypeAlias

from composer.article.model import Article
from composer.article.serialization import to_json
from composer.errors import UsageError
from composer.i18n import localize
from composer.pipeline.uploads import check_upload
from composer.request import ComposeRequest, request_from_json
from composer.studio.libraries import OfferedLibrary
from composer.studio.session import Room
from composer.web.page_service import PageService

LOOK_AGAIN_S = 0.1
COUNT_AGAIN_S = 1.0  # every answer costs the machine that writes some milliseconds
MOST_PICTURES = 20
MOST_PICTURE_NAME_CHARS = 1_000

Json: TypeAlias = dict[str, Any]


class ApiDesk:
    """Threads may share one. ``root`` is the server's address as the caller knows it."""

    def __init__(self, service: PageService) -> None:
        self._service = service

    def request(self, must_use: list[dict] | None, may_use: list[dict] | None, **values: Any) -> ComposeRequest:
        """The request of these fields; see ``composer.request.request_from_json``."""
        given = {name: value.strip() if name == "instruction" else value for name, value in values.items()}
        given["use_images"] = [str(path) for path in self.uploads("must_use", must_use)]
        given["may_use"] = [str(path) for path in self.uploads("may_use", may_use)]
        return request_from_json(given)

    def uploads(self, name: str, files: list[dict] | None) -> tuple[Path, ...]:
        """Files that were sent to this server before, and that are pictures."""
        if files is not None and (not isinstance(files, list) or not all(isinstance(file, dict) for file in files)):
            raise UsageError(f"{name} must be a list of uploaded files")
        paths = [str(file.get("path", ""))[:MOST_PICTURE_NAME_CHARS] for file in files or ()]
        if len(paths) > MOST_PICTURES:
            raise UsageError(f"{name} has {len(paths)} pictures; at most {MOST_PICTURES} are taken")
        return tuple(check_upload(self._service.uploaded(path)) for path in paths)

    def library(self, name: str) -> OfferedLibrary:
        offered = self._service.shelves.shelves()
        for shelf in offered:
            if name in ("", shelf.name, str(shelf.folder)):
                return shelf
        known = ", ".join(shelf.name for shelf in offered) or "none"
        raise UsageError(f"library {name[:80]!r} is not offered here; offered: {known}")

    async def begun(self, asked: ComposeRequest, library: str, owner: str, root: str) -> AsyncGenerator[Json, None]:
        """Begin a draft and tell how it goes, until it is over. Leaving ends the work; what stands stays."""
        rooms = self._service.rooms
        folder = (await asyncio.to_thread(self.library, library)).folder
        owner = owner or rooms.new_owner()
        room = await asyncio.to_thread(rooms.begin, owner, asked, folder)
        told = await asyncio.to_thread(_status, room, owner)
        told_s = time.monotonic()
        try:
            yield told  # the key to the draft, before anything can go wrong
            while room.busy:
                await asyncio.sleep(LOOK_AGAIN_S)
                status = await asyncio.to_thread(_status, room, owner)
                news = {**status, "words": 0} != {**told, "words": 0}
                if news or (status != told and time.monotonic() - told_s >= COUNT_AGAIN_S):
                    told, told_s = status, time.monotonic()
                    yield told
        except (GeneratorExit, asyncio.CancelledError):
            room.stop()
            raise
        if room.trouble:
            raise UsageError(str(room.trouble)) from room.trouble
        yield await asyncio.to_thread(self.standing, room, owner, root)

    def standing(self, room: Room, owner: str, root: str) -> Json:
        with room.lock:
            if room.trouble:
                raise UsageError(str(room.trouble)) from room.trouble
            article = room.article
            stopped = room.note in ("stopped", "stopped_early", "stopping", "interrupted")
            return {
                "owner": owner,
                "draft": room.draft.id,
                "state": "running" if room.busy else "stopped" if stopped else "done",
                "article": None if article is None else self._article(article, root),
                "proposals": list(_proposals(room)),
                "notices": [localize(notice, "en") for notice in room.notices],
                "stages": {stage.stage: round(stage.seconds, 2) for stage in room.trace},
            }

    def _article(self, article: Article, root: str) -> Json:
        """``article.json`` with addresses instead of paths of this machine."""
        values = to_json(article)
        records = {c.record.id: c.record for p in article.placements for c in p.candidates}
        records |= {picture.id: picture for picture in article.pictures}
        for id_, image in values["images"].items():
            del image["path"]
            image["url"] = root + self._service.gallery.picture(records[id_])
        return values


def _status(room: Room, owner: str) -> Json:
    with room.lock:
        work, job = room.work, room.work.job if room.work is not None else None
        before = room.studio.before(job) if job is not None else 0
        status: Json = {"owner": owner, "draft": room.draft.id, "state": "waiting" if before else "running"}
        if before:
            status["before"] = before
        elif work is not None:
            status["stage"] = work.progress.stage
            status["words"] = len(work.progress.text.split())
        return status


def _proposals(room: Room) -> Iterable[Json]:
    """What the model proposes for sections, to accept or reject by ``at``."""
    texts = [section.text for section in room.article.sections] if room.article is not None else []
    for offer in room.offers:
        if offer.trouble:
            raise UsageError(str(offer.trouble)) from offer.trouble
        if offer.proposal is not None and offer.before in texts:
            yield {"at": texts.index(offer.before), "action": offer.action, "text": offer.text}
