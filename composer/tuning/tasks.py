"""Articles as questions with their answers: the very questions that composing asks, with what the author did.

``write``: a section under its heading. ``want``: what the picture at a place should show. ``caption``: the words under
a picture, from what it shows and what the article says. ``choose``: whether a picture fits where one is wanted; a model
that sees is shown it. Where pictures stand is found by the weights of ``composer.pipeline.placement_model``, which ask
no language model, so no question is about that.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from composer.article.language import count_words, detect_language, sentence_gap
from composer.article.markdown import plain_text
from composer.article.model import Section
from composer.errors import UsageError
from composer.pipeline.captions import clean_caption, subject
from composer.pipeline.conversation import Conversation, opening, reading
from composer.pipeline.picture_words import draft_prompt, sentences_about
from composer.pipeline.prompts import Prompts, load_prompts
from composer.pipeline.reranking import JUDGE_PX, seen, slot_question
from composer.pipeline.writing.sentence_filter import split_sentences
from composer.pipeline.writing.writer import TOKENS_PER_WORD, section_prompt, writing_question
from composer.tuning.articles import ArticleFigure, OwnArticle
from image_db.metadata.record import ImageRecord
from retrieval.candidates import Candidate
from retrieval.lexical import LexicalIndex
from retrieval.rerank import Question, answer_of, candidate_prompt, continuing
from vision.interfaces import Prompt, VisionLanguageModel
from vision.training.tuning.examples import TuningExample
from vision.training.tuning.recipe import TuningRecipe
from vision.training.tuning.train import ArticleSplit

QUESTION_ROOM = 140  # tokens left for a question about an article that was read
MOST_WANTED_WORDS = 10
FEWEST_CAPTION_WORDS, MOST_CAPTION_WORDS = 4, 40
FEWEST_SECTION_WORDS = 20
# "This photograph shows a red barn", "Image A is of a person", "There are two cows": what is said is what follows.
_LEAD_IN = re.compile(
    r"(?:(?:this|the|these|an?) )?(?:[\w-]+ ){0,2}?(?:photo(?:graph)?|picture|image|illustration|drawing|painting"
    r"|diagram|chart|graph|map|micrograph|figure|screenshot)s? (?:\(?[a-z]\)? )?(?:(?:is|are) )?"
    r"(?:of|shows?|showing|depicts?|depicting|illustrat(?:es|ing)) (?:that )?"
    r"|(?:this|there|these|it) (?:is|are|was|were) (?:shown )?",
    re.IGNORECASE,
)
_PARENTHESIS = re.compile(r"\s*[(（\[][^)）\]]*[)）\]]?")
_VERB = re.compile(r",| (?:is|are|was|were|has|have|had|can|will|shows?|that|which|who|where) ")
_NO_NAME_WORDS = "when if as although while because in on at this these that it there here how what why"
_NO_NAME = frozenset(_NO_NAME_WORDS.split())
# A full stop behind these ends no sentence.
_ABBREVIATED = re.compile(r"(?:\b[A-Z]|\b(?:ca|cf|Dr|Mr|Mrs|Ms|No|Prof|St|vs?))\.$")
_SMALL_FIRST = frozenset(("A", "An", "The", "This", "These", "Two", "Three", "Several", "Many", "Some", "One"))


@dataclass(frozen=True, slots=True)
class _Placed:
    """A figure with its article, and the number by which pictures are told apart."""

    article: OwnArticle
    figure: ArticleFigure
    number: int

    @property
    def section(self) -> Section:
        return self.article.sections[self.figure.after_section]


def check_articles(articles: Sequence[OwnArticle], recipe: TuningRecipe) -> None:
    """Raises UsageError where the tasks that the recipe asks for cannot be made of them."""
    if len(articles) < 2:
        raise UsageError("tuning_one_article", articles=len(articles))
    if not recipe.learns_from_pictures:
        return
    figures = [figure for article in articles for figure in article.figures]
    if not figures:
        raise UsageError("tuning_no_pictures", articles=len(articles))
    if not any(figure.words for figure in figures):
        raise UsageError("tuning_pictures_without_words", pictures=len(figures))


def make_examples(
    articles: Sequence[OwnArticle], recipe: TuningRecipe, model: VisionLanguageModel, split: ArticleSplit
) -> list[TuningExample]:
    """All questions, article by article; look-alikes come from the same side of the split."""
    found: list[TuningExample] = []
    by_name = {article.name: article for article in articles}
    for side in (split.trained, split.watched, split.held_back):
        mine = [by_name[name] for name in side]
        placed = [
            _Placed(article, figure, number)
            for number, (article, figure) in enumerate((a, f) for a in mine for f in a.figures if f.words)
        ]
        others = _lookalikes(placed)
        for article in mine:
            found += _written(article, recipe)
            for entry in placed:
                if entry.article is article:
                    found += _about_picture(entry, placed, others.get(entry.number), recipe, model)
    return found


def _written(article: OwnArticle, recipe: TuningRecipe) -> list[TuningExample]:
    """Each section's beginning, asked for as the writer asks."""
    prompts = load_prompts(article.language)
    parts: dict[str, list[str]] = {}
    heading = ""
    for section in article.sections:
        heading = section.heading or heading
        parts.setdefault(heading, []).append(plain_text(section.body))
    headings = [heading for heading in parts if heading]
    found = []
    for heading, paragraphs in parts.items():
        answer = _beginning(paragraphs, round(recipe.max_text_tokens / TOKENS_PER_WORD), article.language)
        if (words := count_words(answer)) < FEWEST_SECTION_WORDS:
            continue
        question = writing_question(prompts, article.title, headings, words, article.language)
        named = f"## {heading or prompts.intro}\n\n" if headings else ""
        prompt = section_prompt(prompts, question, f"# {article.title}\n\n{named}")
        found.append(TuningExample("write", article.name, partial(_same, prompt), answer))
    return found


def _same(prompt: Prompt) -> Prompt:
    return prompt


def _beginning(paragraphs: Sequence[str], words: int, language: str) -> str:
    """Whole sentences of the first paragraphs, as one."""
    kept: list[str] = []
    for sentence in (sentence for paragraph in paragraphs for sentence in split_sentences(paragraph)):
        if count_words(" ".join([*kept, sentence])) > words:
            break
        kept.append(sentence)
    return sentence_gap(language).join(kept)


def _about_picture(
    entry: _Placed, all_: Sequence[_Placed], other: int | None, recipe: TuningRecipe, model: VisionLanguageModel
) -> list[TuningExample]:
    article, figure = entry.article, entry.figure
    prompts, name = load_prompts(article.language), article.name
    found: list[TuningExample] = []
    wanted = _wanted(figure.words, article.language)
    if wanted and article.sections:
        conversation, place = _read_around(entry, prompts, recipe, model), opening(entry.section)
        asked = conversation.ask(prompts.caption.format(opening=place), prompts.caption_prefix)
        answer = continuing(prompts.caption_prefix, _in_sentence(prompts.caption_prefix, wanted))
        found.append(TuningExample("want", name, partial(_same, asked), answer))
        # What is wanted is said in other words than the library's, where there are other words.
        wish = _in_sentence("of", subject(_wanted(figure.caption, article.language) or wanted))
        question = slot_question(prompts, article.language, place, wish, conversation.turns)
        for shown, fits in ((entry, True), *(((all_[other], False),) if other is not None else ())):
            prompt = partial(_choice, question, shown, model.sees_images)
            said = answer_of(question, question.yes if fits else question.no)
            found.append(TuningExample("choose", name, prompt, said, closed=False))
    return found + _captioned(entry, prompts)


def _captioned(entry: _Placed, prompts: Prompts) -> list[TuningExample]:
    """The author's own caption. English only, as in use."""
    figure, article = entry.figure, entry.article
    if article.language != "en" or not figure.caption or not figure.alt or figure.caption == figure.alt:
        return []
    label = clean_caption(figure.alt)
    sentences = split_sentences(plain_text(entry.section.body))
    said = sentences_about(label, entry.section) or sentences[:2]
    caption = _first_sentence(figure.caption)
    if not label or not said or not FEWEST_CAPTION_WORDS <= count_words(caption) <= MOST_CAPTION_WORDS:
        return []
    prompt = draft_prompt(prompts, label, "", " ".join(said))
    answer = continuing(prompts.suggest_prefix, caption)
    return [TuningExample("caption", article.name, partial(_same, prompt), answer)]


def _choice(question: Question, shown: _Placed, sees: bool) -> Prompt:
    path = shown.figure.picture
    record = ImageRecord(str(shown.number), path, 0, 0, shown.figure.words)
    images = {record.id: seen(path, JUDGE_PX)} if sees else {}
    return candidate_prompt(question, Candidate(record, 0.0, 0.0, 0.0), images)


def _read_around(entry: _Placed, prompts: Prompts, recipe: TuningRecipe, model: VisionLanguageModel) -> Conversation:
    """The model reads the article; of one that is too long, the sections around the picture."""
    budget = recipe.max_prompt_tokens - QUESTION_ROOM
    sections, place = entry.article.sections, entry.figure.after_section
    first, end, words = place, place + 1, count_words(sections[place].text)
    most = budget / TOKENS_PER_WORD
    while words < most and (first > 0 or end < len(sections)):
        first, end = max(0, first - 1), min(len(sections), end + 1)
        words = sum(count_words(section.text) for section in sections[first:end])
    return reading(prompts, model, entry.article.title, sections[first:end], budget)[0]


def _first_sentence(text: str) -> str:
    """Without its full stop."""
    said = ""
    for sentence in split_sentences(text):
        said = f"{said} {sentence}".strip()
        if not _ABBREVIATED.search(said):
            break
    return said.rstrip(".")


def _wanted(text: str, language: str) -> str:
    """A short name of what a picture shows; empty where there is none in the article's language."""
    if not text or detect_language(text) != language:
        return ""
    said = clean_caption(_PARENTHESIS.sub("", _LEAD_IN.sub("", text, count=1)))
    said = _VERB.split(said)[0]
    if count_words(said) > MOST_WANTED_WORDS:
        said = subject(said)
    named = said.split(" ")[0].lower() not in _NO_NAME
    return said if named and 0 < count_words(said) <= MOST_WANTED_WORDS else ""


def _in_sentence(prefix: str, text: str) -> str:
    """The text without its capital where it goes on after words: "A photograph of" "a red barn"."""
    first, _, rest = text.partition(" ")
    return f"{first.lower()} {rest}".rstrip() if prefix[-1].isalpha() and first in _SMALL_FIRST else text


def _lookalikes(placed: Sequence[_Placed]) -> dict[int, int]:
    """For each picture the one whose words are most like its own and yet others, by number."""
    words = [entry.figure.words for entry in placed]
    if len(set(words)) < 2:
        return {}
    index = LexicalIndex.build([[(text, 1.0)] for text in words])
    found = {}
    for number, text in enumerate(words):
        shared = np.array(index.match(text).shared, float)
        shared[[i for i, other in enumerate(words) if other == text]] = -np.inf
        found[number] = int(shared.argmax())
    return found
