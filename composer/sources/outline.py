"""What sources have for a subject: the passages that belong to it, in as many groups as an article has sections."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from composer.article.citation import Passage
from composer.errors import UsageError
from composer.sources.collection import SourceCollection
from retrieval.tokens import terms
from vision.interfaces import JointEncoder

LEAST_RELEVANCE = 0.36  # of the best passage: cosine and shared words; unrelated subjects reach about .3
LEAST_SHARE = 0.5  # of the best passage's relevance
ON_SUBJECT = 0.75  # cosine of a source's title and the subject: then all of it belongs, whatever words its passages use
WORDS_PER_PASSAGE = 20  # that a passage of about 90 words gives an article
SAME_HEADING = 0.35  # added to the likeness of passages that stand under one heading
MOST_PASSAGES = 120
_TOPICS_SHOWN = 6
# An instruction of such words alone names no subject: the sources are the subject.
_GENERAL = re.compile(
    r"\b(?:an?|the|my|our|these|this|those|of|on|for|from|about|with|in|and|what|is|are|all|some|please|write|make|give|summar\w+"
    r"|overview|introduction|introduce|report|article|text|essay|sources?|documents?|files?|notes?|papers?|book|material"
    r"|readers?|general|short|long|main|points?|content\w*|say|tell\w*|explain\w*|everything|it|them|me|us)\b"
    r"|请|写|一篇|文章|根据|关于|这些|资料|文档|笔记|总结|概述|介绍|综述|内容|主要|的|我",
    re.IGNORECASE,
)


def passages_for(
    instruction: str, sources: SourceCollection, encoder: JointEncoder, words: int
) -> tuple[list[int], np.ndarray]:
    """Positions of the passages that an article of ``words`` words on the subject is written from, the most relevant
    first, and all passages' relevance.

    Raises UsageError where the sources say nothing of the subject.
    """
    count = min(MOST_PASSAGES, max(4, round(words / WORDS_PER_PASSAGE)))
    if not terms(_GENERAL.sub(" ", instruction)):
        spread = np.linspace(0, len(sources.passages) - 1, min(count, len(sources.passages))).round().astype(int)
        return sorted({int(i) for i in spread}), np.ones(len(sources.passages))
    relevance = sources.relevance([instruction], encoder)[0]
    best = float(relevance.max())
    least = LEAST_RELEVANCE if sources.vectors is not None else 1e-6
    if best < least:
        raise UsageError("sources_off_subject", instruction=instruction[:80], topics=_topics(sources.passages))
    order = np.argsort(-relevance, kind="stable")
    titled = _titled(instruction, sources, encoder)
    belongs = [relevance[i] >= LEAST_SHARE * best or p.source in titled for i, p in enumerate(sources.passages)]
    return [int(i) for i in order if belongs[i]][:count], relevance


def _titled(instruction: str, sources: SourceCollection, encoder: JointEncoder) -> set[str]:
    """The sources that have the subject for their title."""
    if sources.vectors is None:
        asked = set(terms(instruction))
        return {source.id for source in sources.sources if asked and asked == set(terms(source.title))}
    vectors = encoder.encode_sentences([instruction, *(source.title for source in sources.sources)])
    return {one.id for one, alike in zip(sources.sources, vectors[1:] @ vectors[0], strict=True) if alike >= ON_SUBJECT}


def _topics(passages: Sequence[Passage]) -> list[str]:
    """What a reader may ask for instead: headings, most passages first; first words where there are none."""
    counts: dict[str, int] = {}
    for passage in passages:
        if passage.heading:
            counts[passage.heading] = counts.get(passage.heading, 0) + 1
    headings = sorted(counts, key=lambda heading: -counts[heading])
    return headings[:_TOPICS_SHOWN] or [passage.text[:60] for passage in passages[:3]]


def group(positions: Sequence[int], sources: SourceCollection, count: int) -> list[list[int]]:
    """The passages in at most ``count`` groups of like ones, each and all in the order of the sources.

    Average linkage over cosines (words in common where there are no vectors); passages under one heading count as more
    alike. Groups that grow beyond twice their share take no more.
    """
    ordered = sorted(positions)
    if count <= 1 or len(ordered) <= count:
        return [[i] for i in ordered] if len(ordered) <= count else [ordered]
    alike = _likeness(ordered, sources)
    groups = [[i] for i in range(len(ordered))]
    most = 2 * len(ordered) / count
    while len(groups) > count:
        pairs = [
            (float(alike[np.ix_(a, b)].mean()), i, j)
            for i, a in enumerate(groups)
            for j, b in enumerate(groups[:i])
            if len(a) + len(b) <= most
        ]
        if not pairs:
            break
        _, i, j = max(pairs)
        groups[j] += groups.pop(i)
    largest = sorted(groups, key=len, reverse=True)[:count]
    found = [sorted(ordered[i] for i in members) for members in largest]
    return sorted(found, key=lambda members: float(np.mean(members)))


def _likeness(positions: Sequence[int], sources: SourceCollection) -> np.ndarray:
    passages = [sources.passages[i] for i in positions]
    if sources.vectors is not None:
        vectors = sources.vectors[list(positions)]
        alike = vectors @ vectors.T
    else:
        held = [set(terms(passage.text)) for passage in passages]
        alike = np.array([[len(a & b) / (min(len(a), len(b)) or 1) for b in held] for a in held])
    same = np.array([[a.source == b.source and a.heading == b.heading != "" for b in passages] for a in passages])
    return alike + SAME_HEADING * same
