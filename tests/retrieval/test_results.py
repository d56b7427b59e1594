"""What a person who searches is shown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from image_db.library import Library
from image_db.metadata.record import ImageRecord
from retrieval.candidates import Query
from retrieval.filters import Filters, parse_where
from retrieval.results import results
from retrieval.search import Searcher
from retrieval.typed import typed_query
from tests.fakes import ColourEncoder

TAKEN = ("2019-05-04T12:00:00", "2019-05-04T12:00:01", "2021-01-01", "", "2020-06-06T08:00:00")


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[tuple[Searcher, Library]]:
    """Five red hens: the first two a burst, the third and the fifth scaled copies of one photograph."""
    encoder = ColourEncoder()
    looks = np.eye(encoder.identity.visual_dim, dtype=np.float32)
    visual = [looks[0], 0.95 * looks[0] + 0.31225 * looks[1], looks[2], looks[3], looks[4]]
    hashes = [1, 2**40 - 1, 0xFF00FF00, None, 0xFF00FF01]
    with Library.create(tmp_path / "lib", encoder.identity) as library:
        for number, taken in enumerate(TAKEN):
            record = ImageRecord(
                f"{number:064x}",
                Path(f"/p/{number}.jpg"),
                400 + number,
                300,
                caption="red hen",
                taken=taken,
                camera="C",
            )
            vector = visual[number] / np.linalg.norm(visual[number])
            library.add([(record, vector, encoder.encode_sentences(["red hen"])[0], hashes[number])])
        yield Searcher(library, encoder), library


def shown(shelf: tuple[Searcher, Library], query: Query, k: int = 10, **options) -> list[list[int]]:
    found = results(*shelf, query, k, **options)
    return [[int(c.record.id, 16) for c in (result.candidate, *result.alike)] for result in found]


def test_bursts_and_copies_are_shown_once_and_counted(shelf: tuple[Searcher, Library]) -> None:
    groups = shown(shelf, Query("red hen"))
    assert sorted(map(sorted, groups)) == [[0, 1], [2, 4], [3]]
    assert sorted(map(len, shown(shelf, Query("red hen"), together=False))) == [1] * 5


def test_k_counts_what_is_shown(shelf: tuple[Searcher, Library]) -> None:
    assert len(shown(shelf, Query("red hen"), 2)) == 2


def test_by_date_means_what_fits_with_undated_ones_last(shelf: tuple[Searcher, Library]) -> None:
    assert shown(shelf, Query("red hen"), together=False, order="newest") == [[2], [4], [1], [0], [3]]
    assert shown(shelf, Query("red hen"), together=False, order="oldest") == [[0], [1], [4], [2], [3]]
    assert shown(shelf, Query("a submarine"), order="newest") == []


def test_conditions_alone_list_all_that_satisfies_them_newest_first(shelf: tuple[Searcher, Library]) -> None:
    assert shown(shelf, typed_query("date:2019..2020"), together=False) == [[4], [1], [0]]
    assert shown(shelf, typed_query("-has:date")) == [[3]]


def test_conditions_narrow_a_search(shelf: tuple[Searcher, Library]) -> None:
    query = Query("red hen", filters=Filters(where=parse_where("date:2021")))
    assert shown(shelf, query) == [[2]]
    assert shown(shelf, replace(query, filters=Filters(where=parse_where("date:1999")))) == []
