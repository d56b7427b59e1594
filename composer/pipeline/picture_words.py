"""What is printed under a chosen picture, and what those are told who cannot see it.

The alternative text is what the library says is to be seen. The caption ties the picture to its section: the model
drafts several as one batch, from the library's words, the definition of the thing and the section's sentences about it.
A draft stands only if every word of it comes from those, if neighbouring words do so together, if it is more than the
library's words and no copy of a sentence, and if the model, asked again, says that it tells nothing else. Where a
definition can be printed, it must not tell again what the section has told. Where none stands, the caption is the
library's words with the definition or the section's own sentence. A picture of which nothing is known has neither.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from composer.article.credit import credit_line
from composer.article.language import detect_language
from composer.article.markdown import plain_text
from composer.article.model import Placement, Section, WordsOrigin
from composer.pipeline.captions import clean_caption, generate
from composer.pipeline.prompts import Prompts
from composer.pipeline.subjects import SUBJECT_WORDS, Label, folded, read_label, words_of
from composer.pipeline.writing.facts import Fact, is_english_word, singular
from composer.pipeline.writing.sentence_filter import split_sentences, strip_quotes
from composer.sources.support import covered
from image_db.metadata.names import caption_of_name
from image_db.metadata.record import ImageRecord
from vision.interfaces import Message, Prompt, Sampling, VisionLanguageModel

TRANSLATED_TOKENS, DRAFT_TOKENS = 48, 44
DRAFTS = 3  # a picture
DRAFT_TEMPERATURE = 0.7  # of all but the first
FEWEST_DEFINING_WORDS = 4
FEWEST_STATED_WORDS, MOST_STATED_WORDS = 5, 22
FEWEST_ADDED, MOST_DRAFT_WORDS = 3, 24  # content words beyond the label's, words
MOST_SAID_WORDS = 60  # of a section, that a caption is drafted from
LEAST_ODDS = 0.0
MOST_TOLD = 0.8  # of a draft's words that its section may have, where a definition says more
# Words that say nothing by themselves: a draft may have them wherever it likes.
_EMPTY_WORDS = """
a an the and or but nor so as at by for from in into of off on onto out over through to under up with without
within is are was were be been being has have had do does did can may will would which that who whose whom it
its they them their he she his her this these those there here when while where if than then not no one two
three both also only each other another such very more most some any all many just too during between among
along across about after before until because since like
"""
_EMPTY = frozenset(_EMPTY_WORDS.split())
# "A heron stands in water" under a picture claims to say what it shows; "Herons stand in water" tells of herons.
_DESCRIBES = re.compile(r"(?:an?|one|two|three|this|these) ", re.IGNORECASE)
_WORD = re.compile(r"[^\W_][\w'’-]*")
_CLAUSE = re.compile(r"[,;:] ")
_HAN = re.compile(r"[\u4e00-\u9fff]")


@dataclass(frozen=True, slots=True)
class ShownPicture:
    """A chosen picture, the section it stands after, and the definition of what it shows."""

    record: ImageRecord
    section: Section
    fact: Fact | None = None


@dataclass(frozen=True, slots=True)
class PictureWords:
    """Caption and alternative text to print, and where each is from."""

    caption: str = ""
    alt: str = ""
    caption_origin: WordsOrigin = ""
    alt_origin: WordsOrigin = ""


def library_words(record: ImageRecord, language: str) -> PictureWords:
    """The words for a picture without asking a model: the library's own, or its file's name; empty for neither."""
    named = caption_of_name(record.path.stem)
    caption = record.caption_in(language) or record.alt or named
    alt = record.alt if record.alt and detect_language(record.alt) == language else caption
    drafted = record.caption_origin == "generated" and caption == record.caption
    origin: WordsOrigin = "drafted" if drafted else "metadata"
    alt_origin: WordsOrigin = origin if alt == caption else "metadata"
    return PictureWords(
        _sentence_case(caption), _sentence_case(alt), origin if caption else "", alt_origin if alt else ""
    )


def english_words(record: ImageRecord) -> str:
    """What the library says in English of what the picture shows, or an empty string."""
    said = (record.caption_in("en"), record.caption, record.alt, caption_of_name(record.path.stem))
    return next((text for text in said if text and detect_language(text) == "en"), "")


def printed_words(
    model: VisionLanguageModel, prompts: Prompts, language: str, shown: Sequence[ShownPicture]
) -> list[PictureWords]:
    """The words to print for each picture; those in another language are translated first."""
    known = _in_language(model, prompts, language, [library_words(picture.record, language) for picture in shown])
    printed = []
    introduced: set[str] = set()
    drafts = _drafted(model, prompts, language, shown, known)
    for picture, words, drafted in zip(shown, known, drafts, strict=True):
        caption, origin = words.caption, words.caption_origin
        if drafted and _treats(words.caption, picture.section):
            caption, origin = drafted, "drafted"
        elif caption and language == "zh":
            if clause := _clause_about(caption, picture.section):
                caption, origin = f"{caption}：{clause}", "drafted"
        elif caption:
            definition = _definition(picture.fact)
            if definition and definition not in introduced and definition.casefold() not in caption.casefold():
                introduced.add(definition)  # the second sheep of an article is introduced to nobody
                caption = f"{caption}: {definition}"
            elif _treats(caption, picture.section) and (statement := _statement_about(caption, picture.section)):
                caption, origin = f"{caption}: {statement}", "drafted"
        printed.append(PictureWords(_sentence_case(caption), words.alt, origin, words.alt_origin))
    return printed


def worded(placement: Placement, words: PictureWords, language: str) -> Placement:
    """The placement with words and credit for the picture it shows."""
    assert placement.chosen is not None
    return replace(
        placement,
        caption=words.caption,
        alt=words.alt,
        caption_origin=words.caption_origin,
        alt_origin=words.alt_origin,
        credit=credit_line(placement.chosen, language),
    )


def translated_words(model: VisionLanguageModel, prompts: Prompts, language: str, record: ImageRecord) -> PictureWords:
    """The library's words for one picture, in the article's language."""
    return _in_language(model, prompts, language, [library_words(record, language)])[0]


def _in_language(
    model: VisionLanguageModel, prompts: Prompts, language: str, words: Sequence[PictureWords]
) -> list[PictureWords]:
    foreign = {t: t for w in words for t in (w.caption, w.alt) if t and detect_language(t) != language}
    asked = [
        (Message.of("user", prompts.localise.format(text=text)), Message.of("assistant", prompts.localise_prefix))
        for text in foreign
    ]
    for text, answer in zip(list(foreign), generate(model, asked, TRANSLATED_TOKENS), strict=True):
        foreign[text] = clean_caption(answer) or text

    def told(text: str, origin: WordsOrigin) -> tuple[str, WordsOrigin]:
        said = foreign.get(text, text)
        return _sentence_case(said), origin if said == text else "drafted"

    result = []
    for entry in words:
        (caption, origin), (alt, alt_origin) = (
            told(entry.caption, entry.caption_origin),
            told(entry.alt, entry.alt_origin),
        )
        result.append(PictureWords(caption, alt, origin, alt_origin))
    return result


def _drafted(
    model: VisionLanguageModel,
    prompts: Prompts,
    language: str,
    shown: Sequence[ShownPicture],
    known: Sequence[PictureWords],
) -> list[str]:
    """For each picture the best draft that may stand, or an empty string. English only: see ``supported``."""
    asked: list[Prompt] = []
    samplings: list[Sampling] = []
    whose: list[int] = []
    told: list[str] = []
    for number, (picture, words) in enumerate(zip(shown, known, strict=True)):
        said = sentences_about(words.caption, picture.section) if language == "en" else []
        told.append(" ".join(said))
        if not words.caption or not said:
            continue
        fact = f"{picture.fact}\n" if picture.fact else ""
        prompt = draft_prompt(prompts, words.caption, fact, told[-1])
        for draft in range(DRAFTS):
            asked.append(prompt)
            samplings.append(Sampling(DRAFT_TOKENS, DRAFT_TEMPERATURE if draft else 0.0, seed=draft, stop=("\n",)))
            whose.append(number)
    if not asked:
        return [""] * len(shown)
    answers = [""] * len(asked)
    whole = [False] * len(asked)
    for chunk in model.stream_batch(asked, samplings):
        answers[chunk.index] += chunk.text
        whole[chunk.index] |= chunk.finish == "stop"
    standing: dict[tuple[int, str], None] = {}
    for number, answer, ended in zip(whose, answers, whole, strict=True):
        text, picture = one_sentence(answer), shown[number]
        if ended and text and may_stand(text, known[number], picture.fact, picture.section):
            standing[number, text] = None
    checks = []
    for number, text in standing:
        fact = f"{shown[number].fact}\n" if shown[number].fact else ""
        question = prompts.caption_check.format(
            shown=known[number].caption, facts=fact, said=told[number], caption=text
        )
        checks.append((Message.of("user", question), Message.of("assistant", prompts.choose_prefix)))
    options = (prompts.choose_yes, prompts.choose_no)
    scores = model.score_batch(checks, [options] * len(checks)) if checks else []
    best: dict[int, tuple[float, str]] = {}
    for (number, text), (yes, no) in zip(standing, scores, strict=True):
        if yes - no > best.get(number, (LEAST_ODDS, ""))[0]:
            best[number] = (yes - no, text)
    return [best[number][1] if number in best else "" for number in range(len(shown))]


def draft_prompt(prompts: Prompts, label: str, facts: str, said: str) -> Prompt:
    """Asks for the caption of a picture that shows ``label``, beside what the article says."""
    shown_how = prompts.draft_caption.format(
        shown=prompts.example_shown, facts=f"{prompts.example_fact}\n", said=prompts.example_said
    )
    question = prompts.draft_caption.format(shown=label, facts=facts, said=said)
    # The example is a conversation of its own: inside the question small models copy it.
    return (
        Message.of("user", shown_how),
        Message.of("assistant", prompts.example_caption),
        Message.of("user", question),
        Message.of("assistant", prompts.suggest_prefix),
    )


def one_sentence(answer: str) -> str:
    """The answer as a caption: its only sentence without quotes and full stop; empty where there are several."""
    text = strip_quotes(answer.strip())
    return "" if len(split_sentences(text)) != 1 else text.strip(" .")


def may_stand(draft: str, words: PictureWords, fact: Fact | None, section: Section) -> bool:
    """Whether a draft names the picture's subject, adds to the label, copies no sentence and is supported throughout.

    ``words`` are the library's for the picture.
    """
    label, said = read_label(words.caption), content_words(draft)
    names = {_stem(name) for name in label.names or (label.noun,)}
    own = set(content_words(f"{words.caption} {words.alt}"))
    if not label.names and _DESCRIBES.match(draft):
        return False
    copied = any(sentence.casefold().startswith(draft.casefold()) for sentence in _sentences(section))
    return (
        bool(names & set(said))
        and len(set(said) - own) >= FEWEST_ADDED
        and len(_WORD.findall(draft)) <= MOST_DRAFT_WORDS
        and not copied
        and not (_definition(fact) and covered(draft, section.text) > MOST_TOLD)
        and supported(draft, [words.caption, words.alt, str(fact or ""), *_sentences(section)], names)
    )


def supported(draft: str, sources: Sequence[str], names: set[str]) -> bool:
    """Whether every content word is in a source, and neighbours within a clause are in one source together.

    "The house is hidden inside oak piles" has all its words from "Oak piles carry the house. Two walls hide a well",
    and is false. ``names`` tell the subject, which goes with every source.
    """
    held = [set(content_words(source)) | names for source in sources if source]
    said = [content_words(clause) for clause in _CLAUSE.split(draft)]
    return all(any(word in words for words in held) for clause in said for word in clause) and all(
        any(one in words and other in words for words in held) for clause in said for one, other in pairwise(clause)
    )


def content_words(text: str) -> list[str]:
    """Lower-case words that say something, in the singular and without the endings of verbs, in order."""
    found = (folded(word) for word in _WORD.findall(text))
    return [_stem(singular(word)) for word in found if word not in _EMPTY]


def _stem(word: str) -> str:
    """A crude stem: "filters", "filtering" and "filtered" give the same."""
    for ending in ("ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word[: -len(ending)]
            break
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "sl":
        word = word[:-1]  # stopped, stop
    return word.rstrip("e")


def sentences_about(label: str, section: Section) -> list[str]:
    """The section's sentences that name what the label shows, and the one that follows the first of them."""
    read, sentences = read_label(label), _sentences(section)
    naming = [i for i, sentence in enumerate(sentences) if _names(read, Section(sentence))]
    if not naming and _names(read, section):
        naming = [0]  # its heading does
    wanted = sorted({*naming, *(i + 1 for i in naming[:1] if i + 1 < len(sentences))})
    kept: list[str] = []
    words = 0
    for i in wanted:
        words += len(sentences[i].split())
        if kept and words > MOST_SAID_WORDS:
            break
        kept.append(sentences[i])
    return kept


def _names(label: Label, section: Section) -> bool:
    words = words_of(section)
    return all(n in words.names for n in label.names) if label.names else label.noun in words.counts


def _treats(label: str, section: Section) -> bool:
    """Whether an English section is about what the label shows, and does not only mention it: plates of a ship's keel
    are none on a table.
    """
    read = read_label(label)
    openings = [" ".join(sentence.split()[:SUBJECT_WORDS]) for sentence in _sentences(section)]
    return any(_names(read, Section(text)) for text in (section.heading, *openings) if text)


def _sentences(section: Section) -> list[str]:
    return split_sentences(plain_text(section.body))


def _statement_about(label: str, section: Section) -> str:
    """The first sentence of an English section that names what the label shows, or its first clause; not a long one."""
    read, sentences = read_label(label), _sentences(section)
    naming = [sentence for sentence in sentences if _names(read, Section(sentence))]
    headed = section.heading and _names(read, Section(section.heading))
    for sentence in naming or (sentences[:1] if headed else []):
        said = sentence.strip(" .!")
        if len(said.split()) > MOST_STATED_WORDS:
            said = re.split(r"[,;:] ", said)[0]
        if FEWEST_STATED_WORDS <= len(said.split()) <= MOST_STATED_WORDS and not said.endswith("?"):
            first = said.split(" ", 1)[0]
            return (
                said[:1].lower() + said[1:]
                if first == "A" or (first[1:].islower() and is_english_word(first))
                else said
            )
    return ""


def _clause_about(caption: str, section: Section) -> str:
    """The clause of a Chinese section that names what the caption's end does: "风车" of "法诺岛上的风车"."""
    noun = caption.rsplit("的", 1)[-1]
    ends = [noun[start:] for start in range(len(noun) - 1)]
    for sentence in re.split(r"[。！？]", plain_text(section.body)):
        if any(end in sentence for end in ends) and len(_HAN.findall(sentence)) >= FEWEST_DEFINING_WORDS:
            # Where the section has it need not be where the picture is from.
            return re.sub(r"^在[^，]{1,12}，", "", sentence.strip("，、； "))
    return ""


def _definition(fact: Fact | None) -> str:
    """The first clauses of a definition that add something, or nothing where it is too short for that."""
    if fact is None:
        return ""
    text = re.sub(r"`([^`']*)'", r"“\1”", re.sub(r"\s*\([^)]*\)", "", fact.text))
    clauses = [clause.strip(" .,") for clause in text.split(";")]
    said = (", ".join(clauses[:count]) for count in range(1, len(clauses) + 1))
    return next((some for some in said if len(some.split()) >= FEWEST_DEFINING_WORDS), "")


def _sentence_case(text: str) -> str:
    return text[:1].upper() + text[1:]
