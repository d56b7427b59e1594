"""A pipeline without models: the events of ``Pipeline`` in their order, from a fixed text."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from composer.article.claims import claims_in
from composer.article.credit import credit_line
from composer.article.language import resolve_language
from composer.article.markdown import make_sections, parse_markdown
from composer.article.model import Article, Placement, Slot
from composer.errors import WritingFailed
from composer.pipeline import events
from composer.request import ComposeRequest
from image_db.metadata.record import ImageRecord
from retrieval.candidates import Candidate
from tests.composer.article_samples import NOTHING_FITS, record_of, said


class FakePipeline:
    """Writes three paragraphs about the instruction and puts the library's pictures after them in turn.

    ``step`` is called after each word written: a test can wait there, or raise. ``closed`` counts jobs that were
    cancelled, ``running`` how many run now and ``most_running`` how many ever did at once.
    """

    def __init__(self, pictures: Sequence[ImageRecord], step: Callable[[], None] = lambda: None) -> None:
        self.pictures = tuple(pictures)
        self.step = step
        self.requests: list[ComposeRequest] = []
        self.closed = 0
        self.running = 0
        self.most_running = 0
        self._lock = threading.Lock()

    def events(self, request: ComposeRequest) -> Iterator[events.Event]:
        self.requests.append(request)
        with self._lock:
            self.running += 1
            self.most_running = max(self.most_running, self.running)
        try:
            yield from self._events(request)
        except GeneratorExit:
            self.closed += 1
            raise
        finally:
            with self._lock:
                self.running -= 1

    def outline(self, request: ComposeRequest) -> Iterator[events.Event]:
        """Three headings about the instruction; ``step`` is called once before."""
        self.requests.append(request)
        if "fail" in request.instruction:
            raise WritingFailed("nothing_written")
        yield events.StageStarted("write")
        self.step()
        yield events.StageFinished("write", 0.5, tokens=12)
        yield events.Planned(request.instruction.strip(), ("Morning", "At noon", "Evening"))

    def _events(self, request: ComposeRequest) -> Iterator[events.Event]:
        if "fail" in request.instruction:
            raise WritingFailed("nothing_written")
        if "crash" in request.instruction:
            raise ZeroDivisionError("a bug")
        language = resolve_language(request.language, request.text or request.instruction)
        yield events.StageStarted("write")
        if request.text:
            parsed = parse_markdown(request.text)
            article = Article(parsed.title or request.text_name, language, parsed.sections, preamble=parsed.preamble)
            article = replace(article, title_in_text=not parsed.title)
        else:
            title, blocks = _written(request, language)
            headings = [line.lstrip("# ") for block in blocks for line in block.splitlines() if line.startswith("#")]
            yield events.Planned(title, tuple(headings))
            for word in re.findall(r"\S+\s*|\S", f"# {title}\n\n" + "\n\n".join(blocks)):
                yield events.TextDelta(word)
                self.step()
            sections = (replace(s, unchecked=claims_in(s.text)) for s in make_sections(blocks))
            article = Article(title, language, tuple(sections))
        article = replace(article, provenance={"seed": request.seed})
        yield events.StageFinished("write", 1.5, tokens=120, cache_hits=7)
        yield events.ArticleSoFar(article)
        for stage in ("place", "caption", "find", "choose"):
            yield events.StageStarted(stage)
            if stage == "choose":
                article = article.with_placements(self._placements(request, article))
            yield events.StageFinished(stage, 0.25, tokens=10)
            yield events.ArticleSoFar(article)
        yield events.StageStarted("finish")
        yield events.StageFinished("finish", 0.1)
        yield events.Done(article)

    def _placements(self, request: ComposeRequest, article: Article) -> tuple[Placement, ...]:
        own = tuple(record_of(p, 640, 480, caption=p.stem) for p in request.use_images)
        shown = own + tuple(p for p in self.pictures if p.id not in {r.id for r in own})
        count = min(2 if request.images is None else request.images, len(article.sections), len(shown))
        placements = []
        for number in range(count):
            ranked = shown[number:] + shown[:number]
            candidates = tuple(
                Candidate(r, 0.5 - i / 20, 0.6 - i / 20, 0.8 - i / 10, -0.2 - i, said(f"matches “{r.caption}”"))
                for i, r in enumerate(ranked)
            )
            chosen = ranked[0]
            caption = chosen.caption_in(article.language)
            slot = Slot(number, caption, chosen.caption, 0.5)
            credit = credit_line(chosen, article.language)
            placements.append(
                Placement(slot, candidates, chosen, said("best of 3"), caption, chosen.alt or caption, credit)
            )
        empty = Placement(Slot(len(article.sections) - 1, "A thing unseen"), (), None, NOTHING_FITS)
        return (*placements, empty)


def _written(request: ComposeRequest, language: str) -> tuple[str, list[str]]:
    topic = request.title or request.instruction.strip()
    if request.headings:
        return topic, [f"## {heading}\n\n" + f"All about {heading.lower()}. " * 4 for heading in request.headings]
    if language == "zh":
        return topic, [
            f"{topic}，先从早晨说起。" * 3,
            "## 白天\n\n" + "太阳出来了，院子里热闹起来。" * 4,
            "晚上一切安静下来。" * 3,
        ]
    return topic, [
        f"This is about {topic}. " + "The morning begins early, long before the sun clears the poplars. " * 4,
        "## At noon\n\n" + "Work goes on until the bell, and *nobody* looks at the clock. " * 4,
        f"That was {topic}. " + "By nightfall the yard is quiet again. " * 3,
    ]
