"""An open draft: its article and the steps back, the job that makes it, proposals, and the chat about it.

Every page that shows the draft looks at one session, under one lock: no edit is lost between two of them, and none
waits for a model.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from composer.article.markdown import join_sections
from composer.article.model import Article
from composer.article.serialization import record_from_json, record_to_json
from composer.editing.caption_suggestions import Suggestion
from composer.editing.history import EditHistory
from composer.editing.proposals import Proposal
from composer.errors import EditError
from composer.pipeline.events import Event, Notice, StageFinished, StageStarted
from composer.pipeline.progress import Progress
from composer.request import REQUEST_FIELDS, ComposeRequest, request_from_json, request_to_json
from composer.studio.autosave import Autosave
from composer.studio.change_signal import ChangeSignal
from composer.studio.draft_store import Draft, OwnerDrafts
from composer.studio.growing_text import GrowingText
from composer.studio.job_queue import Job, report_outcome, stoppable
from composer.studio.models import StudioModels
from image_db.metadata.record import ImageRecord
from retrieval.candidates import Candidate

KEPT_QUESTIONS = 100
END_S = 5.0  # how long a draft that is deleted waits for what runs in it

JobKind = Literal["compose", "outline", "refit", "retry", "write_rest"]


@dataclass(slots=True)
class PendingProposal:
    """What the model proposes for a section: streaming text, then a ``proposal`` to accept or reject."""

    before: str
    action: str
    wish: str = ""
    job: Job | None = None
    text: str = ""
    proposal: Proposal | None = None
    error: Exception | None = None


@dataclass(slots=True)
class ChatTurn:
    """A question and what has been answered so far. ``picture`` is what it was about, None for the article.

    ``note`` is a key of the page's words.
    """

    question: str
    picture: ImageRecord | None = None
    answer: str = ""
    note: str = ""
    error: Exception | None = None
    job: Job | None = None
    over: bool = False


@dataclass(frozen=True, slots=True)
class Outline:
    title: str
    headings: tuple[str, ...]


@dataclass(slots=True)
class RunningJob:
    """The making of the whole article: which kind, how far, and since when (seconds of ``time.monotonic``)."""

    kind: JobKind
    words: int
    growing: GrowingText
    job: Job | None = None
    progress: Progress = field(default_factory=Progress)
    began_s: float = field(default_factory=time.monotonic)
    stage_s: float = field(default_factory=time.monotonic)

    def article(self) -> Article | None:
        return self.growing.standing(self.progress)

    def words_written(self) -> int:
        return self.growing.words(self.progress.text)


class DraftSession:
    """``lock`` is held by whoever reads several fields or changes any; ``touch`` tells the pages of a change."""

    def __init__(self, models: StudioModels, drafts: OwnerDrafts, draft: Draft) -> None:
        self.models = models
        self.drafts = drafts
        self.draft = draft
        self.lock = threading.RLock()
        self.changes = ChangeSignal()
        self.history: EditHistory | None = draft.history
        self.running: RunningJob | None = None
        self.trace: tuple[StageFinished, ...] = ()
        self.notices: tuple[Notice, ...] = ()
        self.note = "interrupted" if draft.state == "writing" else ""  # a key of the page's words
        # What was stopped, or failed, last.
        self.unfinished: JobKind | None = None
        if self.note or (draft.history is None and self.outline is None):
            self.unfinished = "outline" if draft.info.get("outlining") else "compose"
        self._begin_again: Callable[[], None] = self.compose_again
        self.error: Exception | None = None
        self.proposals: list[PendingProposal] = []
        self.chat: list[ChatTurn] = chat_from_json(draft.talk)
        self.suggesting: set[str] = set()  # ids of pictures whose caption the model writes now
        self.suggested: dict[str, tuple[str, ...]] = {}
        self.suggestions: dict[str, Suggestion] = {}  # by picture: captions to be taken or dismissed
        self.found: dict[str, Candidate] = {}
        self._typing: tuple[str, EditHistory] | None = None

    @property
    def article(self) -> Article | None:
        return self.history.article if self.history is not None else None

    @property
    def library(self) -> Path:
        return Path(str(self.draft.info.get("library", "")))

    @property
    def unwritten(self) -> tuple[str, ...]:
        """Headings of the outline that a text which was cut short does not reach."""
        return tuple(self.draft.info.get("unwritten", ()))

    @property
    def outline(self) -> Outline | None:
        """What is to be written, as long as nothing is: a person may change it first."""
        info = self.draft.info
        if self.history is not None or not info.get("outlining") or not info.get("title"):
            return None
        return Outline(str(info["title"]), tuple(info.get("headings", ())))

    def present(self) -> Article:
        return self._editable().article

    def touch(self) -> None:
        self.changes.notify()

    # Edits

    def change(self, action: str, edit: Callable[[Article], Article], typing: str = "") -> None:
        """One step. Edits that carry the same ``typing`` token are one step: a person typing on.

        Raises EditError where the edit does not fit, or while the article is being made.
        """
        with self.lock:
            history = self._editable()
            self._check_idle()
            edited = edit(history.article)
            if typing and self._typing is not None and self._typing[0] == typing:
                history = self._typing[1]
            self._typing = (typing, history) if typing else None
            self._keep(history.do(action, edited))

    def step(self, way: Literal["undo", "redo"]) -> None:
        with self.lock:
            history = self._editable()
            self._check_idle()
            self._typing = None
            self._keep(history.undo() if way == "undo" else history.redo())

    def _editable(self) -> EditHistory:
        if self.history is None:
            raise EditError("no_article")
        return self.history

    def _check_idle(self) -> None:
        if self.running is not None:
            raise EditError("being_made")

    def _keep(self, history: EditHistory) -> None:
        if history is self.history:
            return
        self.draft = self.drafts.save(self.draft, history)
        self.history = history
        self.note, self.error, self.unfinished = "", None, None
        texts = {section.text for section in history.article.sections}
        self.proposals = [pending for pending in self.proposals if pending.before in texts]
        self.touch()

    # The whole article

    def compose(self, request: ComposeRequest) -> None:
        """Write or illustrate. Returns at once; the job goes on whoever looks."""
        autosave = Autosave(self.drafts, self.draft, request.language)

        def make(job: Job, running: RunningJob) -> None:
            try:
                self._follow(job, running, lambda pipeline: pipeline.events(request), autosave.record)
            finally:
                try:
                    autosave.finish(running.progress)
                finally:
                    with self.lock:
                        self.draft, self.history = autosave.draft, autosave.draft.history

        self._start("compose", request, make)

    def compose_again(self) -> None:
        """Begin anew with what was asked for. Raises EditError where an article stands."""
        if self.history is not None:
            raise EditError("nothing_left")
        request = request_of(self.draft.info, None)
        if self.draft.info.get("outlining"):
            self.plan(request)
        else:
            self.compose(request)

    def plan(self, request: ComposeRequest) -> None:
        """Let the model make an outline, to be changed and then written by ``write_outline``. Returns at once."""

        def make(job: Job, running: RunningJob) -> None:
            self._follow(job, running, lambda pipeline: pipeline.outline(replace(request, headings=())))
            if running.progress.title:
                with self.lock:
                    self._keep_outline(running.progress.title, running.progress.headings)

        with self.lock:
            self.draft = replace(self.draft, info={**self.draft.info, "outlining": True, "title": "", "headings": []})
            self._start("outline", request, make)

    def rename(self, name: str) -> None:
        """How the draft is called in the list of drafts; by its title where the name is empty."""
        with self.lock:
            self._check_idle()
            name = " ".join(name.split())
            self.draft = self.drafts.save(replace(self.draft, info={**self.draft.info, "name": name}), self.history)

    def set_outline(self, title: str, headings: Sequence[str]) -> None:
        """What a person made of the outline. Raises EditError where there is none (any more)."""
        with self.lock:
            self._check_idle()
            if self.outline is None:
                raise EditError("outline_gone")
            self._keep_outline(title.strip() or self.outline.title, headings)
            self.touch()

    def _keep_outline(self, title: str, headings: Sequence[str]) -> None:
        kept = [line for heading in headings if (line := " ".join(heading.split()))]
        info = {**self.draft.info, "title": " ".join(title.split()), "headings": kept}
        self.draft = self.drafts.save(replace(self.draft, info=info), None)

    def write_outline(self) -> None:
        """Write the article that the outline says. Raises EditError where there is no outline, or no heading in it."""
        with self.lock:
            self._check_idle()
            if self.outline is None:
                raise EditError("outline_gone")
            if not self.outline.headings:
                raise EditError("outline_empty")
            self.draft = replace(self.draft, info={**self.draft.info, "outlining": False})
            self.compose(request_of(self.draft.info, None))

    def begin_again(self) -> None:
        """Do once more what was stopped or failed last. Raises EditError where nothing was."""
        if self.unfinished is None:
            raise EditError("nothing_left")
        self._begin_again()

    def leave_unwritten(self) -> None:
        """Let the text be whole as it stands."""
        with self.lock:
            self._check_idle()
            self.draft = self.drafts.save(self._without_unwritten(self.unwritten), self.history)
            self.note, self.unfinished = "", None
            self.touch()

    def _without_unwritten(self, gone: Collection[str]) -> Draft:
        left = [heading for heading in self.unwritten if heading not in gone]
        return replace(self.draft, info={**self.draft.info, "unwritten": left})

    def remake(self, kind: JobKind, request: ComposeRequest, events: Callable[[Any, Article], Iterator[Event]]) -> None:
        """Run stages again on the article as it stands; what comes out is one step that can be undone."""
        article = self.present()

        def make(job: Job, running: RunningJob) -> None:
            self._follow(job, running, lambda pipeline: events(pipeline, article))
            made = running.progress.article
            if made is not None:
                with self.lock:
                    if kind == "write_rest":
                        whole = any(finished.stage == "write" for finished in running.progress.trace)
                        new = {section.heading for section in made.sections}
                        self.draft = self._without_unwritten(self.unwritten if whole else new)
                    self._keep(self._editable().do(kind, made))

        self._begin_again = lambda: self.remake(kind, request, events)
        self._start(kind, request, make)

    def _start(self, kind: JobKind, request: ComposeRequest, make: Callable[[Job, RunningJob], None]) -> None:
        with self.lock:
            self._check_idle()
            self.running = running = RunningJob(kind, request.words, GrowingText(request.language))
            self.note, self.error, self.notices, self.unfinished = "", None, (), None
            self.touch()

        def ended(error: Exception | None) -> None:
            with self.lock:
                self.error, self.running = error, None
                self.trace, self.notices = running.progress.trace, running.progress.notices
                self.note = ""  # a stop that came after the last step has nothing to stop
                self.unfinished = kind if error is not None or running.progress.stopped else None
                if error is None and running.progress.stopped:
                    self.note = "stopped" if self.history is not None else "stopped_early"
                self.touch()
            stopped = running.progress.stopped
            if kind == "outline":
                return
            self.models.metrics.article("failed" if error is not None else "stopped" if stopped else "made")

        def run(job: Job) -> None:
            with report_outcome(ended):
                make(job, running)

        running.job = self.models.make_article(run, self.touch)

    def _follow(
        self,
        job: Job,
        running: RunningJob,
        events: Callable[[Any], Iterator[Event]],
        record: Callable[[Progress], None] | None = None,
    ) -> None:
        """Take the events as they come until they end or the job is stopped."""
        with closing(stoppable(self._loaded(events), job)) as steps:
            for event in steps:
                progress = running.progress.after(event)
                if isinstance(event, StageFinished) and running.kind != "outline":
                    self.models.times.learn(event, running.words)
                    self.models.metrics.stage(event)
                with self.lock:
                    if progress.stage != running.progress.stage:
                        running.stage_s = time.monotonic()
                    running.progress = progress
                    self.touch()
                if record is not None:
                    record(progress)
        if not running.progress.done and not (running.kind == "outline" and running.progress.title):
            running.progress = replace(running.progress, stopped=True)

    def _loaded(self, events: Callable[[Any], Iterator[Event]]) -> Iterator[Event]:
        """The events, after those of loading the models."""
        yield StageStarted("load")
        began_s = time.monotonic()
        pipeline = self.models.pipeline(self.library)
        yield StageFinished("load", time.monotonic() - began_s)
        yield from events(pipeline)

    def stop(self) -> list[Job]:
        """End the making of the article, and every proposal and answer under way. Returns the jobs that end."""
        with self.lock:
            asked = [p.job for p in self.proposals if p.proposal is None] + [t.job for t in self.chat if not t.over]
            jobs = [job for job in [self.running.job if self.running else None, *asked] if job is not None]
            if self.running is not None:
                self.note = "stopping"
                self.touch()
        for job in jobs:
            job.stop()
        return jobs

    def close(self) -> None:
        """Stop, and wait for what is under way to end: nothing is saved after this."""
        for job in self.stop():
            job.wait(END_S)

    # Questions that take seconds

    def ask(self, work: Callable[[Job], None], ended: Callable[[Exception | None], None]) -> Job:
        """Run quick work beside the articles; ``ended`` is called, under the lock, with its error or None."""

        def report(error: Exception | None) -> None:
            with self.lock:
                ended(error)
                self.touch()

        def run(job: Job) -> None:
            with report_outcome(report):
                if not job.stopping:
                    work(job)

        return self.models.answer(run)

    def keep_chat(self) -> None:
        """Save what was said with the draft. Raises DraftError where the disk refuses."""
        with self.lock:
            self.draft = self.drafts.save(self.draft, self.history, talk=chat_to_json(self.chat))

    @property
    def busy(self) -> bool:
        """Whether the whole article is being made."""
        return self.running is not None

    @property
    def active(self) -> bool:
        """Whether anything is going on that a page would want to see."""
        answering = any(not turn.over for turn in self.chat)
        proposing = any(pending.proposal is None and not pending.error for pending in self.proposals)
        return self.busy or answering or proposing or bool(self.suggesting)

    def stage_after_stop(self) -> Literal["place", "choose"]:
        """From where pictures would be made for a text that was stopped or interrupted."""
        over = {finished.stage for finished in self.trace}
        return "choose" if "find" in over and self.article is not None and self.article.placements else "place"


def chat_to_json(chat: Sequence[ChatTurn]) -> list[dict[str, Any]]:
    """The latest questions, each with its answer as far as it goes."""
    return [
        {
            "question": turn.question,
            "answer": turn.answer,
            "note": turn.note,
            "over": turn.over,
            "picture": None
            if turn.picture is None
            else {"id": turn.picture.id, **record_to_json(turn.picture, turn.picture.path.name)},
        }
        for turn in chat[-KEPT_QUESTIONS:]
    ]


def chat_from_json(values: Sequence[Mapping[str, Any]]) -> list[ChatTurn]:
    """Read what ``chat_to_json`` wrote; an answer that was still being given says that it was cut off."""
    return [
        ChatTurn(
            entry["question"],
            None if entry["picture"] is None else record_from_json(entry["picture"]["id"], entry["picture"]),
            entry["answer"],
            entry["note"] if entry["over"] else "answer_cut",
            over=True,
        )
        for entry in values
    ]


def request_info(request: ComposeRequest, library: Path) -> dict[str, Any]:
    """What a draft keeps of its request, as plain JSON values; a text to be illustrated until the article has it."""
    kept = {**request_to_json(request), "illustrated": bool(request.text)}
    return {"library": str(library), **kept}


def request_of(info: Mapping[str, Any], article: Article | None) -> ComposeRequest:
    """The request that is made again, or a stage of it; pictures and documents that are gone by now are not asked for.

    ``article`` is None where nothing was made yet.
    """
    given = {name: info[name] for name in REQUEST_FIELDS if info.get(name) is not None}
    if article is not None:
        given |= {"instruction": info.get("instruction") or article.title, "language": article.language}
    if article is not None and info.get("illustrated"):
        given |= {"text": join_sections(article.sections), "text_name": article.title}
    # Drafts of version 0.1 call the pictures "must" and "may".
    for name, before in (("use_images", "must"), ("may_use", "may")):
        given[name] = [path for path in info.get(name, info.get(before, [])) if Path(path).is_file()]
    given["sources"] = [path for path in info.get("sources", []) if Path(path).is_file()]
    return request_from_json(given)
