"""Words that a picture file carries inside: XMP, IPTC and EXIF, in that order of trust, then texts and comments.

XMP is Unicode and keeps languages apart, IPTC is what agencies fill in, EXIF is often filled by the camera itself.
Metadata comes from anywhere: what cannot be read is skipped. Pillow warns of odd tags; callers that care silence it,
since that cannot be done in one thread alone.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from image_db.metadata.capture import Capture, camera_name, degrees, most_exact, position, time_of
from image_db.metadata.description import Description
from image_db.metadata.encoding import encoding_of
from image_db.metadata.fields import FoundWords, clean, described, in_one_language
from image_db.metadata.licenses import license_name
from image_db.metadata.xmp import xmp_words
from vision.images import exif_of

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

_EXIF_DESCRIPTION, _EXIF_ARTIST, _EXIF_COPYRIGHT = 0x010E, 0x013B, 0x8298
_EXIF_XP_TITLE, _EXIF_XP_COMMENT, _EXIF_XP_AUTHOR, _EXIF_XP_KEYWORDS, _EXIF_XP_SUBJECT = range(0x9C9B, 0x9CA0)
_EXIF_IFD, _EXIF_USER_COMMENT = 0x8769, 0x9286
_EXIF_MAKE, _EXIF_MODEL, _EXIF_CHANGED = 0x010F, 0x0110, 0x0132
_EXIF_TAKEN, _EXIF_DIGITISED, _EXIF_GPS = 0x9003, 0x9004, 0x8825
_XMP_NOT_GIVEN = ("GIF", "JPEG2000", "JXL")  # formats of which Pillow does not give the XMP
_PACKET = re.compile(rb"<\?xpacket begin=.*?<\?xpacket end=[^>]*>", re.DOTALL)
_SEARCHED_BYTES = 1 << 26
_IPTC_PLACES = (92, 90, 95, 101)
# What Pillow raises on metadata that lies about its own lengths and types.
_BROKEN = (ValueError, KeyError, IndexError, TypeError, OSError, SyntaxError, EOFError, OverflowError, struct.error)


def embedded_description(image: Image, file: BinaryIO | None = None) -> Description:
    """What an opened picture (not necessarily decoded) says of itself; ``file`` is where it was opened from."""
    return described((_from_xmp(image, file), _from_iptc(image), _from_exif(image), _from_texts(image)))


def _from_xmp(image: Image, file: BinaryIO | None) -> FoundWords:
    packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
    if not packet and file is not None and image.format in _XMP_NOT_GIVEN:
        packet = _packet_within(file)
    return xmp_words(packet.encode("utf-8", "replace") if isinstance(packet, str) else packet) or FoundWords()


def _packet_within(file: BinaryIO) -> bytes:
    """The first XMP packet in a file's bytes: it is marked so that whoever does not know the format finds it."""
    place = file.tell()
    file.seek(0)
    found = _PACKET.search(file.read(_SEARCHED_BYTES))
    file.seek(place)
    return found[0] if found is not None else b""


def _from_iptc(image: Image) -> FoundWords:
    from PIL import IptcImagePlugin

    try:
        fields: dict[Any, Any] = IptcImagePlugin.getiptcinfo(cast("ImageFile", image)) or {}
    except _BROKEN:
        return FoundWords()

    def raw(number: int) -> list[bytes]:
        values = fields.get((2, number), [])
        return [value for value in (values if isinstance(values, list) else [values]) if isinstance(value, bytes)]

    # All texts of a file are in one encoding, which hardly one says, and not always rightly; together they show which.
    texts = [value for number in (5, 25, 80, 105, 110, 115, 116, 120, *_IPTC_PLACES) for value in raw(number)]
    encoding = _encoding(b"\n".join(texts))

    def read(*numbers: int) -> list[str]:
        return next((found for number in numbers if (found := _decoded(raw(number), encoding))), [])

    def moment(day: int, clock: int) -> str:
        date, time = ("".join(each.decode("ascii", "ignore") for each in raw(number)[:1]) for number in (day, clock))
        return most_exact((date, f"{date} {time[:6]}"))

    return FoundWords(
        titles=in_one_language("".join(read(5)[:1])),
        headline=", ".join(read(105)[:1]),
        descriptions=in_one_language("".join(read(120)[:1])),
        tags=tuple(read(25)),
        places=tuple(place for number in _IPTC_PLACES for place in read(number)),
        author=", ".join(read(80)),
        credit=", ".join(read(110)[:1]),
        source=", ".join(read(115)[:1]),
        license=license_name(", ".join(read(116)[:1])),
        capture=Capture(taken=moment(55, 60), digitised=moment(62, 63)),
    )


def _from_exif(image: Image) -> FoundWords:
    try:
        exif = exif_of(image)
        tags = dict(exif)
        shot = exif.get_ifd(_EXIF_IFD)
        gps = exif.get_ifd(_EXIF_GPS)
    except _BROKEN:
        return FoundWords()
    title = _exif_text(tags.get(_EXIF_XP_TITLE), wide=True)
    subject = _exif_text(tags.get(_EXIF_XP_SUBJECT), wide=True)
    description = _exif_text(tags.get(_EXIF_DESCRIPTION)) or subject
    return FoundWords(
        titles=in_one_language(title),
        descriptions=in_one_language(description),
        comment=_exif_text(tags.get(_EXIF_XP_COMMENT), wide=True) or _user_comment(shot.get(_EXIF_USER_COMMENT)),
        tags=tuple(_exif_text(tags.get(_EXIF_XP_KEYWORDS), wide=True).split(";")),
        author=_exif_text(tags.get(_EXIF_ARTIST)) or _exif_text(tags.get(_EXIF_XP_AUTHOR), wide=True),
        license=license_name(_exif_text(tags.get(_EXIF_COPYRIGHT))),
        capture=_exif_capture(tags, shot, gps),
    )


def _exif_capture(tags: Mapping[int, Any], shot: Mapping[int, Any], gps: Mapping[int, Any]) -> Capture:
    camera = camera_name(_exif_text(tags.get(_EXIF_MAKE)), _exif_text(tags.get(_EXIF_MODEL)))
    digitised = time_of(_exif_text(shot.get(_EXIF_DIGITISED)))
    if not digitised and camera:  # programs write it, too, whenever they save: of a scan it says nothing
        digitised = time_of(_exif_text(tags.get(_EXIF_CHANGED)))
    return Capture(
        taken=time_of(_exif_text(shot.get(_EXIF_TAKEN))),
        digitised=digitised,
        camera=camera,
        position=position(_angle(gps.get(2), gps.get(1)), _angle(gps.get(4), gps.get(3))),
    )


def _angle(value: object, ref: object) -> float | None:
    """Degrees, minutes and seconds as EXIF has them, (3,) rationals."""
    if not isinstance(value, tuple) or not 0 < len(value) <= 3:
        return None
    try:
        parts = [float(part) for part in value]
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    if not all(0 <= part < 361 for part in parts):  # NaN where the denominator is zero
        return None
    return degrees(" ".join(f"{part:.6f}" for part in parts), _exif_text(ref))


def _from_texts(image: Image) -> FoundWords:
    """Text chunks of PNG by their registered keywords, comments of JPEG and GIF."""

    def text(*keys: str) -> str:
        values = (image.info.get(key) for key in keys)
        return next((said for value in values if (said := _exif_text(value))), "")

    title, description = text("Title"), text("Description")
    return FoundWords(
        titles=in_one_language(title),
        descriptions=in_one_language(description),
        comment=text("Comment", "comment"),
        author=text("Author"),
        license=license_name(text("Copyright")),
        capture=Capture(digitised=time_of(text("Creation Time", "date:create"))),
    )


def _exif_text(value: object, wide: bool = False) -> str:
    """Text of a tag. Windows' own tags are UTF-16; Pillow reads the others as Latin-1, whatever they are in."""
    if isinstance(value, tuple) and all(isinstance(item, int) and 0 <= item < 256 for item in value):
        value = bytes(value)
    if isinstance(value, str) and (value.isascii() or max(value) > "\xff"):
        return clean(value)
    data = value.encode("latin-1") if isinstance(value, str) else value if isinstance(value, bytes) else b""
    if wide:
        return clean(data.decode("utf-16-le", "ignore"))
    return ", ".join(_decoded([data], _encoding(data)))


def _user_comment(value: object) -> str:
    """Eight bytes name the encoding of what follows (EXIF 3.0, 4.6.5); UTF-16 of either order where it is Unicode."""
    if not isinstance(value, bytes):
        return _exif_text(value)
    kind, data = value[:8].rstrip(b"\0 ").upper(), value[8:]
    if kind == b"UNICODE":
        return clean(data.decode("utf-16-be" if data[:1] == b"\0" else "utf-16-le", "ignore"))
    if kind == b"JIS":
        return clean(data.decode("iso2022_jp", "ignore"))
    return _exif_text((data if kind in (b"ASCII", b"") else value).rstrip(b"\0 "))


def _encoding(data: bytes) -> str:
    """Empty for what is no text."""
    try:
        return encoding_of(data)
    except ValueError:
        return ""


def _decoded(values: Iterable[bytes], encoding: str) -> list[str]:
    texts = (value.rstrip(b"\0").decode(encoding, "replace") for value in values) if encoding else ()
    # What is replaced would be printed under the picture: nothing is better.
    return [said for text in texts if "\ufffd" not in text and (said := clean(_repaired(text)))]


def _repaired(text: str) -> str:
    """A text that a program took for another encoding and saved again, as it was meant."""
    if text.isascii():
        return text
    import ftfy

    return ftfy.fix_encoding(text)
