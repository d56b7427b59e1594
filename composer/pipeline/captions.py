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
from composer.pipeline.prompts import Prompts
from composer.pipeline.sentence_filter import strip_quotes
from image_db.metadata.record import ImageRecord
from vision.interfaces import Message, Prompt, Sampling, VisionLanguageModel

CAPTION_TOKENS = 28
MAX_CAPTION_CHARS = 110
SUITED_SPAN = 1.5  # nats behind the best-suited subject
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

    ``avoid`` are descriptions that something else is wanted than.
    """
    begins = [opening(sections[i]) for i in places]
    asked = [conversation.ask(prompts.caption.format(opening=o), prompts.caption_prefix) for o in begins]
    captions = [clean_caption(text) for text in generate(model, asked, CAPTION_TOKENS)]
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


def translate(model: VisionLanguageModel, prompts: Prompts, texts: Sequence[str]) -> list[str]:
    """Short English descriptions of ``texts``; the text itself where the model gives nothing."""
    asked = [
        (Message.of("user", prompts.translate.format(text=text)), Message.of("assistant", prompts.translate_prefix))
        for text in texts
    ]
    answers = generate(model, asked, CAPTION_TOKENS)
    return [clean_caption(answer) or text for answer, text in zip(answers, texts, strict=True)]


def printed_captions(
    model: VisionLanguageModel, prompts: Prompts, language: str, chosen: Sequence[tuple[ImageRecord, str]]
) -> list[tuple[str, str]]:
    """Caption and alt text to print for (picture, what its slot asked for), from what the picture shows.

    The words the library has for the picture stand; they are translated where it has none in the article's language.
    A picture without any words keeps what the slot asked for. A model that has not looked adds nothing.
    """
    words = [_library_words(record, language, wish) for record, wish in chosen]
    captions, alts = [caption for caption, _ in words], [alt for _, alt in words]
    foreign = [i for i, caption in enumerate(captions) if detect_language(caption) != language]
    asked = [
        (
            Message.of("user", prompts.localise.format(text=captions[i])),
            Message.of("assistant", prompts.localise_prefix),
        )
        for i in foreign
    ]
    for i, text in zip(foreign, generate(model, asked, CAPTION_TOKENS), strict=True):
        captions[i] = alts[i] = clean_caption(text) or captions[i]
    return [(_sentence_case(c), _sentence_case(a)) for c, a in zip(captions, alts, strict=True)]


def library_words(record: ImageRecord, language: str, wish: str = "") -> tuple[str, str]:
    """Caption and alt text for a picture without asking a model: the library's own words, or else ``wish``."""
    caption, alt = _library_words(record, language, wish)
    return _sentence_case(caption), _sentence_case(alt)


def _library_words(record: ImageRecord, language: str, wish: str) -> tuple[str, str]:
    caption = record.caption_in(language) or record.alt or wish
    return caption, record.alt if record.alt and detect_language(record.alt) == language else caption


def subject(caption: str) -> str:
    """What a caption is about, without where and how: "Chickens on the grass" gives "chickens"."""
    whole = re.sub(r"^(?:an? )?(?:head|pair|bunch|bowl|group) of ", "", caption.strip(" .。"), flags=re.IGNORECASE)
    head = _WHERE.split(whole)[0]
    bare = re.sub(r"^(?:an?|two|three) ", "", head, flags=re.IGNORECASE)
    return bare if bare != head or " " in head else bare.lower()


def varied_subjects(subjects: Sequence[str]) -> list[str]:
    """The subjects in order, less those that vary one named before: of "green tape" and "blue tape" the first.

    Told by the last word, or in Chinese by the last character, where a noun phrase has its noun.
    """
    heads: dict[str, str] = {}
    for name in filter(None, subjects):
        heads.setdefault((name[-1] if not name.isascii() else name.split()[-1].casefold().rstrip("s")), name)
    return list(heads.values())


def suited(model: VisionLanguageModel, prompts: Prompts, instruction: str, subjects: Sequence[str]) -> list[str]:
    """Those of ``subjects`` that the model finds fit for an article on ``instruction``, in the order given.

    Yes is scored against no for each; a subject passes with odds for it that are not far behind the best one's.
    """
    asked = [
        (
            Message.of("user", prompts.suits.format(instruction=instruction, thing=thing)),
            Message.of("assistant", prompts.suits_prefix),
        )
        for thing in subjects
    ]
    scores = model.score_batch(asked, [(prompts.suits_yes, prompts.suits_no)] * len(asked)) if asked else []
    odds = [yes - no for yes, no in scores]
    least = max(0.0, max(odds, default=0.0) - SUITED_SPAN)
    return [thing for thing, value in zip(subjects, odds, strict=True) if value > least]


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
