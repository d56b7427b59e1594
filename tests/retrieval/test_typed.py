from __future__ import annotations

import pytest

from retrieval.candidates import Query
from retrieval.errors import RetrievalError
from retrieval.typed import typed_query


@pytest.mark.parametrize(
    ("typed", "caption", "without"),
    [
        ("harbour -boats", "harbour", ("boats",)),
        ('market -"fish stall" -dog', "market", ("fish stall", "dog")),
        ("a street without cars or cyclists at night", "a street at night", ("cars", "cyclists")),
        ("forest, no people", "forest", ("people",)),
        ("a meadow with no cows, and sheep", "a meadow , and sheep", ("cows",)),
        ("没有船的湖", "湖", ("船",)),
        ("街道 没有汽车和行人", "街道", ("汽车", "行人")),
        ("a harbour but not a ferry", "a harbour", ("a ferry",)),
        ("fruit except for apples", "fruit", ("apples",)),
        ("无人的街道", "街道", ("人",)),
        ("空无一人的车站", "车站", ("人",)),
        ("无人机和无花果", "无人机和无花果", ()),
        ("a no parking sign", "a no parking sign", ()),
        ("at -5 degrees", "at -5 degrees", ()),
        ("a well-known bridge", "a well-known bridge", ()),
        ("  plain words ", "plain words", ()),
    ],
)
def test_what_a_picture_should_not_show_is_told_from_what_it_should(
    typed: str, caption: str, without: tuple[str, ...]
) -> None:
    assert typed_query(typed) == Query(caption=caption, without=without)


@pytest.mark.parametrize("typed", ["-people", "without a hat", "没有树"])
def test_words_that_only_leave_out_are_refused(typed: str) -> None:
    with pytest.raises(RetrievalError) as caught:
        typed_query(typed)
    assert caught.value.key == "search_only_excludes"
