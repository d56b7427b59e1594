from __future__ import annotations

import struct
from pathlib import Path

import pytest
from PIL import Image

from image_db.metadata.description import Description
from image_db.metadata.embedded import embedded_description
from tests.image_db.conftest import paint

XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:cc="http://creativecommons.org/ns#"
  xmlns:xmpRights="http://ns.adobe.com/xap/1.0/rights/"
  xmpRights:WebStatement="https://creativecommons.org/licenses/by-sa/4.0/">
<dc:description><rdf:Alt><rdf:li xml:lang="x-default">A cat</rdf:li><rdf:li xml:lang="en-US">A cat</rdf:li>
<rdf:li xml:lang="zh-CN">一只猫</rdf:li></rdf:Alt></dc:description>
<dc:subject><rdf:Bag><rdf:li>cat</rdf:li><rdf:li>grey</rdf:li></rdf:Bag></dc:subject>
<dc:creator><rdf:Seq><rdf:li>Ann</rdf:li><rdf:li>Bob</rdf:li></rdf:Seq></dc:creator>
<dc:rights><rdf:Alt><rdf:li xml:lang="x-default">© Ann</rdf:li></rdf:Alt></dc:rights>
<dc:source>https://example.org/cat</dc:source>
</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>"""

EVERYTHING = Description(
    caption="A cat",
    tags=("cat", "grey"),
    author="Ann, Bob",
    license="CC BY-SA 4.0",
    source_url="https://example.org/cat",
    captions=(("zh", "一只猫"),),
)


def said(path: Path) -> Description:
    with Image.open(path) as image:
        return embedded_description(image)


def exif(**fields: object) -> Image.Exif:
    tags = {"description": 0x010E, "artist": 0x013B, "copyright": 0x8298, "title": 0x9C9B, "keywords": 0x9C9E}
    made = Image.Exif()
    for name, value in fields.items():
        made[tags[name]] = value
    return made


def iptc(*fields: tuple[int, int, bytes]) -> bytes:
    """A JPEG APP13 segment with IPTC records, as Photoshop writes it."""
    records = b"".join(
        b"\x1c" + bytes((record, number)) + struct.pack(">H", len(v)) + v for record, number, v in fields
    )
    resource = b"8BIM\x04\x04\x00\x00" + struct.pack(">I", len(records)) + records + b"\x00" * (len(records) % 2)
    body = b"Photoshop 3.0\x00" + resource
    return b"\xff\xed" + struct.pack(">H", len(body) + 2) + body


def with_segment(path: Path, segment: bytes) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[:2] + segment + data[2:])
    return path


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".png", ".tif"])
def test_xmp_is_read_from_every_format_that_carries_it(pictures: Path, suffix: str) -> None:
    path = pictures / f"x{suffix}"
    if suffix == ".png":
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", XMP)
        paint(path, pnginfo=info)
    elif suffix == ".tif":
        paint(path, tiffinfo={700: XMP.encode()})
    else:
        paint(path, xmp=XMP.encode())
    assert said(path) == EVERYTHING


def test_exif_words_are_read_as_utf8_or_latin1(pictures: Path) -> None:
    path = paint(pictures / "x.jpg", exif=exif(description="Ein Kätzchen".encode(), artist=b"Ren\xe9", copyright="CC0"))
    assert said(path) == Description("Ein Kätzchen", author="René", license="CC0")


def test_windows_own_exif_words_are_read(pictures: Path) -> None:
    wide = {"title": "Katze im Gras\0".encode("utf-16-le"), "keywords": "Katze;Gras\0".encode("utf-16-le")}
    assert said(paint(pictures / "x.jpg", exif=exif(**wide))) == Description("Katze im Gras", tags=("Katze", "Gras"))


@pytest.mark.parametrize("text", ["OLYMPUS DIGITAL CAMERA", "SONY DSC", "DCIM\\100MEDIA", "   ", "Untitled", "1234"])
def test_what_a_camera_writes_into_every_picture_is_no_caption(pictures: Path, text: str) -> None:
    assert said(paint(pictures / "x.jpg", exif=exif(description=text))) == Description()


def test_iptc_is_read_in_utf8_and_latin1(pictures: Path) -> None:
    fields = ((2, 120, "Ein Kätzchen".encode()), (2, 25, b"cat"), (2, 25, b"grey"), (2, 80, b"Ann"), (2, 116, b"CC0"))
    expected = Description("Ein Kätzchen", tags=("cat", "grey"), author="Ann", license="CC0")
    assert said(with_segment(paint(pictures / "a.jpg"), iptc((1, 90, b"\x1b%G"), *fields))) == expected
    latin = ((2, 120, "Ein Kätzchen".encode("latin-1")), *fields[1:])
    assert said(with_segment(paint(pictures / "b.jpg"), iptc(*latin))) == expected


def test_xmp_leads_over_iptc_and_iptc_over_exif(pictures: Path) -> None:
    path = paint(pictures / "x.jpg", exif=exif(description="from exif", artist="exif", copyright="exif"))
    with_segment(path, iptc((2, 120, b"from iptc"), (2, 80, b"iptc")))
    assert said(path) == Description("from iptc", author="iptc", license="exif")
    both = paint(pictures / "y.jpg", xmp=XMP.encode(), exif=exif(description="from exif"))
    assert said(both) == EVERYTHING


@pytest.mark.parametrize(
    "packet",
    [
        b"<x:xmpmeta",
        b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><unclosed></x:xmpmeta>",
        b"\xff\xfe\x00",
        b"<!DOCTYPE x [<!ENTITY a 'aaaa'>]><x:xmpmeta xmlns:x='adobe:ns:meta/'>&a;</x:xmpmeta>",
        b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><!DOCTYPE x [<!ENTITY a 'aaaa'>]></x:xmpmeta>",
        b"<rdf:RDF>" + b"<a>" * 200_000 + b"</rdf:RDF>",
    ],
)
def test_broken_or_hostile_xmp_says_nothing(pictures: Path, packet: bytes) -> None:
    path = pictures / "x.webp"
    paint(path, xmp=packet)
    assert said(path) == Description()


def test_control_characters_do_not_survive(pictures: Path) -> None:
    path = paint(pictures / "x.jpg", exif=exif(artist="Ann\x1b[31m\nB\x07ob"))
    assert said(path).author == "Ann [31m B ob"
