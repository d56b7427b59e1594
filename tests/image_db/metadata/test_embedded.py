from __future__ import annotations

import struct
from dataclasses import replace
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
    tags = {
        "description": 0x010E,
        "artist": 0x013B,
        "copyright": 0x8298,
        "title": 0x9C9B,
        "comment": 0x9C9C,
        "keywords": 0x9C9E,
    }
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


@pytest.mark.parametrize("suffix", ["gif", "jp2"])
def test_xmp_of_formats_that_pillow_does_not_read_it_from_is_found_by_its_marks(pictures: Path, suffix: str) -> None:
    path = paint(pictures / f"x.{suffix}")
    marked = b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>' + XMP.encode() + b'<?xpacket end="w"?>'
    path.write_bytes(path.read_bytes() + marked + b"\0" * 20)
    with path.open("rb") as file, Image.open(file) as image:
        assert embedded_description(image, file) == EVERYTHING
        image.load()
    assert said(path) == Description(), "without its bytes nothing is known"


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


def packet(body: str) -> bytes:
    """An XMP packet of one description with that body, as other programs write it."""
    namespaces = {
        "dc": "http://purl.org/dc/elements/1.1/",
        "photoshop": "http://ns.adobe.com/photoshop/1.0/",
        "lr": "http://ns.adobe.com/lightroom/1.0/",
        "digiKam": "http://www.digikam.org/ns/1.0/",
        "MicrosoftPhoto": "http://ns.microsoft.com/photo/1.0",
        "Iptc4xmpCore": "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/",
        "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
        "mwg-rs": "http://www.metadataworkinggroup.com/schemas/regions/",
        "xmpMM": "http://ns.adobe.com/xap/1.0/mm/",
    }
    declared = " ".join(f'xmlns:{prefix}="{address}"' for prefix, address in namespaces.items())
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f"<!-- by a test --><rdf:Description {declared}>{body}</rdf:Description></rdf:RDF></x:xmpmeta>"
    ).encode()


def items(name: str, *texts: str, kind: str = "Bag") -> str:
    return f"<{name}><rdf:{kind}>{''.join(f'<rdf:li>{text}</rdf:li>' for text in texts)}</rdf:{kind}></{name}>"


@pytest.mark.parametrize(
    ("body", "tags"),
    [
        (
            items("lr:hierarchicalSubject", "Where|France|Nîmes", "Buildings|Arena"),
            ("Where", "France", "Nîmes", "Buildings", "Arena"),
        ),
        (
            items("digiKam:TagsList", "Animals/Storks", "_Digikam_Internal_Tags_/Color", kind="Seq"),
            ("Animals", "Storks"),
        ),
        (items("MicrosoftPhoto:LastKeywordXMP", "Trip/Boat"), ("Trip", "Boat")),
        (
            items("dc:subject", "stork", "nest") + items("lr:hierarchicalSubject", "Birds|Stork"),
            ("stork", "nest", "Birds"),
        ),
        (
            "<photoshop:City>Tartu</photoshop:City><photoshop:Country>Estonia</photoshop:Country>"
            "<Iptc4xmpCore:Location>Town hall square</Iptc4xmpCore:Location>",
            ("Town hall square", "Tartu", "Estonia"),
        ),
        (
            '<Iptc4xmpExt:LocationShown><rdf:Bag><rdf:li Iptc4xmpExt:City="Porto" Iptc4xmpExt:CountryName="Portugal"/>'
            "</rdf:Bag></Iptc4xmpExt:LocationShown>",
            ("Porto", "Portugal"),
        ),
        (items("Iptc4xmpExt:PersonInImage", "Ada Nobody"), ("Ada Nobody",)),
        (
            '<mwg-rs:Regions rdf:parseType="Resource"><mwg-rs:RegionList><rdf:Bag><rdf:li rdf:parseType="Resource">'
            "<mwg-rs:Name>Bo Nobody</mwg-rs:Name><mwg-rs:Type>Face</mwg-rs:Type></rdf:li></rdf:Bag></mwg-rs:RegionList>"
            "</mwg-rs:Regions>",
            ("Bo Nobody",),
        ),
    ],
)
def test_keywords_places_and_people_of_other_programs_are_tags(
    pictures: Path, body: str, tags: tuple[str, ...]
) -> None:
    assert replace(said(paint(pictures / "x.jpg", xmp=packet(body))), places=()) == Description(tags=tags)


@pytest.mark.parametrize(
    ("title", "headline", "description", "caption"),
    [
        ("Torii of Itsukushima", "", "Low tide at noon", "Torii of Itsukushima. Low tide at noon"),
        ("Low tide", "", "Low tide at noon", "Low tide at noon"),
        ("DSC_0042.JPG", "", "Low tide at noon", "Low tide at noon"),
        ("Torii!", "", "Low tide", "Torii! Low tide"),
        ("鸟居", "", "退潮时分", "鸟居。退潮时分"),
        ("", "Storm over the bay", "", "Storm over the bay"),
        ("", "Storm over the bay", "Low tide", "Storm over the bay. Low tide"),
        ("Torii", "", "", "Torii"),
    ],
)
def test_a_title_leads_the_description(
    pictures: Path, title: str, headline: str, description: str, caption: str
) -> None:
    body = f"<photoshop:Headline>{headline}</photoshop:Headline>"
    body += items("dc:title", title, kind="Alt") + items("dc:description", description, kind="Alt")
    assert said(paint(pictures / "x.jpg", xmp=packet(body))).caption == caption
    fields = ((2, 5, title.encode()), (2, 105, headline.encode()), (2, 120, description.encode()))
    assert said(with_segment(paint(pictures / "y.jpg"), iptc((1, 90, b"\x1b%G"), *fields))).caption == caption


def test_the_words_of_a_montage_s_ingredients_are_not_the_picture_s(pictures: Path) -> None:
    inner = f"<rdf:Description>{items('dc:subject', 'other')}</rdf:Description>"
    body = f"<xmpMM:Pantry><rdf:Bag><rdf:li>{inner}</rdf:li></rdf:Bag></xmpMM:Pantry>{items('dc:subject', 'own')}"
    assert said(paint(pictures / "x.jpg", xmp=packet(body))).tags == ("own",)


def test_places_of_iptc_are_tags(pictures: Path) -> None:
    fields = ((2, 90, b"Tashkent"), (2, 101, b"Uzbekistan"), (2, 92, b"Chorsu bazaar"))
    assert said(with_segment(paint(pictures / "x.jpg"), iptc(*fields))).tags == (
        "Chorsu bazaar",
        "Tashkent",
        "Uzbekistan",
    )


@pytest.mark.parametrize(
    ("caption", "keyword", "encoding"),
    [
        ("雨中的石桥", "石桥", "gb18030"),
        ("雨中的石橋與燈籠", "石橋", "big5"),
        ("雨の石橋とちょうちん", "石橋", "cp932"),
        ("비 오는 날의 돌다리", "돌다리", "cp949"),
        ("Мост под дождём", "мост", "cp1251"),
        ("“Evening ferry” – Malmö’s harbour", "ferry", "cp1252"),
        ("Łazienki w deszczu, Warszawa", "most", "cp1250"),
        ("Été à la plage", "plage", "latin-1"),
        ("雨中的石桥 “ferry”", "ferry", "utf-8"),
    ],
)
def test_iptc_is_read_in_the_encoding_it_is_in(pictures: Path, caption: str, keyword: str, encoding: str) -> None:
    path = with_segment(
        paint(pictures / "x.jpg"), iptc((2, 120, caption.encode(encoding)), (2, 25, keyword.encode(encoding)))
    )
    assert (said(path).caption, said(path).tags) == (caption, (keyword,))


def test_what_was_taken_for_another_encoding_is_put_right(pictures: Path) -> None:
    twice = "Bücher über Köln".encode().decode("cp1252").encode()
    assert said(with_segment(paint(pictures / "x.jpg"), iptc((2, 120, twice)))).caption == "Bücher über Köln"
    wrong = iptc((1, 90, b"\x1b%G"), (2, 120, "Bücher über Köln".encode("cp1252")))
    assert said(with_segment(paint(pictures / "y.jpg"), wrong)).caption == "Bücher über Köln"


def test_keywords_in_one_text_are_several_tags(pictures: Path) -> None:
    assert said(paint(pictures / "x.jpg", xmp=packet(items("dc:subject", "mill, snow")))).tags == ("mill", "snow")


def test_what_is_in_no_encoding_is_left_out_rather_than_printed(pictures: Path) -> None:
    path = with_segment(
        paint(pictures / "x.jpg"), iptc((2, 120, b"\x01\x02\x81\xff\xfe\x00\x90"), (2, 80, b"\xff\x80"))
    )
    assert said(path).caption == ""


def test_comments_stand_in_where_there_is_nothing_else(pictures: Path) -> None:
    comment = "A smith at his anvil\0".encode("utf-16-le")
    assert said(paint(pictures / "a.jpg", exif=exif(comment=comment))).caption == "A smith at his anvil"
    with_description = exif(comment=comment, description="At work")
    assert said(paint(pictures / "b.jpg", exif=with_description)).caption == "At work"
    assert said(paint(pictures / "c.jpg", comment=b"A loom from 1890")).caption == "A loom from 1890"
    assert said(paint(pictures / "d.jpg", comment=b"CREATOR: gd-jpeg v1.0, quality = 90")).caption == ""


@pytest.mark.parametrize(
    "value",
    [
        b"ASCII\0\0\0Geese on a frozen pond",
        b"UNICODE\0" + "Geese on a frozen pond".encode("utf-16-le"),
        b"UNICODE\0" + "Geese on a frozen pond".encode("utf-16-be"),
        b"\0\0\0\0\0\0\0\0Geese on a frozen pond",
    ],
)
def test_the_comment_of_a_camera_says_how_it_is_written(pictures: Path, value: bytes) -> None:
    made = Image.Exif()
    made.get_ifd(0x8769)[0x9286] = value
    assert said(paint(pictures / "x.jpg", exif=made)).caption == "Geese on a frozen pond"


def test_texts_of_a_png_are_read_by_their_keywords(pictures: Path) -> None:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    for key, text in (
        ("Title", "Cranes"),
        ("Description", "Three cranes in mist"),
        ("Author", "Ann"),
        ("Copyright", "CC-BY-4.0"),
    ):
        info.add_text(key, text)
    info.add_text("Software", "Painter")
    expected = Description("Three cranes in mist", author="Ann", license="CC BY 4.0")
    assert said(paint(pictures / "x.png", pnginfo=info)) == expected


@pytest.mark.parametrize(
    "text", ["cof", "_cuva", "<KENOX S630  / Samsung S630>", "KODAK Digital Still Camera", "SAMSUNG"]
)
def test_what_a_telephone_writes_is_no_caption(pictures: Path, text: str) -> None:
    assert said(paint(pictures / "x.jpg", exif=exif(description=text))) == Description()
