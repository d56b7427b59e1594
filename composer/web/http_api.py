"""The endpoints of Vignette's HTTP API, which Gradio's clients and MCP reach, too: compose, edit, search, export.

A draft belongs to whoever holds its ``owner`` token, which the first answer tells; what a draft's page shows and what
its API tells is one article. Nothing that comes in is trusted, and nothing that goes out names a path of this machine.
"""

import asyncio
import inspect
import time
import traceback
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing
from functools import wraps
from typing import Any, TypeAlias, TypeVar
from urllib.parse import urlsplit

import gradio as gr
from gradio.route_utils import get_root_url

from composer.article.model import Article
from composer.article.serialization import to_json
from composer.errors import UsageError
from composer.fields import typed
from composer.pipeline.typed_words import readable_query
from composer.request import request_from_json
from composer.studio.actions import perform, remember, take_upload
from composer.studio.session import DraftSession
from composer.studio.studio import Studio
from composer.web.error_words import error_words
from composer.web.form import check_length
from composer.web.log_redaction import redacted
from retrieval.results import results
from vision.errors import KeyedError, Phrase

# No "from __future__ import annotations" here: Gradio reads the types of the endpoints from their signatures.

MOST_FOUND = 50
MOST_UPLOADS = 20
COUNT_AGAIN_S = 1.0  # every answer costs the machine that writes some milliseconds
LONGEST_WAIT_S = 60.0
_TOLD_OF_PICTURES = ("id", "caption", "alt", "author", "license", "source_url", "width_px", "height_px")

# What a client is told of the arguments.
ARGUMENTS = {
    "instruction": "What the article should be about.",
    "text": "The text, as Markdown.",
    "library": "Name of the library, see libraries; the first one if empty, in a search the draft's.",
    "images": 'Number of pictures, or "auto".',
    "words": "Length to aim for, 100 to 5000; in a search what the picture should show.",
    "language": '"auto", "en" or "zh".',
    "tone": '"", "plain", "vivid", "formal" or "friendly".',
    "seed": "Another number gives another article, or another choice where several are equal.",
    "must_use": "Uploaded pictures that must appear.",
    "may_use": "Uploaded pictures that may appear.",
    "sources": "Uploaded documents to write from and to cite: md, txt, html, pdf, docx, epub.",
    "fast": "Write the sections side by side, each knowing less of the others.",
    "where": 'Only pictures of which this is true, for instance "date:2019.. place:Lyon -folder:scans".',
    "owner": "Your key to your drafts; where an article is made, a new one is made if it is empty.",
    "draft": "Which of your drafts; what a search finds for it may be shown there, by show_picture and insert_picture.",
    "action": 'For instance "edit_text", "replace_picture", "propose", "accept", "refit", "undo".',
    "values": 'What the action needs, for instance {"at": 0, "text": "..."}.',
    "count": "At most so many, 1 to 50.",
    "picture": "The uploaded file.",
    "format": '"html", "md", "docx", "pdf", "epub" or "zip", which is the whole folder.',
}

Json: TypeAlias = dict[str, Any]
Answer = TypeVar("Answer")


class Api:
    """Threads may share one. Every method of ``ENDPOINTS`` is an endpoint; clients are told its docstring."""

    ENDPOINTS = (
        *("libraries", "compose", "illustrate", "article", "edit", "search", "add_picture", "export", "drafts"),
        *("stop", "delete"),
    )

    def __init__(self, studio: Studio, note: Callable[[str], None]) -> None:
        """``note`` logs what went wrong unexpectedly, without anything a person wrote."""
        self._studio = studio
        self._note = note

    @classmethod
    def parameters(cls) -> dict[str, dict[str, inspect.Parameter]]:
        """What each endpoint takes, in the order of its arguments."""
        own = ("self", "request")
        return {
            name: {n: one for n, one in inspect.signature(getattr(cls, name)).parameters.items() if n not in own}
            for name in cls.ENDPOINTS
        }

    def register(self) -> None:
        """Add the endpoints to the ``gr.Blocks`` being built."""
        for name in self.ENDPOINTS:
            endpoint = self._answering(getattr(self, name))
            known = [f"    {n}: {ARGUMENTS[n]}" for n in inspect.signature(endpoint).parameters if n in ARGUMENTS]
            endpoint.__doc__ = "\n".join([inspect.cleandoc(endpoint.__doc__ or ""), "", "Args:", *known])
            gr.api(endpoint, api_name=name, concurrency_limit=None)

    # Making articles

    async def compose(
        self,
        instruction: str,
        library: str = "",
        images: str = "auto",
        words: int = 600,
        language: str = "auto",
        tone: str = "",
        seed: int = 0,
        must_use: list[dict] | None = None,
        may_use: list[dict] | None = None,
        sources: list[dict] | None = None,
        fast: bool = False,
        owner: str = "",
        where: str = "",
        request: gr.Request | None = None,
    ) -> AsyncGenerator[dict, None]:
        """Write an article about something and illustrate it from a picture library.

        Tells how far it is while it works: {"state": "waiting", "before": 2}, then {"state": "running", "stage",
        "words"}; the last answer has "state" "done" (or "stopped") and the "article".
        """
        check_length(typed("instruction", instruction, str), "")
        asked = {"instruction": instruction.strip(), "words": words, "tone": tone, "fast": fast}
        asked |= {"images": images, "language": language, "seed": seed, "filters": {"where": where}}
        async with aclosing(self._made(asked, must_use, may_use, library, owner, request, sources)) as answers:
            async for answer in answers:
                yield answer

    async def illustrate(
        self,
        text: str,
        library: str = "",
        images: str = "auto",
        language: str = "auto",
        seed: int = 0,
        must_use: list[dict] | None = None,
        may_use: list[dict] | None = None,
        owner: str = "",
        where: str = "",
        request: gr.Request | None = None,
    ) -> AsyncIterator[dict]:
        """Add pictures to a finished text; every word of it stays. Answers as compose does."""
        check_length("", typed("text", text, str))
        if not text.strip():
            raise UsageError("empty_text")
        asked = {"text": text, "text_name": "text", "images": images, "language": language, "seed": seed}
        asked |= {"filters": {"where": where}}
        async with aclosing(self._made(asked, must_use, may_use, library, owner, request)) as answers:
            async for answer in answers:
                yield answer

    async def article(self, owner: str, draft: str, request: gr.Request | None = None) -> dict:
        """The article of a draft as it stands now, finished or not."""
        session = await asyncio.to_thread(self._session, owner, draft)
        return await asyncio.to_thread(self._standing, session, owner, request)

    async def edit(
        self, owner: str, draft: str, action: str, values: dict | None = None, request: gr.Request | None = None
    ) -> dict:
        """Change the article as a person does on the page. The documentation lists the actions and their values.

        Answers when the change is made, with the article and the model's open proposals.
        """
        given = typed("values", values or {}, dict)
        session = await asyncio.to_thread(self._session, owner, draft)
        await asyncio.to_thread(perform, session, typed("action", action, str), given)
        while (version := session.changes.version) and session.active and action != "stop":
            await session.changes.wait(version, LONGEST_WAIT_S)
        return await asyncio.to_thread(self._standing, session, owner, request)

    async def stop(self, owner: str, draft: str, request: gr.Request | None = None) -> dict:
        """End what is going on in a draft; what stands stays."""
        return await self.edit(owner, draft, "stop", {}, request)

    # Looking and taking

    def libraries(self) -> list[dict]:
        """The picture libraries that are offered: name and number of pictures."""
        return [{"name": item.name, "pictures": item.pictures} for item in self._studio.libraries.offered()]

    def search(
        self,
        words: str,
        library: str = "",
        count: int = 8,
        owner: str = "",
        draft: str = "",
        request: gr.Request | None = None,
    ) -> list[dict]:
        """The pictures of a library that fit some words best, with the reason each was found; none where none fits.

        ``-word``, or "without" and what follows it, leaves out pictures of that. Conditions may stand among the words
        or alone: "date:2019.. place:Lyon -folder:scans". Of pictures that look the same the first stands for all, and
        "alike" names the others.
        """
        wanted = typed("words", words, str).strip()
        if not wanted:
            raise UsageError("search_empty")
        if not 1 <= typed("count", count, int) <= MOST_FOUND:
            raise UsageError("field_range", field="count", given=count, least=1, most=MOST_FOUND)
        session = self._session(owner, draft) if draft else None
        folder = session.library if session is not None and not library else self._library(library)
        pipeline = self._studio.models.pipeline(folder)
        query = readable_query(wanted[:500], pipeline.encoder, lambda: pipeline.model)
        with self._studio.models.metrics.searching():
            results_ = results(pipeline.searcher, pipeline.library, query, int(count))
        found = [result.candidate for result in results_]
        if session is not None:
            remember(session, found)
        return [
            {
                **{name: getattr(candidate.record, name) for name in _TOLD_OF_PICTURES},
                "score": round(candidate.fused, 4),
                "why": self._say(candidate.why),
                "alike": [other.record.id for other in result.alike],
                "url": self._origin(request) + self._studio.links.picture(candidate.record),
            }
            for result, candidate in zip(results_, found, strict=True)
        ]

    def add_picture(self, owner: str, draft: str, picture: dict, request: gr.Request | None = None) -> dict:
        """Bring an uploaded picture to a draft: {"id", "url"}. show_picture and insert_picture then show it."""
        session = self._session(owner, draft)
        (path,) = self._uploads("picture", [picture])
        record = take_upload(session, self._studio.uploaded(path)).record
        return {"id": record.id, "url": self._origin(request) + self._studio.links.picture(record)}

    def export(self, owner: str, draft: str, format: str = "html", request: gr.Request | None = None) -> dict:
        """The article as a file to download: {"url", "name", "notes"}."""
        url, name, notes = self._studio.export(self._session(owner, draft), typed("format", format, str))
        return {"url": self._origin(request) + url, "name": name, "notes": [self._say(note) for note in notes]}

    def drafts(self, owner: str) -> list[dict]:
        """Your drafts, the latest first."""
        return [
            {"draft": info.id, "title": info.title, "saved_s": round(info.saved_s)}
            | {"state": info.state, "words": info.words, "pictures": info.pictures}
            for info in self._studio.sessions.drafts(typed("owner", owner, str))
        ]

    def delete(self, owner: str, draft: str) -> list[dict]:
        """Delete a draft for good; answers with the drafts that are left."""
        self._studio.sessions.delete(typed("owner", owner, str), typed("draft", draft, str))
        return self.drafts(owner)

    # Inside

    def _session(self, owner: str, draft: str) -> DraftSession:
        return self._studio.sessions.open(typed("owner", owner, str), typed("draft", draft, str))

    def _library(self, name: str) -> Any:
        return self._studio.libraries.find(typed("library", name, str)).folder

    def _uploads(self, name: str, files: list[dict] | None) -> list[str]:
        """Paths of pictures that were sent to this server before; of documents for "sources"."""
        if files is not None and (not isinstance(files, list) or not all(isinstance(file, dict) for file in files)):
            raise UsageError("field_wrong_kind", field=name, given=str(files)[:80], wanted=Phrase("kind_uploads"))
        if len(files or ()) > MOST_UPLOADS:
            raise UsageError("too_many_uploads", field=name, count=len(files or ()), most=MOST_UPLOADS)
        take = self._studio.uploaded_document if name == "sources" else self._studio.uploaded_picture
        return [str(take(str(file.get("path", "")))) for file in files or ()]

    async def _made(
        self,
        asked: Json,
        must_use: list[dict] | None,
        may_use: list[dict] | None,
        library: str,
        owner: str,
        request: gr.Request | None,
        sources: list[dict] | None = None,
    ) -> AsyncGenerator[Json, None]:
        """Begin a draft and tell how it goes, until it is over. Leaving ends the work; what stands stays."""
        sessions = self._studio.sessions

        def begin() -> DraftSession:
            files = {"use_images": self._uploads("must_use", must_use), "may_use": self._uploads("may_use", may_use)}
            files["sources"] = self._uploads("sources", sources)
            return sessions.begin(owner, request_from_json({**asked, **files}), self._library(library))

        owner = typed("owner", owner, str) or sessions.store.new_owner()
        session = await asyncio.to_thread(begin)
        try:
            version = session.changes.version
            status, words_s = _status(session, owner), time.monotonic()
            yield status  # the key to the draft, before anything can go wrong
            while session.busy:
                await session.changes.wait(version, LONGEST_WAIT_S)
                version, now_s = session.changes.version, time.monotonic()
                news = _status(session, owner)
                if {**news, "words": 0} != {**status, "words": 0} or now_s - words_s >= COUNT_AGAIN_S:
                    status, words_s = news, now_s
                    yield status
        except (GeneratorExit, asyncio.CancelledError):
            session.stop()
            raise
        yield await asyncio.to_thread(self._standing, session, owner, request)

    def _standing(self, session: DraftSession, owner: str, request: gr.Request | None) -> Json:
        with session.lock:
            if session.error:
                raise session.error
            article = session.article
            stopped = session.note in ("stopped", "stopped_early", "stopping", "interrupted")
            return {
                "owner": owner,
                "draft": session.draft.id,
                "state": "running" if session.busy else "stopped" if stopped else "done",
                "article": None if article is None else self._article(article, self._origin(request)),
                "proposals": list(_proposals(session)),
                "notices": [self._say(notice) for notice in session.notices],
                "stages": {stage.stage: round(stage.seconds, 2) for stage in session.trace},
            }

    def _article(self, article: Article, origin: str) -> Json:
        """``article.json`` with addresses instead of paths of this machine."""
        values = to_json(article)
        records = {c.record.id: c.record for p in article.placements for c in p.candidates}
        records |= {picture.id: picture for picture in article.pictures}
        for id_, image in values["images"].items():
            del image["path"]
            image["url"] = origin + self._studio.links.picture(records[id_])
        return values

    def _origin(self, request: gr.Request | None) -> str:
        """Scheme, host and port by which the caller knows the server; empty where nobody asked over HTTP."""
        asked = getattr(request, "request", None)
        if asked is None:
            return ""
        address = urlsplit(get_root_url(asked, asked.url.path, self._studio.links.root))
        return f"{address.scheme}://{address.netloc}"

    def _say(self, said: object) -> str:
        return error_words(said, "en", hide_paths=True)

    def _answering(self, endpoint: Callable[..., Any]) -> Callable[..., Any]:
        """The endpoint with expected errors as messages, and unexpected ones noted without what was written."""

        if inspect.isasyncgenfunction(endpoint):

            @wraps(endpoint)
            async def stream(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
                async with aclosing(endpoint(*args, **kwargs)) as answers:
                    while True:
                        try:
                            answer = await self._answer(anext(answers))
                        except StopAsyncIteration:
                            return
                        yield answer

            return stream

        @wraps(endpoint)
        async def answer(*args: Any, **kwargs: Any) -> Any:
            if inspect.iscoroutinefunction(endpoint):
                return await self._answer(endpoint(*args, **kwargs))
            return await self._answer(asyncio.to_thread(endpoint, *args, **kwargs))

        return answer

    async def _answer(self, asked: Awaitable[Answer]) -> Answer:
        try:
            return await asked
        except KeyedError as error:
            raise gr.Error(self._say(error), print_exception=False) from None
        except StopAsyncIteration:
            raise
        except Exception as error:  # noqa: BLE001 - told to the server's log, without what it may quote
            self._note(redacted(error, traceback.extract_tb(error.__traceback__)))
            raise gr.Error(self._say(Phrase("inside")), print_exception=False) from None


def _status(session: DraftSession, owner: str) -> Json:
    with session.lock:
        running = session.running
        before = running.job.before if running is not None and running.job is not None else 0
        status: Json = {"owner": owner, "draft": session.draft.id, "state": "waiting" if before else "running"}
        if before:
            status["before"] = before
        elif running is not None:
            status["stage"] = running.progress.stage
            status["words"] = running.words_written()
        return status


def _proposals(session: DraftSession) -> Iterator[Json]:
    """What the model proposes for sections, to accept or reject by ``at``."""
    texts = [section.text for section in session.article.sections] if session.article is not None else []
    for pending in session.proposals:
        if pending.error:
            raise pending.error
        if pending.proposal is not None and pending.before in texts:
            yield {"at": texts.index(pending.before), "action": pending.action, "text": pending.text}
