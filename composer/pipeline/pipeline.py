"""One request, from what was asked to an illustrated article: write or read, place, caption, find, choose, finish.

The way of a request, call by call, from the command line to the written folder:

1. ``composer.cli.main`` reads the command
2. ``composer.commands.compose.run`` has the request read by ``composer.request.request_from_json``
3. ``composer.settings.load_settings`` reads the profile
4. ``composer.pipeline.loading.load_pipeline`` loads the models and opens the library
5. ``Pipeline.compose`` hands every event to the terminal
6. ``Pipeline.events`` runs the stages in their order
7. each stage, a method of ``Pipeline``, asks the writer, placement, captions, reranking or selection
8. ``composer.export.article_folder.save_article`` writes the folder
9. which asks ``composer.export`` for every other format
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from composer.article.claims import claims_in
from composer.article.language import count_words, writing_language
from composer.article.markdown import block_kind, make_sections, parse_markdown, plain_text
from composer.article.model import Article, Placement, Section, Slot
from composer.errors import UsageError
from composer.pipeline import events
from composer.pipeline.captions import propose_captions, subject, translate
from composer.pipeline.conversation import Conversation, reading
from composer.pipeline.events import Event, TextDelta
from composer.pipeline.picture_words import ShownPicture, english_words, library_words, printed_words, worded
from composer.pipeline.placement import choose_places, eligible, number_of_pictures
from composer.pipeline.placement_model import passages_of, shipped_placement_model
from composer.pipeline.prompts import Prompts, load_prompts
from composer.pipeline.prompts.trained_tasks import TRAINED_KIND, caption_places, judge_by_letter, score_places
from composer.pipeline.remote_pictures import brought, readable
from composer.pipeline.reranking import judge_candidates
from composer.pipeline.selection import Considered, choose, may_be_chosen
from composer.pipeline.subjects import Subject, different, naming, of_headings, read_label, supported_subjects
from composer.pipeline.typed_words import document_language
from composer.pipeline.uploads import Uploads, read_uploads
from composer.pipeline.writing.citing import CitingWriter
from composer.pipeline.writing.dictionary import installed_dictionary
from composer.pipeline.writing.encyclopedia import installed_encyclopedia
from composer.pipeline.writing.facts import Glossary, named_things
from composer.pipeline.writing.planning import Plan, given_plan
from composer.pipeline.writing.translation import Translator
from composer.pipeline.writing.writer import Writer, Written
from composer.request import ComposeRequest
from composer.settings import Settings
from composer.sources.collection import CACHE_FOLDER, SourceCollection, read_sources
from image_db.metadata.generate import Drafting
from image_db.stores.opening import AnyLibrary
from retrieval.candidates import Candidate, Query, log_odds
from retrieval.cedict import installed_chinese_dictionary
from retrieval.diversity import same_picture, without_duplicates
from retrieval.filters import Filters
from retrieval.search import Searcher
from vision import own_version
from vision.downloads.store import home
from vision.interfaces import JointEncoder, Message, VisionLanguageModel

LEAST_SHARE = 0.85  # of the words asked for, below which the article says why
SUPPORTED = 3.0  # log-odds for a place whose subject the library has
CANDIDATES_OF_A_PHRASE = 6


@dataclass(frozen=True, slots=True)
class RequestContext:
    """What the stages of one request share; ``Pipeline.context`` makes it.

    ``required`` are the pictures that came along and must appear, by record id. ``english`` tells that the encoder
    reads no other language and this article is in one. ``language`` is the one that the model writes in. ``sources`` is
    what the text is written from, where the request names documents.
    """

    request: ComposeRequest
    language: str
    prompts: Prompts
    uploads: Uploads
    required: frozenset[str]
    english: bool
    sources: SourceCollection | None = None


class Pipeline:
    """Makes articles with one set of models and one library, one request at a time.

    The stages are methods of their own: ``composer.editing.rerun`` runs some of them on an article that exists.
    """

    def __init__(
        self,
        settings: Settings,
        model: VisionLanguageModel,
        encoder: JointEncoder,
        library: AnyLibrary,
        searcher: Searcher,
        own_judge: VisionLanguageModel | None = None,
        *,
        draft: Drafting | None = None,
    ) -> None:
        """``model`` writes, and judges too without ``own_judge``; ``draft`` gives words to pictures that come along."""
        self.settings = settings
        self.model = model
        self.encoder = encoder
        self.library = library
        self.searcher = searcher
        self.own_judge, self.draft = own_judge, draft

    @property
    def judge(self) -> VisionLanguageModel:
        return self.own_judge or self.model

    def compose(self, request: ComposeRequest, listener: Callable[[Event], None] = lambda _: None) -> Article:
        """Make the article. Raises the errors of the packages; nothing is written to disk."""
        article: Article | None = None
        for event in self.events(request):
            listener(event)
            if isinstance(event, events.Done):
                article = event.article
        assert article is not None  # events() ends with Done or raises
        return article

    def events(self, request: ComposeRequest) -> Iterator[Event]:
        """The same as a stream that ends with ``Done``. Closing it cancels between tokens."""
        language = document_language(request)
        context = self.context(request, writing_language(language))
        if request.images != 0 and not len(context.uploads) and not self.searcher.passes(request.filters):
            raise UsageError("filters_leave_nothing" if len(self.library) else "library_empty")

        timer = events.StageTimer(self.model, self.judge)
        yield events.StageStarted("write")
        for model in (self.model, *((self.own_judge,) if self.own_judge else ())):
            if notice := getattr(model, "notice", None):
                yield events.Notice(notice.key, notice.values)
        article, conversation = yield from (self.read(context, language) if request.text else self.write(context))
        article = replace(article, provenance={**self.provenance(context), **article.provenance})
        yield timer.finished("write")
        yield events.ArticleSoFar(article)

        yield events.StageStarted("place")
        places = self.place(context, article.sections)
        yield timer.finished("place")

        yield events.StageStarted("caption")
        slots = self.caption(context, article.sections, conversation, places)
        article = article.with_placements(tuple(Placement(slot, (), None, ()) for slot in slots))
        yield timer.finished("caption")
        yield events.ArticleSoFar(article)

        yield events.StageStarted("find")
        lost: set[Path] = set()
        found = self.find(context, article, slots, lost=lost)
        yield from events.lost_notice(lost)
        yield timer.finished("find")

        yield events.StageStarted("choose")
        article = article.with_placements(self.choose(context, article, conversation, found))
        yield timer.finished("choose")
        yield events.ArticleSoFar(article)

        yield events.StageStarted("finish")
        article = self.finish(context, article)
        if undescribed := sum(p.chosen is not None and not p.caption for p in article.placements):
            yield events.Notice("pictures_undescribed", {"count": undescribed})
        if guessed := sum(p.chosen is not None and p.chosen.caption_origin == "generated" for p in article.placements):
            yield events.Notice("pictures_guessed", {"count": guessed})
        yield timer.finished("finish")
        yield events.Done(article)

    def context(self, request: ComposeRequest, language: str) -> RequestContext:
        """What the stages need of a request; reads the pictures that came with it. Raises UsageError for a bad one."""
        sources = None
        if request.sources:
            cache = (request.project or home() / "sources") / CACHE_FOLDER
            sources = read_sources(request.sources, cache, self.encoder, language)
        pictures = sources.pictures if sources and request.images != 0 else ()
        uploads, required = read_uploads(request.use_images, self.encoder, (*request.may_use, *pictures), self.draft)
        readable = self.encoder.languages
        english = readable is not None and language not in readable
        return RequestContext(request, language, load_prompts(language), uploads, required, english, sources)

    def read(self, context: RequestContext, language: str) -> Generator[Event, None, tuple[Article, Conversation]]:
        """A person's own text, in that language, as an article, and the conversation in which the model read it."""
        request = context.request
        parsed = parse_markdown(request.text)
        if all(block_kind(section.text) == "nothing" for section in parsed.sections):
            raise UsageError("no_paragraph")
        for key in parsed.notices:
            yield events.Notice(key, {})
        title = parsed.title or parsed.sections[0].heading or request.text_name or context.prompts.untitled
        conversation, cut = reading(context.prompts, self.model, title, parsed.sections)
        if cut:
            yield events.Notice("read_beginnings", {"tokens": self.model.context_tokens})
        article = Article(
            title, language, parsed.sections, title_in_text=parsed.title_in_text, preamble=parsed.preamble
        )
        return article, conversation

    def write(self, context: RequestContext) -> Generator[Event, None, tuple[Article, Conversation]]:
        """Yields the text of a new article as it grows; returns it with the conversation in which it was written."""
        request = context.request
        if context.sources is not None:
            return (yield from self._write_from(context, context.sources))
        writer = self._writer(context)
        plan = self._plan(context, writer)
        if self.settings.writer.kind == "gguf" and None in (installed_dictionary(), installed_encyclopedia()):
            yield events.Notice("dictionary_missing", {})
        yield events.Planned(plan.title, plan.headings if len(plan.headings) > 1 else ())
        written = yield from self._text(context, writer, plan)
        if left := written.without_text(request.headings):
            yield events.Notice("headings_left", {"headings": left})
        count = sum(count_words(plain_text(section.body)) for section in written.sections)
        if count < LEAST_SHARE * request.words:
            yield events.Notice("text_shorter", {"written": count, "asked": request.words})
        conversation, _ = reading(context.prompts, self.model, written.title, written.sections)
        sections = self._unchecked(context, written, written.sections)
        # The plan was told what the pictures that came along show.
        shown = [(id_, words) for id_, words in context.uploads.said(context.language).items() if words]
        told = [{"section": "", "name": subject(words), "text": words, "source": id_} for id_, words in shown]
        known = {"facts": [*written.told, *told]}
        article = Article(written.title, context.language, sections, provenance=known, sources=written.sources)
        return article, conversation

    def outline(self, request: ComposeRequest) -> Iterator[Event]:
        """Title and headings alone, which a person may change before they are written; ends with ``Planned``."""
        context = self.context(request, writing_language(document_language(request)))
        timer = events.StageTimer(self.model, self.judge)
        yield events.StageStarted("write")
        plan = self._plan(context, self._writer(context))
        yield timer.finished("write")
        yield events.Planned(plan.title, plan.headings)

    def _plan(self, context: RequestContext, writer: Writer) -> Plan:
        request = context.request
        if request.headings:
            return given_plan(request.title or request.instruction, request.headings)
        return writer.plan(
            request.instruction,
            request.words,
            request.seed,
            required=[subject(words) for words in context.uploads.said(context.language).values()],
            illustrated=lambda headings: self._illustrated(context, headings),
            belonging=lambda headings: self._odds(
                context.prompts,
                [context.prompts.belongs.format(wish=request.instruction.strip(), thing=thing) for thing in headings],
            ),
            kind=request.kind_of_text,
        )

    def write_rest(
        self, context: RequestContext, article: Article, headings: Sequence[str]
    ) -> Generator[Event, None, Article]:
        """Goes on with an article whose text was cut short: a section for each of the headings, after those that stand.

        Yields the article after each section, and returns it whole.
        """
        standing = article.sections
        outline = (*(section.heading for section in standing if section.heading), *headings)
        writing = self._text(context, self._writer(context), Plan(article.title, outline), standing)
        next(writing)  # what stands
        added: list[str] = []
        while True:
            try:
                text = next(writing).text.strip()
            except StopIteration as end:
                written: Written = end.value
                break
            if text:
                added.append(text)
                # What it was told of the things is known at the end: until then more is marked than needs to be.
                new = self._unchecked(context, Written(article.title, ()), make_sections(added))
                yield events.ArticleSoFar(replace(article, sections=(*_apart(standing), *new)))
        new = self._unchecked(context, written, make_sections(added))
        known = [*article.provenance.get("facts", ()), *written.told]
        provenance = {**self.provenance(context), **article.provenance, "facts": known}
        return replace(
            article,
            sections=(*_apart(standing), *(replace(s, citations=written.citations) for s in new)) if new else standing,
            sources=tuple(dict.fromkeys((*article.sources, *written.sources))),
            provenance=provenance,
        )

    def _writer(self, context: RequestContext) -> Writer:
        translator = None
        if not self._reads(context.language) and context.request.kind_of_text != "story":
            translator = Translator(self.model, context.prompts, installed_chinese_dictionary())
        knowledge = self._glossary(context, "en" if translator else context.language)
        return Writer(self.model, context.prompts, self.settings.writing, knowledge, translator)

    def _text(
        self, context: RequestContext, writer: Writer, plan: Plan, standing: Sequence[Section] = ()
    ) -> Generator[TextDelta, None, Written]:
        request = context.request
        briefing = context.prompts.with_tone(request.instruction, request.tone)
        kind, language = request.kind_of_text, context.language
        return writer.write(
            briefing, plan, request.words, language, request.seed, kind=kind, fast=request.fast, standing=standing
        )

    def _unchecked(
        self, context: RequestContext, written: Written, sections: tuple[Section, ...]
    ) -> tuple[Section, ...]:
        """The sections with the claims that the writer was not given; a story's need not be so."""
        if context.request.kind_of_text == "story":
            return sections
        known = list(itertools.chain(*written.facts.values()))
        told = [fact.entry.extract if fact.entry else str(fact) for fact in known]
        given = [context.request.instruction, written.title, *told]
        return tuple(replace(section, unchecked=claims_in(section.text, given)) for section in sections)

    def _write_from(
        self, context: RequestContext, sources: SourceCollection
    ) -> Generator[Event, None, tuple[Article, Conversation]]:
        """The same from a person's own documents, which the text cites."""
        request, language = context.request, context.language
        for left_out in sources.left_out:
            yield events.Notice(left_out.key, left_out.values)
        writer = CitingWriter(self.model, context.prompts, self.settings.writing, self.encoder, sources, language)
        plan = writer.plan(request.instruction, request.words)
        sections = yield from writer.write(plan, request.words, request.seed, request.tone)
        written = sum(count_words(plain_text(section.text)) for section in sections)
        if written < LEAST_SHARE * request.words:
            yield events.Notice("sources_thin", {"words": written, "asked": request.words})
        conversation, _ = reading(context.prompts, self.model, plan.title, sections)
        return Article(plan.title, language, sections, sources=sources.sources), conversation

    def _reads(self, language: str) -> bool:
        """Whether the encoder can compare sentences in that language."""
        return self.encoder.languages is None or language in self.encoder.languages

    def _glossary(self, context: RequestContext, language: str) -> Glossary:
        """What is known of the things that headings in that language name."""
        prompts = load_prompts("en")  # definitions are English
        return Glossary(
            self.encoder.encode_sentences,
            None if language == "en" else lambda texts: translate(self.model, context.prompts, texts),
            reads_language=self._reads(language),
            dictionary=installed_dictionary(),
            encyclopedia=installed_encyclopedia(),
            odds=lambda about, texts: self._odds(
                prompts, [prompts.meant.format(about=about, text=text) for text in texts]
            ),
        )

    def _odds(self, prompts: Prompts, questions: Sequence[str]) -> list[float]:
        """The model's log-odds of yes against no to questions in the language of the prompts."""
        asked = [(Message.of("user", question), Message.of("assistant", prompts.odds_prefix)) for question in questions]
        options = (prompts.odds_yes, prompts.odds_no)
        return [yes - no for yes, no in self.model.score_batch(asked, [options] * len(asked))]

    def _illustrated(self, context: RequestContext, headings: Sequence[str]) -> list[bool]:
        """Whether the library has a picture whose words name what each heading names."""
        if not self.settings.writing.plan_from_library or context.request.images == 0 or not len(self.library):
            return [False] * len(headings)
        english = headings if context.language == "en" else translate(self.model, context.prompts, headings)
        queries = [Query(caption=heading, filters=context.request.filters) for heading in english]
        shown = []
        for heading, candidates in zip(english, self.searcher.search_batch(queries, 3), strict=True):
            words = " ".join(candidate.record.caption_in("en") for candidate in candidates)
            shown.append(bool(set(named_things(heading)) & set(named_things(words))))
        return shown

    def place(self, context: RequestContext, sections: Sequence[Section]) -> list[int]:
        """After which sections pictures stand, as their indices. Raises UsageError for more pictures than places.

        Left to us, they are where a section's subject is in the library, and nowhere else where that is anywhere.
        """
        settings, required = self.settings.pictures, len(context.required)
        places, count = eligible(sections), context.request.images
        # The introduction names what the sections tell: a picture there would be missing from its own section.
        headed = [] if context.request.text else [i for i in places if sections[i].heading]
        if count is None:
            count = number_of_pictures(sections, settings.words_per_picture)
            subjects = self.subjects(context, sections, headed or places)
            if headed:
                subjects = of_headings(subjects, sections, context.request.instruction, self.encoder)
            first = list(subjects)[: max(count, different(subjects.values()))]
            if first and len(first) >= required:
                return sorted(first)
            count = max(min(count, len(headed)) if headed else count, required)
        if count > len(places):
            places = eligible(sections, count)
        if count <= len(headed):
            places = headed
        if required > len(places):
            raise UsageError("few_places", used=required, places=len(places))
        if count == 0:
            return []
        return choose_places(places, self.worth_of_places(context, sections, places), count, len(sections))

    def subjects(
        self, context: RequestContext, sections: Sequence[Section], places: Sequence[int], avoid: Sequence[str] = ()
    ) -> dict[int, Subject]:
        """What those sections are about that the library has pictures of, by section, the surest first."""
        if not len(self.library) and not len(context.uploads):
            return {}

        def search(phrases: Sequence[str]) -> list[list[Candidate]]:
            english = context.english
            queries = [
                Query(caption=phrase, english=phrase if english and phrase.isascii() else "", filters=filters)
                for phrase in phrases
            ]
            found: list[list[Candidate]] = [[] for _ in queries]
            if len(self.library):
                found = self.searcher.search_batch(queries, CANDIDATES_OF_A_PHRASE, explained=False)
            if len(context.uploads):
                free = [replace(query, filters=Filters()) for query in queries]
                own = Searcher(context.uploads, self.encoder).search_batch(free, len(context.uploads), explained=False)
                found = [a + b for a, b in zip(own, found, strict=True)]
            return found

        filters = context.request.filters
        return supported_subjects(sections, places, context.language, search, avoid, context.required)

    def worth_of_places(
        self, context: RequestContext, sections: Sequence[Section], places: Sequence[int]
    ) -> list[float]:
        """How much each place asks for a picture that the library may have: log-odds."""
        if self.settings.writer.kind == TRAINED_KIND:
            odds_of_places = score_places(self.model, sections, places, context.request.images)
            own = dict(zip(places, odds_of_places, strict=True))
        else:
            scores = shipped_placement_model().scores(passages_of(sections))
            own = {i: float(scores[i]) for i in places}
        support = self._support(context, [sections[i] for i in places])
        weight = self.settings.pictures.library_weight
        whole = {i: own[i] + weight * odds for i, odds in zip(places, support, strict=True)}
        for i, found in self.subjects(context, sections, places).items():
            whole[i] += weight * (SUPPORTED + found.salience)
        return [whole[i] for i in places]

    def _support(self, context: RequestContext, sections: Sequence[Section]) -> list[float]:
        """How well the library can illustrate each section: log-odds of the best picture's fused score."""
        if not len(self.library) or not self.settings.pictures.library_weight:
            return [0.0] * len(sections)
        queries = [Query(caption=plain_text(s.text), filters=context.request.filters) for s in sections]
        best = [max((c.fused for c in found), default=0.0) for found in self.searcher.search_batch(queries, 1)]
        return [log_odds(value) for value in best]

    def caption(
        self,
        context: RequestContext,
        sections: Sequence[Section],
        conversation: Conversation,
        places: Sequence[int],
        avoid: Sequence[str] = (),
    ) -> list[Slot]:
        """What the picture at each place should show: something else than ``avoid`` says."""
        if not places:
            return []
        if self.settings.writer.kind == TRAINED_KIND and context.language == "zh" and not avoid:
            captions = caption_places(self.model, sections, places)
        else:
            known = {place: subject.name for place, subject in self.subjects(context, sections, places, avoid).items()}
            captions = propose_captions(self.model, context.prompts, conversation, sections, places, avoid, known)
        english = translate(self.model, context.prompts, captions) if context.english else captions
        return [Slot(*entry) for entry in zip(places, captions, english, strict=True)]

    def find(
        self,
        context: RequestContext,
        article: Article,
        slots: Sequence[Slot],
        exclude: frozenset[str] = frozenset(),
        lost: set[Path] | None = None,
    ) -> list[Considered]:
        """Candidates for each slot, best first and no two alike; pictures that came along are among them.

        A picture whose file is gone or may not be read, as after a library was moved, is no candidate; ``lost``
        receives its path.
        """
        queries = [
            Query(
                caption=slot.caption,
                english=slot.query if context.english else "",
                context=f"{article.title}. {plain_text(article.sections[slot.after_section].text)}",
                exclude=exclude | frozenset(context.uploads.ids),
                filters=context.request.filters,
            )
            for slot in slots
        ]
        count = self.settings.pictures.candidates
        found: list[list[Candidate]] = [[] for _ in queries]
        missed: set[Path] = set() if lost is None else lost
        if len(self.library):
            for number, candidates in enumerate(self.searcher.search_batch(queries, 3 * count)):
                candidates = readable(candidates, missed)
                ids = [candidate.record.id for candidate in candidates]
                vectors, hashes = self.searcher.visual_vectors(ids), self.library.phashes(ids)
                found[number] = brought(without_duplicates(candidates, vectors, hashes)[:count], missed)
        if len(context.uploads):
            # A picture that must appear has to be a candidate of every slot, whatever the filters say.
            free = [replace(query, exclude=frozenset(), filters=Filters()) for query in queries]
            given = Searcher(context.uploads, self.encoder).search_batch(free, len(context.uploads))
            found = [a + b for a, b in zip(given, found, strict=True)]
        return [Considered(slot, tuple(candidates)) for slot, candidates in zip(slots, found, strict=True)]

    def choose(
        self,
        context: RequestContext,
        article: Article,
        conversation: Conversation,
        found: Sequence[Considered],
    ) -> tuple[Placement, ...]:
        """What becomes of each slot: the model judges the candidates, and all slots are filled jointly.

        ``conversation`` is the writer's; a judge of its own reads the article itself.
        """
        settings, own, sections = self.settings.pictures, frozenset(context.uploads.ids), article.sections
        judged = found
        if settings.judge_weight and self.settings.judge.kind == TRAINED_KIND:
            judged = judge_by_letter(
                self.judge, settings, sections, found, lambda candidate: may_be_chosen(candidate, settings, own)
            )
        elif settings.judge_weight:
            if self.judge is not self.model:
                conversation, _ = reading(context.prompts, self.judge, article.title, sections)
            judged = judge_candidates(
                self.judge,
                context.prompts,
                settings,
                context.language,
                sections,
                conversation,
                found,
                lambda candidate: may_be_chosen(candidate, settings, own),
            )
        ids = {c.record.id for entry in judged for c in entry.candidates}
        named_pictures = [naming(entry, sections[entry.slot.after_section], context.language) for entry in judged]
        chosen = choose(named_pictures, settings, required=context.required, same=self.look_alike(ids))
        # Should the request end here, no picture stands without its credit and the library's words.
        return tuple(
            worded(p, library_words(p.chosen, context.language), context.language) if p.chosen else p for p in chosen
        )

    def look_alike(self, ids: Iterable[str]) -> Callable[[str, str], bool]:
        """Tells two of these pictures that a reader would take for one."""
        ids = sorted(ids)
        vectors = self.searcher.visual_vectors(ids) if len(self.library) else {}
        hashes = self.library.phashes(ids)
        return lambda one, other: same_picture(one, other, vectors, hashes)

    def finish(self, context: RequestContext, article: Article) -> Article:
        """The article with the captions, alt texts and credits to print."""
        glossary = self._glossary(context, context.language)
        shown = []
        for placement in article.placements:
            if placement.chosen is not None:
                section = article.sections[placement.slot.after_section]
                label = english_words(placement.chosen)
                read, said = read_label(label), plain_text(section.body) if context.language == "en" else ""
                about = f"{article.title}: {section.heading}: {label}. {', '.join(placement.chosen.tags)}"
                known = glossary.definition_of(read.words, about, said) if label and not read.names else None
                shown.append(ShownPicture(placement.chosen, section, known))
        words = iter(printed_words(self.model, context.prompts, context.language, shown))
        return article.with_placements(
            tuple(p if p.chosen is None else worded(p, next(words), context.language) for p in article.placements)
        )

    def provenance(self, context: RequestContext) -> dict[str, Any]:
        """Everything the result depends on; no times and no paths, so that the same request gives the same file."""
        encoder = self.encoder.identity
        request = context.request
        models: dict[str, Any] = {"language": self.model.identity}
        models |= {"judge": self.own_judge.identity} if self.own_judge else {}
        return {
            "vignette": own_version(),
            "profile": self.settings.name,
            "models": {
                role: {"name": identity.name, "sha256": identity.sha256}
                for role, identity in (*models.items(), ("encoder", encoder))
            },
            "judging": {
                "weight": self.settings.pictures.judge_weight,
                # Reading what a model drafted adds nothing to the search, so a judge that does not see is not asked.
                "undescribed": "looked at" if self.judge.sees_images else "left to the search",
                "fitted": asdict(self.settings.judge_fit) if self.settings.judge_fit else None,
            },
            "seed": request.seed,
            "library": {"name": self.library.folder.name, "pictures": len(self.library)},
            "request": {
                "instruction": request.instruction,
                "illustrated": bool(request.text),
                "images": "auto" if request.images is None else request.images,
                "used": list(context.uploads.ids),
                "language": request.language,
                "words": request.words,
                "tone": request.tone,
            },
        }


def _apart(sections: Sequence[Section]) -> tuple[Section, ...]:
    """The sections with room for another after them."""
    return (*sections[:-1], replace(sections[-1], gap="\n\n")) if sections else ()
