"""A draft as it stands open: its article and steps, the work going on in it, what has been proposed and said.

Every page that shows the draft looks at one room, under one lock: no edit is lost between two of them, and none waits
for a model. Knows no widgets and no HTML.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from composer.article.markdown import join_sections
from composer.article.model import Article
from composer.editing.history import EditHistory
from composer.errors import EditError, UsageError
from composer.pipeline.events import Event, Notice, StageFinished, StageStarted
from composer.pipeline.progress import Progress
from composer.request import REQUEST_FIELDS, ComposeRequest, request_from_json, request_to_json
from composer.studio.autosave import Recorder, record_progress
from composer.studio.draft_store import Draft, Shelf
from composer.studio.job_queue import Job
from composer.studio.models import Studio
from composer.studio.studio_heed import heeded
from composer.studio.studio_talk import Said, talk_from_json, talk_to_json
from composer.studio.studio_trouble import settled
from retrieval.candidates import Candidate

if TYPE_CHECKING:
    from composer.editing.proposals import Proposal

Making = Literal["compose", "refit", "retry"]


@dataclass(slots=True)
class Offer:
    """What the model proposes for a section: streaming text, then a ``proposal`` to accept or reject."""

    before: str
    action: str
    job: Job | None = None
    text: str = ""
    proposal: Proposal | None = None
    trouble: Exception | None = None


@dataclass(slots=True)
class Work:
    """The making of the whole article: which kind, how far, and since when."""

    kind: Making
    words: int
    job: Job | None = None
    progress: Progress = field(default_factory=Progress)
    began_s: float = field(default_factory=time.monotonic)
    stage_s: float = field(default_factory=time.monotonic)


class Room:
    """One open draft. ``lock`` is held by whoever reads several of its fields or changes any."""

    def __init__(self, studio: Studio, shelf: Shelf, draft: Draft) -> None:
        self.studio = studio
        self.shelf = shelf
        self.draft = draft
        self.lock = threading.RLock()
        self.version = 1
        self.history: EditHistory | None = draft.history
        self.work: Work | None = None
        self.trace: tuple[StageFinished, ...] = ()
        self.notices: tuple[Notice, ...] = ()
        self.note = "interrupted" if draft.state == "writing" else ""  # a key of the page's words
        self.trouble: Exception | None = None
        self.offers: list[Offer] = []
        self.said: list[Said] = talk_from_json(draft.talk)
        self.suggesting: set[str] = set()  # ids of pictures whose caption the model writes now
        self.suggested: dict[str, tuple[str, ...]] = {}
        self.found: dict[str, Candidate] = {}
        self._typing: tuple[str, EditHistory] | None = None

    @property
    def article(self) -> Article | None:
        return self.history.article if self.history is not None else None

    @property
    def library(self) -> Path:
        return Path(str(self.draft.info.get("library", "")))

    def present(self) -> Article:
        if self.history is None:
            raise EditError("there is no article yet", "no_article")
        return self.history.article

    def touch(self) -> None:
        self.version += 1

    # Edits

    def change(self, action: str, edit: Callable[[Article], Article], typing: str = "") -> None:
        """One step. Edits that carry the same ``typing`` token are one step: a person typing on.

        Raises EditError where the edit does not fit, or while the article is being made.
        """
        with self.lock:
            article = self.present()
            if self.work is not None:
                raise EditError("the article is still being made; stop it first or wait", "being_made")
            edited = edit(article)
            assert self.history is not None
            start = self.history
            if typing and self._typing is not None and self._typing[0] == typing:
                start = self._typing[1]
            history = start.do(action, edited)
            self._typing = (typing, start) if typing else None
            self._keep(history)

    def step(self, way: Literal["undo", "redo"]) -> None:
        with self.lock:
            self.present()
            assert self.history is not None
            if self.work is not None:
                raise EditError("the article is still being made; stop it first or wait", "being_made")
            self._typing = None
            self._keep(self.history.undo() if way == "undo" else self.history.redo())

    def _keep(self, history: EditHistory) -> None:
        if history is self.history:
            return
        self.draft = self.shelf.save(self.draft, history)
        self.history = history
        self.note, self.trouble = "", None
        texts = {section.text for section in history.article.sections}
        self.offers = [offer for offer in self.offers if offer.before in texts]
        self.touch()

    # The whole article

    def compose(self, request: ComposeRequest) -> None:
        """Write or illustrate. Returns at once; the job goes on whoever looks."""

        def begin(job: Job) -> None:
            progresses = self._progresses(job, lambda pipeline: pipeline.events(request))
            recorder = Recorder(self.shelf, self.draft, request.language)
            try:
                self._watch(record_progress(recorder, progresses))
            finally:
                with self.lock:
                    self.draft = recorder.draft
                    self.history = recorder.draft.history

        self._start("compose", request.words, begin)

    def remake(self, kind: Making, events: Callable[[Any, Article], Iterator[Event]], words: int) -> None:
        """Run stages again on the article as it stands; what comes out is one step that can be undone."""
        article = self.present()

        def begin(job: Job) -> None:
            last = self._watch(self._progresses(job, lambda pipeline: events(pipeline, article)))
            made = last.article
            if made is not None:
                with self.lock:
                    assert self.history is not None
                    self._keep(self.history.do(kind, made))

        self._start(kind, words, begin)

    def _start(self, kind: Making, words: int, begin: Callable[[Job], None]) -> None:
        with self.lock:
            if self.work is not None:
                raise UsageError("this article is being made already; stop it first or wait", "being_made")
            self.work = work = Work(kind, words)
            self.note, self.trouble = "", None
            self.notices = ()
            self.touch()

        def settle(trouble: Exception | None) -> None:
            with self.lock:
                self.trouble, self.work = trouble, None
                self.trace, self.notices = work.progress.trace, work.progress.notices
                self.note = ""  # a stop that came after the last step has nothing to stop
                if trouble is None and work.progress.stopped:
                    self.note = "stopped" if self.history is not None else "stopped_early"
                self.touch()

        def run(job: Job) -> None:
            with settled(settle):
                begin(job)

        work.job = self.studio.submit(run, long=True)

    def _progresses(self, job: Job, events: Callable[[Any], Iterator[Event]]) -> Iterator[Progress]:
        progress = Progress()
        if job.stopping:
            yield replace(progress, stopped=True)
            return

        def happening() -> Iterator[Event]:
            yield StageStarted("load")
            began_s = time.monotonic()
            pipeline = self.studio.models().pipeline(self.library)
            yield StageFinished("load", time.monotonic() - began_s)
            yield from events(pipeline)

        with closing(heeded(happening(), lambda: job.stopping)) as steps:
            for event in steps:
                progress = progress.after(event)
                yield progress
        if not progress.done:
            yield replace(progress, stopped=True)

    def _watch(self, progresses: Iterator[Progress]) -> Progress:
        progress = Progress()
        for progress in progresses:
            with self.lock:
                work = self.work
                assert work is not None
                if progress.stage != work.progress.stage:
                    work.stage_s = time.monotonic()
                if len(progress.trace) > len(work.progress.trace):
                    self.studio.pace.learn(progress.trace[-1], work.words)
                work.progress = progress
                self.touch()
        return progress

    def keep_talk(self) -> None:
        """Save what was said with the draft. Raises DraftError where the disk refuses."""
        with self.lock:
            self.draft = self.shelf.save(self.draft, self.history, talk=talk_to_json(self.said))

    def stop(self) -> None:
        """End the making of the article, and every proposal and answer under way."""
        with self.lock:
            work = self.work
            asked = [o.job for o in self.offers if o.proposal is None] + [s.job for s in self.said if not s.over]
            jobs = [job for job in [work.job if work else None, *asked] if job is not None]
            if work is not None:
                self.note = "stopping"
                self.touch()
        for job in jobs:
            self.studio.stop(job)

    # Questions that take seconds

    def ask(self, work: Callable[[Job], None], failed: Callable[[Exception | None], None]) -> Job:
        """Run quick work in the short line; ``failed`` is told, under the lock, why it came to nothing."""

        def settle(trouble: Exception | None) -> None:
            with self.lock:
                failed(trouble)
                self.touch()

        def run(job: Job) -> None:
            with settled(settle):
                if not job.stopping:
                    work(job)

        return self.studio.submit(run, long=False)

    @property
    def busy(self) -> bool:
        return self.work is not None

    @property
    def active(self) -> bool:
        """Whether anything is going on that a page would want to see."""
        talking = any(not said.over for said in self.said)
        offering = any(offer.proposal is None and not offer.trouble for offer in self.offers)
        return self.busy or talking or offering or bool(self.suggesting)

    def stage_after_stop(self) -> Literal["place", "choose"]:
        """From where pictures would be made for a text that was stopped or interrupted."""
        over = {finished.stage for finished in self.trace}
        return "choose" if "find" in over and self.article is not None and self.article.placements else "place"


def request_info(request: ComposeRequest, library: Path) -> dict[str, Any]:
    """What a draft keeps of its request, as plain JSON values; its article has the text that was to be illustrated."""
    kept = {**request_to_json(request), "text": "", "illustrated": bool(request.text)}
    return {"library": str(library), **kept}


def request_of(info: Mapping[str, Any], article: Article) -> ComposeRequest:
    """The request a stage is run again for; pictures that are gone by now are not asked for."""
    given = {name: info[name] for name in REQUEST_FIELDS if info.get(name) is not None}
    given |= {"instruction": info.get("instruction") or article.title, "language": article.language}
    if info.get("illustrated"):
        given |= {"text": join_sections(article.sections), "text_name": article.title}
    # Drafts of version 0.1 call the pictures "must" and "may".
    for name, before in (("use_images", "must"), ("may_use", "may")):
        given[name] = [path for path in info.get(name, info.get(before, [])) if Path(path).is_file()]
    return request_from_json(given)
