from __future__ import annotations

import pytest

from image_db.metadata.names import words_of_name


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
        "",
    ],
)
def test_names_made_by_machines_say_nothing(stem: str) -> None:
    assert words_of_name(stem) == ()
