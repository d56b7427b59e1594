"""What things are, from GCIDE, the GNU Collaborative International Dictionary of English: facts for the writer.

Where WordNet has a line on the camel, GCIDE has its hoofs, its humps and how long it goes without drinking, and it has
what is done as well as what there is: to knead, to prune, to thresh. Nouns and verbs are read; senses marked as
obsolete, rare, figurative or slang, quotations, etymologies and Latin names are left out.

Source: GCIDE 0.48 (Webster 1913 and WordNet, with additions; GPL-2.0-or-later, https://gcide.gnu.org.ua), in the format
of dictd: an index of headword, offset and length, and a gzip file of independent chunks (dictzip(1)).
"""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Literal, TypeAlias

from vision.errors import WeightsError

Part: TypeAlias = Literal["n", "v"]

_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_CHUNK_FIELD = b"RA"
MOST_SENSE_WORDS = 45
LEAST_SENSE_WORDS = 4

_HEAD = re.compile(
    r"^(?P<head>[^\\\n]+)\\[^\\]*\\(?:\s*\([^)]*\))?,?\s*(?P<part>n|v)\.(?:\s*[ti]\.)?(?:\s*&\s*[itv]\.)*"
)
# What the text's own source is stands after each paragraph. Only what is in the public domain (Webster's of 1913) or
# WordNet's is read, so that an article which takes a phrase over owes nobody anything.
_TAG = re.compile(r"\s*\[(1913 Webster|Webster 1913[^\]]*|WordNet[^\]]*|[A-Z][\w .]*(?: ?\+ ?[A-Z]+)*)\]\s*$")
_UNFIT = re.compile(
    r"\[(?:Obs|R|Archaic|Slang|Colloq|Prov|Scot|Cant|Low|Poetic|Humorous|Local|Dial|Rare)[^\]]*\]"
    r"|^(?:an? |the |any )?(?:[\w-]+,? ){0,4}?(?:fellow|person|man|woman|girl|boy|native|wench|wretch|people)\b"
    r"|\b(?:Fig\.|Figuratively|obsolete)|^See |^Same as |^One who |^The act |^The state "
    r"|(?i:\b(?:adjectively|in composition|compounds?|in the sense|synonym\w*|spelled"
    r"|term|the word|contempt|opprobrious|derisive|savages?|negro\w*|heathens?)\b)"
)
# Letters that the text has no signs for: Macropodid[ae], [OE]dipus, caf['e].
_LETTER = re.compile(r"\[(?:([aoAO][eE])|[=^\"'`,~.:-]([A-Za-z]))\]")
_BRACKETS = re.compile(r"\[[^\[\]]*\]")
_PLURAL = re.compile(
    r"^[;,]?\s*(?:sing\. & )?pl\.(?: or sing\.)?\s*(?:(?:[A-Z]\. )?\{[^}]*\}(?:\s*\([^)]*\))?[,;]?\s*)*\.?\s*"
)
_LABEL = re.compile(r"^(?:\((?:[A-Z][\w.& ]*\.?,? ?)+\)\s*|[-;,.]\s*|\([a-z]\)\s*)+")
_LABEL_WITHIN = re.compile(r"\s*\((?:Zo[^)]*|Bot|Naut|Mus|Anat|Mil|Min|Mach|Arch|Med|Her|Law|Chem|Geol|Print|Mech)\.\)")
_LATIN = re.compile(r"\s*\((?:\{[^}]*\}(?:,| and| or)?\s*)+[^()]*\)")
_EXAMPLE = re.compile(r"[;,] as, [^;.]*")
_ASIDE = re.compile(
    r"(?:--\s*)?(?:\b(?:See(?: also)?|Cf\.|[Cc]ompare)|[;,] see)\s+(?:Illust\. (?:of|under|in)\s*)?[^.;]*[.;]?"
    r"|--\s*(?:[A-Z][\w'.]*\s*)+\.?|--\s*(?:[Cc]alled|[Uu]sed) [^.;]*$|\s*--(?=\s)|\s*\"[^\"]*\"\.?(?=\s|$)"
)
_SENSE = re.compile(r"(?:^|\s)(?:\d{1,2}\.|\([a-z]\))\s+(?=[A-Za-z(\[])")


@dataclass(frozen=True, slots=True)
class Sense:
    """One meaning of a headword; ``note`` is what the dictionary adds to it."""

    head: str
    part: Part
    text: str
    note: str = ""


class Dictionary:
    """A GCIDE folder with ``gcide.index`` and ``gcide.dict.dz``. Raises OSError or ValueError for one that is not."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "gcide.dict.dz"
        self._raw_index = b"\n" + (folder / "gcide.index").read_bytes()
        self._index = self._raw_index.lower()  # of the same length: only ASCII letters change
        self._chunk_bytes, self._chunks = _read_chunk_table(self._file)
        self.senses = lru_cache(maxsize=1024)(self._senses)

    def _senses(self, word: str, part: Part) -> tuple[Sense, ...]:
        """The usable meanings of a word as noun or verb, in the dictionary's order."""
        found: list[Sense] = []
        for text in self._entries(word.lower()):
            found += read_entry(word.lower(), part, text)
        return tuple(dict.fromkeys(found))

    def _entries(self, word: str) -> list[str]:
        key = b"\n" + word.encode() + b"\t"
        found, at = [], self._index.find(key)
        while at >= 0:
            end = self._raw_index.find(b"\n", at + 1)
            _, offset, size = self._raw_index[at + 1 : end if end >= 0 else None].decode().split("\t")
            found.append(self._read(_number(offset), _number(size)))
            at = self._index.find(key, at + 1)
        return found

    def _read(self, offset: int, size: int) -> str:
        first, last = offset // self._chunk_bytes, (offset + size - 1) // self._chunk_bytes
        with self._file.open("rb") as file:
            data = b""
            for start, length in self._chunks[first : last + 1]:
                file.seek(start)
                data += zlib.decompressobj(-zlib.MAX_WBITS).decompress(file.read(length))
        start = offset - first * self._chunk_bytes
        return data[start : start + size].decode("utf-8", errors="replace")


@cache
def installed_dictionary() -> Dictionary | None:
    """The dictionary that ``vignette models pull`` fetched, or None: the writer then knows WordNet's lines alone."""
    from vision.downloads.store import locate

    try:
        return Dictionary(locate("gcide"))
    except WeightsError:
        return None


def _read_chunk_table(file: Path) -> tuple[int, list[tuple[int, int]]]:
    """Bytes of text a chunk, and (offset, length) of each compressed one: the gzip header's extra field, dictzip(1)."""
    with file.open("rb") as opened:
        magic, flags = struct.unpack("<2sxB6x", opened.read(10))
        if magic != b"\x1f\x8b" or not flags & 4:
            raise ValueError(f"{file} is not a dictzip file")
        extra = opened.read(struct.unpack("<H", opened.read(2))[0])
        if extra[:2] != _CHUNK_FIELD:
            raise ValueError(f"{file} has no table of chunks")
        _, chunk_bytes, count = struct.unpack_from("<HHH", extra, 4)
        lengths = struct.unpack_from(f"<{count}H", extra, 10)
        for flag in (8, 16):  # the original name and a comment, each ending in a zero byte
            if flags & flag:
                while opened.read(1) not in (b"\0", b""):
                    pass
        start = opened.tell() + (2 if flags & 2 else 0)
    chunks = []
    for length in lengths:
        chunks.append((start, length))
        start += length
    return chunk_bytes, chunks


def _number(digits: str) -> int:
    value = 0
    for digit in digits:
        value = 64 * value + _DIGITS.index(digit)
    return value


def read_entry(head: str, part: Part, entry: str) -> list[Sense]:
    """The senses of one entry as dictd prints it: empty where it is of another part of speech."""
    paragraphs = [block for block in re.split(r"\n\s*\n", entry) if block.strip()]
    match = _HEAD.match(paragraphs[0]) if paragraphs else None
    if match is None or match["part"] != part or match["head"].strip().lower() != head:
        return []  # another part of speech, or an entry that only mentions the word
    senses: list[Sense] = []
    for number, block in enumerate(paragraphs):
        indent = len(block) - len(block.lstrip(" \n"))
        text = " ".join(block.split())
        free = True
        while tag := _TAG.search(text):
            free = "Webster" in tag[1] or "WordNet" in tag[1]
            text = text[: tag.start()]
        if number == 0:
            text = _PLURAL.sub("", _without_brackets(text[_HEAD.match(text).end() :]))  # type: ignore[union-attr]
        elif text.startswith("Note:"):
            if senses and not senses[-1].note and not _UNFIT.search(text):
                senses[-1] = Sense(head, part, senses[-1].text, _cleaned(text.removeprefix("Note:")))
            continue
        elif indent >= 9 or text.startswith(("{", "Syn")):
            if text.startswith(("{", "Syn")):
                break  # compounds and synonyms
            continue  # a quotation
        for piece in _SENSE.split(f" {text}"):
            said = _cleaned(piece)
            circular = head in re.findall(r"[a-z-]+", said.lower())[:6]  # "anything resembling a sail"
            if (
                not circular
                and free
                and len(said.split()) >= LEAST_SENSE_WORDS
                and not (_UNFIT.search(piece) or _UNFIT.search(said))
            ):
                senses.append(Sense(head, part, said))
    return senses


def _without_brackets(text: str) -> str:
    """Less etymologies, which may be nested."""
    text = _LETTER.sub(lambda letter: letter[1] or letter[2], text)
    while (shorter := _BRACKETS.sub("", text)) != text:
        text = shorter
    return text


def _cleaned(text: str) -> str:
    """Plain words: no labels, Latin names, references or examples, and no more than can be taken in."""
    text = _LATIN.sub("", _without_brackets(text)).replace("{", "").replace("}", "")
    text = _LABEL_WITHIN.sub("", _ASIDE.sub("", _EXAMPLE.sub("", text)))
    text = _LABEL.sub("", " ".join(text.split())).replace(" ,", ",").replace(" .", ".").replace(" ;", ";")
    words = text.strip(" ;,-").split()
    if len(words) > MOST_SENSE_WORDS:
        kept = " ".join(words[:MOST_SENSE_WORDS])
        cut = max(kept.rfind(". "), kept.rfind("; "))
        return kept[: cut if cut > 0 else None].strip(" ;,-.")
    return " ".join(words).strip(" .")
