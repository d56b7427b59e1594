"""Articles in the making, kept on disk so that a reload, a restart or a kill loses nothing.

A person's drafts lie in a folder of their own, named by the hash of a token that only the person's browser holds. A
draft is one file, replaced as a whole: whoever reads sees the state before a save or after it, never between. Two
processes never write to one draft: the one that comes second goes on in a copy.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from composer.article.language import count_words
from composer.article.markdown import join_sections
from composer.article.model import Article
from composer.editing.history import EditHistory, history_from_json, history_to_json
from composer.errors import ComposerError, DraftError
from composer.export.sanitizing import encodable
from composer.sources.collection import CACHE_FOLDER
from vision.downloads.files import file_sha256, write_atomic
from vision.errors import KeyedError

DraftState: TypeAlias = Literal["writing", "standing"]

FORMAT_VERSION = 1
MAX_TITLE_CHARS = 120
# A draft goes when it was not saved for KEPT_DAYS or when its owner has saved KEPT_DRAFTS others since; never on the
# day it was saved.
KEPT_DAYS = 90
KEPT_DRAFTS = 100
_DAY_S = 86_400.0
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}\Z")
_ID = re.compile(r"[0-9a-f]{32}\Z")
_PARTIAL = ".*partial*"  # what a killed save left, of earlier versions too
_PICTURES = "pictures"
_SOURCES = "sources"
_LOCK_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class DraftInfo:
    """What a list of drafts shows. ``saved_s`` is seconds since 1970."""

    id: str
    title: str
    saved_s: float
    state: DraftState
    words: int
    pictures: int


@dataclass(frozen=True, slots=True)
class Draft:
    """A draft as one session holds it. ``state`` "writing" means that a job was filling it when it was saved.

    ``info`` is whatever the session wants back, as JSON values: the request, for one. So is ``talk``, which may be
    long and is not read for a list of drafts.
    """

    id: str
    revision: int
    writer: str
    saved_s: float
    state: DraftState
    history: EditHistory | None
    info: Mapping[str, Any] = field(default_factory=dict, hash=False)
    talk: tuple[Mapping[str, Any], ...] = field(default=(), hash=False)

    @property
    def article(self) -> Article | None:
        return self.history.article if self.history else None


class DraftStore:
    """All drafts on this machine."""

    def __init__(self, folder: Path | None = None) -> None:
        if folder is None:
            from vision.downloads.store import home

            folder = home() / "drafts"
        self.folder = folder

    def new_owner(self) -> str:
        """A token for somebody new: 256 random bits."""
        return secrets.token_urlsafe(32)

    def drafts_of(self, owner: str) -> OwnerDrafts:
        """The drafts of whoever holds the token. Raises DraftError for what cannot be one."""
        if not _TOKEN.match(owner):
            raise DraftError("owner_unknown")
        # Who can list the folder's names must not learn the tokens.
        return OwnerDrafts(self.folder / hashlib.sha256(owner.encode()).hexdigest()[:40])

    def prune(self, now_s: float | None = None) -> int:
        """Remove drafts that are too old or too many, pictures no draft shows, and what killed saves left.

        Returns the number of drafts removed.
        """
        now_s = time.time() if now_s is None else now_s
        removed = 0
        for folder in self.folder.iterdir() if self.folder.is_dir() else ():
            removed += OwnerDrafts(folder).prune(now_s)
        return removed


class OwnerDrafts:
    """One person's drafts. Threads and processes may share one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def new(self, article: Article | EditHistory | None = None, info: Mapping[str, Any] | None = None) -> Draft:
        """Begin a draft; it is on disk when this returns. Without an article it is one that is being written."""
        state: DraftState = "writing" if article is None else "standing"
        empty = Draft(secrets.token_hex(16), 0, secrets.token_hex(8), 0.0, state, None, dict(info or {}))
        return self.save(empty, article, state=state)

    def save(
        self,
        draft: Draft,
        article: Article | EditHistory | None,
        *,
        state: DraftState = "standing",
        talk: Sequence[Mapping[str, Any]] | None = None,
    ) -> Draft:
        """Write the draft's next state and return it as saved.

        Where another session has saved the draft since this one opened it, this one's state becomes a draft of its
        own, with another ``id``. Raises DraftError where the disk refuses; what was saved before is still there.
        """
        history = EditHistory(article) if isinstance(article, Article) else article
        turns = draft.talk if talk is None else tuple(talk)
        with self._locked(draft.id) as path:
            held = _header(path) if path.exists() else None
            if held is None or held["writer"] == draft.writer or held["revision"] == draft.revision:
                revision = (held["revision"] if held else draft.revision) + 1
                saved = Draft(draft.id, revision, draft.writer, time.time(), state, history, draft.info, turns)
                _write(path, saved)
                return saved
        copy = replace(draft, id=secrets.token_hex(16), revision=0)
        return self.save(copy, history, state=state, talk=turns)

    def open(self, draft_id: str) -> Draft:
        """The draft as it was last saved, for another session to go on with. Raises DraftError where it is gone."""
        path = self._path(draft_id)
        try:
            with path.open(encoding="utf-8") as file:
                header, body = json.loads(file.readline()), json.loads(file.readline())
                talk = json.loads(file.readline() or "[]")  # drafts of earlier versions have none
            history = history_from_json(body) if body is not None else None
        except FileNotFoundError as error:
            raise DraftError("draft_gone") from error
        except (OSError, ValueError, ComposerError) as error:
            raise DraftError("draft_unreadable", path=str(path), reason=_reason(error)) from error
        return Draft(
            header["id"],
            header["revision"],
            secrets.token_hex(8),
            header["saved_s"],
            header["state"],
            history,
            header["info"],
            tuple(talk),
        )

    def drafts(self) -> tuple[DraftInfo, ...]:
        """All drafts, the latest saved first. One that cannot be read is left out."""
        names = ("id", "title", "saved_s", "state", "words", "pictures")
        return tuple(DraftInfo(*(header[name] for name in names)) for header in self._headers())

    def _headers(self) -> list[dict[str, Any]]:
        found = []
        for path in self.folder.glob("*.draft"):
            with suppress(DraftError):
                found.append(_header(path))
        return sorted(found, key=lambda header: -header["saved_s"])

    def search(self, words: str) -> tuple[DraftInfo, ...]:
        """The drafts whose title or text holds each of the words, the latest saved first; all where there are none."""
        wanted = words.casefold().split()
        return tuple(info for info in self.drafts() if all(word in self._words_of(info) for word in wanted))

    def _words_of(self, info: DraftInfo) -> str:
        try:
            with self._path(info.id).open(encoding="utf-8") as file:
                file.readline()
                body = json.loads(file.readline()) or {}
            texts = [section["text"] for section in body.get("held", {}).get("sections", [])]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            texts = []  # one that cannot be read is found by its title
        return "\n".join([info.title, *texts]).casefold()

    def opened_as(self, digest: str) -> str:
        """The id of the latest draft whose ``info`` says that it was opened from a folder of that digest, or empty."""
        opened = (header["id"] for header in self._headers() if header["info"].get("opened") == digest)
        return next(opened, "")

    def delete(self, draft_id: str) -> None:
        """Remove a draft for good; nothing happens where it is gone already."""
        self._path(draft_id).unlink(missing_ok=True)

    def keep_picture(self, path: Path) -> Path:
        """A copy of an upload that stays as long as a draft shows it; the same picture is kept once."""
        from composer.export.picture_files import slug
        from image_db.scan import PICTURE_SUFFIXES

        try:
            data = path.read_bytes()  # to the byte: a picture's id is its file's hash
            suffix = path.suffix.lower() if path.suffix.lower() in PICTURE_SUFFIXES else ""
            kept = (
                self.folder / _PICTURES / hashlib.sha256(data).hexdigest() / f"{slug(path.stem) or 'picture'}{suffix}"
            )
            if not kept.exists():
                kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                write_atomic(kept, data)
            os.utime(kept.parent)
        except OSError as error:
            raise DraftError("picture_not_kept", name=path.name, reason=_reason(error)) from error
        return kept

    def keep_source(self, path: Path) -> Path:
        """A copy of an uploaded document that stays as long as a draft was written from it."""
        try:
            kept = self.folder / _SOURCES / file_sha256(path) / path.name
            if not kept.exists():
                kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                write_atomic(kept, path.read_bytes())
            os.utime(kept.parent)
        except OSError as error:
            raise DraftError("picture_not_kept", name=path.name, reason=_reason(error)) from error
        return kept

    def prune(self, now_s: float) -> int:
        """See ``DraftStore.prune``."""
        removed = 0
        shown: set[str] = set()
        for number, info in enumerate(self.drafts()):
            age_s = now_s - info.saved_s
            if age_s > KEPT_DAYS * _DAY_S or (number >= KEPT_DRAFTS and age_s > _DAY_S):
                self.delete(info.id)
                removed += 1
                continue
            text = self._path(info.id).read_text(encoding="utf-8")
            shown.update(re.findall(r"[0-9a-f]{64}", text))
        left = [path for path in self.folder.glob(f"{_PICTURES}/*") if path.name not in shown]
        for kept in (_SOURCES, CACHE_FOLDER):
            left += [path for path in self.folder.glob(f"{kept}/*") if path.name.partition("-")[0] not in shown]
        left += self.folder.rglob(_PARTIAL)
        left += [path for path in self.folder.glob("*.lock") if not path.with_suffix(".draft").exists()]
        for path in left:
            if path.exists() and now_s - path.stat().st_mtime > _DAY_S:
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        if not any(path.is_file() for path in self.folder.rglob("*")):
            shutil.rmtree(self.folder, ignore_errors=True)
        return removed

    def _path(self, draft_id: str) -> Path:
        if not _ID.match(draft_id):
            raise DraftError("draft_unknown")
        return self.folder / f"{draft_id}.draft"

    @contextmanager
    def _locked(self, draft_id: str) -> Iterator[Path]:
        """The draft's file, which nobody else saves to meanwhile."""
        from filelock import FileLock, Timeout

        path = self._path(draft_id)
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with FileLock(path.with_suffix(".lock"), timeout=_LOCK_TIMEOUT_S):
                yield path
        except Timeout as error:
            raise DraftError("draft_busy", path=str(path)) from error
        except OSError as error:
            raise DraftError("draft_not_saved", path=str(path), reason=_reason(error)) from error


def _header(path: Path) -> dict[str, Any]:
    try:
        with path.open(encoding="utf-8") as file:
            header: dict[str, Any] = json.loads(file.readline())
        if header["format"] != FORMAT_VERSION:
            raise DraftError("draft_format", path=str(path), found=header["format"], read=FORMAT_VERSION)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DraftError("draft_unreadable", path=str(path), reason=_reason(error)) from error
    return header


def _reason(error: Exception) -> object:
    return error if isinstance(error, KeyedError) else getattr(error, "strerror", None) or str(error)


def _write(path: Path, draft: Draft) -> None:
    article = draft.article
    title = article.title if article else str(draft.info.get("title") or draft.info.get("instruction") or "")
    title = str(draft.info.get("name") or title)
    header = {
        "format": FORMAT_VERSION,
        "id": draft.id,
        "revision": draft.revision,
        "writer": draft.writer,
        "saved_s": draft.saved_s,
        "state": draft.state,
        "title": " ".join(title.split())[:MAX_TITLE_CHARS],
        "words": count_words(join_sections(article.sections)) if article else 0,
        "pictures": len(article.pictures) if article else 0,
        "info": dict(draft.info),
    }
    body = history_to_json(draft.history) if draft.history else None
    lines = [json.dumps(part, ensure_ascii=False, separators=(",", ":")) for part in (header, body, draft.talk)]
    write_atomic(path, encodable("\n".join((*lines, ""))))
