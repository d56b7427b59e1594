"""Text of bytes in whatever encoding they are: by their mark, as UTF-8, or by what they look like."""

from __future__ import annotations

import codecs
import re

_MARKS = (  # UTF-32's little-endian mark begins with UTF-16's
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_DETECTED_BYTES = 1 << 18
_MIXED = re.compile(r"[A-Za-z][Ѐ-ӿ]|[Ѐ-ӿ][A-Za-z]")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")


def encoding_of(data: bytes) -> str:
    """The name of the encoding that bytes without a mark are likeliest in. Raises ValueError for what is no text."""
    sample = data[:_DETECTED_BYTES]
    if sample.count(0) > len(sample) // 4:  # English in UTF-16 would pass for UTF-8
        return "utf-16-le" if sample[1::2].count(0) >= sample[::2].count(0) else "utf-16-be"
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        # A text that was cut may end within a character.
        if error.reason == "unexpected end of data" and error.start > 16 and error.start >= len(data) - 3:
            return "utf-8"
    else:
        return "utf-8"
    import chardet

    found = chardet.detect(sample, encoding_era=chardet.EncodingEra.MODERN_WEB)["encoding"]
    if found is None:
        raise ValueError("the bytes are no text")
    # Few letters with accents look Cyrillic to the statistics, but no word mixes the two alphabets.
    if _MIXED.search(sample.decode(found, "replace")):
        return "cp1252"
    return str(found)


def decode_text(data: bytes) -> str:
    """The text without its mark. Raises ValueError (of which UnicodeDecodeError is a kind) for what is no text."""
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "") or encoding_of(data)
    # cp1252 leaves five bytes open; a text that was cut ends in part of a character.
    text = data.decode(encoding, "strict" if encoding.startswith("utf") and encoding != "utf-8" else "replace")
    if _CONTROL.search(text):
        raise ValueError("the bytes hold control characters")
    return text
