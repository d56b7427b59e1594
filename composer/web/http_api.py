"""The endpoints of Vignette's HTTP API, which Gradio's clients and MCP reach, too: compose, edit, search, export.

A draft belongs to whoever holds its ``owner`` token, which the first answer tells; what a draft's page shows and what
its API tells is one article. Values come from anywhere and are checked as the page's are. Knows no widgets.
"""

import asyncio
import traceback
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from functools import wraps
from typing import Any, TypeVar

import gradio as gr

from composer.errors import UsageError
from composer.i18n import localize
from composer.studio.actions import perform, take_upload
from composer.studio.models import MAX_TEXT_CHARS
from composer.studio.studio_trouble import EXPECTED
from composer.web.api_desk import LOOK_AGAIN_S, ApiDesk
from composer.web.log_redaction import redacted
from composer.web.page_service import PageService

# No "from __future__ import annotations" here: Gradio reads the types of the endpoints from their signatures.

MOST_FOUND = 50
UNEXPECTED = "something went wrong inside; the log of the server says what"

Told = TypeVar("Told")


class Api:
    """Threads may share one. Every method is an endpoint; its docstring is what clients are told of it."""

    def __init__(self, service: PageService, tell: Callable[[str], None]) -> None:
        """``tell`` notes what went wrong unexpectedly, without anything a person wrote."""
        self._service = service
        self._desk = ApiDesk(service)
        self._tell = tell

    def register(self) -> None:
        """Add the endpoints to the ``gr.Blocks`` being built."""
        for endpoint in (
            self.libraries,
            self.compose,
            self.illustrate,
            self.article,
            self.edit,
            self.search,
            self.add_picture,
            self.export,
            self.drafts,
            self.stop,
            self.delete,
        ):
            gr.api(self._guarded(endpoint), api_name=endpoint.__name__, concurrency_limit=None)

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
        fast: bool = False,
        owner: str = "",
        request: gr.Request | None = None,
    ) -> AsyncGenerator[dict, None]:
        """Write an article about something and illustrate it from a picture library.

        Tells how far it is while it works: {"state": "waiting", "before": 2}, then {"state": "running", "stage",
        "words"}; the last answer has "state" "done" (or "stopped") and the "article".

        Args:
            instruction: What the article should be about.
            library: Name of the library, see libraries; the first one if empty.
            images: Number of pictures, or "auto".
            words: Length to aim for, 100 to 5000.
            language: "auto", "en" or "zh".
            tone: "", "plain", "vivid", "formal" or "friendly".
            seed: Another number gives another article.
            must_use: Uploaded pictures that must appear.
            may_use: Uploaded pictures that may appear.
            fast: Write the sections side by side, each knowing less of the others.
            owner: Your key to earlier drafts; a new one is made if it is empty.
        """
        asked = self._desk.request(
            must_use, may_use, instruction=instruction, images=images, words=words, language=language, tone=tone,
            seed=seed, fast=fast,
        )  # fmt: skip
        async with aclosing(self._desk.begun(asked, library, owner, _root(request))) as steps:
            async for told in steps:
                yield told

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
        request: gr.Request | None = None,
    ) -> AsyncIterator[dict]:
        """Add pictures to a finished text; every word of it stays. Answers as compose does.

        Args:
            text: The text, as Markdown.
            library: Name of the library, see libraries; the first one if empty.
            images: Number of pictures, or "auto".
            language: "auto", "en" or "zh".
            seed: Another number gives another choice where several are equal.
            must_use: Uploaded pictures that must appear.
            may_use: Uploaded pictures that may appear.
            owner: Your key to earlier drafts; a new one is made if it is empty.
        """
        if not text.strip():
            raise UsageError("empty_text")
        if len(text) > MAX_TEXT_CHARS:
            raise UsageError("text_too_long", limit=f"{MAX_TEXT_CHARS:,}")
        asked = self._desk.request(
            must_use, may_use, text=text, text_name="text", images=images, language=language, seed=seed
        )
        async with aclosing(self._desk.begun(asked, library, owner, _root(request))) as steps:
            async for told in steps:
                yield told

    async def article(self, owner: str, draft: str, request: gr.Request | None = None) -> dict:
        """The article of a draft as it stands now, finished or not.

        Args:
            owner: The key to your drafts.
            draft: Which of them.
        """
        room = await asyncio.to_thread(self._service.rooms.open, owner, draft)
        return await asyncio.to_thread(self._desk.standing, room, owner, _root(request))

    async def edit(
        self, owner: str, draft: str, action: str, values: dict | None = None, request: gr.Request | None = None
    ) -> dict:
        """Change the article as a person does on the page. The documentation lists the actions and their values.

        Answers when the change is made, with the article and the model's open proposals.

        Args:
            owner: The key to your drafts.
            draft: Which of them.
            action: For instance "edit_text", "replace_picture", "propose", "accept", "refit", "undo".
            values: What the action needs, for instance {"at": 0, "text": "..."}.
        """
        room = await asyncio.to_thread(self._service.rooms.open, owner, draft)
        await asyncio.to_thread(perform, room, action, values or {})
        while room.active and action != "stop":
            await asyncio.sleep(LOOK_AGAIN_S)
        return await asyncio.to_thread(self._desk.standing, room, owner, _root(request))

    async def stop(self, owner: str, draft: str, request: gr.Request | None = None) -> dict:
        """End what is going on in a draft; what stands stays.

        Args:
            owner: The key to your drafts.
            draft: Which of them.
        """
        return await self.edit(owner, draft, "stop", {}, request)

    # Looking and taking

    def libraries(self) -> list[dict]:
        """The picture libraries that are offered: name and number of pictures."""
        return [{"name": shelf.name, "pictures": shelf.pictures} for shelf in self._service.shelves.shelves()]

    def search(
        self,
        words: str,
        library: str = "",
        count: int = 8,
        owner: str = "",
        draft: str = "",
        request: gr.Request | None = None,
    ) -> list[dict]:
        """The pictures of a library that fit some words best, with the reason each was found.

        Args:
            words: What the picture should show.
            library: Name of the library, see libraries; the first one if empty, or the draft's if one is named.
            count: At most so many, 1 to 50.
            owner: The key to your drafts, if pictures are for one of them.
            draft: Which of them: what is found may then be shown there, by the actions show_picture, insert_picture.
        """
        from retrieval.candidates import Query

        if not words.strip():
            raise UsageError("words is empty; say what the picture should show")
        if not 1 <= count <= MOST_FOUND:
            raise UsageError(f"count is {count}; it must be 1 to {MOST_FOUND}")
        room = self._service.rooms.open(owner, draft) if draft else None
        folder = room.library if room is not None and not library else self._desk.library(library).folder
        pipeline = self._service.rooms.studio.models().pipeline(folder)
        candidates = pipeline.searcher.search(Query(caption=words.strip()[:500]), count)
        if room is not None:
            with room.lock:
                room.found.update({candidate.record.id: candidate for candidate in candidates})
        root = _root(request)
        return [
            {
                "id": found.record.id,
                "caption": found.record.caption,
                "alt": found.record.alt,
                "author": found.record.author,
                "license": found.record.license,
                "source_url": found.record.source_url,
                "width_px": found.record.width_px,
                "height_px": found.record.height_px,
                "score": round(found.fused, 4),
                "why": localize(found.why, "en"),
                "url": root + self._service.gallery.picture(found.record),
            }
            for found in candidates
        ]

    def add_picture(self, owner: str, draft: str, picture: dict, request: gr.Request | None = None) -> dict:
        """Bring an uploaded picture to a draft: {"id", "url"}. show_picture and insert_picture then show it.

        Args:
            owner: The key to your drafts.
            draft: Which of them.
            picture: The uploaded file.
        """
        room = self._service.rooms.open(owner, draft)
        (path,) = self._desk.uploads("picture", [picture])
        record = take_upload(room, path).record
        return {"id": record.id, "url": _root(request) + self._service.gallery.picture(record)}

    def export(self, owner: str, draft: str, format: str = "html", request: gr.Request | None = None) -> dict:
        """The article as a file to download: {"url", "name", "notes"}.

        Args:
            owner: The key to your drafts.
            draft: Which of them.
            format: "html", "md", "docx", "pdf", "epub" or "zip", which is the whole folder.
        """
        made = self._service.export({"owner": owner, "draft": draft, "format": format})
        if "error" in made:
            raise UsageError(str(made["error"]))
        return {**made, "url": _root(request) + str(made["url"])}

    def drafts(self, owner: str) -> list[dict]:
        """Your drafts, the latest first.

        Args:
            owner: The key to your drafts.
        """
        return [
            {
                "draft": info.id,
                "title": info.title,
                "saved_s": round(info.saved_s),
                "state": info.state,
                "words": info.words,
                "pictures": info.pictures,
            }
            for info in self._service.rooms.drafts(owner)
        ]

    def delete(self, owner: str, draft: str) -> list[dict]:
        """Delete a draft for good; answers with the drafts that are left.

        Args:
            owner: The key to your drafts.
            draft: Which of them.
        """
        self._service.rooms.delete(owner, draft)
        return self.drafts(owner)

    # Inside

    def _guarded(self, endpoint: Callable[..., Any]) -> Callable[..., Any]:
        """The endpoint with expected errors as messages, and unexpected ones noted without what was written."""

        if endpoint.__name__ in ("compose", "illustrate"):

            @wraps(endpoint)
            async def stream(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
                async with aclosing(endpoint(*args, **kwargs)) as steps:
                    while True:
                        try:
                            told = await self._told(anext(steps))
                        except StopAsyncIteration:
                            return
                        yield told

            return stream

        @wraps(endpoint)
        async def answer(*args: Any, **kwargs: Any) -> Any:
            if asyncio.iscoroutinefunction(endpoint):
                return await self._told(endpoint(*args, **kwargs))
            return await self._told(asyncio.to_thread(endpoint, *args, **kwargs))

        return answer

    async def _told(self, asked: Awaitable[Told]) -> Told:
        try:
            return await asked
        except EXPECTED as error:
            raise gr.Error(localize(error, "en"), print_exception=False) from None
        except StopAsyncIteration:
            raise
        except Exception as error:  # noqa: BLE001 - told to the server's log, without what it may quote
            self._tell(redacted(error, traceback.extract_tb(error.__traceback__)))
            raise gr.Error(UNEXPECTED, print_exception=False) from None


def _root(request: gr.Request | None) -> str:
    """The server's address as the caller knows it; empty where nobody asked over HTTP."""
    asked = getattr(request, "request", None)
    return str(asked.base_url) if asked is not None else ""
