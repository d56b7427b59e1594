"""Pictures without words get drafts unasked where that is quick and possible; drafts are marked, and nobody's word."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from composer.commands import index
from composer.i18n import localize
from composer.pipeline import wordless
from composer.pipeline.events import Event, Notice
from composer.pipeline.picture_words import library_words
from composer.pipeline.uploads import Uploads, read_uploads
from composer.pipeline.wordless import SharedDrafting, draft_unasked
from composer.request import ComposeRequest
from composer.settings import Settings
from image_db.indexing import index_paths
from image_db.library import Library
from image_db.metadata.generate import DescribeReport
from tests.composer.pipeline.test_pipeline import answer
from tests.composer.small_pipeline import make_pipeline, paint
from tests.fakes import ColourEncoder
from vision.bridge.drafting import CaptionDraft
from vision.errors import ModelError, Phrase

ENCODER = ColourEncoder()


def draft(vectors: np.ndarray) -> list[CaptionDraft]:
    return [CaptionDraft("A pink wall.", ("pink", "wall")) for _ in vectors]


def cannot(vectors: np.ndarray) -> Sequence[CaptionDraft]:
    raise ModelError("drafts_of_other_encoder", encoder="colours", wanted="vignette-joint")


@pytest.fixture
def library(tmp_path: Path) -> Library:
    paint(tmp_path / "IMG_1.png", "red")
    library = Library.create(tmp_path / "library", ENCODER.identity)
    index_paths(library, ENCODER, [tmp_path / "IMG_1.png"])
    return library


def test_a_library_is_drafted_once(library: Library) -> None:
    done = draft_unasked(library, ENCODER, draft)
    assert isinstance(done, DescribeReport)
    assert done.described == 1
    assert draft_unasked(library, ENCODER, cannot) is None


def test_why_there_are_no_drafts_is_a_phrase(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    why = draft_unasked(library, ENCODER, cannot)
    assert isinstance(why, Phrase)
    assert (why.key, why.values["count"]) == ("drafts_not_made", 1)
    assert "vignette-joint" in localize(why, "en")
    monkeypatch.setattr(wordless, "MOST_UNASKED", 0)
    why = draft_unasked(library, ENCODER, draft)
    assert isinstance(why, Phrase)
    assert why.key == "drafts_not_unasked"


def test_the_help_of_index_says_how_many_are_drafted_unasked() -> None:
    assert index.MOST_UNASKED == wordless.MOST_UNASKED


def test_what_drafts_is_loaded_once_and_when_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []
    monkeypatch.setattr("composer.pipeline.loading.load_drafting", lambda s, e: loaded.append(s.name) or draft)
    shared = SharedDrafting(Settings("mine"), ENCODER)
    assert loaded == []
    for _ in range(2):
        assert shared(np.zeros((1, 3)))[0].sentence == "A pink wall."
    assert loaded == ["mine"]


def read(*paths: Path, drafting: object = draft) -> Uploads:
    return read_uploads(paths, ENCODER, draft=drafting)[0]  # type: ignore[arg-type]


def test_pictures_that_come_along_are_drafted_where_nobody_named_them(tmp_path: Path) -> None:
    bare, named = paint(tmp_path / "IMG_2.png", "pink"), paint(tmp_path / "old wall.png", "red")
    uploads = read(bare, named)
    first, second = uploads.records()
    words = library_words(first, "en")
    assert (words.caption, words.caption_origin, words.alt_origin) == ("A pink wall.", "drafted", "drafted")
    assert first.guessed_tags == ("pink", "wall")
    assert uploads.textual[0].any(), "they help to find it"
    assert (second.caption, second.caption_origin) == ("Old wall", "given")
    assert list(uploads.said("en").values()) == ["", "Old wall"], "a draft is nobody's word"
    for nothing in (None, cannot):
        assert [record.caption for record in read(bare, named, drafting=nothing).records()] == ["", "Old wall"]


def test_an_article_is_not_planned_by_a_draft_but_prints_it_as_one(tmp_path: Path) -> None:
    pipeline = make_pipeline(tmp_path, answer)
    pipeline.draft = draft
    own = paint(tmp_path / "own" / "IMG_3.png", "pink")
    said: list[Event] = []
    article = pipeline.compose(ComposeRequest(instruction="Walls of a town", images=1, use_images=(own,)), said.append)
    (placement,) = article.placements
    assert placement.chosen is not None
    assert placement.chosen.path == own
    assert placement.caption_origin == "drafted"
    assert "pink" in placement.caption
    assert Notice("pictures_guessed", {"count": 1}) in said
    assert all(fact["source"] != placement.chosen.id for fact in article.provenance["facts"])
