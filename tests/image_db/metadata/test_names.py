from __future__ import annotations

import pytest

from image_db.metadata.names import meant, words_of_name


@pytest.mark.parametrize(
    ("stem", "words"),
    [
        ("red-parrot_2019-05-04 (1)", ("red", "parrot")),
        ("GreatBarrierReef", ("great", "barrier", "reef")),
        ("A day at the beach - final copy", ("day", "beach")),
        ("Köln Dom 1024x768", ("köln", "dom")),
        ("金门大桥", ("金门大桥",)),
        ("IMG_1234 sunset over Lisbon", ("sunset", "over", "lisbon")),
        ("new york", ("new", "york")),
        ("rose rose", ("rose",)),
        ("图片墙 2019", ("图片墙",)),
        ("微信图片_20230514101010_西湖", ("西湖",)),
        ("Bildschirm kaputt", ("bildschirm", "kaputt")),
        ("A\u0308pfel", ("äpfel",)),  # as a Mac writes it
    ],
)
def test_words_that_somebody_chose_are_kept(stem: str, words: tuple[str, ...]) -> None:
    assert words_of_name(stem) == words


@pytest.mark.parametrize(
    "stem",
    [
        "IMG_1234",
        "DSC00012",
        "DSCN4711",
        "_MG_0042",
        "P1010023",
        "PXL_20230101_120000123",
        "IMG-20200101-WA0001",
        "20190504_171500",
        "2019-05-04 17.15.00",
        "Screenshot 2024-01-01 at 12.00.00",
        "WhatsApp Image 2021-05-05 at 18.03.11",
        "3f786850e387550fdab836ed7e6dc881de23001b",
        "550e8400-e29b-41d4-a716-446655440000",
        "68747470733a2f2f",
        "image (3)",
        "photo",
        "untitled-1",
        "00001",
        "GOPR0042",
        "dQw4w9WgXcQ1x7Zk3b9QpL2m",
        "bad \udcff name",
        "微信图片_20230514101010",
        "QQ图片20230514",
        "mmexport1684030000000",
        "ChatGPT Image Mar 3, 2026, 08_15_00 PM",
        "Gemini_Generated_Image_q8x2",
        "AdobeStock_7719",
        "istockphoto-88-1024x1024",
        "IMG_20230514_101010(副本)",
        "下载 (1)",
        "未命名-1",
        "屏幕截图 2023-05-14 101010",
        "Screenshot_2023-05-14-10-10-10-123_com.tencent.mm",
        "Bildschirmfoto 2023-05-14 um 10.10.10",
        "Capture d’écran 2023-05-14 à 10.10.10",
        "Снимок экрана 2023-05-14 в 10.10.10",
        "スクリーンショット 2023-05-14 10.10.10",
        "IMG_4711-edited",
        "Unbenannt-2",
        "",
    ],
)
def test_names_made_by_machines_say_nothing(stem: str) -> None:
    assert words_of_name(stem) == ()


@pytest.mark.parametrize(
    "caption",
    [
        "cof",
        "sdr",
        "dav",
        "_cuva",
        "hdr_vivid",
        "cof_vivid",
        "oznorWO",
        "mde_soft",
        "JPEG_vivid5",
        "oplus_32",
        "SAMSUNG",
        "<KENOX S630  / Samsung S630>",
        "KODAK Digital Still Camera",
        "OLYMPUS DIGITAL CAMERA",
        "SONY DSC",
        "Exif_JPEG_PICTURE",
        "DCIM\\100MEDIA\\DJI_0012.JPG",
        "IMG_1234",
        "DSC_0042.JPG",
        "holiday.jpg",
        "Screenshot",
        "屏幕截图",
        "Untitled-1",
        "Created with GIMP",
        "CREATOR: gd-jpeg v1.0 (using IJG JPEG v62), quality = 90",
        "Processed with VSCO with a6 preset",
        "charset=Ascii",
        "binary comment",
        "filter: 0; fileterIntensity: 0.0; filterMask: 0;",
        '{"source": "app"}',
        "---",
        "12",
        "Captured by Snagit",
        "iPhone 12",
        "None",
    ],
)
def test_what_devices_and_programs_write_is_no_caption(caption: str) -> None:
    assert meant(caption) == ""


@pytest.mark.parametrize(
    "caption",
    [
        "Apple",
        "Honor guard",
        "A cat",
        "cat",
        "Dave at sea",
        "Camera obscura",
        "Pixel art",
        "Cofee",
        "A digital camera on a desk",
        "Sony building, Tokyo",
        "截图软件的界面",
        "Edited volumes on a shelf",
        "Photo of the year",
        "Hdr",
        "Title page of a book",
    ],
)
def test_what_people_write_stays(caption: str) -> None:
    assert meant(caption) == (caption if caption != "Hdr" else "")
