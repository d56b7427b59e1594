"""What a machine can tell of a text that was written from sources: what supports it, and what is copied."""

from __future__ import annotations

import re
from collections.abc import Sequence

from composer.article.citation import Citation
from composer.article.markdown import plain_text
from composer.evaluation.writing.text_measures import tokens

LEAST_SUPPORT = 0.5
MOST_COPIED_WORDS = 12
MOST_COPIED_CHARACTERS = 19  # twelve English words say about as much
_HAN = re.compile(r"[\u3400-\u9fff]")
_QUOTED = re.compile(r"“[^”]*”|\"[^\"]*\"|「[^」]*」|『[^』]*』|《[^》]*》")


def citations_of(sentence: str, citations: Sequence[Citation]) -> list[Citation]:
    """The citations of a sentence, which may have been cut elsewhere when it was cited."""
    found = []
    for citation in citations:
        cited = plain_text(citation.sentence)
        if cited and (cited in sentence or sentence in cited):
            found.append(citation)
    return found


def is_supported(sentence: str, citations: Sequence[Citation]) -> bool:
    """Whether a passage is cited for the sentence that supports it more likely than not."""
    return any(c.passages and c.support >= LEAST_SUPPORT for c in citations_of(sentence, citations))


def copied_runs(text: str, sources: Sequence[str]) -> list[str]:
    """Runs of more than twelve words, or nineteen Chinese characters, that a source has, outside quotation marks."""
    most = MOST_COPIED_CHARACTERS if _HAN.search(text) else MOST_COPIED_WORDS
    there = {tuple(run) for source in sources for run in _windows(tokens(source), most + 1)}
    found: list[str] = []
    for piece in _QUOTED.split(text):
        words = tokens(piece)
        end = -1  # of the run that is being followed
        for start, window in enumerate(_windows(words, most + 1)):
            if tuple(window) not in there:
                continue
            if start + most == end + 1 and found:
                found[-1] += f" {window[-1]}"
            else:
                found.append(" ".join(window))
            end = start + most
    return found


def _windows(words: Sequence[str], size: int) -> list[Sequence[str]]:
    return [words[i : i + size] for i in range(len(words) - size + 1)]
