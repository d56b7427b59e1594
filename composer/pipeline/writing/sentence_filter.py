"""Keeps generated text fit to print while it streams: whole sentences only, nothing said twice, no chatter.

A ``SentenceFilter`` takes a model's text piece by piece and releases what may stand, so that what a reader saw
streaming is what the article holds.
"""

from __future__ import annotations

import re

# A sentence ends at Latin punctuation followed by space, or at Chinese punctuation; closing quotes belong to it.
_END = re.compile(r"""[.!?…]+["'”’)\]]*(?=\s)|[。！？…]+[”’」』）]*|\n""")
_ABBREVIATION = re.compile(r"(?:\b(?:Mr|Mrs|Ms|Dr|St|Prof|Jr|Sr|vs|etc|e\.g|i\.e|No|approx|ca)|\b[A-Z])\.$")
_CHATTER = re.compile(
    r"^(?:sure|certainly|of course|okay|here(?: is| are|'s|’s) |i hope|let me know|note:|as an ai|"
    r"当然|好的|以下是|希望(?:这|以上)|作为(?:一个)?(?:人工智能|AI))",
    re.IGNORECASE,
)
_ABOUT_ITSELF = re.compile(
    r"\b(?:in|see|as shown in) (?:the|this) (?:photo(?:graph)?|picture|image)s?\b|!\[|（?如图(?:所示)?"
    r"|\b(?:this|the) article (?:explores|explains|describes|looks|will|ends|covers)\b"
    r"|\bin this article\b|本文(?:将|会)|(?:下面|接下来)，?(?:我|我们)(?:将|会|就)",
    re.IGNORECASE,
)
# What speaks of something named before: "They graze …" opens nothing where that was dropped.
_POINTS_BACK = re.compile(
    r"(?:they|it|its|their|he|she|his|her|these|those|this|such)\b|[他她它]|这些|那些|这种", re.IGNORECASE
)
_WORD = re.compile(r"\w+")
_ITEM = re.compile(r"^(?:\d+[.)、]|[-*•])\s+")
_GAPS = ("", " ", "\n", "\n\n")  # from weakest to strongest


class SentenceFilter:
    """One instance an article: it remembers every sentence that stands.

    ``feed`` returns the text released so far by this call, ``finish`` the rest of a passage; where the passage was cut
    at a length limit, an unfinished last sentence is dropped.
    """

    def __init__(self) -> None:
        self._buffer = ""
        self._line_start = True
        self._known: list[frozenset[str]] = []
        self._keys: set[str] = set()
        # White space is released only before a further sentence: what was seen since the last sentence, and the
        # widest break around dropped ones before that.
        self._space = ""
        self._gap = ""
        self._orphaned = False  # what opened the paragraph was dropped, and what points back to it goes too

    def feed(self, text: str) -> str:
        self._buffer += text
        released: list[str] = []
        while match := self._sentence_end():
            piece, self._buffer = self._buffer[:match], self._buffer[match:]
            released.append(self._release(piece))
        return "".join(released)

    def finish(self, *, complete: bool) -> str:
        """End of a passage. ``complete`` is true where the model itself stopped."""
        rest, self._buffer = self._buffer, ""
        ended = rest.rstrip().endswith((".", "!", "?", "。", "！", "？", "”", '"', ")", "）", "…"))
        listed = complete and _ITEM.match(rest.lstrip()) is not None
        out = self._release(rest) if rest.strip() and (ended or listed) else ""
        self._space = self._gap = ""
        self._line_start = True
        self._orphaned = False
        return out

    def note(self, text: str) -> None:
        """Remember text that stands already, so that it is not said again."""
        for sentence in split_sentences(text):
            self._remember(sentence)

    def _sentence_end(self) -> int | None:
        for match in _END.finditer(self._buffer):
            head = self._buffer[: match.end()]
            if match.group() != "\n" and _ABBREVIATION.search(head):
                continue
            if re.fullmatch(r"\s*\d+\.", head):  # the number of a list item
                continue
            return match.end()
        return None

    def _release(self, piece: str) -> str:
        piece = piece.replace("**", "")  # bold is a model's tic in prose; the article goes without
        body = piece.strip()
        self._space += piece[: len(piece) - len(piece.lstrip())]
        if not body:
            return ""
        gap = max(self._gap, _gap(self._space), key=_GAPS.index)
        opens = self._line_start or "\n" in gap
        if opens:
            body = _ITEM.sub("", body)  # prose was asked for: a list's lines are sentences
        self._space = piece[len(piece.rstrip()) :]
        self._orphaned &= _POINTS_BACK.match(body) is not None
        unwanted = body.startswith("#") or _CHATTER.match(body) or _ABOUT_ITSELF.search(body)
        repeated = self._repeated(body)
        if unwanted or repeated or self._orphaned:
            self._orphaned |= repeated and opens
            self._gap = gap  # the widest break around a dropped sentence remains
            return ""
        self._remember(body)
        before = "" if self._line_start else gap
        self._gap = ""
        self._line_start = False
        return before + body

    def _remember(self, sentence: str) -> None:
        self._keys.add(_key(sentence))
        self._known.append(frozenset(_shingles(sentence)))

    def _repeated(self, sentence: str) -> bool:
        key = _key(sentence)
        if len(key) < 12:
            return False
        if key in self._keys:
            return True
        mine = frozenset(_shingles(sentence))
        return any(len(mine & known) > 0.7 * min(len(mine), len(known)) for known in self._known if len(known) >= 5)


def split_sentences(text: str) -> list[str]:
    """Sentences of a text in order, stripped; a cut at an abbreviation is harmless to its users."""
    out: list[str] = []
    start = 0
    for match in _END.finditer(text + "\n"):
        sentence = text[start : match.end()].strip()
        if sentence:
            out.append(sentence)
        start = match.end()
    return out


def is_chatter(sentence: str) -> bool:
    """Whether a model speaks to its reader here, or of the text or its pictures, instead of the subject."""
    return _CHATTER.match(sentence) is not None or _ABOUT_ITSELF.search(sentence) is not None


def _gap(space: str) -> str:
    """White space as prose knows it: nothing, a space, a line's end or a paragraph's end."""
    lines = space.count("\n")
    return "\n" * min(lines, 2) if lines else space[:1] and " "


def strip_quotes(text: str) -> str:
    """A title, heading or caption without the marks and quotes a model likes to put around it."""
    text = " ".join(text.split())
    text = re.sub(r"^(?:[#>*\-\s]+|\d+[.)、]\s*)+", "", text)
    text = re.sub(r"\*\*|__|`", "", text).strip()
    pairs = {'"': '"', "'": "'", "“": "”", "‘": "’", "《": "》", "「": "」", "『": "』"}
    while len(text) > 1 and pairs.get(text[0]) == text[-1]:
        text = text[1:-1].strip()
    return text


def _key(sentence: str) -> str:
    return "".join(_WORD.findall(sentence.lower()))


def _shingles(sentence: str) -> set[str]:
    """Word trigrams, or character 4-grams where the text is Chinese."""
    words = _WORD.findall(sentence.lower())
    if len(words) < 5:
        key = "".join(words)
        return {key[i : i + 4] for i in range(max(1, len(key) - 3))} if len(key) > 20 or not key.isascii() else {key}
    return {" ".join(words[i : i + 3]) for i in range(len(words) - 2)}
