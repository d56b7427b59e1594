"""The rooms that are open: found again by whose draft it is and which, one for all pages that show it.

An owner's token is the only key to their drafts. Knows no page.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

from composer.article.model import Article
from composer.request import ComposeRequest
from composer.studio.draft_store import DraftInfo, DraftStore
from composer.studio.models import Studio
from composer.studio.session import Room, request_info

MOST_OPEN = 200


class Rooms:
    """Threads may share one."""

    def __init__(self, studio: Studio, store: DraftStore) -> None:
        self.studio = studio
        self.store = store
        self._open: dict[tuple[str, str], Room] = {}
        self._lock = threading.Lock()

    def new_owner(self) -> str:
        return self.store.new_owner()

    def begin(self, owner: str, request: ComposeRequest, library: Path) -> Room:
        """A new draft, and the making of its article. Uploads are kept beside the draft first."""
        shelf = self.store.shelf(owner)
        kept = replace(
            request,
            use_images=tuple(shelf.keep_picture(path) for path in request.use_images),
            may_use=tuple(shelf.keep_picture(path) for path in request.may_use),
        )
        room = Room(self.studio, shelf, shelf.new(None, request_info(kept, library)))
        room.note = ""
        self._add(owner, room)
        room.compose(kept)
        return room

    def adopt(self, owner: str, article: Article, library: Path) -> Room:
        """A draft of an article that exists already."""
        shelf = self.store.shelf(owner)
        room = Room(self.studio, shelf, shelf.new(article, {"library": str(library), "words": 600}))
        self._add(owner, room)
        return room

    def open(self, owner: str, draft_id: str) -> Room:
        """Raises DraftError for a draft that is gone or another's."""
        with self._lock:
            room = self._open.get((owner, draft_id))
            if room is not None:
                return room
            shelf = self.store.shelf(owner)
            room = Room(self.studio, shelf, shelf.open(draft_id))
            self._open[(owner, draft_id)] = room
            return room

    def drafts(self, owner: str) -> tuple[DraftInfo, ...]:
        return self.store.shelf(owner).drafts()

    def delete(self, owner: str, draft_id: str) -> None:
        with self._lock:
            room = self._open.pop((owner, draft_id), None)
        if room is not None:
            room.stop()
        self.store.shelf(owner).delete(draft_id)

    def _add(self, owner: str, room: Room) -> None:
        with self._lock:
            idle = [key for key, other in self._open.items() if not other.busy]
            for key in idle[: max(0, len(self._open) - MOST_OPEN + 1)]:
                del self._open[key]
            self._open[(owner, room.draft.id)] = room
