"""Pictures that nobody described get words, marked as guessed; what people said is never touched."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from image_db.corrections import correct
from image_db.indexing import index_paths
from image_db.library import Library
from image_db.metadata.generate import describe_wordless, draft_wordless, wordless
from image_db.metadata.record import ImageRecord
from retrieval.library_index import GUESSED_WEIGHT, LibraryIndex, fields
from tests.fakes import ColourEncoder
from tests.image_db.conftest import paint
from vision.bridge.drafting import CaptionDraft


@pytest.fixture
def filled(library: Library, encoder: ColourEncoder, pictures: Path) -> Library:
    paint(pictures / "IMG_1.png", "red")
    paint(pictures / "blue wall.png", "blue")
    paint(pictures / "IMG_2.png", "green")
    (pictures / "IMG_2.txt").write_text("A meadow.")
    index_paths(library, encoder, [pictures])
    return library


def by_name(library: Library) -> dict[str, ImageRecord]:
    return {record.path.name: record for record in library.records()}


def captions(images: Sequence[Image.Image]) -> list[str]:
    return [f"A  wall of\n{image.getpixel((5, 5))}." for image in images]


def test_captions_are_written_where_caption_and_alt_text_are_missing(filled: Library, encoder: ColourEncoder) -> None:
    report = describe_wordless(filled, encoder, captioner=captions)
    assert (report.described, report.silent, report.failed) == (2, 0, ())
    records = by_name(filled)
    assert records["IMG_1.png"].caption == "A wall of (220, 30, 30)."
    assert records["IMG_1.png"].caption_origin == records["blue wall.png"].caption_origin == "generated"
    assert (records["IMG_2.png"].caption, records["IMG_2.png"].caption_origin) == ("A meadow.", "given")
    assert filled.matrix().has_text.all()


def test_labels_go_to_pictures_without_any_words_and_none_is_an_answer(filled: Library, encoder: ColourEncoder) -> None:
    seen: list[int] = []

    def labels(images: Sequence[Image.Image]) -> list[tuple[str, ...]]:
        seen.append(len(images))
        return [() for _ in images]

    report = describe_wordless(filled, encoder, labeller=labels)
    assert (seen, report.described, report.silent) == ([1], 0, 1)
    report = describe_wordless(filled, encoder, labeller=lambda images: [("brick",) for _ in images])
    assert by_name(filled)["IMG_1.png"].guessed_tags == ("brick",)
    assert report.described == 1


def drafts(vectors: np.ndarray) -> list[CaptionDraft]:
    return [CaptionDraft("A wall.", ("red",) if vector[0] > 0.5 else ()) for vector in vectors]


def test_drafts_go_to_pictures_without_any_words_and_read_no_file(
    filled: Library, encoder: ColourEncoder, pictures: Path
) -> None:
    before = by_name(filled)
    (pictures / "IMG_1.png").unlink()
    told: list[tuple[int, int]] = []
    report = draft_wordless(filled, encoder, drafts, lambda *done: told.append(done))
    assert (report.described, report.silent, report.failed, told) == (1, 0, (), [(1, 1)])
    after = by_name(filled)
    first = after.pop("IMG_1.png")
    assert (first.caption, first.caption_origin, first.guessed_tags) == ("A wall.", "generated", ("red",))
    assert after == {name: record for name, record in before.items() if name != "IMG_1.png"}
    assert draft_wordless(filled, encoder, lambda vectors: 1 / 0).described == 0  # nothing is asked twice
    assert not LibraryIndex(filled).described[filled.matrix().ids.index(first.id)]


def test_a_draft_that_says_nothing_leaves_the_picture_as_it_was(filled: Library, encoder: ColourEncoder) -> None:
    before = by_name(filled)
    report = draft_wordless(filled, encoder, lambda vectors: [CaptionDraft("", ()) for _ in vectors])
    assert (report.described, report.silent) == (0, 1)
    assert by_name(filled) == before


def test_what_a_person_dropped_is_not_drafted_again(filled: Library, encoder: ColourEncoder) -> None:
    draft_wordless(filled, encoder, drafts)
    picture = by_name(filled)["IMG_1.png"]
    for field in ("caption", "tags"):  # as `vignette library review` asks, one after the other
        correct(filled, encoder, picture.id, {field: ""}, all_meant=True)
    assert by_name(filled)["IMG_1.png"].text == ""
    assert wordless(filled) == []
    assert draft_wordless(filled, encoder, drafts).described == 0


def test_a_second_run_asks_only_about_what_is_left(filled: Library, encoder: ColourEncoder, pictures: Path) -> None:
    describe_wordless(filled, encoder, captioner=captions)

    def unwanted(images: Sequence[Image.Image]) -> list[str]:
        raise AssertionError(f"asked about {len(images)} pictures that have words")

    assert describe_wordless(filled, encoder, captioner=unwanted).described == 0
    index_paths(filled, encoder, [pictures])
    assert by_name(filled)["IMG_1.png"].caption_origin == "generated"  # indexing again does not lose it


def test_what_a_person_says_later_takes_the_place_of_what_was_generated(
    filled: Library, encoder: ColourEncoder, pictures: Path
) -> None:
    describe_wordless(filled, encoder, captioner=captions)
    (pictures / "IMG_1.txt").write_text("My grandmother's door.")
    index_paths(filled, encoder, [pictures])
    record = by_name(filled)["IMG_1.png"]
    assert (record.caption, record.caption_origin) == ("My grandmother's door.", "given")


def test_generated_captions_are_found_but_weigh_as_guesses(filled: Library, encoder: ColourEncoder) -> None:
    describe_wordless(filled, encoder, captioner=captions)
    record = by_name(filled)["IMG_1.png"]
    assert (record.caption, GUESSED_WEIGHT) in fields(record)
    assert all(weight == GUESSED_WEIGHT for text, weight in fields(record) if text)
    index = LibraryIndex(filled)
    told = dict(zip(index.vectors.ids, index.described.tolist(), strict=True))
    records = {r.id: r for r in filled.records()}
    assert {records[id_].path.name: value for id_, value in told.items()} == {
        "IMG_1.png": False,  # ranked by its looks
        "blue wall.png": True,  # its name was given
        "IMG_2.png": True,
    }


def test_a_file_that_is_gone_is_reported_and_the_others_are_described(
    filled: Library, encoder: ColourEncoder, pictures: Path
) -> None:
    (pictures / "IMG_1.png").unlink()
    report = describe_wordless(filled, encoder, captioner=captions)
    assert report.described == 1
    assert [path.name for path, _ in report.failed] == ["IMG_1.png"]
