"""Sixty pictures as fifteen programs write what a person told them: caption, keywords, creator, date, place are read.

Made by hand after what the programs' files hold; four stories each, of two scripts and with the letters that break
encodings.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape, quoteattr

import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from image_db.metadata.reading import read_picture
from image_db.metadata.record import ImageRecord
from image_db.metadata.sidecars import SidecarReader
from image_db.scan import FoundFile, WalkCoverage, walk
from tests.image_db.conftest import paint
from tests.image_db.metadata.test_embedded import iptc, with_segment


class Story(NamedTuple):
    caption: str
    keywords: tuple[str, ...]
    creator: str
    moment: datetime
    city: str
    country: str
    latitude: float
    longitude: float


STORIES = (
    Story(
        "Boats in the harbour", ("boat", "harbour"), "Anna Miller", datetime(2019, 5, 4, 12, 30, 15),
        "Whitby", "England", 54.486, -0.613,
    ),
    Story(
        "Gänse am Fluß – früh", ("Gans", "Fluß"), "Jörg Müller", datetime(2003, 12, 31, 23, 59, 58),
        "Köln", "Deutschland", 50.9413, 6.958,
    ),
    Story(
        "外滩的夜景", ("夜景", "江"), "王小明", datetime(2021, 10, 1, 20, 5, 0), "上海", "中国", 31.24, 121.49,
    ),
    Story(
        "Çarşı’da bir kedi", ("kedi", "çarşı"), "Ayşe Öztürk", datetime(2011, 2, 3, 4, 5, 6),
        "İzmir", "Türkiye", 38.4189, 27.1287,
    ),
)  # fmt: skip
NAMES = {
    "dc": "http://purl.org/dc/elements/1.1/",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "exif": "http://ns.adobe.com/exif/1.0/",
    "tiff": "http://ns.adobe.com/tiff/1.0/",
    "lr": "http://ns.adobe.com/lightroom/1.0/",
    "digiKam": "http://www.digikam.org/ns/1.0/",
    "MicrosoftPhoto": "http://ns.microsoft.com/photo/1.0/",
    "mediapro": "http://ns.iview-multimedia.com/mediapro/1.0/",
    "acdsee": "http://ns.acdsee.com/iptc/1.0/",
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
}
DESCRIPTION, ARTIST, MAKE, MODEL, CHANGED = 0x010E, 0x013B, 0x010F, 0x0110, 0x0132
XP_TITLE, XP_AUTHOR, XP_KEYWORDS = 0x9C9B, 0x9C9D, 0x9C9E
EXIF_IFD, TAKEN, GPS_IFD = 0x8769, 0x9003, 0x8825


def alt(name: str, text: str) -> str:
    return f'<{name}><rdf:Alt><rdf:li xml:lang="x-default">{escape(text)}</rdf:li></rdf:Alt></{name}>'


def bag(name: str, *texts: str, kind: str = "Bag") -> str:
    return f"<{name}><rdf:{kind}>{''.join(f'<rdf:li>{escape(t)}</rdf:li>' for t in texts)}</rdf:{kind}></{name}>"


def packet(body: str, **attributes: str) -> bytes:
    """An XMP packet; attributes are properties in their short form, "__" standing for the colon."""
    spaces = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in NAMES.items())
    short = " ".join(f"{name.replace('__', ':')}={quoteattr(value)}" for name, value in attributes.items())
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description rdf:about="" {spaces} {short}>{body}</rdf:Description></rdf:RDF></x:xmpmeta>'
        '<?xpacket end="w"?>'
    ).encode()


def core(story: Story) -> str:
    return (
        alt("dc:description", story.caption)
        + bag("dc:subject", *story.keywords)
        + bag("dc:creator", story.creator, kind="Seq")
    )


def exif(story: Story, *, words: bool = False, gps: bool = False, windows: bool = False) -> Image.Exif:
    made = Image.Exif()
    made[MAKE], made[MODEL] = "NIKON CORPORATION", "NIKON D90"
    made[CHANGED] = "2024:01:01 00:00:00"  # when a program saved it last
    made.get_ifd(EXIF_IFD)[TAKEN] = f"{story.moment:%Y:%m:%d %H:%M:%S}"
    if words:
        made[DESCRIPTION], made[ARTIST] = story.caption.encode(), story.creator.encode()
    if windows:
        for tag, text in (
            (XP_TITLE, story.caption),
            (XP_AUTHOR, story.creator),
            (XP_KEYWORDS, ";".join(story.keywords)),
        ):
            made[tag] = f"{text}\0".encode("utf-16-le")
    if gps:
        ifd = made.get_ifd(GPS_IFD)
        for number, value, sides in ((1, story.latitude, "NS"), (3, story.longitude, "EW")):
            degrees, rest = divmod(abs(value), 1)
            minutes, rest = divmod(rest * 60, 1)
            ifd[number] = sides[value < 0]
            ifd[number + 1] = (
                IFDRational(int(degrees)),
                IFDRational(int(minutes)),
                IFDRational(round(rest * 6e4), 1000),
            )
    return made


def iim(story: Story) -> bytes:
    def field(number: int, text: str) -> tuple[int, int, bytes]:
        return (2, number, text.encode())

    return iptc(
        (1, 90, b"\x1b%G"),
        field(120, story.caption),
        *(field(25, keyword) for keyword in story.keywords),
        field(80, story.creator),
        field(55, f"{story.moment:%Y%m%d}"),
        field(60, f"{story.moment:%H%M%S}+0000"),
        field(90, story.city),
        field(101, story.country),
    )


def lightroom(folder: Path, story: Story) -> None:
    xmp = packet(
        core(story) + bag("lr:hierarchicalSubject", *(f"Things|{keyword}" for keyword in story.keywords)),
        photoshop__DateCreated=f"{story.moment:%Y-%m-%dT%H:%M:%S}.00",
        photoshop__City=story.city,
        photoshop__Country=story.country,
        xmp__CreateDate=f"{story.moment:%Y-%m-%dT%H:%M:%S}.00",
        xmp__ModifyDate="2024-01-01T00:00:00+01:00",
    )
    with_segment(paint(folder / "DSC_0001.jpg", xmp=xmp, exif=exif(story, words=True)), iim(story))


def lightroom_of_raw(folder: Path, story: Story) -> None:
    paint(folder / "DSC_0001.jpg")
    body = (
        core(story)
        + f"<photoshop:City>{story.city}</photoshop:City><photoshop:Country>{story.country}</photoshop:Country>"
    )
    (folder / "DSC_0001.xmp").write_bytes(
        packet(
            body,
            photoshop__DateCreated=f"{story.moment:%Y-%m-%dT%H:%M:%S}",
            tiff__Make="Canon",
            tiff__Model="Canon EOS 5D",
        )
    )


def darktable(folder: Path, story: Story) -> None:
    paint(folder / "IMG_0001.jpg")
    body = core(story) + bag("lr:hierarchicalSubject", *(f"darktable|x|{k}" for k in story.keywords), kind="Seq")
    (folder / "IMG_0001.jpg.xmp").write_bytes(
        packet(body, exif__DateTimeOriginal=f"{story.moment:%Y:%m:%d %H:%M:%S}.000", photoshop__City=story.city)
    )


def digikam(folder: Path, story: Story) -> None:
    body = (
        core(story)
        + bag("digiKam:TagsList", *(f"Things/{k}" for k in story.keywords), kind="Seq")
        + bag("MicrosoftPhoto:LastKeywordXMP", *(f"Things/{k}" for k in story.keywords))
        + bag("mediapro:CatalogSets", *(f"Things|{k}" for k in story.keywords))
        + alt("exif:UserComment", story.caption)
        + alt("tiff:ImageDescription", story.caption)
        + f"<Iptc4xmpExt:LocationShown><rdf:Bag><rdf:li Iptc4xmpExt:City={quoteattr(story.city)} "
        f"Iptc4xmpExt:CountryName={quoteattr(story.country)}/></rdf:Bag></Iptc4xmpExt:LocationShown>"
    )
    xmp = packet(body, exif__DateTimeOriginal=f"{story.moment:%Y-%m-%dT%H:%M:%S}", xmp__CreatorTool="digiKam-8.2.0")
    paint(folder / "P1000001.jpg", xmp=xmp, exif=exif(story, words=True))


def apple_photos(folder: Path, story: Story) -> None:
    """Exported with "IPTC as XMP"."""
    paint(folder / "IMG_0001.jpeg", exif=exif(story, gps=True))
    body = (
        alt("dc:title", story.caption)
        + bag("dc:subject", *story.keywords)
        + bag("dc:creator", story.creator, kind="Seq")
        + f"<photoshop:DateCreated>{story.moment:%Y-%m-%dT%H:%M:%S}+02:00</photoshop:DateCreated>"
    )
    (folder / "IMG_0001.xmp").write_bytes(packet(body))


def bridge(folder: Path, story: Story) -> None:
    xmp = packet(
        core(story),
        photoshop__DateCreated=f"{story.moment:%Y-%m-%d}",
        exif__DateTimeOriginal=f"{story.moment:%Y-%m-%dT%H:%M:%S}",
        photoshop__City=story.city,
        photoshop__Country=story.country,
    )
    paint(folder / "untitled-1.tif", tiffinfo={700: xmp})


def photo_mechanic(folder: Path, story: Story) -> None:
    with_segment(paint(folder / "AM1_0001.jpg"), iim(story))


def capture_one(folder: Path, story: Story) -> None:
    paint(folder / "_DSF0001.png")
    places = f"<photoshop:City>{story.city}</photoshop:City>"
    taken = f"<exif:DateTimeOriginal>{story.moment:%Y-%m-%dT%H:%M:%S}</exif:DateTimeOriginal>"
    (folder / "_DSF0001.xmp").write_bytes(packet(core(story) + places + taken))


def windows_explorer(folder: Path, story: Story) -> None:
    paint(folder / "DSC00001.JPG", exif=exif(story, windows=True, gps=True))


def picasa(folder: Path, story: Story) -> None:
    with_segment(paint(folder / "IMG_0001.jpg", exif=exif(story, gps=True)), iim(story))


def acdsee(folder: Path, story: Story) -> None:
    xmp = packet(
        alt("acdsee:caption", story.caption) + bag("acdsee:keywords", *story.keywords),
        acdsee__author=story.creator,
        exif__DateTimeOriginal=f"{story.moment:%Y-%m-%dT%H:%M:%S}",
        photoshop__City=story.city,
    )
    paint(folder / "IMG_0001.jpg", xmp=xmp)


def exiftool_json(folder: Path, story: Story) -> None:
    paint(folder / "IMG_0001.jpg")
    told = {
        "SourceFile": "IMG_0001.jpg",
        "FileModifyDate": "2024:01:01 00:00:00+01:00",
        "Description": story.caption,
        "Subject": list(story.keywords),
        "Creator": story.creator,
        "DateTimeOriginal": f"{story.moment:%Y:%m:%d %H:%M:%S}",
        "CreateDate": "2022:02:02 02:02:02",
        "City": story.city,
    }
    (folder / "IMG_0001.json").write_text(json.dumps([told], ensure_ascii=False), encoding="utf-8")


def exiftool_csv(folder: Path, story: Story) -> None:
    paint(folder / "IMG_0001.jpg")
    with (folder / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["SourceFile", "Description", "Subject", "Creator", "DateTimeOriginal", "City", "Model"])
        moment = f"{story.moment:%Y:%m:%d %H:%M:%S}"
        rows.writerow(
            ["./IMG_0001.jpg", story.caption, ", ".join(story.keywords), story.creator, moment, story.city, "X100V"]
        )


def takeout(folder: Path, story: Story) -> None:
    """Google knows the moment in UTC; the camera's clock stands in the picture. It keeps no creator."""
    paint(folder / "IMG_0001.jpg", exif=exif(story))
    seconds = int(story.moment.replace(tzinfo=UTC).timestamp()) - 2 * 3600
    told = {
        "title": "IMG_0001.jpg",
        "description": story.caption,
        "imageViews": "3",
        "creationTime": {"timestamp": "1700000000"},
        "photoTakenTime": {"timestamp": str(seconds)},
        "geoData": {"latitude": story.latitude, "longitude": story.longitude, "altitude": 0.0},
        "people": [{"name": keyword} for keyword in story.keywords],
    }
    (folder / "IMG_0001.jpg.supplemental-metadata.json").write_text(json.dumps(told), encoding="utf-8")


def shotwell(folder: Path, story: Story) -> None:
    body = (
        alt("dc:title", story.caption)
        + bag("dc:subject", *story.keywords)
        + bag("dc:creator", story.creator, kind="Seq")
    )
    paint(
        folder / "00001.png",
        pnginfo=_itxt(
            packet(body, exif__DateTimeOriginal=f"{story.moment:%Y-%m-%dT%H:%M:%S}Z", photoshop__City=story.city)
        ),
    )


def _itxt(xmp: bytes):
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", xmp.decode())
    return info


PROGRAMS: tuple[Callable[[Path, Story], None], ...] = (
    lightroom, lightroom_of_raw, darktable, digikam, apple_photos, bridge, photo_mechanic, capture_one,
    windows_explorer, picasa, acdsee, exiftool_json, exiftool_csv, takeout, shotwell,
)  # fmt: skip
NO_CREATOR = (takeout,)
BY_POSITION = (apple_photos, windows_explorer, takeout)  # these keep no names of places


def read(folder: Path) -> ImageRecord:
    sidecars = SidecarReader()
    (found,) = walk([folder], WalkCoverage())
    assert isinstance(found, FoundFile)
    picture = read_picture(found, sidecars, held=())
    assert sidecars.problems == {}
    assert picture.record is not None
    return picture.record


@pytest.mark.parametrize("story", STORIES, ids=["english", "german", "chinese", "turkish"])
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_what_a_program_wrote_is_read(tmp_path: Path, program: Callable[[Path, Story], None], story: Story) -> None:
    program(tmp_path, story)
    record = read(tmp_path)
    assert record.caption == story.caption
    assert set(story.keywords) <= set(record.tags)
    assert record.author == ("" if program in NO_CREATOR else story.creator)
    assert record.taken == f"{story.moment:%Y-%m-%dT%H:%M:%S}"
    if program in BY_POSITION:
        assert record.position == pytest.approx((story.latitude, story.longitude), abs=1e-4)
    else:
        assert story.city in record.places


def test_the_corpus_holds_sixty_files_of_fifteen_programs() -> None:
    assert (len(PROGRAMS), len(PROGRAMS) * len(STORIES)) == (15, 60)
