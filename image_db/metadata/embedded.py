"""Words that a picture file carries inside: XMP, IPTC and EXIF, in that order of trust.

XMP is Unicode and keeps languages apart, IPTC is what agencies fill in, EXIF is often filled by the camera itself.
Metadata comes from anywhere: what cannot be read is skipped, XML with a document type is not parsed at all. Pillow
warns of odd tags; callers that care silence it, since that cannot be done in one thread alone.
Knows no other files and no library.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from image_db.metadata.description import Description, laid_over
from image_db.metadata.licenses import license_name, parse_license

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

_MAX_XMP_BYTES = 1 << 20
_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_DC = "{http://purl.org/dc/elements/1.1/}"
_CC = "{http://creativecommons.org/ns#}"
_XMP_RIGHTS = "{http://ns.adobe.com/xap/1.0/rights/}"
_PHOTOSHOP = "{http://ns.adobe.com/photoshop/1.0/}"
_IPTC_CORE = "{http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/}"
_XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"

_EXIF_DESCRIPTION, _EXIF_ARTIST, _EXIF_COPYRIGHT = 0x010E, 0x013B, 0x8298
_EXIF_XP_TITLE, _EXIF_XP_AUTHOR, _EXIF_XP_KEYWORDS, _EXIF_XP_SUBJECT = 0x9C9B, 0x9C9D, 0x9C9E, 0x9C9F

# What cameras and programs write into the description of every picture.
_BOILERPLATE = re.compile(
    r"^(?:.*digital camera|sony dsc|dcim.*|dsc\w*|img\w*|untitled|exif.?jpeg.?picture|default|screenshot|oplus_\d+|"
    r"processed with .*|created with .*|edit(?:ed)? (?:with|by) .*|binary comment|ascii|unknown|none|\W*|\d+)$",
    re.IGNORECASE,
)
# What Pillow raises on metadata that lies about its own lengths and types.
_BROKEN = (ValueError, KeyError, IndexError, TypeError, OSError, SyntaxError, EOFError, OverflowError, struct.error)


def embedded_description(image: ImageFile) -> Description:
    """What an opened picture (not necessarily decoded) says of itself."""
    return laid_over((_from_xmp(image), _from_iptc(image), _from_exif(image)))


def _from_xmp(image: ImageFile) -> Description:
    packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
    if isinstance(packet, str):
        packet = packet.encode("utf-8", "replace")
    start, end = packet.find(b"<x:xmpmeta"), packet.rfind(b"</x:xmpmeta>")
    if start < 0 or end < 0:
        start, end = packet.find(b"<rdf:RDF"), packet.rfind(b"</rdf:RDF>")
        end += len(b"</rdf:RDF>")
    else:
        end += len(b"</x:xmpmeta>")
    packet = packet[max(start, 0) : max(end, 0)]
    # Entities can make a small packet expand without end; honest XMP has none.
    if not packet or len(packet) > _MAX_XMP_BYTES or b"<!" in packet:
        return Description()
    try:
        root = ElementTree.fromstring(packet)
    except (ElementTree.ParseError, ValueError):
        return Description()
    captions: dict[str, str] = {}
    alt: dict[str, str] = {}
    found: dict[str, Any] = {}
    for node in root.iter(f"{_RDF}Description"):
        captions = (
            captions or dict(_alternatives(node, f"{_DC}description")) or dict(_alternatives(node, f"{_DC}title"))
        )
        alt = alt or dict(_alternatives(node, f"{_IPTC_CORE}AltTextAccessibility"))
        for field, values in (
            ("tags", _values(node, f"{_DC}subject")),
            ("author", _values(node, f"{_DC}creator")),
            ("license", _values(node, f"{_CC}license") or _values(node, f"{_XMP_RIGHTS}UsageTerms")),
            ("rights", _values(node, f"{_DC}rights")),
            ("source", _values(node, f"{_DC}source") or _values(node, f"{_PHOTOSHOP}Source")),
            ("statement", _values(node, f"{_XMP_RIGHTS}WebStatement")),
        ):
            found.setdefault(field, values) if values else None
    first = _first_language(captions)
    source = next(iter(found.get("source", ())), "")
    statement = next(iter(found.get("statement", ())), "")
    license_ = ", ".join(found.get("license", ())) or (statement if parse_license(statement) else "")
    return Description(
        caption=_meant(captions.get(first, "")),
        alt=_meant(alt.get(_first_language(alt), "")),
        tags=tuple(dict.fromkeys(found.get("tags", ()))),
        author=", ".join(found.get("author", ())),
        license=license_name(license_ or ", ".join(found.get("rights", ()))),
        source_url=source if source.startswith(("http://", "https://")) else "",
        captions=tuple((code, text) for code, text in _by_code(captions, first)),
    )


def _first_language(texts: dict[str, str]) -> str:
    return next((key for key in texts if key.startswith("en")), next(iter(texts), ""))


def _by_code(texts: dict[str, str], first: str) -> Iterator[tuple[str, str]]:
    """Texts by two-letter code, without the first, and without the default, which repeats one of the others."""
    seen = {first[:2]}
    for key, text in texts.items():
        code = key[:2].lower()
        if key != "x-default" and code not in seen and re.fullmatch("[a-z]{2}", code):
            seen.add(code)
            yield code, text


def _alternatives(node: ElementTree.Element, name: str) -> Iterator[tuple[str, str]]:
    """(language, text) of a language alternative; x-default first where it is there."""
    for item in node.findall(f"{name}/*/{_RDF}li"):
        if text := _clean(item.text or ""):
            yield item.get(_XML_LANG, "x-default").lower(), text


def _values(node: ElementTree.Element, name: str) -> list[str]:
    """The items of a bag, sequence or alternative, or the one value of a property or attribute."""
    items = [item.text or "" for item in node.findall(f"{name}/*/{_RDF}li")]
    for child in node.findall(name):
        items += [child.text or "", child.get(f"{_RDF}resource", "")]
    items.append(node.get(name, ""))
    return [text for item in items if (text := _clean(item))]


def _from_iptc(image: ImageFile) -> Description:
    from PIL import IptcImagePlugin

    try:
        fields: dict[Any, Any] = IptcImagePlugin.getiptcinfo(image) or {}
    except _BROKEN:
        return Description()
    encoding = "utf-8" if fields.get((1, 90)) == b"\x1b%G" else ""

    def texts(number: int) -> list[str]:
        values = fields.get((2, number), [])
        values = values if isinstance(values, list) else [values]
        return [text for value in values if isinstance(value, bytes) and (text := _clean(_decoded(value, encoding)))]

    def text(*numbers: int) -> str:
        return next((found[0] for number in numbers if (found := texts(number))), "")

    return Description(
        caption=_meant(text(120, 105, 5)),
        tags=tuple(dict.fromkeys(texts(25))),
        author=", ".join(texts(80)),
        license=license_name(text(116)),
    )


def _from_exif(image: ImageFile) -> Description:
    try:
        exif = dict(image.getexif())
    except _BROKEN:
        return Description()
    keywords = _exif_text(exif.get(_EXIF_XP_KEYWORDS), wide=True)
    return Description(
        caption=_meant(
            _exif_text(exif.get(_EXIF_DESCRIPTION))
            or _exif_text(exif.get(_EXIF_XP_TITLE), wide=True)
            or _exif_text(exif.get(_EXIF_XP_SUBJECT), wide=True)
        ),
        tags=tuple(dict.fromkeys(tag.strip() for tag in keywords.split(";") if tag.strip())),
        author=_exif_text(exif.get(_EXIF_ARTIST)) or _exif_text(exif.get(_EXIF_XP_AUTHOR), wide=True),
        license=license_name(_exif_text(exif.get(_EXIF_COPYRIGHT))),
    )


def _exif_text(value: object, wide: bool = False) -> str:
    """Text of a tag. Windows' own tags are UTF-16; Pillow reads the others as Latin-1 though most are UTF-8."""
    if isinstance(value, tuple) and all(isinstance(item, int) and 0 <= item < 256 for item in value):
        value = bytes(value)
    if isinstance(value, bytes):
        return _clean(value.decode("utf-16-le", "ignore") if wide else _decoded(value))
    if isinstance(value, str):
        return _clean(_decoded(value.encode("latin-1")) if value.isascii() or max(value) <= "\xff" else value)
    return ""


def _decoded(data: bytes, encoding: str = "") -> str:
    try:
        return data.decode(encoding or "utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _clean(text: str) -> str:
    """One line without control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _meant(caption: str) -> str:
    return "" if _BOILERPLATE.match(caption) else caption
