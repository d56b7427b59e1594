"""What each picture should show.

Captions of all slots are one batch over the shared article; those that say the same as an earlier one are asked
again, knowing it. Generates greedily: a caption is a description, not prose.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from composer.article.markdown import plain_text
from composer.article.model import Section
from composer.pipeline.conversation import OPENING_CHARS, Conversation, clip, opening
from composer.pipeline.prompts import Prompts
from composer.pipeline.writing.facts import named_things, singular
from composer.pipeline.writing.sentence_filter import strip_quotes
from vision.interfaces import Message, Prompt, Sampling, VisionLanguageModel

CAPTION_TOKENS = 28
MOST_NAMING_WORDS, MOST_NAMING_CHARACTERS = 3, 6
MAX_CAPTION_CHARS = 110
_SMALL = frozenset(("the", "and", "its", "with", "for", "from", "into", "that", "their"))
_WHERE = re.compile(r",| (?:on|in|at|under|above|with|near|standing|lying|eating|bearing|against) ")
_CONTENT_WORD = re.compile(r"\b(?!(?:the|and|its|with|for|from|into)\b)[^\W\d_]{3,}|[\u4e00-\u9fff]")


def propose_captions(
    model: VisionLanguageModel,
    prompts: Prompts,
    conversation: Conversation,
    sections: Sequence[Section],
    places: Sequence[int],
    avoid: Sequence[str] = (),
    subjects: Mapping[int, str] | None = None,
) -> list[str]:
    """One short description a place, in the article's language; never empty, and never the same twice.

    What ``subjects`` says of a section, or a heading that names one thing, is what its picture should show; the model
    is asked about the others. ``avoid`` are descriptions that something else is wanted than.
    """
    begins = [opening(sections[i]) for i in places]
    headings = [sections[i].heading for i in places]
    known = [(subjects or {}).get(i, "") for i in places]
    known = [name or (h if _names_a_thing(h) else "") for name, h in zip(known, headings, strict=True)]
    captions = [name if name and not _known(name, [*avoid, *known[:i]]) else "" for i, name in enumerate(known)]
    open_ = [i for i, caption in enumerate(captions) if not caption]
    asked = [conversation.ask(prompts.caption.format(opening=begins[i]), prompts.caption_prefix) for i in open_]
    for i, text in zip(open_, generate(model, asked, CAPTION_TOKENS), strict=True):
        captions[i] = clean_caption(text)

    def distinct(i: int, text: str) -> bool:
        """Whether it is wanted nowhere else."""
        others = [*avoid, *captions[:i], *(c for j, c in enumerate(captions) if j > i and j not in open_)]
        return bool(text) and not _known(text, others)

    def fits(i: int, text: str) -> bool:
        return distinct(i, text) and _belongs(text, sections[places[i]])

    again = [i for i in open_ if not fits(i, captions[i])]
    if again:
        joint = "、" if prompts.caption_prefix[-1] > "\u4e00" else "; "
        earlier = joint.join(dict.fromkeys(filter(None, (*avoid, *captions))))
        asked = [
            conversation.ask(prompts.recaption.format(opening=begins[i], earlier=earlier), prompts.caption_prefix)
            for i in again
        ]
        for i, answer in zip(again, generate(model, asked, CAPTION_TOKENS), strict=True):
            # What a section names itself is honest, whatever it lacks as a description; no two sections begin alike.
            body = plain_text(sections[places[i]].body)
            said = [clean_caption(answer), headings[i], *named_things(body)]
            last = next((text for text in said if distinct(i, text)), clip(body, OPENING_CHARS) or begins[i])
            captions[i] = next((text for text in said if fits(i, text)), last)
    return captions


def _belongs(caption: str, section: Section) -> bool:
    """Whether an English caption has a word of its section; of other languages nothing is said."""
    mine = {singular(word) for word in re.findall(r"[a-z]{3,}", caption.lower())} - _SMALL
    theirs = {singular(word) for word in re.findall(r"[a-z]{3,}", section.text.lower())}
    return not caption.isascii() or not mine or bool(mine & theirs)


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
