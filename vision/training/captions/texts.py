"""What a caption bridge learns to say: sentences of alt texts without their preambles, and which of their words count.

Names, numbers and quotations stay in a sentence, because what follows them makes no sense without; but nothing is
learned from them, and the vocabulary leaves them out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from vision.bridge.plain_words import NUMBER_WORDS, is_plain_word
from vision.training.dataset import Figure

SENTENCES, MOST_WORDS = 4, 26  # of an alt text, of a sentence
_KIND = r"(?:photo(?:graph)?s?|pictures?|images?|illustrations?|figures?|portraits?(?= (?:is|shows|depicts)))"
_LOOK = (
    r"(?:(?:black[- ]and[- ]white|colou?r(?:ed|ful)?|close-?up|aerial|old|historical|historic|composite|vintage|"
    r"satellite|sepia(?:-toned)?|cropped) )*"
)
_SAYS = (
    r"(?:is |are )?(?:of|shows?|showing|depicts?|depicting|displays?|features?|portrays?|illustrates?|captures?|"
    r"taken of|which shows|that shows?|,)\s+(?:that\s+)?(?:of\s+)?"
)
_PREAMBLES = (
    re.compile(
        rf"^(?:in )?(?:an?|the|this|these|two|three)\s+{_LOOK}{_KIND}(?:\s*\([a-z]\)|\s+[a-d])?,?\s*{_SAYS}", re.I
    ),
    re.compile(
        rf"^(?:this|these|here|it) (?:is|are) (?:an?|the)?\s*{_LOOK}{_KIND}(?:\s+(?:of|shows?|showing|depicting))\s+",
        re.I,
    ),
    re.compile(rf"^{_LOOK}{_KIND}(?:\s*\([a-z]\)| [a-d])?\s+(?:of|shows?|showing|depicts?|depicting)\s+", re.I),
)
_POSTSCRIPT = re.compile(
    r"\s+(?:(?:is|are) (?:shown|depicted|seen|pictured)(?: here)?|in (?:a|this) black[- ]and[- ]white \w+)(?=\.?$)",
    re.I,
)
_COUNT = re.compile(
    r"(?<![\w-])(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|forty|fifty)(?![\w-]) ",
    re.I,
)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z(])")
_STANDS_ALONE = re.compile(r"(?:An?|The|Some|Several|Many|There|People|Men|Women)\b")
_POINTS_ELSEWHERE = re.compile(r"\b(?:figure|first|second|third|left|right|photos?|images?)\b", re.I)
_DRAWN = re.compile(r"\b(?:labell?ed|labels?|reads|chart|graph|diagram)\b", re.I)
_INNER_WORD = re.compile(r"(?<=[\w,] )[a-z][a-z'’-]*")
_TAG = re.compile(r"(?<![\w’'-])[a-z]{3,}(?![\w’'-])")
# Words that say nothing of what is seen.
_EMPTY_WORDS = frozenset(
    """
    the and with without are from for that which who what where when while his her their its they them him our you
    your this these those there here into onto over under near next other another some several many much more most
    few each both all also has have had been being not than then such very can could will would may might must does
    did through down out around behind front back side between among along across against before after during about
    above below beside left right top bottom photo photos photograph photographs picture pictures image images
    figure figures illustration one reads pictured shows show shown showing depicts depicting appears appear seen
    see seems various different like including include includes used using use made make makes part parts own called
    known labeled labels label she but was were
    """.split()  # noqa: SIM905
)

# Words of sentences that speak of the picture instead of what it shows; "a photo of" too often ends in a name.
ABOUT_PICTURES = frozenset(
    (
        "figure",
        "figures",
        "image",
        "images",
        "photo",
        "photos",
        "photograph",
        "photographs",
        "picture",
        "pictures",
        "panel",
    )
)


@dataclass(frozen=True, slots=True)
class CaptionText:
    """A sentence of a figure's alt text. ``counts`` says of each of its words, parted by blanks, whether it may be
    learned.
    """

    figure: int
    words: tuple[str, ...]
    counts: tuple[bool, ...]

    @property
    def text(self) -> str:
        return " ".join(self.words)

    @property
    def is_whole(self) -> bool:
        """Whether its end is the sentence's end."""
        return self.words[-1].endswith(".") and self.counts[-1]


def caption_texts(figures: Sequence[Figure]) -> list[CaptionText]:
    """In the figures' order, none twice for one figure."""
    found: dict[tuple[int, str], None] = {}
    for number, figure in enumerate(figures):
        for place, said in enumerate(_SENTENCE_END.split(figure.alt)[:SENTENCES]):
            text = without_preamble(said)
            words = text.split()
            if len(words) < 3 or _DRAWN.search(text):
                continue
            if place and (not _STANDS_ALONE.match(text) or _POINTS_ELSEWHERE.search(text)):
                continue
            found[number, " ".join(words[:MOST_WORDS])] = None
    ordinary = Counter(word for _, text in found for word in _INNER_WORD.findall(text))
    return [_marked(number, text.split(), ordinary) for number, text in found]


def without_preamble(sentence: str) -> str:
    """Without "A photograph shows" and its kin and without counts of things; with a capital and a full stop."""
    text = " ".join(sentence.split())
    for preamble in _PREAMBLES:
        if (rest := preamble.sub("", text, count=1)) != text:
            text = rest
            break
    text = _COUNT.sub("", _POSTSCRIPT.sub("", text.strip())).strip().rstrip(" .;:")
    return f"{text[0].upper()}{text[1:]}." if text else ""


def tag_words(figures: Sequence[Figure]) -> list[set[str]]:
    """Of each figure the words of alt text and caption that may be its tags."""
    return [
        {word for word in _TAG.findall(f"{figure.alt} {figure.caption}") if _is_tag(word)} for figure in figures
    ]  # fmt: skip


def _is_tag(word: str) -> bool:
    return word not in _EMPTY_WORDS and word not in NUMBER_WORDS and is_plain_word(word)


def _marked(figure: int, words: list[str], ordinary: Counter[str]) -> CaptionText:
    counts = []
    for place, word in enumerate(words):
        core = re.sub(r"[^\w'’-]", "", word)
        # What opens a sentence is a name unless others use it in the middle of theirs.
        known = place or core.lower() in ("a", "an") or ordinary[core.lower()] > 2
        counts.append(bool(known) and is_plain_word(word if place else word[0].lower() + word[1:]))
    return CaptionText(figure, tuple(words), tuple(counts))
