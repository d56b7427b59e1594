"""What a draft may not say: names, numbers and quoted words, of which a bridge cannot know."""

from __future__ import annotations

import re

NUMBER_WORDS = frozenset(
    """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred hundreds thousand thousands
    million millions billion billions dozen dozens once twice first second third fourth fifth half halves
    """.split()  # noqa: SIM905
)
_STRANGE = re.compile(r"[^\w\s.,;:!?'’()–—-]|_")
_QUOTING = re.compile(r"(?<!\w)['’]|['’](?!\w)")
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")


def is_plain(text: str) -> bool:
    """Whether a sentence holds no digit or number word, no quotation or other sign, and no capital but its first.

    A name that opens the sentence looks like any other word there; what is drafted from has none.
    """
    if _strange(text):
        return False
    words = _WORD.findall(text)
    return all(is_plain_word(word if place else word[:1].lower() + word[1:]) for place, word in enumerate(words))


def is_plain_word(word: str) -> bool:
    """Whether a word inside a sentence has no capital, is no number and quotes nothing."""
    core = word.strip(".,;:!?()–—-")
    parts = re.split(r"[-–—]", core)
    return not _strange(core) and core == core.lower() and NUMBER_WORDS.isdisjoint(parts)


def _strange(text: str) -> bool:
    return bool(_STRANGE.search(text) or _QUOTING.search(text)) or any(char.isnumeric() for char in text)
