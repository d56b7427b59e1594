"""Lets the language model propose another text for a section, sentence by sentence as it stands.

Paragraphs are asked for one by one; headings stay, and so do lists, tables and code between paragraphs. What streams
out has passed ``ProseFilter``. An answer in the wrong language, or one that does not do what was asked, is tried once
more and then given up: the article is never touched here. Knows no page and no pictures.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

from composer.article.language import count_words, detect_language
from composer.article.markdown import is_paragraph, parse_markdown
from composer.article.model import Article
from composer.editing.lookup import free_section
from composer.editing.paragraphs import Unfit, paragraph
from composer.editing.proposals import PROPOSAL_ACTIONS, Delta, Proposal, ProposalAction, ProposalEvent, Restarted
from composer.errors import EditError, UsageError, WritingFailed
from composer.pipeline.prompts import Prompts, load_prompts
from composer.pipeline.sentence_filter import ProseFilter, strip_quotes
from composer.pipeline.writer import TOKENS_PER_WORD, derive_seed
from composer.request import LANGUAGES, TONES
from composer.settings import WritingSettings
from vision.interfaces import Message, Prompt, Sampling, VisionLanguageModel

ATTEMPTS = 2
HEADING_TOKENS = 30
# How long an answer may get, in lengths of the text, before it is cut at its last whole sentence.
_ROOM = {"rewrite": 1.6, "expand": 1.4, "shorten": 1.0, "translate": 2.0}
# Another way of saying the same leaves less to chance than writing does.
_CHANCE = {"rewrite": 0.7, "expand": 1.0, "shorten": 0.5}


@dataclass(frozen=True, slots=True)
class _Wish:
    action: ProposalAction
    tone: str
    language: str  # of the answer
    seed: int


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
) -> Iterator[ProposalEvent]:
    """Text as it is written, ending with one ``Proposal``. Closing the iterator cancels between tokens.

    ``tone`` is one of TONES or empty, ``language`` the one to translate into. Raises EditError for a section that is
    locked or holds no running text and UsageError for an unknown action, tone or language, both at once; later
    WritingFailed where the model gives nothing usable, and the model's own errors.
    """
    target = free_section(article, section)
    if action not in PROPOSAL_ACTIONS:
        raise UsageError(
            f"{action!r} is no way to change a text; use one of: {', '.join(PROPOSAL_ACTIONS)}", "malformed"
        )
    if tone and tone not in TONES:
        raise UsageError(f"tone {tone!r} is not known; use one of: {', '.join(TONES)}", "malformed")
    spoken = detect_language(target.text)
    if action == "translate":
        if language not in LANGUAGES:
            raise UsageError(f"language {language!r} is not known; use one of: {', '.join(LANGUAGES)}", "malformed")
        if language == spoken:
            raise EditError(f"this section is in {LANGUAGES[language]} already", "already_translated")
    pieces = _pieces(target.body)
    if not any(prose for _, prose in pieces):
        raise EditError("this section holds no running text; edit its list, table or code by hand", "no_prose")
    wish = _Wish(action, tone, language if action == "translate" else spoken, seed)
    return _propose(model, settings, article, section, wish)


def _propose(
    model: VisionLanguageModel, settings: WritingSettings, article: Article, section: int, wish: _Wish
) -> Iterator[ProposalEvent]:
    before = article.sections[section].text
    for attempt in range(ATTEMPTS):
        after = ""
        try:
            with closing(_written(model, settings, article, section, wish, attempt)) as written:  # type: ignore[type-var]
                for piece in written:
                    after += piece
                    yield Delta(piece)
            _check(wish, before, after)
        except Unfit as unfit:
            if attempt + 1 == ATTEMPTS:
                raise WritingFailed(f"{unfit}; try again, or edit the text by hand", "unfit") from None
            yield Restarted(str(unfit))
        else:
            yield Proposal(section, before, after)
            return


def _written(
    model: VisionLanguageModel,
    settings: WritingSettings,
    article: Article,
    section: int,
    wish: _Wish,
    attempt: int,
) -> Iterator[str]:
    """The section's new Markdown in pieces: blocks of running text written anew, all else as it is."""
    prompts = load_prompts(wish.language)
    target = article.sections[section]
    prose = ProseFilter()
    if wish.action == "expand":  # what stands elsewhere need not be told again
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
    for number, (text, running) in enumerate(_pieces(target.body)):
        if not running:
            yield gap + text
            gap = "\n\n"
            continue
        prompt = _prompt(prompts, article, wish, text)
        if wish.action == "expand":  # the text stands; the model adds to it
            prose.note(text)
            yield gap + text
            gap = "" if wish.language == "zh" else " "
        sampling = _sampling(settings, wish, text, f"{wish.action} {section} {number} {attempt}", attempt)
        for piece in paragraph(model, prompt, sampling, prose, wish.language):
            yield gap + piece
            gap = ""
        gap = "\n\n"


def _heading(model: VisionLanguageModel, prompts: Prompts, heading: str) -> str:
    prompt = (Message.of("user", prompts.edit_translate.format(text=heading)),)
    sampling = Sampling(max_tokens=HEADING_TOKENS, temperature=0.0, stop=("\n\n",))
    answer = "".join(chunk.text for chunk in model.stream(prompt, sampling)).strip()
    return strip_quotes(answer.split("\n")[0]).rstrip(".。:：") or heading


def _prompt(prompts: Prompts, article: Article, wish: _Wish, text: str) -> Prompt:
    tone = TONES[wish.tone][wish.language] if wish.tone else ""
    match wish.action:
        case "translate":
            asked = prompts.edit_translate.format(text=text)
        case "expand":
            asked = prompts.edit_expand.format(title=article.title, tone=tone, text=text)
        case _:
            template = prompts.edit_rewrite if wish.action == "rewrite" else prompts.edit_shorten
            asked = template.format(title=article.title, tone=tone, text=text)
    return (Message.of("system", prompts.system), Message.of("user", asked))


def _sampling(settings: WritingSettings, wish: _Wish, text: str, purpose: str, attempt: int) -> Sampling:
    tokens = round(count_words(text) * TOKENS_PER_WORD * _ROOM[wish.action]) + 60
    if wish.action == "translate":
        # The most likely words are the translation; a second attempt needs others.
        return Sampling(tokens, temperature=0.5 if attempt else 0.0, seed=derive_seed(wish.seed, purpose))
    return Sampling(
        tokens,
        temperature=settings.temperature * _CHANCE[wish.action],
        top_p=settings.top_p,
        repetition_penalty=settings.repetition_penalty,
        seed=derive_seed(wish.seed, purpose),
    )


def _check(wish: _Wish, before: str, after: str) -> None:
    old, new = count_words(before), count_words(after)
    if after.split() == before.split():
        raise Unfit("the model left the text as it was")
    if wish.action == "shorten" and new >= old:
        raise Unfit(f"the model made {new} words of {old}, which is no shorter")
    if wish.action == "expand" and new <= old:
        raise Unfit(f"the model made {new} words of {old}, which is no longer")


def _pieces(body: str) -> list[tuple[str, bool]]:
    """The blocks of a section, each with whether it is running text."""
    pieces = []
    for block in parse_markdown(body).sections:
        if block.heading and block.body:  # of a section that was merged from two
            pieces.append((block.text[: len(block.text) - len(block.body)].rstrip(), False))
        text = block.body if block.heading and block.body else block.text
        pieces.append((text, is_paragraph(text)))
    return pieces
