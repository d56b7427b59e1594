"""A library in Milvus finds what the same library in a folder finds, in the same order up to ties."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from image_db.errors import EncoderMismatch, LibraryError, LibraryMissing
from image_db.library import Library
from image_db.stores.addresses import is_address, milvus_address
from image_db.stores.milvus_client import dense_index
from image_db.stores.milvus_library import MilvusLibrary
from image_db.stores.milvus_writer import MilvusWriter
from image_db.stores.opening import open_library
from retrieval.candidates import Query
from retrieval.filters import Filters, parse_where
from retrieval.search import Searcher
from retrieval.stores.store_loading import copy_library, load_store, pictures_of
from tests.fakes import PALETTE, ColourEncoder
from tests.retrieval.small_library import Shown, make_record, picture, put

pytest.importorskip("milvus_lite", reason="pip install 'vignette-studio[cluster]'")

NOUNS = (
    "hen",
    "hens in a yard",
    "castle on a hill",
    "Bell's palsy",
    "老农场的母鸡",
    "a boat at sea",
    "cœur de lion",
    "农场",
)
LICENSES = ("", "CC BY 4.0", "CC BY-SA 3.0", "CC0", "GPL-2.0-or-later")
QUERIES = (
    Query("a red wall"),
    Query("hens"),
    Query("two hens in the yard of a castle"),
    Query("母鸡"),
    Query("老农场", english="an old farm"),
    Query("a boat", context="The sea and its boats. A harbour in the north."),
    Query("castle", without=("hen", "boat at sea")),
    Query("a red thing", without=("blue",)),
    Query("green", filters=Filters(licenses=("CC BY",))),
    Query("green", filters=Filters(licenses=("CC", "GPL"), min_side_px=400)),
    Query("green", filters=Filters(tags=("Farm", "animals"))),
    Query("green", filters=Filters(licenses=("CC BY-ND",))),
    Query("green", filters=Filters(tags=('with "quotes" \\ and slash',))),
    *(
        Query("a wall", filters=Filters(where=parse_where(where)))
        for where in (
            "date:2019",
            "date:2019-05..2019-08",
            "-date:..2019",
            'camera:"canon eos" orientation:landscape',
            "place:Lyon,zürich",
            "-place:lyon size:400",
            "size:0.1mp..0.2mp",
            "folder:summer/2*",
            "-folder:/pictures/summer",
            "tag:FARM,yard",
            "has:words -has:date",
            "license:CC",
            "-license:GPL has:place",
        )
    ),
    Query(example=picture("green")),
    Query("boat", example=picture("blue")),
    Query("Bell's palsy", context="cœur"),
    Query("nothing of all this zebra"),
)


@pytest.fixture(scope="module")
def encoder() -> ColourEncoder:
    return ColourEncoder()


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, encoder: ColourEncoder) -> Iterator[tuple[Library, MilvusLibrary]]:
    """The same pictures in a folder and in milvus-lite."""
    folder = tmp_path_factory.mktemp("libraries")
    shown = []
    tags = itertools.cycle(((), ("farm",), ("Farm", "Animals", "yard"), ('with "quotes" \\ and slash',)))
    for number, colour in enumerate(itertools.islice(itertools.cycle(PALETTE), 72)):
        caption = f"{NOUNS[number % len(NOUNS)]} by a {colour} wall" if number % 3 else ""
        record = make_record(
            f"{number}-{colour}",
            path=Path(
                f"/pictures/{('summer/2019', 'winter')[number % 2]}/{number}-\udce9.png"
            ),  # a name that is not valid Unicode
            caption=caption,
            tags=next(tags),
            license=LICENSES[number % len(LICENSES)],
            width_px=300 + 40 * (number % 8),
            taken=("", "2019", "2019-06-02T10:00:00", "2020-01", "1987-12-24")[number % 5],
            camera=("", "Canon EOS 5D", "NIKON D90")[number % 3],
            places=((), ("Lyon", "France"), ("Zürich",), ("Saint-Lyon",))[number % 4],
            position=(45.5, 4.25) if number % 6 == 0 else None,
            captions=(("zh", f"第{number}面墙，农场"),) if number % 5 == 0 else (),
            caption_origin="generated" if number % 7 == 0 else "given",
            guessed_tags=("hen", "bird") if number % 4 == 0 else (),
        )
        shown.append(Shown(colour, record=record, phash=number * 0x0123_4567_89AB if number % 2 else None))
    with Library.create(folder / "own", encoder.identity) as library:
        put(library, encoder, shown)
        report = copy_library(library.folder, f"milvus+file://{folder}/store")
        assert (report.pictures, report.differences) == (72, ())
        with open_library(Path(f"milvus+file://{folder}/store"), encoder.identity) as store:
            assert isinstance(store, MilvusLibrary)
            yield library, store


@pytest.fixture(scope="module")
def searchers(both: tuple[Library, MilvusLibrary], encoder: ColourEncoder) -> tuple[Searcher, Searcher]:
    own, store = both
    return Searcher(own, encoder), Searcher(store, encoder)


@pytest.mark.parametrize("query", QUERIES, ids=range(len(QUERIES)))
def test_both_find_the_same(searchers: tuple[Searcher, Searcher], query: Query) -> None:
    own, store = (searcher.search(query, 10) for searcher in searchers)
    assert_same(
        [(c.record, c.fused, c.visual, c.textual) for c in own],
        [(c.record, c.fused, c.visual, c.textual) for c in store],
    )
    some = frozenset(candidate.record.id for candidate in own[::2])
    left = Query(query.caption, query.english, query.context, query.example, query.without, some, query.filters)
    own, store = (searcher.find(left, 10) for searcher in searchers)
    assert_same([(c.record, c.fused) for c in own], [(c.record, c.fused) for c in store])
    assert not some & {candidate.record.id for candidate in store}
    own, store = (searcher.listed(query) for searcher in searchers)
    assert [candidate.record.id for candidate in own] == [candidate.record.id for candidate in store]


def assert_same(one: list[tuple[Any, ...]], other: list[tuple[Any, ...]]) -> None:
    """The same pictures in the same order, up to those whose scores differ by less than a rounding."""
    assert len(one) == len(other)
    assert {item[0].id for item in one} == {item[0].id for item in other}
    scores = {item[0].id: item[1:] for item in one}
    for item in other:
        assert item[1:] == pytest.approx(scores[item[0].id], abs=1e-5)
        assert item[0] == next(mine[0] for mine in one if mine[0].id == item[0].id)
    for mine, theirs in zip(one, other, strict=True):
        assert mine[1] == pytest.approx(theirs[1], abs=1e-5)


def test_a_store_is_read_like_a_folder(
    both: tuple[Library, MilvusLibrary], searchers: tuple[Searcher, Searcher]
) -> None:
    own, store = both
    assert list(store.records()) == list(own.records())
    ids = [record.id for record in own.records()][::9]
    assert store.get(ids) == own.get(ids)
    assert (ids[0] in store, "0" * 64 in store, len(store)) == (True, False, 72)
    assert store.phashes(ids) == own.phashes(ids)
    assert store.page(5, 3) == own.page(5, 3)
    assert (store.with_text, store.failures()) == (own.with_text, [])
    one, other = (searcher.visual_vectors(ids) for searcher in searchers)
    assert {id_: vector.tolist() for id_, vector in other.items()} == {id_: v.tolist() for id_, v in one.items()}
    with pytest.raises(LibraryError) as told:
        store.get(["0" * 64])
    assert told.value.key == "picture_unknown"


def test_a_copy_of_the_copy_is_the_library_again(both: tuple[Library, MilvusLibrary], tmp_path: Path) -> None:
    own, store = both
    for name in store.client.list_collections():
        store.client.release_collection(name)  # as milvus-lite has them when another program opens its files
    store.close()  # milvus-lite lets one program in
    report = copy_library(store.folder, tmp_path / "again")
    store.client = MilvusLibrary.open(store.folder).client
    store._closed = False
    assert (report.pictures, report.differences) == (72, ())
    with Library.open(tmp_path / "again") as again:
        assert list(again.records()) == list(own.records())
        assert np.array_equal(again.matrix().visual, own.matrix().visual)
        assert again.phashes() == own.phashes()
    with pytest.raises(LibraryError) as told:
        copy_library(own.folder, tmp_path / "again")
    assert told.value.key == "library_exists"


def test_a_library_of_another_encoder_is_refused(both: tuple[Library, MilvusLibrary]) -> None:
    store = both[1]
    store.close()
    with pytest.raises(EncoderMismatch):
        MilvusLibrary.open(store.folder, ColourEncoder("others").identity)
    store.client = MilvusLibrary.open(store.folder).client
    store._closed = False


def test_a_load_that_is_cut_off_changes_nothing_and_leaves_nothing(tmp_path: Path, encoder: ColourEncoder) -> None:
    where = f"milvus+file://{tmp_path}/store"
    with Library.create(tmp_path / "own", encoder.identity) as library:
        put(library, encoder, [Shown("red", "a red wall"), Shown("blue")])
        before = list(pictures_of(library))
        assert load_store(where, encoder.identity, lambda: before) == 2
        put(library, encoder, [Shown("green", "a green wall")])
        after = list(pictures_of(library))

    def broken() -> Iterator[Any]:
        yield from after[:1]
        if called.append(1) or len(called) > 1:
            raise KeyboardInterrupt
        yield from after[1:]

    called: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        load_store(where, encoder.identity, broken)
    assert [record.id for record in records(where)] == [picture.record.id for picture in before]
    # One that is killed cannot tidy up behind itself; the next load does.
    killed = MilvusWriter(where, encoder.identity, 3)
    killed.add(after[0])
    killed.client.close()
    assert len(records(where)) == 2
    assert load_store(where, encoder.identity, lambda: [*after, *after]) == 3
    with MilvusLibrary.open(where) as library:
        assert (len(library), library.generation) == (3, 2)
        assert sorted(library.client.list_collections()) == ["library_g2", "library_g2_notes"]


def records(where: str) -> list[Any]:
    with open_library(where) as library:
        return list(library.records())


def test_an_empty_library_finds_nothing(tmp_path: Path, encoder: ColourEncoder) -> None:
    where = f"milvus+file://{tmp_path}/store"
    load_store(where, encoder.identity, lambda: [])
    with open_library(where, encoder.identity) as library:
        assert Searcher(library, encoder).search(Query("red"), 5) == []


def test_a_record_that_fits_no_row_is_named(tmp_path: Path, encoder: ColourEncoder) -> None:
    with Library.create(tmp_path / "own", encoder.identity) as library:
        put(library, encoder, [Shown("red", record=make_record("long", caption="农" * 30_000))])
        with pytest.raises(LibraryError) as told:
            load_store(f"milvus+file://{tmp_path}/store", encoder.identity, lambda: pictures_of(library))
    assert told.value.key == "store_record_long"


@pytest.mark.parametrize(
    ("given", "uri", "name"),
    [
        ("milvus+file:///data/library", "/data/library/milvus.db", "library"),
        (Path("milvus+file:///data/library"), "/data/library/milvus.db", "library"),
        ("milvus://db.example:19531/archive", "http://db.example:19531", "archive"),
        (Path("milvus://db.example/archive"), "http://db.example:19530", "archive"),
        ("milvus+tls://db.example/archive", "https://db.example:19530", "archive"),
    ],
)
def test_addresses(given: Path | str, uri: str, name: str) -> None:
    address = milvus_address(given)
    assert (address.uri, address.name, is_address(given)) == (uri, name, True)
    assert milvus_address(address.shown) == address
    assert address.is_lite == ("milvus.db" in uri)


@pytest.mark.parametrize("given", ["milvus://host", "milvus://user:secret@host/name", "milvus:", "milvus://host/1-a"])
def test_what_is_no_address_says_so(given: str) -> None:
    with pytest.raises(LibraryError) as told:
        milvus_address(given)
    assert told.value.key == "store_address_wrong"


def test_a_folder_is_no_address(tmp_path: Path) -> None:
    assert not is_address(tmp_path)
    assert not is_address("milvus/library")
    with pytest.raises(LibraryMissing) as told:
        open_library(f"milvus+file://{tmp_path}/none")
    assert told.value.key == "store_missing"


@pytest.mark.parametrize(
    ("pictures", "is_lite", "kind"),
    [
        (525, True, "FLAT"),
        (100_000, False, "FLAT"),
        (1_000_000, True, "HNSW"),
        (1_000_000, False, "HNSW"),
        (100_000_000, False, "IVF_RABITQ"),
        (100_000_000, True, "HNSW"),
    ],
)
def test_the_index_grows_with_the_library(pictures: int, is_lite: bool, kind: str) -> None:
    chosen, params = dense_index(pictures, is_lite=is_lite)
    assert chosen == kind
    if kind == "IVF_RABITQ":
        assert params == {"nlist": min(65_536, int(4 * math.sqrt(pictures))), "refine": True, "refine_type": "SQ8"}


def test_a_server_that_nobody_runs_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from pymilvus.exceptions import MilvusException

    def refuse(**_: Any) -> None:
        raise MilvusException(message="Fail connecting to server on 127.0.0.1:1.\nIllegal uri")

    monkeypatch.setattr("pymilvus.MilvusClient", refuse)
    with pytest.raises(LibraryError) as told:
        open_library("milvus://127.0.0.1:1/archive")
    assert told.value.key == "store_not_usable"
    assert "\n" not in str(told.value.values["reason"])
