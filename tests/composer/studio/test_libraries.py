"""Which folders may be indexed: any of this machine's owner's, but for visitors only those that were named."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from composer.errors import UsageError
from composer.studio.libraries import IndexingRun, OfferedLibraries
from composer.studio.models import StudioModels
from image_db.corrections import draft_of
from image_db.indexing import index_paths
from image_db.library import Library
from image_db.metadata.generate import DescribeReport
from tests.composer.small_pipeline import paint
from tests.fakes import ColourEncoder
from vision.bridge.drafting import CaptionDraft
from vision.errors import ModelError, Phrase


class EncoderOnly:
    workers = 1
    encoder = ColourEncoder()

    def draft(self, vectors: np.ndarray) -> list[CaptionDraft]:
        return [CaptionDraft("A wall.", ("wall",)) for _ in vectors]


def libraries(tmp_path: Path, roots: list[Path] | None = None, folders: list[Path] | None = None) -> OfferedLibraries:
    return OfferedLibraries(StudioModels(EncoderOnly), folders or [], tmp_path / "home", roots)  # type: ignore[arg-type]


def indexed(offered: OfferedLibraries, pictures: str, name: str = "") -> IndexingRun:
    """The run when it is over: it has a thread of its own."""
    return joined(offered.index(pictures, name))


def joined(run: IndexingRun) -> IndexingRun:
    for thread in threading.enumerate():
        if thread.name == "vignette-index":
            thread.join(20)
    assert run.stage == "over"
    return run


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    paint(tmp_path / "srv/photos/trip/red.png", "red")
    paint(tmp_path / "srv/private/blue.png", "blue")
    return tmp_path / "srv/photos"


def test_visitors_index_the_named_folders_and_what_lies_in_them(tmp_path: Path, photos: Path) -> None:
    offered = libraries(tmp_path, [photos])
    assert list(offered.roots or ()) == ["photos"], "they are named without the way there"
    assert indexed(offered, "photos/trip").report is not None
    assert [library.name for library in offered.offered()] == ["trip"]
    assert indexed(offered, "photos", "all").name == "all"


@pytest.mark.parametrize("pictures", ["", "/", "private", "photos/../private", "photos/gone", "../photos", "~"])
def test_visitors_index_nothing_else(tmp_path: Path, photos: Path, pictures: str) -> None:
    offered = libraries(tmp_path, [photos])
    for asked in (pictures, str(photos), str(photos.parent / "private")):
        with pytest.raises(UsageError) as refused:
            offered.index(asked, "")
        assert refused.value.key == "folder_not_offered"
        assert refused.value.values["known"] == ["photos"]
    assert offered.indexing is None


def test_no_link_leads_visitors_out_of_a_named_folder(tmp_path: Path, photos: Path) -> None:
    offered = libraries(tmp_path, [photos])
    (photos / "within").symlink_to(photos / "trip")
    assert indexed(offered, "photos").error is None
    for target in (photos.parent / "private", photos.parent / "private/blue.png", Path("/etc/hostname")):
        link = photos / "trip/out.txt"
        link.symlink_to(target)
        with pytest.raises(UsageError) as refused:
            offered.index("photos", "")
        assert (refused.value.key, refused.value.values["link"]) == ("folder_leads_out", "out.txt")
        link.unlink()
    (photos / "away").symlink_to(photos.parent / "private")
    with pytest.raises(UsageError):
        offered.index("photos/away", "")


def test_visitors_start_no_fetch(tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(*_: Any) -> None:
        pytest.fail("packages were fetched")

    monkeypatch.setattr("image_db.sample.build.fetch_sample", fetch)
    offered = libraries(tmp_path, [])
    with pytest.raises(UsageError, match=r"^sample_not_here"):
        offered.index_sample()
    with pytest.raises(UsageError, match=r"^folder_not_offered"):
        offered.index("photos", "")


def test_libraries_are_told_apart_by_name(tmp_path: Path) -> None:
    folders = [tmp_path / "a/walls", tmp_path / "b/walls"]
    for folder in folders:
        Library.create(folder, EncoderOnly.encoder.identity).close()
    offered = libraries(tmp_path, folders=folders)
    assert [library.name for library in offered.offered()] == ["walls", "walls (2)"]
    assert offered.find("walls (2)").folder == folders[1]
    assert offered.find("").folder == folders[0]
    for name in (str(folders[0]), "../walls", "walls (3)"):
        with pytest.raises(UsageError, match=r"^library_unknown"):
            offered.find(name)


def test_the_owner_indexes_any_folder_by_its_whole_path(tmp_path: Path, photos: Path) -> None:
    offered = libraries(tmp_path)
    assert indexed(offered, str(photos)).name == "photos"
    for wrong, key in (("photos", "folder_relative"), ("", "folder_relative"), (str(photos / "no"), "folder_missing")):
        with pytest.raises(UsageError) as refused:
            offered.index(wrong, "")
        assert refused.value.key == key


def test_a_draft_that_is_kept_is_a_persons_word(tmp_path: Path) -> None:
    offered, folder = libraries(tmp_path, folders=[tmp_path / "walls"]), tmp_path / "walls"
    with Library.create(folder, EncoderOnly.encoder.identity) as library:
        index_paths(library, EncoderOnly.encoder, [paint(tmp_path / "IMG_1.png", "red"), tmp_path])
        (record,) = library.records()
        library.update_text(replace(record, caption="A red wall", caption_origin="generated"), None)
    assert offered.keep_draft("walls", record.id).caption_origin == "given"
    with Library.open(folder, None) as library:
        (kept,) = library.records()
        assert (kept.caption, draft_of(kept)) == ("A red wall", ("tags", ""))
        assert library.with_text == 1


def test_files_that_were_sent_are_kept_in_the_library_and_indexed(tmp_path: Path) -> None:
    offered = libraries(tmp_path)
    for relative, colour in (("trip/red.png", "red"), ("trip/day two/blue.png", "blue"), ("trip/red.png", "green")):
        offered.add_file("My trip", paint(tmp_path / "sent" / f"{colour}.png", colour), relative)
    again = paint(tmp_path / "sent" / "red.png", "red")
    offered.add_file("My trip", again, "trip/red.png")
    run = joined(offered.index_added("My trip"))
    pictures = tmp_path / "home" / "My-trip" / "pictures"
    kept = {path.relative_to(pictures).as_posix() for path in pictures.rglob("*.png")}
    assert kept == {"trip/red.png", "trip/red (2).png", "trip/day two/blue.png"}
    assert (run.name, run.report and run.report.added) == ("My-trip", 3)
    paint(tmp_path / "sent" / "green.png", "green")
    offered.add_file("My-trip", tmp_path / "sent" / "green.png", "late.png")
    assert joined(offered.index_added("My-trip")).name == "My-trip", "the second time into the library that there is"


def test_pictures_without_words_are_drafted_as_the_command_drafts_them(tmp_path: Path) -> None:
    offered = libraries(tmp_path)
    for name, colour in (("IMG_1.png", "red"), ("old barn.png", "blue")):
        offered.add_file("My trip", paint(tmp_path / "sent" / name, colour), name)
    run = joined(offered.index_added("My trip"))
    assert isinstance(run.drafted, DescribeReport)
    assert (run.drafted.described, run.error) == (1, None)
    records = {record.path.name: record for record in offered.browse("My-trip", "", 0).records}
    first, second = records["IMG_1.png"], records["old barn.png"]
    assert (first.caption, first.caption_origin, first.guessed_tags) == ("A wall.", "generated", ("wall",))
    assert (second.tags, second.caption) == (("old", "barn"), "")
    assert indexed(offered, str(tmp_path / "home/My-trip/pictures"), "My-trip").drafted is None, "once"


def test_an_index_without_drafts_is_whole_and_says_why(tmp_path: Path, photos: Path) -> None:
    class Undrafted(EncoderOnly):
        def draft(self, vectors: np.ndarray) -> list[CaptionDraft]:
            raise ModelError("drafts_of_other_encoder", encoder="colours", wanted="vignette-joint")

    paint(photos / "IMG_1.png", "red")
    offered = OfferedLibraries(StudioModels(Undrafted), [], tmp_path / "home")
    run = indexed(offered, str(photos))
    assert (run.error, run.name, run.report and run.report.added) == (None, "photos", 2)
    assert isinstance(run.drafted, Phrase)
    assert run.drafted.key == "drafts_not_made"


@pytest.mark.parametrize(
    ("relative", "kept"),
    [
        ("../../../etc/a.png", "etc/a.png"),
        ("/etc/a.png", "etc/a.png"),
        ("C:\\pictures\\a.png", "C_/pictures/a.png"),
        ("a\0b.png", "a_b.png"),
        ("..a.png", "..a.png"),
        ("\ud800.png", "�.png"),
        (f"{'x' * 300}/{'y' * 300}.png", f"{'x' * 80}/{'y' * 76}.png"),
        ("a.txt", "a.txt"),
        ("metadata.csv", "metadata.csv"),
    ],
)
def test_no_name_leads_out_of_the_library(tmp_path: Path, relative: str, kept: str) -> None:
    offered = libraries(tmp_path)
    offered.add_file("here", paint(tmp_path / "sent.png", "red"), relative)
    assert (tmp_path / "home" / "here" / "pictures" / kept).is_file()


def test_nothing_else_is_kept_and_visitors_add_nothing(tmp_path: Path, photos: Path) -> None:
    for name in ("run.exe", "", "..", "page.html", "png"):
        with pytest.raises(UsageError) as refused:
            libraries(tmp_path).add_file("here", paint(tmp_path / "sent.png", "red"), name)
        assert refused.value.key == "not_a_picture_file", name
    with pytest.raises(UsageError) as refused:
        libraries(tmp_path).index_added("nothing")
    assert refused.value.key == "no_pictures_added"
    for_visitors = libraries(tmp_path, roots=[photos])
    for asked in (
        lambda: for_visitors.add_file("here", tmp_path / "sent.png", "a.png"),
        lambda: for_visitors.index_added("a"),
    ):
        with pytest.raises(UsageError) as refused:
            asked()
        assert refused.value.key == "adding_not_here"


def made(tmp_path: Path, *colours: str) -> OfferedLibraries:
    """A library "mine" with pictures in its own folder."""
    offered = libraries(tmp_path)
    for colour in colours:
        offered.add_file("mine", paint(tmp_path / f"{colour}.png", colour), f"{colour}.png")
    joined(offered.index_added("mine"))
    return offered


def ids(offered: OfferedLibraries) -> dict[str, str]:
    return {record.path.stem: record.id for record in offered.browse("mine", "", 0).records}


def test_several_pictures_are_described_at_once_and_what_is_left_empty_stays(tmp_path: Path) -> None:
    offered = made(tmp_path, "red", "green", "blue")
    known = ids(offered)
    offered.describe("mine", known["red"], {"caption": "The red one", "tags": "old"})
    chosen = [known["red"], known["blue"]]
    assert offered.describe_all("mine", chosen, {"caption": "", "tags": "walls", "license": "CC BY 4.0"}) == 2
    red, green, blue = (offered.record("mine", known[name]) for name in ("red", "green", "blue"))
    assert (red.caption, red.tags, red.license) == ("The red one", ("old", "walls"), "CC BY 4.0")
    assert (blue.tags, blue.license, green.license) == (("blue", "walls"), "CC BY 4.0", "")
    for wrong, key in (([], "nothing_chosen"), (["x"] * 501, "too_many_chosen")):
        with pytest.raises(UsageError) as refused:
            offered.describe_all("mine", wrong, {"license": "x"})
        assert refused.value.key == key


def test_hidden_pictures_are_listed_apart_and_similar_ones_leave_the_picture_out(tmp_path: Path) -> None:
    offered = made(tmp_path, "red", "green", "blue")
    known = ids(offered)
    offered.hide("mine", [known["red"]], True)
    page = offered.browse("mine", "", 0)
    assert (set(ids(offered)), page.hidden) == ({"green", "blue"}, 1)
    assert [r.id for r in offered.browse("mine", "", 0, hidden=True).records] == [known["red"]]
    offered.hide("mine", [known["red"]], False)
    assert set(ids(offered)) == {"red", "green", "blue"}


def test_only_files_in_the_librarys_own_folder_are_deleted(tmp_path: Path) -> None:
    offered = made(tmp_path, "red", "green")
    own = tmp_path / "home/mine/pictures"
    (own / "red.json").write_text('{"caption": "red"}', encoding="utf-8")
    known = ids(offered)
    assert offered.delete("mine", [known["red"]]) == 1
    assert [path.name for path in own.iterdir()] == ["green.png"], "what described it goes, too"
    assert set(ids(offered)) == {"green"}
    elsewhere = paint(tmp_path / "albums/blue.png", "blue")
    joined(offered.index(str(tmp_path / "albums"), "mine"))
    with pytest.raises(UsageError) as refused:
        offered.delete("mine", list(ids(offered).values()))
    assert refused.value.key == "delete_elsewhere"
    assert elsewhere.exists()
    assert (own / "green.png").exists(), "nothing is deleted where not all can be"


def test_visitors_delete_nothing(tmp_path: Path) -> None:
    made(tmp_path, "red")
    visited = libraries(tmp_path, roots=[tmp_path])
    with pytest.raises(UsageError) as refused:
        visited.delete("mine", list(ids(visited).values()))
    assert refused.value.key == "deleting_not_here"
