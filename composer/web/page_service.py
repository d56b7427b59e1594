"""What the page's scripts ask of the server: each method takes JSON values from a browser and returns JSON values.

Nothing that comes in is trusted: a draft opens only with its owner's token, a file is taken only from the folder of
uploads, a library only if it is offered. An expected error is answered as ``{"error": words}``.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from composer.errors import UsageError
from composer.export.sanitizing import encodable
from composer.i18n import UI_LANGUAGES, fill, strings
from composer.studio.actions import find_pictures, perform, take_upload
from composer.studio.chat import ask, stop_answers
from composer.studio.session import DraftSession
from composer.studio.studio import Studio
from composer.web.error_words import error_words
from composer.web.form import make_request, text_of_file
from composer.web.html.context import ViewContext, message
from composer.web.html.library_view import indexing_progress, library_parts, many_form, record_form
from composer.web.html.page_shell import draft_rows, found_pictures
from composer.web.html.session_view import session_update
from vision.errors import KeyedError

Values = Mapping[str, Any]
Answer = dict[str, Any]
FOLLOW_S = 15.0
_MOST_KEYS = 5_000


def answers_errors(method: Callable[..., Any]) -> Callable[..., Any]:
    """The method with the page's context for its values, and with expected errors as answers."""

    def answer(self: PageService, values: object) -> Any:
        values = values if isinstance(values, Mapping) else {}
        context = self.context(values)
        try:
            return sendable(method(self, values, context))
        except KeyedError as error:
            return {"error": context.say(error)}

    async def answer_later(self: PageService, values: object) -> Any:
        values = values if isinstance(values, Mapping) else {}
        context = self.context(values)
        try:
            return sendable(await method(self, values, context))
        except KeyedError as error:
            return {"error": context.say(error)}

    chosen: Callable[..., Any] = answer_later if inspect.iscoroutinefunction(method) else answer
    chosen.__doc__ = method.__doc__
    return chosen


class PageService:
    """Threads may share one."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio

    def functions(self, *names: str) -> list[Callable[..., Any]]:
        """Methods as functions of the same names: Gradio marks what a page may call, which a method does not allow."""
        functions: list[Callable[..., Any]] = []
        for name in names:
            function = partial(getattr(self, name))
            function.__name__ = name  # type: ignore[attr-defined]
            functions.append(function)
        return functions

    def context(self, values: Values) -> ViewContext:
        # Not "language": that is what an action may ask for, the language to translate into.
        asked = values.get("ui")
        language = asked if asked in UI_LANGUAGES else UI_LANGUAGES[0]
        say = partial(error_words, language=language, hide_paths=self.studio.for_visitors)
        return ViewContext(strings(language), say, self.studio.links.picture, self.studio.links.thumbnail)

    # The article

    @answers_errors
    def begin(self, values: Values, context: ViewContext) -> Answer:
        """Begin a draft and the making of its article, from what was filled into the form."""
        request = make_request(values, context.words)
        if not values.get("library"):
            raise UsageError("no_library_chosen")
        library = self.studio.libraries.find(_text(values, "library"))
        first = values.get("outline_first") is True
        if first and (request.text or request.sources):
            raise UsageError("outline_not_here")
        session = self.studio.sessions.begin(_text(values, "owner"), request, library.folder, outline_first=first)
        return {"draft": session.draft.id}

    @answers_errors
    def open(self, values: Values, _: ViewContext) -> Answer:
        """A saved article as a draft: one that was offered at the start, or files that were dropped."""
        owner, token = _text(values, "owner"), _text(values, "article")
        if token:
            return {"draft": self.studio.saved.open(owner, token).draft.id}
        files = values.get("files")
        sent = [file for file in files if isinstance(file, Mapping)] if isinstance(files, list) else []
        named = [(_text(file, "relative"), self.studio.uploaded(_text(file, "path"))) for file in sent]
        return {"draft": self.studio.saved.take(owner, named).draft.id}

    @answers_errors
    def text(self, values: Values, _: ViewContext) -> Answer:
        """The text of an uploaded file, to be illustrated."""
        return {"text": text_of_file(self.studio.uploaded(_text(values, "path")))}

    @answers_errors
    def act(self, values: Values, context: ViewContext) -> Answer:
        """Do ``do``, or nothing for "look", and tell what changed."""
        session, action = self._session(values), _text(values, "do")
        if action == "ask":
            upload = _text(values, "upload")
            ask(session, {**values, "upload": str(self.studio.uploaded(upload)) if upload else ""})
        elif action == "stop_answers":
            stop_answers(session)
        elif action != "look":
            perform(session, action, values)
        return session_update(session, _known(values), context)

    @answers_errors
    async def follow(self, values: Values, context: ViewContext) -> Answer:
        """What changed since ``version``, as soon as something does."""
        session = await asyncio.to_thread(self._session, values)
        if session.active:
            await session.changes.wait(values.get("version"), FOLLOW_S)
        return await asyncio.to_thread(session_update, session, _known(values), context)

    @answers_errors
    def find(self, values: Values, context: ViewContext) -> Answer:
        """Pictures for words, or like an uploaded example."""
        example = _text(values, "example")
        example = str(self.studio.uploaded(example)) if example else ""
        found = find_pictures(self._session(values), {**values, "example": example})
        return {"html": found_pictures(found, context)}

    @answers_errors
    def take(self, values: Values, _: ViewContext) -> Answer:
        """An uploaded picture, to be shown by its ``id``."""
        return {"id": take_upload(self._session(values), self.studio.uploaded(_text(values, "path"))).record.id}

    @answers_errors
    def export(self, values: Values, context: ViewContext) -> Answer:
        """The article as a file to download."""
        url, name, notes = self.studio.export(self._session(values), _text(values, "format"))
        return {"url": url, "name": name, "notes": [context.say(note) for note in notes]}

    @answers_errors
    def drop(self, values: Values, context: ViewContext) -> Answer:
        """Delete a draft; returns what is left."""
        self.studio.sessions.delete(_text(values, "owner"), _text(values, "draft"))
        return self._drafts(values, context)

    @answers_errors
    def listed(self, values: Values, context: ViewContext) -> Answer:
        """A person's drafts, or those that hold some words."""
        return self._drafts(values, context)

    @answers_errors
    def rename(self, values: Values, context: ViewContext) -> Answer:
        """Call a draft something else in the list; returns the list."""
        self._session(values).rename(_text(values, "name")[:200])
        return self._drafts(values, context)

    def _drafts(self, values: Values, context: ViewContext) -> Answer:
        searched = _text(values, "words")[:500]
        drafts = self.studio.sessions.drafts(_text(values, "owner"), searched)
        return {"html": draft_rows(drafts, context.words, every=values.get("every") is True or bool(searched.strip()))}

    def _session(self, values: Values) -> DraftSession:
        return self.studio.sessions.open(_text(values, "owner"), _text(values, "draft"))

    # The libraries

    @answers_errors
    def browse(self, values: Values, context: ViewContext) -> Answer:
        libraries, roots = self.studio.libraries, self.studio.libraries.roots
        offered = libraries.offered()
        if not offered:
            return library_parts([], None, [], context, roots=roots)
        name, searched, page = _text(values, "library"), _text(values, "words")[:500], values.get("page", 0)
        page = page if isinstance(page, int) and 0 <= page < 1_000_000 else 0
        name = name or offered[0].name
        ways = {"apart": values.get("apart") is True, "hidden": values.get("hidden") is True}
        shown = libraries.browse(name, searched, page, like=_text(values, "like")[:100], **ways)
        failures = libraries.failures(name)
        return library_parts(
            offered, shown, failures, context, name=name, searched=searched, roots=roots, hidden=ways["hidden"]
        )

    @answers_errors
    def form(self, values: Values, context: ViewContext) -> Answer:
        record = self.studio.libraries.record(_text(values, "library"), _text(values, "id"))
        return {"html": record_form(record, context)}

    @answers_errors
    def save(self, values: Values, context: ViewContext) -> Answer:
        self.studio.libraries.describe(_text(values, "library"), _text(values, "id"), _fields(values))
        return {"html": message(context.words["lib_saved"], "note")}

    @answers_errors
    def keep(self, values: Values, context: ViewContext) -> Answer:
        """What was drafted for a picture is right."""
        self.studio.libraries.keep_draft(_text(values, "library"), _text(values, "id"))
        return {"html": message(context.words["lib_saved"], "note")}

    @answers_errors
    def many(self, values: Values, context: ViewContext) -> Answer:
        """The form for what is to be said of several pictures."""
        return {"html": many_form(len(_ids(values)), context.words)}

    @answers_errors
    def save_many(self, values: Values, context: ViewContext) -> Answer:
        count = self.studio.libraries.describe_all(_text(values, "library"), _ids(values), _fields(values))
        return {"html": message(fill(context.words["lib_saved_many"], count=count), "note")}

    @answers_errors
    def hide(self, values: Values, context: ViewContext) -> Answer:
        """Hide pictures, or show them again with ``hide`` false."""
        hidden = values.get("hide") is not False
        count = self.studio.libraries.hide(_text(values, "library"), _ids(values), hidden)
        said = context.words["lib_hid" if hidden else "lib_shown_again"]
        return {"html": message(fill(said, count=count), "note")}

    @answers_errors
    def delete(self, values: Values, context: ViewContext) -> Answer:
        """Delete pictures and their files for good."""
        count = self.studio.libraries.delete(_text(values, "library"), _ids(values))
        return {"html": message(fill(context.words["lib_deleted"], count=count), "note")}

    @answers_errors
    def index(self, values: Values, context: ViewContext) -> Answer:
        run = self.studio.libraries.index(_text(values, "pictures"), _text(values, "name"))
        return indexing_progress(run, context)

    @answers_errors
    def add(self, values: Values, _: ViewContext) -> Answer:
        """Keep an uploaded file in the folder of a library."""
        file = self.studio.uploaded(_text(values, "path"))
        self.studio.libraries.add_file(_text(values, "name"), file, _text(values, "relative"))
        return {}

    @answers_errors
    def added(self, values: Values, context: ViewContext) -> Answer:
        """Take the files that were kept into the library."""
        return indexing_progress(self.studio.libraries.index_added(_text(values, "name")), context)

    @answers_errors
    def sample(self, _: Values, context: ViewContext) -> Answer:
        return indexing_progress(self.studio.libraries.index_sample(), context)

    @answers_errors
    def indexing(self, _: Values, context: ViewContext) -> Answer:
        return indexing_progress(self.studio.libraries.indexing, context)


def sendable(value: Any) -> Any:
    """The same without halves of characters, which no answer to a browser can hold."""
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, dict):
        return {key: sendable(part) for key, part in value.items()}
    return [sendable(part) for part in value] if isinstance(value, list) else value


def _known(values: Values) -> list[str]:
    """Keys of the blocks that the page holds."""
    known = values.get("known")
    return [key for key in known[:_MOST_KEYS] if isinstance(key, str)] if isinstance(known, list) else []


def _fields(values: Values) -> Values:
    """What was filled in about a picture."""
    given = values.get("values")
    if not isinstance(given, Mapping):
        raise UsageError("malformed")
    return given


def _ids(values: Values) -> list[str]:
    """Ids of the pictures that were chosen."""
    ids = values.get("ids")
    return [id_ for id_ in ids if isinstance(id_, str) and len(id_) < 100] if isinstance(ids, list) else []


def _text(values: Values, name: str) -> str:
    value = values.get(name, "")
    return value if isinstance(value, str) else ""
