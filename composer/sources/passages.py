"""Documents cut into passages: whole sentences of one page under one heading, about as much as is said of one thing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from composer.article.citation import Passage
from composer.article.language import count_words
from composer.sources.document import DocumentBlock, SourceDocument

PASSAGE_WORDS = 90  # what a passage is filled up to
MOST_WORDS = 130
FEWEST_WORDS = 12  # a shorter rest joins the passage before it

_END = re.compile(r"""[.!?…]+["'”’)\]]*(?=\s)|[。！？…]+[”’」』）]*|\Z""")
_NO_END = re.compile(
    r"(?:\b(?:Mr|Mrs|Ms|Dr|St|Mt|Prof|Jr|Sr|Gen|Sen|Rep|Gov|Lt|Col|Capt|Rev|Hon|vs|etc|cf|e\.g|i\.e|No|Nr|vol|pp?|ed|eds"
    r"|fig|figs|eq|approx|ca|al|Inc|Ltd|Co|Corp|bzw|z\.\s?B|u\.\s?a|d\.\s?h|Bd|Jh)|(?:\b[A-Z]\.)*\b[A-Z])\.$",
    re.IGNORECASE,
)
_INITIAL = re.compile(r"(?:^|[\s.(])[A-Z]\.$")
_NAME_GOES_ON = re.compile(
    r"[A-Z]\.|(?!(?:The|It|In|This|They|These|A|An|He|She|We|At|On|For|But|However)\b)[A-Z][a-z]+\b"
)


def sentences_of(text: str) -> list[str]:
    """Sentences in order; none is cut at an abbreviation, an initial or the number of a list's item."""
    found: list[str] = []
    start = 0
    for match in _END.finditer(text):
        head, rest = text[start : match.end()], text[match.end() :].lstrip()
        if not head.strip():
            continue
        if rest and _abbreviated(head.strip(), rest):
            continue
        found.append(head.strip())
        start = match.end()
    return found


def _abbreviated(head: str, rest: str) -> bool:
    if re.fullmatch(r"\d+\.|[a-z]\)", head):
        return True
    if rest[:1].islower():
        return head.endswith(".")
    if _INITIAL.search(head):
        # "J. R. Smith" and "the U.S. Army" go on; "in the U.S. The army …" does not.
        return _NAME_GOES_ON.match(rest) is not None
    return _NO_END.search(head) is not None


def cut(source: str, document: SourceDocument) -> tuple[Passage, ...]:
    """The passages of a document, in its order; ``source`` is its id."""
    found: list[Passage] = []
    for run in _runs(document.blocks):
        first = run[0]
        pieces: list[str] = []
        for block in run:
            pieces += list(_pieces(block.text))
        held, words = "", 0
        texts: list[str] = []
        for piece in pieces:
            size = count_words(piece)
            if held and (words + size > MOST_WORDS or words >= PASSAGE_WORDS):
                texts.append(held)
                held, words = "", 0
            held, words = _join(held, piece), words + size
        if held and words < FEWEST_WORDS and texts:
            texts[-1] = _join(texts[-1], held)
        elif held:
            texts.append(held)
        found += [Passage(source, first.page, text, first.heading) for text in texts]
    return tuple(found)


def _runs(blocks: Sequence[DocumentBlock]) -> Iterator[list[DocumentBlock]]:
    """Blocks that follow each other on one page under one heading."""
    run: list[DocumentBlock] = []
    for block in blocks:
        if run and (run[-1].page, run[-1].heading) != (block.page, block.heading):
            yield run
            run = []
        run.append(block)
    if run:
        yield run


def _pieces(text: str) -> Iterator[str]:
    """A paragraph where it is short, else its sentences; a sentence longer than a passage is cut at its words."""
    if count_words(text) <= PASSAGE_WORDS // 2:
        yield text
        return
    for sentence in sentences_of(text):
        words = sentence.split()
        if count_words(sentence) <= MOST_WORDS or len(words) == 1:
            yield sentence
        else:
            yield from (" ".join(words[i : i + MOST_WORDS]) for i in range(0, len(words), MOST_WORDS))


def _join(before: str, text: str) -> str:
    unspaced = before[-1:] > "\u2e80" or not before
    return before + text if unspaced else f"{before} {text}"
