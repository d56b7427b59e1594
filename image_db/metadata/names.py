"""The words of a file name that somebody chose; none where a camera, a phone or a program made the name up.

Knows strings only.
"""

from __future__ import annotations

import re

# What devices and programs put around a number: it says nothing of the picture.
_DEVICE_WORDS = """
    img image images imgp dsc dscn dscf dsci dcim pxl mvimg vid mov gopr gopro dji pic pict picture pictures photo
    photos photograph foto bild scan scanned scanner screenshot screen shot screencast whatsapp signal telegram facebook
    instagram unsplash pexels pixabay flickr shutterstock istock getty untitled unnamed unknown download downloaded file
    document copy kopie final edited edit tmp temp test thumb thumbnail preview original orig resized cropped crop
    scaled sample fig burst pano hdr snap capture export exported version jpg jpeg png
"""
_SMALL_WORDS = "a an the of in on and or with to by for from de la le les der die das und et el y at am pm no nr"
_UNTELLING = frozenset((_DEVICE_WORDS + _SMALL_WORDS).split())
_CAMERA = re.compile(r"^(?:_?[a-z]{1,4}_?\d{3,}|[a-z]?\d+[a-z]?\d*)$")
_HEX = re.compile(r"^(?=.*\d)[0-9a-f]{6,}$")
_CAMEL = re.compile(r"(?<=[a-zà-ÿ])(?=[A-ZÀ-Ý])")
_SEPARATORS = re.compile(r"[\W_]+")
_LETTERS = re.compile(r"[^\W\d_]")
_CJK = re.compile(r"[぀-ヿ㐀-鿿가-힣]")
_IDENTIFIER = re.compile(r"^[A-Za-z0-9_-]{20,}$")


def words_of_name(stem: str) -> tuple[str, ...]:
    """The telling words of a file name without its suffix, lower-case, in order, each once.

    >>> words_of_name("red-parrot_2019-05-04 (1)")
    ('red', 'parrot')
    >>> words_of_name("IMG_1234")
    ()
    """
    if "\udc80" <= max(stem, default="") <= "\udcff" or _is_identifier(stem):
        return ()
    words: dict[str, None] = {}
    for piece in _SEPARATORS.split(stem):
        if piece.casefold() in _UNTELLING:  # before it is taken apart: WhatsApp
            continue
        for word in _CAMEL.sub(" ", piece).casefold().split():
            if _LETTERS.search(word) and word not in _UNTELLING and not _is_number(word):
                words[word] = None
    return tuple(words)


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
