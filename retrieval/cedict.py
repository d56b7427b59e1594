"""Chinese words in English, from CC-CEDICT: exact where a small model guesses.

Source: CC-CEDICT of 21 December 2020 (118,961 entries, CC BY-SA 4.0, https://cc-cedict.org), as its plain text: a line
a word, ``traditional simplified [pinyin] /meaning/meaning/``.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from vision.errors import WeightsError

NAME = "cc-cedict"
_HAN_RUN = re.compile(r"[\u3400-\u9fff]+")
_ASIDE = re.compile(r"\s*\([^)]*\)\s*")
# Cross-references, measure words and grammar: no meaning that a word of the text could have.
_NO_MEANING = re.compile(r"^(?:CL:|see |variant of|old variant|also written|abbr\.|surname |used in|erhua)|[\[\]|]")


class ChineseDictionary:
    """Looks words up in the text of CC-CEDICT, simplified or traditional. Raises OSError for a file not there."""

    def __init__(self, file: Path) -> None:
        self._lines = file.read_text(encoding="utf-8").splitlines()
        self._places: dict[str, list[int]] = {}
        for place, line in enumerate(self._lines):
            if not line.startswith("#"):
                for word in set(line.split(" ", 2)[:2]):
                    self._places.setdefault(word, []).append(place)

    def meanings(self, word: str) -> list[str]:
        """What a word means, in the dictionary's order, without asides; empty for one that is not in it."""
        found: dict[str, None] = {}
        for place in self._places.get(word, ()):
            for meaning in self._lines[place].partition("] /")[2].strip("/ ").split("/"):
                bare = _ASIDE.sub(" ", meaning).strip().removeprefix("to ")
                if bare and not _NO_MEANING.search(bare):
                    found[bare] = None
        return list(found)

    def parts(self, word: str) -> list[tuple[str, str]]:
        """The words of the dictionary that make a longer one, longest from the end first, each with its first meaning:
        a Chinese compound says last what it is.
        """
        found: list[tuple[str, str]] = []
        for run in _HAN_RUN.findall(word):
            end = len(run)
            while end > 0:
                start = next((s for s in range(end) if self.meanings(run[s:end])), end - 1)
                if meanings := self.meanings(run[start:end]):
                    found.append((run[start:end], meanings[0]))
                end = start
        return found[::-1]


@cache
def installed_chinese_dictionary() -> ChineseDictionary | None:
    """The dictionary that ``vignette models pull`` fetched, or None."""
    from vision.downloads.store import locate

    try:
        return ChineseDictionary(locate(NAME))
    except WeightsError:
        return None
