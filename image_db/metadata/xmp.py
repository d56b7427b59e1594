"""Words of an XMP packet, inside a picture or in a file beside it (ISO 16684-1; IPTC, MWG and programs' own schemas).

A packet may come from anywhere: one with a document type, whose entities could expand without end, is not parsed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from xml.etree import ElementTree

from image_db.metadata.capture import Capture, camera_name, degrees, most_exact, position
from image_db.metadata.encoding import decode_text
from image_db.metadata.fields import FoundWords, clean
from image_db.metadata.licenses import license_name, parse_license

MAX_XMP_BYTES = 1 << 24
_NAMESPACES = {
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "dc": "http://purl.org/dc/elements/1.1/",
    "cc": "http://creativecommons.org/ns#",
    "rights": "http://ns.adobe.com/xap/1.0/rights/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
    "core": "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/",
    "ext": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "tiff": "http://ns.adobe.com/tiff/1.0/",
    "exif": "http://ns.adobe.com/exif/1.0/",
    "lr": "http://ns.adobe.com/lightroom/1.0/",
    "digikam": "http://www.digikam.org/ns/1.0/",
    "microsoft": "http://ns.microsoft.com/photo/1.0",
    "microsoft_": "http://ns.microsoft.com/photo/1.0/",
    "mediapro": "http://ns.iview-multimedia.com/mediapro/1.0/",
    "acdsee": "http://ns.acdsee.com/iptc/1.0/",
    "regions": "http://www.metadataworkinggroup.com/schemas/regions/",
    "people": "http://ns.microsoft.com/photo/1.2/t/Region#",
}
_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"
_LEVELS = {"lr:hierarchicalSubject": "|", "mediapro:CatalogSets": "|", "digikam:TagsList": "/",
           "microsoft:LastKeywordXMP": "/", "microsoft_:LastKeywordXMP": "/"}  # fmt: skip
_PLACES = ("core:Location", "photoshop:City", "photoshop:State", "photoshop:Country")
_PLACE_PARTS = ("ext:LocationName", "ext:Sublocation", "ext:City", "ext:ProvinceState", "ext:CountryName")
_TAKEN = ("photoshop:DateCreated", "exif:DateTimeOriginal")
_DIGITISED = ("xmp:CreateDate", "exif:DateTimeDigitized")
_PEOPLE = ("regions:Name", "people:PersonDisplayName")


def xmp_words(packet: bytes) -> FoundWords | None:
    """The words of a packet; None where it cannot be parsed."""
    rdf = _parsed(packet)
    if rdf is None:
        return None
    nodes = rdf.findall(_name("rdf:Description"))

    def first(*names: str) -> list[str]:
        return next((found for name in names if (found := [t for node in nodes for t in _values(node, name)])), [])

    def alternatives(*names: str) -> dict[str, str]:
        return next((found for name in names if (found := dict(_by_language(nodes, name)))), {})

    def one(name: str) -> str:
        return next(iter(first(name)), "")

    source = next(iter(first("dc:source", "photoshop:Source")), "")
    is_address = source.startswith(("http://", "https://"))
    statement = next(iter(first("rights:WebStatement")), "")
    licence = ", ".join(first("cc:license", "rights:UsageTerms")) or (statement if parse_license(statement) else "")
    keywords = first("dc:subject", "acdsee:keywords")
    for name, separator in _LEVELS.items():
        keywords += [level for path in first(name) for level in _levels(path, separator)]
    return FoundWords(
        titles=alternatives("dc:title"),
        headline=", ".join(first("photoshop:Headline")),
        descriptions=alternatives(
            "dc:description", "core:ExtDescrAccessibility", "tiff:ImageDescription", "acdsee:caption"
        ),
        comment=next(iter(alternatives("exif:UserComment", "acdsee:notes").values()), ""),
        alts=alternatives("core:AltTextAccessibility"),
        tags=tuple(keywords),
        people=(*first("ext:PersonInImage"), *_inner(nodes, _PEOPLE)),
        places=(*(place for name in _PLACES for place in first(name)), *_inner(nodes, _PLACE_PARTS)),
        author=", ".join(first("dc:creator", "tiff:Artist", "acdsee:author")),
        credit=one("photoshop:Credit"),
        source="" if is_address else source,
        license=license_name(licence or ", ".join(first("dc:rights"))),
        source_url=source if is_address else "",
        capture=Capture(
            taken=most_exact(map(one, _TAKEN)),
            digitised=most_exact(map(one, _DIGITISED)),
            camera=camera_name(one("tiff:Make"), one("tiff:Model")),
            position=position(degrees(one("exif:GPSLatitude")), degrees(one("exif:GPSLongitude"))),
        ),
    )


def _parsed(packet: bytes) -> ElementTree.Element | None:
    if len(packet) > MAX_XMP_BYTES:
        return None
    try:
        text = decode_text(packet.strip(b"\0"))
        found = re.search(r"<(?:\w+:)?RDF\b", text)
        whole = re.sub(r"^\s*<\?xml[^>]*\?>", "", text[text.find("<") :])
        if found is None or re.search(r"<!(?!--)", text):
            return None
        root = ElementTree.fromstring(whole[: whole.rfind(">") + 1])
    except (ElementTree.ParseError, ValueError, RecursionError):
        return None
    name = _name("rdf:RDF")
    return root if root.tag == name else root.find(f".//{name}")


def _name(short: str) -> str:
    prefix, name = short.split(":")
    return f"{{{_NAMESPACES[prefix]}}}{name}"


def _by_language(nodes: Iterable[ElementTree.Element], name: str) -> Iterator[tuple[str, str]]:
    """(language, text) of a language alternative or of a plain property."""
    for node in nodes:
        items = node.findall(f"{_name(name)}/*/{_name('rdf:li')}")
        for item in items:
            if text := clean(item.text or ""):
                yield item.get(_LANGUAGE, "x-default").lower(), text
        if not items:
            yield from (("x-default", text) for text in _values(node, name)[:1])


def _values(node: ElementTree.Element, name: str) -> list[str]:
    """The items of a bag, sequence or alternative, or the one value of a property or attribute."""
    items = [item.text or "" for item in node.findall(f"{_name(name)}/*/{_name('rdf:li')}")]
    for child in node.findall(_name(name)):
        items += [child.text or "", child.get(_name("rdf:resource"), "")]
    items.append(node.get(_name(name), ""))
    return [text for item in items if (text := clean(item))]


def _inner(nodes: Iterable[ElementTree.Element], names: Iterable[str]) -> Iterator[str]:
    """Properties of structures within the nodes: names of regions, parts of places."""
    for short in names:
        name = _name(short)
        for node in nodes:
            for inner in node.iter():
                found = [inner.get(name, ""), (inner.text or "") if inner.tag == name else ""]
                found += [item.text or "" for item in inner.iter(_name("rdf:li"))] if inner.tag == name else []
                yield from (text for text in map(clean, found) if text)


def _levels(path: str, separator: str) -> list[str]:
    """The levels of a hierarchical keyword, without those that a program keeps for itself."""
    levels = [level.strip() for level in path.split(separator)]
    return [level for level in levels if level] if not path.startswith("_") else []
