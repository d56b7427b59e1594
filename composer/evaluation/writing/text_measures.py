"""What a machine can tell of a text by itself: sentences said before, and stock phrases.

None of the rulers here is the writer's own: what the writer is made to avoid must not be all that is looked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np

from composer.article.markdown import plain_text
from composer.article.model import Section
from composer.pipeline.writing.sentence_filter import split_sentences

SAID_BEFORE = 0.75  # likeness to a sentence of an earlier section; read repetitions begin there
RUN_WORDS = 4
RUN_CHARACTERS = 6  # four English words say about as much
_MASK = "·"

_TOKEN = re.compile(r"[\u3400-\u9fff]|[^\W_\u3400-\u9fff]+(?:['’][^\W\d_]+)?")
_HAN = re.compile(r"[\u3400-\u9fff]")
STOCK_PHRASES = re.compile(
    r"\b(?:plays? an? (?:\w+ )?(?:role|part)|(?:wide|vast|diverse|broad) (?:range|array|variety|selection)"
    r"|(?:rich|long) (?:and \w+ )?(?:history|heritage|tradition)|testament to|symbols? of|reminder of|cornerstone"
    r"|backbone of|heart (?:and soul )?of|integral part|important part|essential (?:part|for|to|tool)|crucial|vital"
    r"|known for (?:its|their)|(?:is|are) home to|one of the (?:most|best|oldest|largest)|some of the most"
    r"|unique (?:blend|characteristics?|features?|and)|each with (?:its|their) own|breathtaking|stunning|picturesque"
    r"|fascinating|captivating|remarkable|iconic|vibrant|bustling|nestled|must-see|hidden gem|masterpiece"
    r"|versatile|valuable (?:resource|tool|asset)|not only|in addition to|whether you(?:'re|’re| are)|when it comes to"
    r"|in today['’]s world|throughout history|for centuries|over the (?:years|centuries)|the world of|a variety of"
    r"|various (?:types|kinds|ways|forms|purposes|factors)|come in (?:many|various|different|all)"
    r"|it(?: is|['’]s) important to|by (?:following|understanding) these|ensur(?:e|es|ing) that|overall|in conclusion"
    r"|ultimately|truly|sense of (?:\w+ )?(?:community|wonder|belonging|accomplishment|pride)|delicate balance"
    r"|experience of a lifetime|a perfect (?:choice|example|way)|beauty of|wonders of)\b"
    r"|至关重要|重要(?:的)?(?:组成部分|意义|作用|角色|一环)|不可或缺|必不可少|独特的(?:魅力|风味|风格|文化|艺术)|丰富多彩|各种各样|众所周知"
    r"|源远流长|博大精深|历史悠久|令人(?:惊叹|难忘|陶醉|着迷|向往)|充满了?(?:活力|生机|魅力|诗意)|象征着?|之一。|不仅.{1,20}(?:还|更|也)"
    r"|总的来说|总而言之|总之|综上所述|随着.{1,12}的发展|在(?:现代|当今)社会|人们(?:喜爱|生活中)|智慧的结晶|画龙点睛|离不开",
    re.IGNORECASE,
)

Likeness = Callable[[Sequence[str], Sequence[str]], np.ndarray]


def sentences_of(section: Section) -> list[str]:
    """The sentences of a section without its heading, as a reader of the printed article sees them."""
    lines = (plain_text(line) for line in section.body.splitlines())
    return [sentence for line in lines if line for sentence in split_sentences(line)]


def tokens(text: str) -> list[str]:
    """Words in lower case; each Chinese character is one."""
    return [token.lower() for token in _TOKEN.findall(text)]


def repeated(sections: Sequence[Sequence[str]], likeness: Likeness, title: str) -> list[list[bool]]:
    """Whether each sentence says what one of an earlier section says, or repeats half of its runs of words.

    ``likeness`` gives (n, m) cosines of sentences. The words of the title count as one: all sections name them.
    """
    found: list[list[bool]] = []
    earlier: list[str] = []
    seen: set[tuple[str, ...]] = set()
    for section in sections:
        runs = [_runs(sentence, title) for sentence in section]
        alike = likeness(section, earlier).max(axis=1) if earlier and section else np.zeros(len(section))
        shares = [sum(run in seen for run in own) / len(own) if own else 0.0 for own in runs]
        found.append([bool(a >= SAID_BEFORE or b >= 0.5) for a, b in zip(alike, shares, strict=True)])
        earlier += section
        seen.update(run for own in runs for run in own)
    return found


def repeated_runs(sections: Sequence[Sequence[str]], title: str) -> tuple[int, int]:
    """How many runs of four words stand in an earlier section, too, and how many runs there are."""
    again = total = 0
    seen: set[tuple[str, ...]] = set()
    for section in sections:
        own = [run for sentence in section for run in _runs(sentence, title)]
        again += sum(run in seen for run in own)
        total += len(own)
        seen.update(own)
    return again, total


def _runs(sentence: str, title: str) -> list[tuple[str, ...]]:
    masked = set(tokens(title)) if not _HAN.search(sentence) else set()
    words = [_MASK if word in masked else word for word in tokens(sentence)]
    size = RUN_CHARACTERS if _HAN.search(sentence) else RUN_WORDS
    return [tuple(words[i : i + size]) for i in range(len(words) - size + 1)]


def has_stock_phrase(sentence: str) -> bool:
    return STOCK_PHRASES.search(sentence) is not None
