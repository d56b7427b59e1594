"""Libraries, articles and drafts that Vignette 0.1.0 wrote still open (``tests/fixtures/version_0_1``)."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from composer.cli import main
from composer.export.article_folder import load_article
from composer.i18n import localize
from image_db import catalog as catalog_module
from image_db.catalog import MIGRATIONS
from image_db.library import Library

WRITTEN = Path(__file__).parent / "fixtures" / "version_0_1"
OWNER = "A" * 43


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """The library with its pictures, as if both had been written here."""
    shutil.copytree(WRITTEN / "library", tmp_path / "library")
    shutil.copytree(WRITTEN / "pictures", tmp_path / "pictures")
    with sqlite3.connect(tmp_path / "library" / "catalog.sqlite") as catalog:
        for (path,) in catalog.execute("SELECT path FROM files").fetchall():
            here = tmp_path / "pictures" / Path(os.fsdecode(path)).name
            catalog.execute("UPDATE files SET path = ? WHERE path = ?", (os.fsencode(here), path))
    catalog.close()
    return tmp_path / "library"


def test_a_library_is_searched_and_verified(library: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["library", "verify", "--library", str(library)]) == 0
    assert main(["library", "search", "hens", "--library", str(library)]) == 0
    assert "hens.jpg" in capsys.readouterr().out


def test_a_library_is_brought_up_to_date_and_keeps_its_vectors(
    library: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (library / "visual.f32").read_bytes()
    assert main(["index", str(library.parent / "pictures"), "--library", str(library)]) == 0
    assert (library / "visual.f32").read_bytes() == before
    assert main(["library", "info", "--library", str(library)]) == 0
    assert "4" in capsys.readouterr().out


def test_an_article_opens_with_its_reasons_as_they_were_said() -> None:
    article = load_article(WRITTEN / "article")
    assert article.title == "Keeping hens"
    assert [bool(placement.chosen) for placement in article.placements] == [True, False]
    said = localize(article.placements[1].reason, "en")
    assert said == "nothing in this library fits: the best scores 0.04, 0.30 is needed"
    assert article.placements[0].candidates[0].why


def test_a_draft_opens_with_its_steps_and_its_talk(tmp_path: Path) -> None:
    from composer.studio.draft_store import DraftStore

    shutil.copytree(WRITTEN / "drafts", tmp_path / "drafts")
    shelf = DraftStore(tmp_path / "drafts").drafts_of(OWNER)
    [info] = shelf.drafts()
    draft = shelf.open(info.id)
    assert draft.history is not None
    assert draft.history.article.title == "Eine andere Überschrift 农场"
    assert draft.history.undo().undo().article.title == "Keeping hens"
    assert draft.info["instruction"] == "A day on the farm"
    assert draft.talk[0]["answer"] == "A bird."


def test_there_is_a_library_of_every_earlier_schema() -> None:
    schemas = {}
    for file in WRITTEN.parent.glob("version_*/library/catalog.sqlite"):
        with closing(sqlite3.connect(file.as_uri() + "?immutable=1", uri=True)) as catalog:
            schemas[catalog.execute("PRAGMA user_version").fetchone()[0]] = file
    assert set(schemas) == set(range(1, len(MIGRATIONS)))


def test_when_pictures_were_taken_is_read_later_and_edited_words_stay(library: Path) -> None:
    pictures = library.parent / "pictures"
    (pictures / "IMG_0001.jpg").rename(pictures / "IMG_20190504_123015.jpg")
    assert main(["index", str(pictures), "--library", str(library)]) == 0
    with closing(sqlite3.connect(library / "catalog.sqlite")) as catalog, catalog:  # as the migration leaves it
        catalog.execute("UPDATE images SET circumstances = 0, taken = '', caption = 'as edited on the page'")
    before = (library / "visual.f32").read_bytes()
    for _ in range(2):
        assert main(["index", str(pictures), "--library", str(library)]) == 0
    with Library.open(library) as opened:
        assert {record.caption for record in opened.records()} == {"as edited on the page"}
        assert "2019-05-04T12:30:15" in {record.taken for record in opened.records()}
        assert opened.without_circumstances() == set()
    assert (library / "visual.f32").read_bytes() == before


def test_a_library_of_an_earlier_schema_that_cannot_be_written_is_read(
    library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog_module.os, "access", lambda *_: False)
    before = (library / "catalog.sqlite").read_bytes()
    with Library.open(library) as opened:
        assert len(list(opened.records())) == len(opened) == len(opened.matrix().ids) > 0
        assert opened.correction(next(opened.records()).id) == {}
    assert (library / "catalog.sqlite").read_bytes() == before
