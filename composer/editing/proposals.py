"""Another text for a section, proposed by the language model sentence by sentence, and what accepting it does.

Paragraphs are asked for one by one; headings stay, and so do lists, tables and code between paragraphs. What streams
out has passed ``SentenceFilter``. An answer in the wrong language, or one that does not do what was asked, is tried
once more and then given up. Only ``accept`` changes an article.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from composer.article.claims import claims_in
from composer.article.language import count_words, detect_language, sentence_gap
from composer.article.markdown import is_paragraph, parse_markdown
from composer.article.model import Article
from composer.editing.lookup import unlocked_section
from composer.editing.sections import edit_text
from composer.errors import EditError, UsageError, WritingFailed
from composer.pipeline.prompts import Prompts, load_prompts
from composer.pipeline.writing.seeds import derive_seed
from composer.pipeline.writing.sentence_filter import SentenceFilter, strip_quotes
from composer.pipeline.writing.writer import TOKENS_PER_WORD
from composer.request import LANGUAGES, TONES
from composer.settings import WritingSettings
from vision.interfaces import Message, Prompt, Sampling, VisionLanguageModel

ProposalAction: TypeAlias = Literal["rewrite", "expand", "shorten", "translate", "revise"]
PROPOSAL_ACTIONS: tuple[ProposalAction, ...] = ("rewrite", "expand", "shorten", "translate", "revise")
ATTEMPTS = 2
HEADING_TOKENS = 30
LEAST_DETECTABLE_CHARS = 12  # from which on the language of an answer can be detected
# How long an answer may get, in lengths of the text, before it is cut at its last whole sentence.
_MOST_LENGTHS = {"rewrite": 1.6, "expand": 1.4, "shorten": 1.0, "translate": 2.0, "revise": 2.0}
# In parts of the writer's temperature: another way of saying the same leaves less to chance than writing does.
_TEMPERATURE = {"rewrite": 0.7, "expand": 1.0, "shorten": 0.5, "revise": 0.7}


@dataclass(frozen=True, slots=True)
class Delta:
    """Markdown as it is written; since the last ``Restarted``, all deltas joined are the text so far."""

    text: str


@dataclass(frozen=True, slots=True)
class Restarted:
    """The text so far was no good, for this reason; another attempt follows."""

    reason: WritingFailed


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a section might become: the whole Markdown ``before`` and ``after``."""

    section: int
    before: str
    after: str


ProposalEvent: TypeAlias = Delta | Restarted | Proposal


def accept(article: Article, proposal: Proposal) -> Article:
    """Take the proposal over. Its section is found again where others before it came or went.

    Names, numbers and dates that are new in it are the model's, and unchecked.

    Raises EditError where the section's text has changed since.
    """
    at = [i for i, section in enumerate(article.sections) if section.text == proposal.before]
    if not at:
        raise EditError("proposal_old")
    section = min(at, key=lambda i: abs(i - proposal.section))
    accepted = edit_text(article, section, proposal.after)
    new = accepted.sections[section]
    claims = claims_in(new.text, [proposal.before, article.title])
    marked = replace(new, unchecked=tuple(dict.fromkeys((*new.unchecked, *claims))))
    return replace(accepted, sections=(*accepted.sections[:section], marked, *accepted.sections[section + 1 :]))


@dataclass(frozen=True, slots=True)
class _Wish:
    action: ProposalAction
    tone: str
    language: str  # of the answer
    seed: int
    wish: str = ""


def propose(
    model: VisionLanguageModel,
    settings: WritingSettings,
    article: Article,
    section: int,
    action: ProposalAction,
    *,
    tone: str = "",
    language: str = "",
    seed: int = 0,
    wish: str = "",
) -> Iterator[ProposalEvent]:
    """Text as it is written, ending with one ``Proposal``. Closing the iterator cancels between tokens.

    ``tone`` is one of TONES or empty, ``language`` the one to translate into, ``wish`` what a person
    wants changed, in words of their own, for "revise". Raises EditError for a section that is
    locked or holds no running text and UsageError for an unknown action, tone or language, both at once; later
    WritingFailed where the model gives nothing usable, and the model's own errors.
    """
    target = unlocked_section(article, section)
    spoken = detect_language(target.text)
    answer_language = language if action == "translate" else spoken
    for value, known in ((action, PROPOSAL_ACTIONS), (tone, ("", *TONES)), (answer_language, LANGUAGES)):
        if value not in known:
            raise UsageError("malformed", given=value)
    if action == "revise" and not wish.strip():
        raise UsageError("question_empty")
    if action == "translate" and language == spoken:
        raise EditError("already_translated")
    if not any(prose for _, prose in _blocks(target.body)):
        raise EditError("no_prose")
    return _attempts(model, settings, article, section, _Wish(action, tone, answer_language, seed, wish.strip()))


def _attempts(
    model: VisionLanguageModel, settings: WritingSettings, article: Article, section: int, wish: _Wish
) -> Iterator[ProposalEvent]:
    before = article.sections[section].text
    for attempt in range(ATTEMPTS):
        after = ""
        try:
            with closing(_rewritten(model, settings, article, section, wish, attempt)) as written:  # type: ignore[type-var]
                for piece in written:
                    after += piece
                    yield Delta(piece)
            _check(wish, before, after)
        except WritingFailed as unfit:
            if attempt + 1 == ATTEMPTS:
                raise WritingFailed("unfit", reason=unfit) from None
            yield Restarted(unfit)
        else:
            yield Proposal(section, before, after)
            return


def _rewritten(
    model: VisionLanguageModel,
    settings: WritingSettings,
    article: Article,
    section: int,
    wish: _Wish,
    attempt: int,
) -> Iterator[str]:
    """The section's new Markdown in pieces: blocks of running text rewritten, all else as it is."""
    prompts = load_prompts(wish.language)
    target = article.sections[section]
    prose = SentenceFilter()
    if wish.action == "expand":  # what stands elsewhere need not be said again
        for number, other in enumerate(article.sections):
            if number != section:
                prose.note(other.body)
    if target.heading:
        head = target.text[: len(target.text) - len(target.text.partition("\n")[2])].rstrip("\n")
        if wish.action == "translate":
            marks = head[: len(head) - len(head.lstrip("#"))]
            head = f"{marks} {_heading(model, prompts, target.heading)}"
        yield head
    gap = "\n\n" if target.heading else ""
    for number, (text, running) in enumerate(_blocks(target.body)):
        if not running:
            yield gap + text
            gap = "\n\n"
            continue
        prompt = _prompt(prompts, article, wish, text)
        if wish.action == "expand":  # the text stands; the model adds to it
            prose.note(text)
            yield gap + text
            gap = sentence_gap(wish.language)
        sampling = _sampling(settings, wish, text, f"{wish.action} {section} {number} {attempt}", attempt)
        for piece in stream_paragraph(model, prompt, sampling, prose, wish.language):
            yield gap + piece
            gap = ""
        gap = "\n\n"


def stream_paragraph(
    model: VisionLanguageModel, prompt: Prompt, sampling: Sampling, prose: SentenceFilter, language: str
) -> Iterator[str]:
    """The answer's first paragraph in pieces; what follows it is not asked for.

    Raises WritingFailed where there is none, or as soon as it turns out to be in another language.
    """
    answer, given, finish = "", "", "length"
    with closing(model.stream(prompt, sampling)) as chunks:  # type: ignore[type-var]
        for chunk in chunks:
            finish = chunk.finish or finish
            if not (piece := prose.feed(chunk.text)):
                continue
            answer += piece
            paragraph, over = _first_paragraph(answer, language)
            if len(paragraph) > len(given):
                yield paragraph[len(given) :]
                given = paragraph
            if over:
                break
    rest = prose.finish(complete=finish == "stop")
    paragraph, _ = _first_paragraph(answer + rest, language)
    if len(paragraph) > len(given):
        yield paragraph[len(given) :]
    if not paragraph.strip():
        raise WritingFailed("answer_empty")


def _first_paragraph(answer: str, language: str) -> tuple[str, bool]:
    """The first line that is no lead-in, without a sentence that leads to what follows it, and whether it is over."""
    lines = [line for line in answer.split("\n") if line.strip()]
    while lines and lines[0].rstrip().endswith((":", "：")):
        lines.pop(0)
    paragraph = lines[0] if lines else ""
    if len(paragraph) >= LEAST_DETECTABLE_CHARS and detect_language(paragraph) != language:
        raise WritingFailed("answer_in_other_language")
    return paragraph, len(lines) > 1


def _heading(model: VisionLanguageModel, prompts: Prompts, heading: str) -> str:
    prompt = (Message.of("user", prompts.edit_translate.format(text=heading)),)
    sampling = Sampling(max_tokens=HEADING_TOKENS, temperature=0.0, stop=("\n\n",))
    answer = "".join(chunk.text for chunk in model.stream(prompt, sampling)).strip()
    return strip_quotes(answer.split("\n")[0]).rstrip(".。:：") or heading


def _prompt(prompts: Prompts, article: Article, wish: _Wish, text: str) -> Prompt:
    template: str = getattr(prompts, f"edit_{wish.action}")
    tone = prompts.tones.get(wish.tone, "")
    asked = template.format(title=article.title, tone=tone, text=text, wish=wish.wish)
    return (Message.of("system", prompts.system), Message.of("user", asked))


def _sampling(settings: WritingSettings, wish: _Wish, text: str, purpose: str, attempt: int) -> Sampling:
    tokens = round(count_words(text) * TOKENS_PER_WORD * _MOST_LENGTHS[wish.action]) + 60
    seed = derive_seed(wish.seed, purpose)
    if wish.action == "translate":
        # The most likely words are the translation; a second attempt needs others.
        return Sampling(tokens, temperature=0.5 if attempt else 0.0, seed=seed)
    return Sampling(
        tokens,
        temperature=settings.temperature * _TEMPERATURE[wish.action],
        top_p=settings.top_p,
        repetition_penalty=settings.repetition_penalty,
        seed=seed,
    )


def _check(wish: _Wish, before: str, after: str) -> None:
    old, new = count_words(before), count_words(after)
    if after.split() == before.split():
        raise WritingFailed("answer_unchanged")
    if wish.action == "shorten" and new >= old:
        raise WritingFailed("answer_not_shorter", new=new, old=old)
    if wish.action == "expand" and new <= old:
        raise WritingFailed("answer_not_longer", new=new, old=old)


def _blocks(body: str) -> list[tuple[str, bool]]:
    """The blocks of a section, each with whether it is running text."""
    blocks = []
    for section in parse_markdown(body).sections:
        if section.heading and section.body:  # of a section that was merged from two
            blocks.append((section.text[: len(section.text) - len(section.body)].rstrip(), False))
        text = section.body if section.heading and section.body else section.text
        blocks.append((text, is_paragraph(text)))
    return blocks
