"""Runs stages again on an article that exists: another number of pictures, or one stage and those that follow it.

Locked and edited placements keep their place, picture and words, and no stage shows their pictures elsewhere. Nothing
that stands is lost for want of something better.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

from composer.article.markdown import join_sections
from composer.article.model import Article, Placement
from composer.editing.rewrite_article import open_sections, rewrite_article
from composer.errors import EditError, UsageError, WritingFailed
from composer.pipeline import events
from composer.pipeline.conversation import Conversation, reading
from composer.pipeline.pipeline import Pipeline, RequestContext
from composer.pipeline.placement import choose_places, eligible, number_of_pictures
from composer.pipeline.selection import Considered
from composer.request import MAX_IMAGES, ComposeRequest

RerunStage: TypeAlias = Literal["write", "place", "caption", "find", "choose", "finish"]
RERUN_STAGES: tuple[RerunStage, ...] = ("write", "place", "caption", "find", "choose", "finish")
# Log-odds that a place loses for standing next to a picture that stays.
CROWDED = 3.0


@dataclass(slots=True)
class Rerun:
    """An article whose other placements are made again beside those that stay."""

    pipeline: Pipeline
    context: RequestContext
    article: Article
    stay: tuple[Placement, ...]
    conversation: Conversation
    timer: events.StageTimer

    @property
    def shown(self) -> frozenset[str]:
        """Pictures that stand already and must not stand twice."""
        return frozenset(p.chosen.id for p in self.stay if p.chosen is not None)

    def free_places(self) -> list[int]:
        """Sections with no placement that stays: those fit for a picture, or all that have words where none is."""
        taken = {p.slot.after_section for p in self.stay}
        sections = self.article.sections
        fit = [i for i in eligible(sections) if i not in taken]
        return fit or [i for i in eligible(sections, len(sections)) if i not in taken]

    def preferred(self, places: list[int], count: int) -> list[int]:
        """In an article of our own, the sections with headings if they are enough: see ``Pipeline.place``."""
        headed = [] if _illustrated(self.article) else [i for i in places if self.article.sections[i].heading]
        return headed if count <= len(headed) else places

    def best_places(self, places: Sequence[int], count: int) -> list[int]:
        """``count`` of the places, apart from each other and from what stays."""
        if not count or not places:
            return []
        sections = self.article.sections
        worth = self.pipeline.worth_of_places(self.context, sections, places)
        taken = [p.slot.after_section for p in self.stay if p.chosen is not None]
        near = max(1, round(len(sections) / (count + len(taken)) / 2))
        crowded = [any(abs(place - other) < near for other in taken) for place in places]
        values = [value - CROWDED * close for value, close in zip(worth, crowded, strict=True)]
        return choose_places(places, values, count, len(sections))

    def considered(self, found: Sequence[Considered], exclude: frozenset[str]) -> list[Considered]:
        """The same without pictures that are excluded, that stand already or that look like one that does."""
        ids = {c.record.id for entry in found for c in entry.candidates}
        alike = self.pipeline.look_alike(ids | self.shown)
        gone = exclude | {i for i in ids if i in self.shown or any(alike(i, other) for other in self.shown)}
        return [
            replace(entry, candidates=tuple(c for c in entry.candidates if c.record.id not in gone)) for entry in found
        ]

    def with_free(self, free: Sequence[Placement]) -> Article:
        return self.article.with_placements((*self.stay, *free))


def rerun_stage(
    pipeline: Pipeline,
    article: Article,
    stage: RerunStage,
    request: ComposeRequest | None = None,
    *,
    fresh: bool = True,
) -> Iterator[events.Event]:
    """Run a stage and those that follow it again for what is neither locked nor edited; ends with ``Done``.

    "write" writes the unlocked sections again under their headings; places stay, their pictures are found again. A
    person's own text stays, and is read again for new places.

    With ``fresh`` something else is wanted than what stands: other places where there are enough, other descriptions,
    other pictures; a picture for which there is no other stays. ``request`` is the one the article was made for; it
    brings uploads and filters. Raises at once: UsageError for a stage that there is not, EditError where no section may
    be written again.
    """
    if stage not in RERUN_STAGES:
        raise UsageError("malformed", given=stage)
    if stage == "write" and _illustrated(article):
        stage = "place"  # a person's own text was only read
    if stage == "write":
        if not open_sections(article):
            raise EditError("all_settled")
        return _rewrite(pipeline, article, request)
    return _rerun(pipeline, article, stage, request, fresh)


def write_rest(
    pipeline: Pipeline, article: Article, headings: Sequence[str], request: ComposeRequest
) -> Iterator[events.Event]:
    """Write the sections that are missing of an article whose making was stopped, then choose its pictures.

    What stands stays word for word.
    """
    yield events.StageStarted("write")
    timer = events.StageTimer(pipeline.model, pipeline.judge)
    context = pipeline.context(request, article.writing_language)
    whole = yield from pipeline.write_rest(context, article, headings)
    if len(whole.sections) == len(article.sections):
        raise WritingFailed("nothing_written")
    yield timer.finished("write")
    # As many pictures as the whole text carries, not as stood beside a part of it.
    article = whole.with_placements(tuple(p for p in article.placements if p.locked_or_edited))
    yield events.ArticleSoFar(article)
    yield from _rerun(pipeline, article, "place", request, fresh=False)


def _rewrite(pipeline: Pipeline, article: Article, request: ComposeRequest | None) -> Iterator[events.Event]:
    yield events.StageStarted("write")
    timer = events.StageTimer(pipeline.model, pipeline.judge)
    tone, seed = (request.tone, request.seed) if request else ("", 0)
    writing = rewrite_article(pipeline.model, pipeline.settings.writing, article, tone=tone, seed=seed)
    with closing(writing) as drafts:  # type: ignore[type-var]
        for article in drafts:
            yield events.ArticleSoFar(article)
    yield timer.finished("write")
    yield from _rerun(pipeline, article, "caption", request, fresh=False)


def _rerun(
    pipeline: Pipeline, article: Article, first: RerunStage, request: ComposeRequest | None, fresh: bool
) -> Iterator[events.Event]:
    stay = tuple(p for p in article.placements if p.locked_or_edited)
    free: Sequence[Placement] = [p for p in article.placements if not p.locked_or_edited]
    if first == "choose" and not all(p.candidates for p in free):
        first = "find"  # the article was stopped before it had anything to choose from
    yield events.StageStarted(first)
    work = _begin(pipeline, article, stay, request, read=first != "finish")
    slots = [p.slot for p in free]
    places = [slot.after_section for slot in slots]
    found = [Considered(p.slot, p.candidates) for p in free]
    lost: set[Path] = set()
    rejected = frozenset(p.chosen.id for p in free if p.chosen is not None) if fresh else frozenset()
    for stage in RERUN_STAGES[RERUN_STAGES.index(first) :]:
        if stage != first:
            yield events.StageStarted(stage)
        match stage:
            case "place":
                places = work.best_places(*_wanted_places(work, free, fresh))
                free, rejected = (), frozenset()  # elsewhere, the same pictures are welcome
            case "caption":
                avoid = [slot.caption for slot in slots] if fresh and stage == first else []
                slots = pipeline.caption(work.context, article.sections, work.conversation, places, avoid)
            case "find":
                found = pipeline.find(work.context, article, slots, work.shown | rejected, lost)
                yield from events.lost_notice(lost)
            case "choose":
                _limit_required(work, len(slots))
                left = work.considered(found, rejected - work.context.required)
                chosen = pipeline.choose(work.context, article, work.conversation, left)
                free = _kept_where_nothing_is_better(chosen, free)
            case "finish":
                free = pipeline.finish(work.context, replace(article, placements=tuple(free))).placements
        yield work.timer.finished(stage)
        if stage == "choose":
            yield events.ArticleSoFar(work.with_free(free))
    yield events.Done(work.with_free(free))


def set_picture_count(
    pipeline: Pipeline, article: Article, count: int, request: ComposeRequest | None = None
) -> Iterator[events.Event]:
    """Let exactly ``count`` pictures stand; ends with ``Done``.

    Fewer: the least fitting go. More: those that stand stay, and the best further places get pictures, one place after
    another until there are enough or nothing in the library fits any place that is left, which a ``Notice`` says.
    Raises EditError at once where more than ``count`` pictures are locked or edited.
    """
    if not 0 <= count <= MAX_IMAGES:
        raise EditError("count_wrong", count=count, most=MAX_IMAGES)
    fixed = sum(p.locked_or_edited and p.chosen is not None for p in article.placements)
    if fixed > count:
        raise EditError("too_many_fixed", fixed=fixed, count=count)
    return _set_picture_count(pipeline, article, count - fixed, request)


def _set_picture_count(
    pipeline: Pipeline, article: Article, need: int, request: ComposeRequest | None
) -> Iterator[events.Event]:
    free = [p for p in article.placements if not p.locked_or_edited and p.chosen is not None]
    best = sorted(free, key=_fit, reverse=True)[:need]
    stay = tuple(p for p in article.placements if p.locked_or_edited or any(p is kept for kept in best))
    if need <= len(free):
        yield events.StageStarted("choose")
        yield events.StageTimer(pipeline.model, pipeline.judge).finished("choose")
        yield events.Done(article.with_placements(stay))
        return
    missing = need - len(free)
    yield events.StageStarted("place")
    work = _begin(pipeline, article, stay, request, read=True)
    work.context = replace(work.context, required=frozenset())
    tried: set[int] = set()
    yield work.timer.finished("place")
    for widening in range(1, len(article.sections) + 1):
        places = [i for i in work.free_places() if i not in tried]
        if not places:
            others = {p.slot.after_section for p in work.stay} | tried
            places = [i for i in range(len(article.sections)) if i not in others]
        if not missing or not places:
            break
        wanted = min(len(places), missing * widening)
        added = yield from _illustrate(work, work.best_places(work.preferred(places, wanted), wanted))
        tried.update(p.slot.after_section for p in added)
        filled = sorted((p for p in added if p.chosen is not None), key=_fit, reverse=True)[:missing]
        missing -= len(filled)
        work.stay = (*work.stay, *filled)
        yield events.ArticleSoFar(work.with_free(()))
    if missing:
        standing = sum(p.chosen is not None for p in work.stay)
        yield events.Notice("fewer_fit", {"standing": standing, "asked": standing + missing})
    yield events.Done(work.with_free(()))


def _illustrate(work: Rerun, places: Sequence[int]) -> Generator[events.Event, None, tuple[Placement, ...]]:
    """Yields the events of the stages that fill these places; returns what became of them."""
    pipeline, context, article = work.pipeline, work.context, work.article
    yield events.StageStarted("caption")
    slots = pipeline.caption(context, article.sections, work.conversation, places, [p.slot.caption for p in work.stay])
    yield work.timer.finished("caption")
    yield events.StageStarted("find")
    lost: set[Path] = set()
    found = pipeline.find(context, article, slots, work.shown, lost)
    yield from events.lost_notice(lost)
    yield work.timer.finished("find")
    yield events.StageStarted("choose")
    left = work.considered(found, frozenset())
    chosen = pipeline.choose(context, article, work.conversation, left)
    yield work.timer.finished("choose")
    yield events.StageStarted("finish")
    done = pipeline.finish(context, replace(article, placements=chosen)).placements
    yield work.timer.finished("finish")
    return done


def _begin(
    pipeline: Pipeline, article: Article, stay: tuple[Placement, ...], request: ComposeRequest | None, *, read: bool
) -> Rerun:
    """``read`` lets the model read the article; nothing is asked about it otherwise."""
    if request is None:
        request = ComposeRequest(text=join_sections(article.sections), language=article.language)
    timer = events.StageTimer(pipeline.model, pipeline.judge)
    context = pipeline.context(request, article.writing_language)
    conversation = Conversation(())
    if read:
        conversation, _ = reading(context.prompts, pipeline.model, article.title, article.sections)
    return Rerun(pipeline, context, article, stay, conversation, timer)


def _wanted_places(work: Rerun, free: Sequence[Placement], fresh: bool) -> tuple[list[int], int]:
    """Places to choose from, and how many: as many as the request says, or as there were, or as the text carries."""
    asked = work.context.request.images
    stand = sum(p.chosen is not None for p in work.stay)
    if asked is None:
        words = work.pipeline.settings.pictures.words_per_picture
        count = len(free) or max(0, number_of_pictures(work.article.sections, words) - stand)
    else:
        count = max(0, asked - stand)
    places = work.preferred(work.free_places(), count)
    others = [i for i in places if i not in {p.slot.after_section for p in free}]
    return (others if fresh and len(others) >= count else places), count


def _limit_required(work: Rerun, slots: int) -> None:
    """Pictures that must appear and stand already need no slot; no more can be required than there are slots."""
    left = [i for i in work.context.uploads.ids if i in work.context.required and i not in work.shown]
    work.context = replace(work.context, required=frozenset(left[:slots]))


def _kept_where_nothing_is_better(chosen: Sequence[Placement], before: Sequence[Placement]) -> list[Placement]:
    """A place for which no other picture was found keeps the one it had, which stays among its candidates."""
    if not before:
        return list(chosen)
    shown = {p.chosen.id for p in chosen if p.chosen is not None}
    result = []
    for new, old in zip(chosen, before, strict=True):
        if new.chosen is None and old.chosen is not None and old.chosen.id not in shown:
            new = replace(old, slot=new.slot)
        known = {c.record.id for c in new.candidates}
        rest = tuple(c for c in old.candidates if c.record.id not in known)
        result.append(replace(new, candidates=(*new.candidates, *rest)))
    return result


def _illustrated(article: Article) -> bool:
    """Whether the text is a person's own, as far as is known."""
    return bool(article.provenance.get("request", {}).get("illustrated", True))


def _fit(placement: Placement) -> float:
    """How well the picture shown fits its place, as retrieval found it."""
    return next((c.fused for c in placement.candidates if placement.chosen and c.record.id == placement.chosen.id), 0.0)
