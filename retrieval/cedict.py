"""Chinese words in English, from CC-CEDICT: exact where a small model guesses.

Source: CC-CEDICT of 21 December 2020 (118,961 entries, CC BY-SA 4.0, https://cc-cedict.org), as its plain text: a line
a word, ``traditional simplified [pinyin] /meaning/meaning/``.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from retrieval.tokens import STOP_CHARACTERS, folded
from vision.errors import WeightsError

NAME = "cc-cedict"
MEANINGS = 2  # of an entry: a 风车 is a pinwheel, and a windmill
_PLACES = "上中下里内外旁前后边"
# Characters that say how words belong together, how many there are, and in what pieces; nothing that could be seen.
_GRAMMAR = STOP_CHARACTERS.union("着过把被给对从向往到于之其也都很些做我你他她它群两二三四五六七八九十几", _PLACES)
_WHERE = frozenset({"上面", "下面", "里面", "外面", "前面", "后面", "旁边", "中间", "这个", "那个"})
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

    def in_english(self, text: str, most: int = MEANINGS) -> str:
        """What a few words name, for a search: up to ``most`` meanings of a text that is an entry, else its words one
        by one without their grammar; empty where one of them is not known, as of a name.

        >>> dictionary.in_english("河上的水坝")  # doctest: +SKIP
        'river dam'
        """
        text = folded(text.strip(" 。，,.!！?？"))
        if whole := self.meanings(text):
            return ", ".join(whole[:most])
        import rjieba

        said = []
        for word in rjieba.cut(text):
            if not _HAN_RUN.fullmatch(word):
                said.append(word)
                continue
            if _GRAMMAR.issuperset(word) or word in _WHERE:
                continue
            meanings = (self.meanings(word) or self.meanings(word.rstrip(_PLACES)))[:1]  # 树上: on the tree
            if not meanings:
                parts = self.parts(word)
                # Characters alone mean this or that: what is made of them only is a name.
                if sum(len(part) for part, _ in parts) < len(word) or all(len(part) < 2 for part, _ in parts):
                    return ""
                meanings = [meaning for _, meaning in parts]
            said += meanings
        return " ".join(" ".join(said).split())


@cache
def installed_chinese_dictionary() -> ChineseDictionary | None:
    """The dictionary that ``vignette models pull`` fetched, or None."""
    from vision.downloads.store import locate

    try:
        return ChineseDictionary(locate(NAME))
    except WeightsError:
        return None
