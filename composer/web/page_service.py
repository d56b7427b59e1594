"""What the page's scripts ask of the server: each method takes JSON values from a browser and returns JSON values.

Nothing that comes in is trusted: a draft opens only with its owner's token, a file is taken only from the folder of
uploads, a library only if it is offered. Expected errors become an ``error`` to show. Knows no web server.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from composer.errors import UsageError
from composer.export.article_folder import save_download
from composer.export.sanitizing import encodable
from composer.i18n import UI_LANGUAGES, localize, strings
from composer.studio.actions import find_pictures, perform, take_upload
from composer.studio.chat import ask, stop_answers
from composer.studio.libraries import Shelves
from composer.studio.picture_links import Gallery
from composer.studio.session import Room
from composer.studio.session_registry import Rooms
from composer.studio.studio_trouble import EXPECTED
from composer.web.html import library_view as page_library
from composer.web.html.page_shell import draft_list, found_pictures, message
from composer.web.html.session_view import sheet

Values = Mapping[str, Any]
FOLLOW_S = 15.0
_LOOK_AGAIN_S = 0.05
_MOST_KEYS = 5_000


class PageService:
    """Threads may share one."""

    def __init__(self, rooms: Rooms, shelves: Shelves, gallery: Gallery, uploads_dir: Path, exports_dir: Path) -> None:
        self.rooms = rooms
        self.shelves = shelves
        self.gallery = gallery
        self._uploads_dir = uploads_dir.resolve()
        self._exports_dir = exports_dir

    # The article

    def act(self, values: Values) -> dict[str, Any]:
        """Do ``do`` and tell what changed; where it cannot be done, ``error`` says why."""
        _, language = self._words(values)
        try:
            room = self._room(values)
        except EXPECTED as error:
            return {"gone": localize(error, language)}
        trouble = ""
        try:
            action = _text(values, "do")
            if action == "ask":
                if upload := _text(values, "upload"):
                    values = {**values, "upload": str(self.uploaded(upload))}
                ask(room, values)
            elif action == "stop_answers":
                stop_answers(room)
            elif action != "look":
                perform(room, action, values)
        except EXPECTED as expected:
            trouble = localize(expected, language)
        return self._sheet(room, values) | {"error": trouble}

    async def follow(self, values: Values) -> dict[str, Any]:
        """What changed since ``version``, as soon as something does."""
        try:
            room = self._room(values)
        except EXPECTED as error:
            return {"gone": localize(error, self._words(values)[1])}
        version = values.get("version")
        for _ in range(int(FOLLOW_S / _LOOK_AGAIN_S)):
            if room.version != version or not room.active:
                break
            await asyncio.sleep(_LOOK_AGAIN_S)
        return await asyncio.to_thread(self._sheet, room, values)

    def find(self, values: Values) -> dict[str, Any]:
        """Pictures for words, or like an uploaded example."""
        words, language = self._words(values)
        try:
            if example := _text(values, "example"):
                values = {**values, "example": str(self.uploaded(example))}
            found = find_pictures(self._room(values), values)
        except EXPECTED as error:
            return {"html": message(localize(error, language))}
        return {"html": found_pictures(found, self.gallery.thumbnail, words, language)}

    def take(self, values: Values) -> dict[str, Any]:
        """An uploaded picture, to be shown by its ``id``."""
        _, language = self._words(values)
        try:
            candidate = take_upload(self._room(values), self.uploaded(_text(values, "path")))
        except EXPECTED as error:
            return {"error": localize(error, language), "html": message(localize(error, language))}
        return {"id": candidate.record.id}

    def export(self, values: Values) -> dict[str, Any]:
        """The article as a file to download."""
        _, language = self._words(values)
        try:
            room = self._room(values)
            folder = self._exports_dir / secrets.token_hex(16)
            path, notes = save_download(room.present(), room.trace, folder, _text(values, "format"))
        except EXPECTED as error:
            return {"error": localize(error, language)}
        return {
            "url": self.gallery.file(path, path.name),
            "name": path.name,
            "notes": [localize(note, language) for note in notes],
        }

    def drop(self, values: Values) -> dict[str, Any]:
        """Delete a draft; returns what is left."""
        words, language = self._words(values)
        owner = _text(values, "owner")
        try:
            self.rooms.delete(owner, _text(values, "draft"))
            return {"html": draft_list(self.rooms.drafts(owner), words)}
        except EXPECTED as error:
            return {"html": message(localize(error, language))}

    def uploaded(self, name: str) -> Path:
        """A file that the browser sent, and nothing else on this machine."""
        path = Path(name).resolve()
        if not path.is_relative_to(self._uploads_dir) or not path.is_file():
            raise UsageError("that file was not uploaded here; choose it again", "upload_unknown")
        return path

    def _room(self, values: Values) -> Room:
        return self.rooms.open(_text(values, "owner"), _text(values, "draft"))

    def _sheet(self, room: Room, values: Values) -> dict[str, Any]:
        words, language = self._words(values)
        known = values.get("known")
        keys = [key for key in known[:_MOST_KEYS] if isinstance(key, str)] if isinstance(known, list) else []
        shown = sheet(room, keys, words, language, self.gallery.picture, self.gallery.thumbnail)
        return shown | {"active": room.active}

    @staticmethod
    def _words(values: Values) -> tuple[Mapping[str, str], str]:
        # Not "language": that is what an action may ask for, the language to translate into.
        language = values.get("ui")
        known = language if language in UI_LANGUAGES else UI_LANGUAGES[0]
        return strings(known), known

    # The libraries

    def browse(self, values: Values) -> dict[str, Any]:
        words, language = self._words(values)
        offered = self.shelves.shelves()
        asked, page = _text(values, "words")[:500], values.get("page", 0)
        page = page if isinstance(page, int) and 0 <= page < 1_000_000 else 0
        try:
            if not offered:
                return page_library.leaf_parts([], "", "", None, [], self.gallery.thumbnail, words, language)
            folder = _text(values, "folder") or str(offered[0].folder)
            leaf, failures = self.shelves.browse(folder, asked, page), self.shelves.failures(folder)
        except EXPECTED as error:
            return {"error": localize(error, language)}
        return page_library.leaf_parts(offered, folder, asked, leaf, failures, self.gallery.thumbnail, words, language)

    def form(self, values: Values) -> dict[str, Any]:
        words, language = self._words(values)
        try:
            record = self.shelves.record(_text(values, "folder"), _text(values, "id"))
        except EXPECTED as error:
            return {"error": localize(error, language)}
        return {"html": page_library.record_form(record, self.gallery.picture, words)}

    def save(self, values: Values) -> dict[str, Any]:
        words, language = self._words(values)
        given = values.get("values")
        try:
            if not isinstance(given, Mapping):
                raise UsageError("nothing was given to save", "malformed")
            self.shelves.describe(_text(values, "folder"), _text(values, "id"), given)
        except EXPECTED as error:
            return {"error": localize(error, language)}
        return {"html": message(words["lib_saved"], "note")}

    def index(self, values: Values) -> dict[str, Any]:
        words, language = self._words(values)
        try:
            return page_library.running(self.shelves.index(_text(values, "pictures"), _text(values, "name")), words)
        except EXPECTED as error:
            return {"error": localize(error, language)}

    def sample(self, values: Values) -> dict[str, Any]:
        words, language = self._words(values)
        try:
            return page_library.running(self.shelves.index_sample(), words)
        except EXPECTED as error:
            return {"error": localize(error, language)}

    def indexing(self, values: Values) -> dict[str, Any]:
        words, _ = self._words(values)
        return page_library.running(self.shelves.indexing, words)


def sendable(value: Any) -> Any:
    """The same without halves of characters, which no answer to a browser can hold."""
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, dict):
        return {key: sendable(part) for key, part in value.items()}
    return [sendable(part) for part in value] if isinstance(value, list) else value


def _text(values: Values, name: str) -> str:
    value = values.get(name, "")
    return value if isinstance(value, str) else ""
