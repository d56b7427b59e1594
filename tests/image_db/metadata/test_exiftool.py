"""What ExifTool writes into every format that it can write is read again; skipped where it is not installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from image_db.metadata.record import ImageRecord
from tests.image_db.conftest import paint
from tests.image_db.metadata.test_corpus import STORIES, Story, read
from vision.images.formats import try_formats

pytestmark = [
    pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed"),
    pytest.mark.filterwarnings("ignore:Metadata Warning"),  # Pillow's, of IPTC as ExifTool puts it into TIFF
]
EVERY = (".jpg", ".png", ".tif", ".webp", ".heic", ".avif", ".jxl", ".jp2", ".gif")


def told(file: Path, *options: str) -> None:
    # -m: it wraps a bare JPEG XL, and puts IPTC where it is not usual.
    subprocess.run(["exiftool", "-q", "-m", "-overwrite_original", *options, str(file)], check=True)


def by_xmp(story: Story) -> list[str]:
    return [
        f"-XMP-dc:Description={story.caption}",
        *(f"-XMP-dc:Subject={keyword}" for keyword in story.keywords),
        f"-XMP-dc:Creator={story.creator}",
        f"-XMP-photoshop:DateCreated={story.moment:%Y:%m:%d %H:%M:%S}",
        f"-XMP-photoshop:City={story.city}",
    ]


def by_iptc(story: Story) -> list[str]:
    return [
        "-CodedCharacterSet=UTF8",
        f"-IPTC:Caption-Abstract={story.caption}",
        *(f"-IPTC:Keywords={keyword}" for keyword in story.keywords),
        f"-IPTC:By-line={story.creator}",
        f"-IPTC:DateCreated={story.moment:%Y:%m:%d}",
        f"-IPTC:TimeCreated={story.moment:%H:%M:%S}",
        f"-IPTC:City={story.city}",
    ]


def by_exif(story: Story) -> list[str]:
    return [
        f"-EXIF:ImageDescription={story.caption}",
        f"-EXIF:XPKeywords={';'.join(story.keywords)}",
        f"-EXIF:Artist={story.creator}",
        f"-EXIF:DateTimeOriginal={story.moment:%Y:%m:%d %H:%M:%S}",
        f"-EXIF:GPSLatitude={story.latitude}",
        f"-EXIF:GPSLatitudeRef={'N' if story.latitude > 0 else 'S'}",
        f"-EXIF:GPSLongitude={story.longitude}",
        f"-EXIF:GPSLongitudeRef={'E' if story.longitude > 0 else 'W'}",
    ]


@pytest.mark.parametrize("story", STORIES, ids=["english", "german", "chinese", "turkish"])
@pytest.mark.parametrize(
    ("suffix", "written"),
    [(suffix, by_xmp) for suffix in EVERY]
    + [(suffix, by_iptc) for suffix in (".jpg", ".tif")]
    + [(suffix, by_exif) for suffix in (".jpg", ".tif", ".png", ".webp", ".heic", ".avif", ".jxl")],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_what_exiftool_writes_is_read(tmp_path: Path, suffix: str, written, story: Story) -> None:
    assert not any(tried.problem for tried in try_formats())  # which teaches Pillow to write them
    file = paint(tmp_path / f"IMG_0001{suffix}")
    told(file, *written(story))
    record: ImageRecord = read(tmp_path)
    assert (record.caption, record.author) == (story.caption, story.creator)
    assert set(story.keywords) <= set(record.tags)
    assert record.taken == f"{story.moment:%Y-%m-%dT%H:%M:%S}"
    if written is by_exif:
        assert record.position == pytest.approx((story.latitude, story.longitude), abs=1e-4)
    else:
        assert story.city in record.places


def test_its_sidecars_are_read(tmp_path: Path) -> None:
    (tmp_path / "told").mkdir()
    (tmp_path / "bare").mkdir()
    told(source := paint(tmp_path / "told/x.jpg"), *by_iptc(STORIES[1]))
    told(source, "-XMP:all<IPTC:all", *by_xmp(STORIES[1]))
    Image.new("RGB", (8, 8)).save(tmp_path / "bare/x.jpg")
    subprocess.run(
        ["exiftool", "-q", "-tagsfromfile", str(source), "-xmp:all", str(tmp_path / "bare/x.xmp")], check=True
    )
    record = read(tmp_path / "bare")
    assert (record.caption, record.author) == (STORIES[1].caption, STORIES[1].creator)
