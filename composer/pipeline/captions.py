"""What each picture should show, and what is printed under the one that was chosen.

Captions of all slots are one batch over the shared article; those that say the same as an earlier one are asked
again, knowing it. Generates greedily: a caption is a description, not prose.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from composer.article.language import detect_language
from composer.article.model import Section
from composer.pipeline.conversation import Conversation, opening
from composer.pipeline.facts import Fact, named_things
from composer.pipeline.prompts import Prompts
from composer.pipeline.sentence_filter import strip_quotes
from image_db.metadata.record import ImageRecord
from vision.interfaces import Message, Prompt, Sampling, VisionLanguageModel

CAPTION_TOKENS = 28
TRANSLATED_TOKENS = 48
FEWEST_DEFINING_WORDS = 4
MOST_NAMING_WORDS, MOST_NAMING_CHARACTERS = 3, 6
MAX_CAPTION_CHARS = 110
_WHERE = re.compile(r",| (?:on|in|at|under|above|with|near|standing|lying|eating|bearing|against) ")
_CONTENT_WORD = re.compile(r"\b(?!(?:the|and|its|with|for|from|into)\b)[^\W\d_]{3,}|[\u4e00-\u9fff]")


def propose_captions(
    model: VisionLanguageModel,
    prompts: Prompts,
    conversation: Conversation,
    sections: Sequence[Section],
    places: Sequence[int],
    avoid: Sequence[str] = (),
) -> list[str]:
    """One short description a place, in the article's language; never empty, distinct where the model allows.

    A heading that names one thing is what its section's picture should show; the model is asked about the others.
    ``avoid`` are descriptions that something else is wanted than.
    """
    begins = [opening(sections[i]) for i in places]
    named = [sections[i].heading if _names_a_thing(sections[i].heading) else "" for i in places]
    named = [name if name and not _known(name, [*avoid, *named[:i]]) else "" for i, name in enumerate(named)]
    if all(named):
        return named
    asked = [conversation.ask(prompts.caption.format(opening=o), prompts.caption_prefix) for o in begins]
    captions = [
        name or clean_caption(text) for name, text in zip(named, generate(model, asked, CAPTION_TOKENS), strict=True)
    ]
    again = [i for i, caption in enumerate(captions) if not caption or _known(caption, [*avoid, *captions[:i]])]
    if again:
        earlier = ("、" if prompts.caption_prefix[-1] > "\u4e00" else "; ").join(
            dict.fromkeys(filter(None, (*avoid, *captions)))
        )
        asked = [
            conversation.ask(prompts.recaption.format(opening=begins[i], earlier=earlier), prompts.caption_prefix)
            for i in again
        ]
        for i, text in zip(again, generate(model, asked, CAPTION_TOKENS), strict=True):
            caption, heading = clean_caption(text), sections[places[i]].heading
            others = [*avoid, *captions[:i], *captions[i + 1 :]]
            # A heading names its section's subject; better that than to ask for one picture twice.
            captions[i] = caption if caption and not _known(caption, others) else heading or caption or captions[i]
    # A section's own first words are a poor description, but an honest one.
    return [caption or begin for caption, begin in zip(captions, begins, strict=True)]


def _names_a_thing(heading: str) -> bool:
    """Whether a heading is a short name of something: "Fishing Boats", "灯塔", not "How they live together"."""
    if not heading.isascii():
        return 1 < len(heading) <= MOST_NAMING_CHARACTERS
    return len(heading.split()) <= MOST_NAMING_WORDS and bool(named_things(heading))


def translate(model: VisionLanguageModel, prompts: Prompts, texts: Sequence[str]) -> list[str]:
    """Short English descriptions of ``texts``; the text itself where the model gives nothing."""
    asked = [
        (Message.of("user", prompts.translate.format(text=text)), Message.of("assistant", prompts.translate_prefix))
        for text in texts
    ]
    answers = generate(model, asked, CAPTION_TOKENS)
    return [clean_caption(answer) or text for answer, text in zip(answers, texts, strict=True)]


def printed_captions(
    model: VisionLanguageModel,
    prompts: Prompts,
    language: str,
    chosen: Sequence[tuple[ImageRecord, Fact | None]],
) -> list[tuple[str, str]]:
    """Caption and alt text to print for each picture, from the library's words for it and what is known of its subject.

    The alt text is what the library says the picture shows; the caption adds the definition of it: "A sickle: an edge
    tool for cutting grass or crops". Both are translated where they are in another language. A picture that nobody
    described has neither: what its slot asked for says nothing of it.
    """
    words = [_library_words(record, language) for record, _ in chosen]
    texts = [text for pair in words for text in pair]
    texts += [
        _definition(fact) if fact is not None and caption else ""
        for (_, fact), (caption, _) in zip(chosen, words, strict=True)
    ]
    foreign = {text: text for text in texts if text and detect_language(text) != language}
    asked = [
        (Message.of("user", prompts.localise.format(text=text)), Message.of("assistant", prompts.localise_prefix))
        for text in foreign
    ]
    for text, answer in zip(list(foreign), generate(model, asked, TRANSLATED_TOKENS), strict=True):
        foreign[text] = clean_caption(answer) or text
    texts = [foreign.get(text, text) for text in texts]
    printed = []
    defined: set[str] = set()
    for number in range(len(chosen)):
        caption, alt, definition = texts[2 * number], texts[2 * number + 1], texts[2 * len(chosen) + number]
        if definition and definition not in defined and definition.casefold() not in caption.casefold():
            defined.add(definition)  # the second sheep of an article is introduced to nobody
            caption = f"{caption}{'：' if language == 'zh' else ': '}{definition}"
        printed.append((_sentence_case(caption), _sentence_case(alt)))
    return printed


def library_words(record: ImageRecord, language: str) -> tuple[str, str]:
    """Caption and alt text for a picture without asking a model: the library's own words; empty where it has none."""
    caption, alt = _library_words(record, language)
    return _sentence_case(caption), _sentence_case(alt)


def english_words(record: ImageRecord) -> str:
    """What the library says in English of what the picture shows, or an empty string."""
    said = (record.caption_in("en"), record.caption, record.alt)
    return next((text for text in said if text and detect_language(text) == "en"), "")


def _library_words(record: ImageRecord, language: str) -> tuple[str, str]:
    caption = record.caption_in(language) or record.alt
    return caption, record.alt if record.alt and detect_language(record.alt) == language else caption


def _definition(fact: Fact) -> str:
    """The first clause of a definition, or nothing where it is too short to add anything."""
    clause = re.split(r";", re.sub(r"\s*\([^)]*\)", "", fact.text))[0].strip(" .,")
    return clause if len(clause.split()) >= FEWEST_DEFINING_WORDS else ""


def subject(caption: str) -> str:
    """What a caption is about, without where and how: "Chickens on the grass" gives "chickens"."""
    whole = re.sub(r"^(?:an? )?(?:head|pair|bunch|bowl|group) of ", "", caption.strip(" .。"), flags=re.IGNORECASE)
    head = _WHERE.split(whole)[0]
    bare = re.sub(r"^(?:an?|two|three) ", "", head, flags=re.IGNORECASE)
    return bare if bare != head or " " in head else bare.lower()


def generate(model: VisionLanguageModel, prompts: Sequence[Prompt], max_tokens: int) -> list[str]:
    """Greedy one-line answers to several prompts as one batch."""
    if not prompts:
        return []
    sampling = Sampling(max_tokens=max_tokens, temperature=0.0, stop=("\n",))
    answers = [""] * len(prompts)
    for chunk in model.stream_batch(prompts, [sampling] * len(prompts)):
        answers[chunk.index] += chunk.text
    return answers


def clean_caption(text: str) -> str:
    """The first clause of an answer, without quotes, lead-ins and full stop."""
    line = strip_quotes(text.strip().split("\n")[0])
    line = re.sub(r"^(?:a |an |the )?(?:photo(?:graph)?|picture|image) (?:of|showing) ", "", line, flags=re.IGNORECASE)
    line = re.split(r"(?<=[a-z\d\"”)])\.(?:\s|$)|[。；;]", line)[0]
    if len(line) > MAX_CAPTION_CHARS:
        line = re.split(r"[,，]", line)[0][:MAX_CAPTION_CHARS]
    return strip_quotes(line).strip(" .。,，:：")


def _known(caption: str, earlier: Sequence[str]) -> bool:
    mine = set(_CONTENT_WORD.findall(caption.lower()))
    return any(mine and len(mine & set(_CONTENT_WORD.findall(e.lower()))) > 0.7 * len(mine) for e in earlier if e)


def _sentence_case(text: str) -> str:
    return text[:1].upper() + text[1:]
