"""The sessions that are open: found again by whose draft it is and which, one for all pages that show it.

An owner's token is the only key to their drafts.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from weakref import WeakValueDictionary

from composer.request import ComposeRequest
from composer.studio.draft_store import DraftInfo, DraftStore
from composer.studio.models import StudioModels
from composer.studio.session import DraftSession, request_info

MOST_KEPT = 200


class SessionRegistry:
    """Threads may share one. Keeps the sessions used last, and finds every other that somebody still holds: a job that
    runs in one holds it, too."""

    def __init__(self, models: StudioModels, store: DraftStore, most_kept: int = MOST_KEPT) -> None:
        self.models = models
        self.store = store
        self._most_kept = most_kept
        self._recent: OrderedDict[tuple[str, str], DraftSession] = OrderedDict()
        self._known: WeakValueDictionary[tuple[str, str], DraftSession] = WeakValueDictionary()
        self._reading: dict[tuple[str, str], threading.Lock] = {}
        self._lock = threading.Lock()  # never held while a file is read or written

    def begin(self, owner: str, request: ComposeRequest, library: Path, *, outline_first: bool = False) -> DraftSession:
        """A new draft, and the making of its article or of its outline. Uploads are kept beside the draft first."""
        drafts = self.store.drafts_of(owner)
        kept = replace(
            request,
            use_images=tuple(drafts.keep_picture(path) for path in request.use_images),
            may_use=tuple(drafts.keep_picture(path) for path in request.may_use),
            sources=tuple(drafts.keep_source(path) for path in request.sources),
            project=drafts.folder if request.sources else None,
        )
        session = DraftSession(self.models, drafts, drafts.new(None, request_info(kept, library)))
        session.note = ""
        self._use((owner, session.draft.id), session)
        if outline_first:
            session.plan(kept)
        else:
            session.compose(kept)
        return session

    def open(self, owner: str, draft_id: str) -> DraftSession:
        """Raises DraftError for a draft that is gone or another's."""
        key = (owner, draft_id)
        with self._lock:
            session = self._known.get(key)
            reading = self._reading.setdefault(key, threading.Lock()) if session is None else None
        if reading is not None:
            try:
                with reading:  # one reads the draft, whoever else asks for it waits
                    session = self._known.get(key)
                    if session is None:
                        drafts = self.store.drafts_of(owner)
                        session = self._use(key, DraftSession(self.models, drafts, drafts.open(draft_id)))
            finally:
                with self._lock:
                    self._reading.pop(key, None)
        assert session is not None
        return self._use(key, session)

    def drafts(self, owner: str, words: str = "") -> tuple[DraftInfo, ...]:
        """A person's drafts, the latest saved first; with ``words`` those whose title or text holds each of them."""
        drafts = self.store.drafts_of(owner)
        return drafts.search(words) if words.strip() else drafts.drafts()

    def delete(self, owner: str, draft_id: str) -> None:
        """End what is going on in a draft and remove it for good."""
        key = (owner, draft_id)
        with self._lock:
            session = self._known.pop(key, None)
            self._recent.pop(key, None)
        if session is not None:
            session.close()
        self.store.drafts_of(owner).delete(draft_id)

    def _use(self, key: tuple[str, str], session: DraftSession) -> DraftSession:
        with self._lock:
            session = self._known.setdefault(key, session)
            self._recent[key] = session
            self._recent.move_to_end(key)
            while len(self._recent) > self._most_kept:
                self._recent.popitem(last=False)
        return session
