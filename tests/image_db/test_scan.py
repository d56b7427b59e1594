from __future__ import annotations

import os
from pathlib import Path

import pytest

from image_db.scan import Exclusion, FoundFile, UnusablePath, WalkCoverage, find, walk
from vision.errors import Phrase


def touch(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def found(*paths: Path | str) -> list[str]:
    items = list(walk(paths, WalkCoverage()))
    assert all(isinstance(item, FoundFile) for item in items), items
    return [item.stamp.path for item in items if isinstance(item, FoundFile)]


def problems(*paths: Path | str) -> dict[str, Phrase]:
    return {item.path: item.reason for item in walk(paths, WalkCoverage()) if isinstance(item, UnusablePath)}


def test_pictures_of_all_kinds_are_found_in_a_stable_order_and_other_files_are_not(pictures: Path) -> None:
    names = ["b.JPG", "a.png", "c.webp", "d.gif", "e.bmp", "f.tiff", "g.tif", "h.jpeg", "ä 图.png"]
    for name in reversed(names):
        touch(pictures / name)
    for name in ("notes.txt", "a.json", "clip.mp4", "page.html", "noextension", ".hidden.jpg", "._b.JPG", "x.jpg.part"):
        touch(pictures / name)
    assert found(pictures) == [str(pictures / name) for name in sorted(names)]


def test_subfolders_are_walked_and_hidden_ones_and_thumbnail_stores_are_not(pictures: Path) -> None:
    for name in ("z.jpg", "b/x.jpg", "a/deep/er/y.jpg", ".cache/no.jpg", "@eaDir/no.jpg", "__MACOSX/no.jpg"):
        touch(pictures / name)
    assert found(pictures) == [str(pictures / name) for name in ("z.jpg", "a/deep/er/y.jpg", "b/x.jpg")]
    assert found(pictures / ".cache") == [str(pictures / ".cache/no.jpg")]


def test_a_loop_of_links_ends_and_each_picture_comes_once(pictures: Path) -> None:
    touch(pictures / "a/x.jpg")
    (pictures / "a/back").symlink_to(pictures)
    (pictures / "again").symlink_to(pictures / "a")
    (pictures / "link.jpg").symlink_to(pictures / "a/x.jpg")
    assert found(pictures) == [str(pictures / "link.jpg"), str(pictures / "a/x.jpg")]


def test_naming_the_same_picture_in_several_ways_finds_it_once(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = touch(pictures / "sub/x.jpg")
    monkeypatch.chdir(pictures)
    assert found("sub/x.jpg", file, pictures, pictures / "sub", "sub/../sub") == [str(file)]
    assert found(pictures / "sub", pictures) == [str(file)]


def test_a_single_picture_is_stamped_as_its_folder_shows_it(pictures: Path) -> None:
    touch(pictures / "x.jpg")
    touch(pictures / "x.json", "{}")
    touch(pictures / "metadata.csv", "file,caption")
    walked = WalkCoverage()
    assert list(walk([pictures / "x.jpg"], walked)) == list(walk([pictures], WalkCoverage()))
    assert walked.roots == []


def test_sidecars_are_listed_with_the_most_specific_first(pictures: Path) -> None:
    for name in ("x.jpg", "x.txt", "x.json", "x.jpg.json", "metadata.csv", "metadata.jsonl", "y.json"):
        touch(pictures / name)
    (item,) = walk([pictures], WalkCoverage())
    assert isinstance(item, FoundFile)
    order = ["x.jpg.json", "x.json", "x.txt", "metadata.jsonl", "metadata.csv"]
    assert item.sidecars == tuple(str(pictures / name) for name in order)


def test_a_changed_sidecar_changes_the_stamp_of_its_pictures_only(pictures: Path) -> None:
    for name in ("x.jpg", "x.json", "y.jpg", "y.txt"):
        touch(pictures / name)

    def stamps() -> dict[str, Phrase]:
        items = walk([pictures], WalkCoverage())
        return {Path(i.stamp.path).name: i.stamp.sidecar_stamp for i in items if isinstance(i, FoundFile)}

    before = stamps()
    touch(pictures / "x.json", "longer")
    after = stamps()
    assert before["x.jpg"] != after["x.jpg"]
    assert before["y.jpg"] == after["y.jpg"]
    (pictures / "y.txt").unlink()
    assert stamps()["y.jpg"] == ""


def test_what_cannot_be_walked_is_named_and_the_rest_goes_on(pictures: Path) -> None:
    touch(pictures / "x.jpg")
    (pictures / "dangling.jpg").symlink_to(pictures / "nowhere.jpg")
    (pictures / "loop.jpg").symlink_to(pictures / "loop.jpg")
    os.mkfifo(pictures / "pipe.jpg")
    (pictures / "endless.jpg").symlink_to("/dev/zero")
    touch(pictures / "poster.PSD")
    told = problems(pictures / "missing", pictures / "missing.jpg", pictures, touch(pictures / "song.mp3"))
    assert told[str(pictures / "missing")] == Phrase("not_readable", {"reason": "No such file or directory"})
    assert told[str(pictures / "missing.jpg")] == Phrase("not_readable", {"reason": "No such file or directory"})
    assert told[str(pictures / "dangling.jpg")] == Phrase("link_broken")
    assert str(pictures / "loop.jpg") in told
    assert told[str(pictures / "poster.PSD")] == Phrase("format_not_read", {"format": "Photoshop"})
    assert told[str(pictures / "endless.jpg")] == Phrase("not_regular")
    assert problems(pictures / "endless.jpg", pictures / "pipe.jpg") == {
        str(pictures / "endless.jpg"): Phrase("not_regular"),
        str(pictures / "pipe.jpg"): Phrase("not_regular"),
    }
    assert told[str(pictures / "song.mp3")].key == "no_picture_name"
    assert told[str(pictures / "pipe.jpg")] == Phrase("not_regular")


def test_a_named_file_that_is_not_there_is_told_from_one_that_is_spelt_otherwise(pictures: Path) -> None:
    touch(pictures / "Hens.jpg")
    for name, reason in (
        ("cows.jpg", Phrase("file_not_there")),
        ("hens.jpg", Phrase("name_spelt_otherwise", {"name": "Hens.jpg"})),
    ):
        found = find(pictures / name, {})
        assert isinstance(found, UnusablePath)
        assert found.reason == reason


def test_an_unreadable_folder_is_named_and_not_taken_for_empty(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(pictures / "closed/x.jpg")
    touch(pictures / "open/y.jpg")
    listing = os.scandir

    def refuse(folder: str) -> object:
        if folder.endswith("closed"):  # root, as which tests may run, is refused nothing
            raise PermissionError(13, "Permission denied", folder)
        return listing(folder)

    monkeypatch.setattr("image_db.scan.os.scandir", refuse)
    walked = WalkCoverage()
    items = list(walk([pictures], walked))
    assert UnusablePath(str(pictures / "closed"), Phrase("not_readable", {"reason": "Permission denied"})) in items
    assert not walked.covers(str(pictures / "closed/x.jpg"))
    assert walked.covers(str(pictures / "open/y.jpg"))
    assert not walked.covers(str(pictures) + "-other/y.jpg")


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("a.psd", "Photoshop"),
        ("a.TGA", "Targa"),
        ("a.svg", "SVG"),
    ],
)
def test_pictures_in_formats_that_are_not_read_are_named(pictures: Path, name: str, format: str) -> None:
    touch(pictures / name)
    assert problems(pictures) == {str(pictures / name): Phrase("format_not_read", {"format": format})}


def test_every_format_that_the_decoder_reads_is_found(pictures: Path) -> None:
    names = ["a.JP2", "b.ppm", "c.ico", "d.qoi", "e.j2k", "f.avif", "g.jpe"]
    for name in names:
        touch(pictures / name)
    assert found(pictures) == [str(pictures / name) for name in names]


def test_recycle_bins_of_drives_and_previews_of_photo_programs_are_left_out(pictures: Path) -> None:
    kept = ["Photos.photoslibrary/originals/0/x.jpg", "Recycling plant/x.jpg", "tmp/x.jpg"]
    for folder in ("@Recycle", "#recycle", "$RECYCLE.BIN", "RECYCLER/S-1-5", "#snapshot/1", "Cat Previews.lrdata/0"):
        touch(pictures / folder / "x.jpg")
    for folder in ("resources/derivatives", "scopes/cloudsharing", "database"):
        touch(pictures / "Photos.photoslibrary" / folder / "x.jpg")
    for name in kept:
        touch(pictures / name)
    assert found(pictures) == [str(pictures / name) for name in kept]


def test_a_broken_link_beside_a_picture_costs_nothing(pictures: Path) -> None:
    touch(pictures / "x.jpg")
    (pictures / "x.json").symlink_to(pictures / "nowhere")
    (item,) = walk([pictures], WalkCoverage())
    assert isinstance(item, FoundFile)
    assert (item.stamp.sidecar_stamp, item.sidecars) == ("", ())


def test_tables_above_are_the_same_for_a_folder_and_a_file_in_it(pictures: Path) -> None:
    touch(pictures / "a/b/x.jpg")
    touch(pictures / "metadata.csv", "file,caption")
    touch(pictures / "a/Metadata.JSONL", "{}")
    wanted = (str(pictures / "a/Metadata.JSONL"), str(pictures / "metadata.csv"))
    for path in (pictures, pictures / "a", pictures / "a/b", pictures / "a/b/x.jpg"):
        (item,) = walk([path], WalkCoverage())
        assert isinstance(item, FoundFile)
        assert item.sidecars == wanted


def covered(pictures: Path, *globs: str) -> tuple[list[str], WalkCoverage]:
    walked = WalkCoverage()
    items = [str(Path(item[0].path).relative_to(pictures)) for item in walk([pictures], walked, Exclusion(globs))]  # type: ignore[union-attr]
    return items, walked


def test_a_raw_and_the_picture_of_its_name_are_one_and_so_is_a_live_photo(pictures: Path) -> None:
    for name in ("a.CR2", "A.jpg", "b.dng", "b.HEIC", "c.nef", "c.xmp", "c.NEF.xmp", "c.jpeg", "d.raf", "e.HEIC"):
        touch(pictures / name)
    for name in ("e.MOV", "f.JPG", "f.mov", "sub/a.cr2"):
        touch(pictures / name)
    items, walked = covered(pictures)
    assert items == ["A.jpg", "b.HEIC", "c.jpeg", "d.raf", "e.HEIC", "f.JPG", "sub/a.cr2"]
    assert walked.paired == 3
    (beside,) = (item.sidecars for item in walk([pictures / "c.jpeg"], WalkCoverage()) if isinstance(item, FoundFile))
    assert [Path(path).name for path in beside] == ["c.xmp", "c.NEF.xmp"]
    pair = WalkCoverage()
    assert len(list(walk([pictures / "a.CR2", pictures / "A.jpg"], pair))) == pair.paired == 1
    assert len(list(walk([pictures / "a.CR2"], WalkCoverage()))) == 1
    (pictures / "A.jpg").unlink()
    assert "a.CR2" in covered(pictures)[0]


def test_what_systems_and_programs_leave_among_pictures_is_left_out_and_folders_are_counted(pictures: Path) -> None:
    left = ("._a.jpg", ".DS_Store/a.jpg", ".thumbnails/a.jpg", ".Trash-1000/files/a.jpg", "@eaDir/a.jpg/S.jpg")
    for name in (*left, "x/@eaDir/b.jpg", "Cache/c.jpg", "$RECYCLE.BIN/d.jpg", "Trash/e.jpg", "x/kept.jpg"):
        touch(pictures / name)
    items, walked = covered(pictures)
    assert items == ["x/kept.jpg"]
    assert walked.skipped == {"@eaDir": 2, "Cache": 1, "$RECYCLE.BIN": 1, "Trash": 1}
    assert found(pictures / "Cache") == [str(pictures / "Cache/c.jpg")]


@pytest.mark.parametrize(
    ("globs", "kept"),
    [
        (["private"], ["a.jpg", "b.png", "Été/c.jpg", "x/y/d.jpg"]),
        (["*.JPG"], ["b.png", "private/e.png"]),
        (["x/*"], ["a.jpg", "b.png", "private/e.png", "private/f.jpg", "Été/c.jpg"]),
        (["x/y/"], ["a.jpg", "b.png", "private/e.png", "private/f.jpg", "x/private/g.jpg", "Été/c.jpg"]),
        (["**/private", "?.png"], ["a.jpg", "x/y/d.jpg", "Été/c.jpg"]),
        (["e\u0301t\u00e9", "x", "privat[e]"], ["a.jpg", "b.png"]),
        (["/a.jpg", "y", "private", "./b.png"], ["Été/c.jpg"]),
    ],
)
def test_globs_leave_out_files_and_folders(pictures: Path, globs: list[str], kept: list[str]) -> None:
    names = ["a.jpg", "b.png", "private/e.png", "private/f.jpg", "x/y/d.jpg", "x/private/g.jpg", "Été/c.jpg"]
    for name in names:
        touch(pictures / name)
    items, walked = covered(pictures, *globs)
    assert sorted(items) == sorted(kept)
    assert walked.excluded > 0
    assert covered(pictures, str(pictures / "*"))[0] == []
    assert list(walk([pictures / "a.jpg"], WalkCoverage(), Exclusion(["a.*"]))) == []


def test_a_format_without_its_reader_names_what_to_install(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(pictures / "a.jxl")
    monkeypatch.setattr("vision.images.formats.reader_missing", lambda wanted: "No module named 'pillow_jxl'")
    said = Phrase("format_needs_package", {"format": "JPEG XL", "package": "pillow-jxl-plugin"})
    assert problems(pictures) == problems(pictures / "a.jxl") == {str(pictures / "a.jxl"): said}


def test_names_of_any_bytes_are_found_whatever_the_form_of_their_accents(pictures: Path) -> None:
    names = [b"\xff\xfe.heic", "e\u0301.CR3".encode(), "\u00e9.dng".encode(), b"a\nb.jxl"]
    for name in names:
        Path(os.fsdecode(os.fsencode(pictures) + b"/" + name)).write_bytes(b"x")
    assert sorted(os.fsencode(Path(path).name) for path in found(pictures)) == sorted(names)
