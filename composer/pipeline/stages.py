"""The stages of making an article, each a function of what the earlier ones gave.

``composer.pipeline.pipeline`` runs them in order for a request; ``composer.editing.rerun`` runs some of them on an
article that exists. Knows no order, no terminal, no files to write and no user interface.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any

from composer.article.credit import credit_line
from composer.article.markdown import parse_markdown, plain_text
from composer.article.model import Article, Placement, Section, Slot
from composer.errors import UsageError
from composer.pipeline.captions import (
    library_words,
    propose_captions,
    settle_captions,
    subject,
    suited,
    translate,
    varied_subjects,
)
from composer.pipeline.conversation import Dialogue, reading
from composer.pipeline.placement import choose_places, eligible, model_scores, number_of_pictures
from composer.pipeline.placement_model import passages_of, shipped_boundaries
from composer.pipeline.prompts import Prompts
from composer.pipeline.reranking import judge_candidates
from composer.pipeline.selection import Considered, choose, may_be_chosen
from composer.pipeline.uploads import Uploads
from composer.pipeline.writer import Writer, Written
from composer.request import ComposeRequest
from composer.settings import Settings
from image_db.library import Library
from retrieval.candidates import Candidate, Filters, Query, log_odds
from retrieval.diversity import same_picture, without_duplicates
from retrieval.search import Searcher
from vision.interfaces import JointEncoder, VisionLanguageModel

# From this retrieval score for the whole instruction on, the model is asked whether a picture suits the article.
HINT_FUSED = 0.04
LEAST_HINTS = 3


@dataclass(slots=True)
class Job:
    """What the stages of one request share."""

    request: ComposeRequest
    language: str
    prompts: Prompts
    uploads: Uploads
    english: bool  # the encoder needs English queries


class Stages:
    """One set of models and one library to work with. One request at a time."""

    def __init__(
        self,
        settings: Settings,
        model: VisionLanguageModel,
        encoder: JointEncoder,
        library: Library,
        searcher: Searcher,
    ) -> None:
        self.settings = settings
        self.model = model
        self.encoder = encoder
        self.library = library
        self.searcher = searcher

    def read(self, job: Job) -> tuple[Article, Dialogue, bool]:
        parsed = parse_markdown(job.request.text)
        if not parsed.sections:
            raise UsageError("--illustrate: the text has no paragraph that a picture could follow", "no_paragraph")
        title = parsed.title or parsed.sections[0].heading or job.request.text_name or job.prompts.untitled
        dialogue, cut = reading(job.prompts, self.model, title, parsed.sections)
        article = Article(
            title,
            job.language,
            parsed.sections,
            title_in_text=not parsed.title,
            preamble=parsed.preamble,
        )
        return article, dialogue, cut

    def write(self, job: Job) -> Iterator[str | Written]:
        request = job.request
        writer = Writer(self.model, job.prompts, self.settings.writing)
        hints = self._hints(job)
        plan = writer.plan(request.instruction, request.words, hints, request.seed)
        briefing = request.briefing(job.language)
        yield from writer.write(briefing, plan, request.words, job.language, hints, request.seed, fast=request.fast)

    def _hints(self, job: Job) -> list[str]:
        """Subjects of pictures that suit the instruction, for the plan to lead to; required ones come first."""
        own = [subject(record.caption_in(job.language)) for record in job.uploads.records()]
        count = self.settings.writing.plan_from_library
        found: list[str] = []
        if count and job.request.images != 0 and len(self.library):
            instruction = job.request.instruction
            english = translate(self.model, job.prompts, [instruction])[0] if job.english else ""
            query = Query(caption=instruction, english=english, filters=job.request.filters)
            near = [c for c in self.searcher.search(query, 2 * count) if c.fused >= HINT_FUSED]
            subjects = varied_subjects([subject(c.record.caption_in(job.language)) for c in near])[:count]
            found = suited(self.model, job.prompts, instruction, subjects)
            if len(found) < LEAST_HINTS:
                found = []  # the library is about other things, and would lead the plan astray
        return list(dict.fromkeys([*filter(None, own), *found]))

    def place(self, job: Job, sections: Sequence[Section], dialogue: Dialogue) -> list[int]:
        settings = self.settings.pictures
        places = eligible(sections)
        count = job.request.images
        if count is None:
            count = max(number_of_pictures(sections, settings.words_per_picture), len(job.uploads.required))
        if count > len(places):
            places = list(range(len(sections)))
        if not job.request.text and count <= len(headed := [i for i in places if sections[i].heading]):
            # The introduction names what the sections tell: a picture there would be missing from its own section.
            places = headed
        if len(job.uploads.required) > len(places):
            raise UsageError(
                f"--use-image names {len(job.uploads.required)} pictures but the text has only {len(places)} places "
                "for one",
                "few_places",
                used=len(job.uploads.required),
                places=len(places),
            )
        if count == 0:
            return []
        return choose_places(places, self.worth_of_places(job, sections, dialogue, places), count, len(sections))

    def worth_of_places(
        self, job: Job, sections: Sequence[Section], dialogue: Dialogue, places: Sequence[int]
    ) -> list[float]:
        """How much each place asks for a picture that the library may have: log-odds."""
        if self.settings.pictures.placement == "learned":
            learned = shipped_boundaries().scores(passages_of(sections))
            scores = [float(learned[i]) for i in places]
        else:
            scores = model_scores(self.model, job.prompts, dialogue, sections, places)
        support = self._support(job, [sections[i] for i in places])
        weight = self.settings.pictures.library_weight
        return [score + weight * odds for score, odds in zip(scores, support, strict=True)]

    def _support(self, job: Job, sections: Sequence[Section]) -> list[float]:
        """How well the library can illustrate each section: log-odds of the best picture's fused score."""
        if not len(self.library) or not self.settings.pictures.library_weight:
            return [0.0] * len(sections)
        queries = [Query(caption=plain_text(s.text), filters=job.request.filters) for s in sections]
        best = [max((c.fused for c in found), default=0.0) for found in self.searcher.search_batch(queries, 1)]
        return [log_odds(value) for value in best]

    def caption(
        self,
        job: Job,
        sections: Sequence[Section],
        dialogue: Dialogue,
        places: Sequence[int],
        avoid: Sequence[str] = (),
    ) -> list[Slot]:
        """What the picture at each place should show: something else than ``avoid`` says."""
        if not places:
            return []
        captions = propose_captions(self.model, job.prompts, dialogue, sections, places, avoid)
        return self.slots(job, places, captions)

    def slots(self, job: Job, places: Sequence[int], captions: Sequence[str]) -> list[Slot]:
        """Places with what they should show, said in English as well where the encoder reads nothing else."""
        english = translate(self.model, job.prompts, captions) if job.english else captions
        return [Slot(*entry) for entry in zip(places, captions, english, strict=True)]

    def find(
        self, job: Job, article: Article, slots: Sequence[Slot], exclude: frozenset[str] = frozenset()
    ) -> list[Considered]:
        """Candidates for each slot, best first and no two alike; pictures that came along are among them."""
        queries = [
            Query(
                caption=slot.caption,
                english=slot.query if job.english else "",
                context=f"{article.title}. {plain_text(article.sections[slot.after_section].text)}",
                exclude=exclude | frozenset(job.uploads.ids),
                filters=job.request.filters,
            )
            for slot in slots
        ]
        count = self.settings.pictures.candidates
        found: list[list[Candidate]] = [[] for _ in queries]
        if len(self.library):
            hashes = self.library.phashes()
            for number, candidates in enumerate(self.searcher.search_batch(queries, 3 * count)):
                vectors = self.searcher.visual_vectors([c.record.id for c in candidates])
                found[number] = without_duplicates(candidates, vectors, hashes)[:count]
        if len(job.uploads):
            # A picture that must appear has to be a candidate of every slot, whatever the filters say.
            free = [replace(query, exclude=frozenset(), filters=Filters()) for query in queries]
            given = Searcher(job.uploads, self.encoder).search_batch(free, len(job.uploads))
            found = [a + b for a, b in zip(given, found, strict=True)]
        return [Considered(slot, tuple(candidates)) for slot, candidates in zip(slots, found, strict=True)]

    def choose(
        self, job: Job, sections: Sequence[Section], dialogue: Dialogue, found: Sequence[Considered]
    ) -> tuple[Placement, ...]:
        judged = self._judge(job, sections, dialogue, found) if self.settings.pictures.judge_weight else found
        ids = {c.record.id for entry in judged for c in entry.candidates}
        chosen = choose(judged, self.settings.pictures, required=job.uploads.required, same=self.look_alike(ids))
        # Should the job end here, no picture stands without its credit and the library's words.
        return tuple(_worded(placement, job.language) for placement in chosen)

    def look_alike(self, ids: Iterable[str]) -> Callable[[str, str], bool]:
        """Tells two of these pictures that a reader would take for one."""
        ids = sorted(ids)
        vectors = self.searcher.visual_vectors(ids) if len(self.library) else {}
        hashes = self.library.phashes()
        return lambda one, other: same_picture(one, other, vectors, hashes)

    def finish(self, job: Job, article: Article) -> Article:
        shown = [(p.chosen, p.slot.caption) for p in article.placements if p.chosen is not None]
        words = iter(settle_captions(self.model, job.prompts, job.language, shown))
        settled = []
        for placement in article.placements:
            if placement.chosen is not None:
                caption, alt = next(words)
                credit = credit_line(placement.chosen, job.language)
                placement = replace(placement, caption=caption, alt=alt, credit=credit)
            settled.append(placement)
        return article.with_placements(tuple(settled))

    def _judge(
        self, job: Job, sections: Sequence[Section], dialogue: Dialogue, found: Sequence[Considered]
    ) -> list[Considered]:
        settings, required = self.settings.pictures, frozenset(job.uploads.ids)
        return judge_candidates(
            self.model,
            job.prompts,
            settings,
            job.language,
            sections,
            dialogue,
            found,
            lambda candidate: may_be_chosen(candidate, settings, required),
        )

    def provenance(self, job: Job) -> dict[str, Any]:
        """Everything the result depends on; no times and no paths, so that the same request gives the same file."""
        encoder = self.encoder.identity
        request = job.request
        return {
            "vignette": version("vignette"),
            "profile": self.settings.name,
            "models": {
                "language": {"name": self.model.identity.name, "sha256": self.model.identity.sha256},
                "encoder": {"name": encoder.name, "sha256": encoder.sha256},
            },
            "seed": request.seed,
            "library": {"name": self.library.folder.name, "pictures": len(self.library)},
            "request": {
                "instruction": request.instruction,
                "illustrated": bool(request.text),
                "images": "auto" if request.images is None else request.images,
                "used": list(job.uploads.ids),
                "language": request.language,
                "words": request.words,
                "tone": request.tone,
            },
        }


def _worded(placement: Placement, language: str) -> Placement:
    if placement.chosen is None:
        return placement
    caption, alt = library_words(placement.chosen, language, placement.slot.caption)
    return replace(placement, caption=caption, alt=alt, credit=credit_line(placement.chosen, language))
