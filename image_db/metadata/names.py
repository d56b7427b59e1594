"""Tells what somebody wrote of a picture from what a camera, a phone or a program put there.

The words and patterns that say nothing are in ``meaningless.toml``, by language and by who writes them.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from functools import cache
from importlib.resources import files

_CAMERA = re.compile(r"^(?:_?[a-z]{1,4}_?\d{3,}|[a-z]?\d+[a-z]?\d*)$")
_HEX = re.compile(r"^(?=.*\d)[0-9a-f]{6,}$")
_CAMEL = re.compile(r"(?<=[a-zà-ÿ])(?=[A-ZÀ-Ý])")
_SEPARATORS = re.compile(r"[\W_]+")
_LETTERS = re.compile(r"[^\W\d_]")
_CJK = re.compile(r"[぀-ヿ㐀-鿿가-힣]")
_IDENTIFIER = re.compile(r"^[A-Za-z0-9_-]{20,}$")
_FILE_NAME = re.compile(r"^[^\s/\\]+\.(?:jpe?g|png|webp|gif|tiff?|bmp|heic|heif|avif|dng|nef|cr[23]|arw)$", re.I)
_BY_PROGRAM = re.compile(
    r"^(?:screen ?shot|bildschirmfoto|capture d.écran|captura de (?:pantalla|tela)|schermata|снимок экрана|"
    r"屏幕截图|屏幕快照|截图|截屏|螢幕截圖|スクリーンショット|스크린샷)s?[\W_]*\d"
    r"|^(?:chatgpt image|gemini[ _]generated[ _]image)(?![^\W_])",  # and what a model made, named by its program
    re.IGNORECASE,
)

_LEADING = frozenset(
    ("my", "our", "a", "an", "the", "mein", "meine", "unser", "unsere", "mon", "ma", "mes", "mi", "mis")
)


@cache
def _table() -> tuple[re.Pattern[str], frozenset[str], re.Pattern[str]]:
    """The captions and the words that say nothing, and those words in scripts without spaces."""
    table = tomllib.loads(files("image_db.metadata").joinpath("meaningless.toml").read_text(encoding="utf-8"))
    captions = "|".join(pattern for patterns in table["captions"].values() for pattern in patterns)
    words = frozenset(word for listed in table["names"].values() for word in listed.split())
    joined = "|".join(sorted((word for word in words if _CJK.search(word)), key=len, reverse=True))
    return re.compile(rf"(?:{captions}|dsc\w*|img\w*|[\W\d_]*)", re.IGNORECASE), words, re.compile(rf"{joined}|qq|\d")


def meant(caption: str) -> str:
    """The caption, or "" where it is what a device or a program writes into every picture, or a file's name."""
    if _table()[0].fullmatch(caption) or _FILE_NAME.match(caption) or _is_identifier(caption):
        return ""
    return caption


def words_of_name(stem: str) -> tuple[str, ...]:
    """The telling words of a file name without its suffix, lower-case, in order, each once.

    >>> words_of_name("red-parrot_2019-05-04 (1)")
    ('red', 'parrot')
    >>> words_of_name("IMG_1234")
    ()
    """
    stem = unicodedata.normalize("NFC", stem)
    if "\udc80" <= max(stem, default="") <= "\udcff" or _is_identifier(stem) or _BY_PROGRAM.match(stem):
        return ()
    words: dict[str, None] = {}
    for piece in _SEPARATORS.split(stem):
        if _is_untelling(piece.casefold()):  # before it is taken apart: WhatsApp
            continue
        for word in _CAMEL.sub(" ", piece).casefold().split():
            if _LETTERS.search(word) and not _is_untelling(word) and not _is_number(word):
                words[word] = None
    return tuple(words)


def caption_of_name(stem: str) -> str:
    """What somebody called the file, as a caption: its telling words with the small ones between them, or "".

    >>> caption_of_name("my-breakfast_coffee (2)")
    'My breakfast coffee'
    >>> caption_of_name("IMG_1234 dog at the lake")
    'Dog at the lake'
    >>> caption_of_name("DSC00017")
    ''
    """
    telling = words_of_name(stem)
    pieces = [word for piece in _SEPARATORS.split(unicodedata.normalize("NFC", stem)) for word in _CAMEL.split(piece)]
    kept = [i for i, word in enumerate(pieces) if word.casefold() in telling]
    if not kept:
        return ""
    first = kept[0]
    while first and pieces[first - 1].casefold() in _LEADING:
        first -= 1
    said = [w for i, w in enumerate(pieces[first : kept[-1] + 1], first) if i in kept or _LETTERS.match(w)]
    spaced = "".join(w if _CJK.search(w) and i and _CJK.search(said[i - 1]) else f" {w}" for i, w in enumerate(said))
    caption = spaced.strip()
    return caption[:1].upper() + caption[1:]


def _is_untelling(word: str) -> bool:
    untelling, joined = _table()[1:]
    return word.rstrip("0123456789") in untelling or (_CJK.search(word) is not None and not joined.sub("", word))


def _is_number(word: str) -> bool:
    """Counted by a camera, hexadecimal, or too short to say anything in a script with an alphabet."""
    too_short = len(word) < 3 and not _CJK.search(word)
    return too_short or bool(_CAMERA.match(word) or _HEX.match(word))


def _is_identifier(stem: str) -> bool:
    """A long run of letters and digits mixed without a word in it, as hashes and services make them."""
    if not _IDENTIFIER.match(stem):
        return False
    runs = re.findall(r"[a-z]{4,}|[A-Z][a-z]{3,}", stem)
    digits = sum(character.isdigit() for character in stem)
    return digits >= 3 and sum(map(len, runs)) < len(stem) // 3
