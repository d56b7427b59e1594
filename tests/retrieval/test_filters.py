"""Conditions on pictures: one grammar, whatever it is typed into."""

from __future__ import annotations

from pathlib import Path

import pytest

from image_db.metadata.record import ImageRecord
from retrieval.errors import RetrievalError
from retrieval.filters import Condition, Filters, parse_where, passes, split_where, written

PICTURE = ImageRecord(
    "a" * 64,
    Path("/home/ann/Pictures/2019/Été à Lyon/scans/IMG_1.jpg"),
    3000,
    4000,
    caption="The Saône in the evening",
    tags=("River", "evening light"),
    license="CC BY-SA 4.0",
    taken="2019-08-14T21:05:00",
    camera="Canon EOS 80D",
    places=("Vieux Lyon", "Lyon", "France"),
    position=(45.76, 4.83),
)
BARE = ImageRecord("b" * 64, Path("/home/ann/inbox/x.png"), 640, 640)


@pytest.mark.parametrize(
    "where",
    [
        "date:2019",
        "date:2019-08",
        "date:2019-08-14",
        "date:2019..",
        "date:..2019",
        "date:2018..2020",
        "date:2019-08-14..2019-08-14",
        "date:2018,2019",
        "place:lyon",
        "place:LYON place:france",
        "place:vieux",
        "camera:canon",
        'camera:"eos 80"',
        "orientation:portrait",
        "方向:竖",
        "size:3000",
        "size:..3000",
        "size:10mp..14mp",
        "license:CC",
        'license:"CC BY-SA"',
        "folder:scans",
        'folder:"ete a lyon"',
        "folder:2019/*/scans",
        "folder:/home/ann",
        "tag:river",
        'tag:"Evening Light"',
        "has:words has:date has:place has:position has:camera",
        "-has:draft -date:2020 -folder:inbox -place:Paris -orientation:square,landscape",
        "地点:lyon 日期:2019",
    ],
)
def test_a_condition_lets_through_what_it_names_and_its_denial_does_not(where: str) -> None:
    conditions = parse_where(where)
    assert passes(PICTURE, Filters(where=conditions))
    for condition in conditions:
        turned = condition._replace(denied=not condition.denied)
        assert not passes(PICTURE, Filters(where=(turned,)))


@pytest.mark.parametrize(
    "where",
    [
        "date:2018",
        "date:2019-09..",
        "date:..2019-07",
        "date:2019-08-15",
        "place:yon",
        "camera:80",  # matched at the beginning of a word: "80D" is one
        "orientation:landscape",
        "size:3001",
        "size:2mp..8mp",
        'license:"CC BY"',
        "folder:scan",
        "folder:ann/inbox",
        "folder:/ann",
        "folder:img_1.jpg",
        "tag:light",
        "has:draft",
    ],
)
def test_what_a_condition_does_not_name_is_left_out(where: str) -> None:
    fits = passes(PICTURE, Filters(where=parse_where(where)))
    assert fits is (where == "camera:80")


def test_a_picture_of_which_nothing_is_known_satisfies_denials_alone() -> None:
    assert not any(
        passes(BARE, Filters(where=parse_where(where)))
        for where in ("date:1800..", "date:..2100", "place:x", "camera:x", "has:words", "has:date", "has:position")
    )
    assert passes(BARE, Filters(where=parse_where("-date:2019 -place:x -has:words orientation:square")))


def test_a_date_known_less_exactly_than_asked_is_not_taken_for_a_hit() -> None:
    year = ImageRecord("c" * 64, Path("/x.png"), 1, 1, taken="1987")
    assert passes(year, Filters(where=parse_where("date:1980..1989")))
    assert passes(year, Filters(where=parse_where("date:1987")))
    assert not passes(year, Filters(where=parse_where("date:1987-05")))
    assert not passes(year, Filters(where=parse_where("date:..1987-05")))


def test_a_copy_in_the_folder_is_enough() -> None:
    wanted = Filters(where=parse_where("folder:best"))
    assert not passes(BARE, wanted)
    assert passes(BARE, wanted, [Path("/home/ann/best/x.png")])


def test_conditions_are_told_from_words() -> None:
    conditions, rest = split_where('sunset -folder:scans http://x.org/a "re: boats" date：2019.. place:"le havre",lyon')
    assert conditions == (
        Condition("folder", ("scans",), True),
        Condition("date", ("2019..",)),
        Condition("place", ("le havre", "lyon")),
    )
    assert rest == 'sunset http://x.org/a "re: boats"'


@pytest.mark.parametrize(
    ("where", "key"),
    [
        ("beach", "filter_no_condition"),
        ("date:2019 beach", "filter_no_condition"),
        ("colour:red", "filter_field_unknown"),
        ("date:yesterday", "filter_value_wrong"),
        ("date:2019..soon", "filter_value_wrong"),
        ("date:..", "filter_value_wrong"),
        ("orientation:up", "filter_value_wrong"),
        ("size:big", "filter_value_wrong"),
        ("has:fun", "filter_value_wrong"),
        ('place:""', "filter_value_missing"),
        ("folder:/", "filter_value_missing"),
    ],
)
def test_what_is_no_condition_is_named(where: str, key: str) -> None:
    with pytest.raises(RetrievalError) as refused:
        parse_where(where)
    assert refused.value.key == key


@pytest.mark.parametrize("where", ["date:2019.. -folder:scans", 'place:"le havre",lyon camera:canon', ""])
def test_written_conditions_are_read_back(where: str) -> None:
    assert written(parse_where(where)) == where
