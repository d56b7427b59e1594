"""Where pictures are: folders, object stores and tar files are listed alike and read with the same words."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import fsspec
import pytest
from PIL import Image

from image_db.cluster.file_systems import is_remote
from image_db.cluster.sources import at_hand, bring, list_sources, unpack
from image_db.errors import LibraryError
from image_db.metadata.reading import ReadPicture, read_picture
from image_db.metadata.sidecars import SidecarReader
from image_db.scan import Exclusion

pytest.importorskip("pyarrow", reason="pip install 'vignette-studio[cluster]'")


def jpeg(colour: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (64, 48), colour).save(out, "JPEG")
    return out.getvalue()


FILES = {
    "a/sheep.jpg": jpeg("white"),
    "a/sheep.txt": b"Sheep on the hill",
    "a/deep/boat.jpg": jpeg("blue"),
    "a/deep/raw.jpg": jpeg("red"),
    "a/deep/raw.CR2": b"raw",
    "a/metadata.csv": b"file,caption\ndeep/boat.jpg,A boat at sea\n",
    "a/.hidden/x.jpg": jpeg("black"),
    "a/@eaDir/y.jpg": jpeg("black"),
    "a/drafts/z.jpg": jpeg("grey"),
    "a/notes.pdf": b"%PDF",
}


def captions(files, folder: Path) -> dict[str, str]:
    brought, sidecars = bring(files, folder), SidecarReader()
    found = {}
    for file in files:
        result = read_picture(brought[file.stamp.path], sidecars, ())
        assert isinstance(result, ReadPicture)
        assert result.record is not None
        found[file.stamp.path.rpartition("/a/")[2]] = result.record.caption
    return found


def test_a_store_of_objects_is_listed_and_described_like_a_folder(tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    for name, data in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
        memory.pipe(f"/bucket/{name}", data)
    exclude = Exclusion(["drafts"])
    here, there = list_sources([tmp_path / "a"], exclude), list_sources(["memory://bucket/a"], exclude)
    as_path = list_sources([Path("memory://bucket/a")], exclude)
    assert as_path.files == there.files
    wanted = {"sheep.jpg": "Sheep on the hill", "deep/boat.jpg": "A boat at sea", "deep/raw.jpg": ""}
    assert captions(here.files, tmp_path / "unused") == wanted
    assert captions(there.files, tmp_path / "brought") == wanted
    assert there.covers("memory://bucket/a/deep/gone.jpg")
    assert not there.covers("memory://bucket/b/other.jpg")
    sheep = next(found for found in there.files if found.stamp.path.endswith("sheep.jpg"))
    result = read_picture(bring([sheep], tmp_path / "one")[sheep.stamp.path], SidecarReader(), ())
    assert isinstance(result, ReadPicture)
    own = at_hand(Path(sheep.stamp.path), result.sha256, tmp_path / "cache")
    assert own.read_bytes() == FILES["a/sheep.jpg"]
    assert at_hand(Path(sheep.stamp.path), result.sha256, tmp_path / "cache") == own
    with pytest.raises(OSError, match="another picture"):
        at_hand(Path(sheep.stamp.path), "0" * 64, tmp_path / "cache")


def test_a_tar_of_webdataset_gives_pictures_with_their_words(tmp_path: Path) -> None:
    tar_path = tmp_path / "00000.tar"
    with tarfile.open(tar_path, "w") as tar:
        for name, data in (
            ("000000000.jpg", jpeg("white")),
            ("000000000.txt", b"Sheep on the hill"),
            ("000000001.jpg", jpeg("blue")),
            ("000000001.json", json.dumps({"caption": "A boat", "url": "https://a.example/1.jpg"}).encode()),
        ):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    (tar,) = list_sources([tmp_path]).tars
    assert list_sources([tar_path]).tars == [tar]
    pictures = dict(unpack(tar, tmp_path / "open"))
    assert sorted(pictures) == [f"{tar_path}/000000000.jpg", f"{tar_path}/000000001.jpg"]
    records = {path: read_picture(found, SidecarReader(), ()) for path, found in pictures.items()}
    assert [record.record.caption for record in records.values()] == ["Sheep on the hill", "A boat"]
    path, read = next(iter(records.items()))
    assert at_hand(Path(path), read.sha256, tmp_path / "cache").read_bytes() == jpeg("white")


def test_a_tar_cannot_write_outside_its_folder(tmp_path: Path) -> None:
    tar_path = tmp_path / "bad.tar"
    with tarfile.open(tar_path, "w") as tar:
        member = tarfile.TarInfo("../../escaped.jpg")
        member.size = 3
        tar.addfile(member, io.BytesIO(b"abc"))
    (tar,) = list_sources([tar_path]).tars
    with pytest.raises(tarfile.TarError):
        unpack(tar, tmp_path / "a" / "b")
    assert not (tmp_path / "escaped.jpg").exists()


def test_a_place_that_is_not_there_says_so(tmp_path: Path) -> None:
    (problem,) = list_sources([tmp_path / "none"]).problems
    assert problem.reason.key == "not_readable"
    for address in ("nosuchscheme://bucket/a", "memory://none"):
        with pytest.raises(LibraryError) as told:
            list_sources([address])
        assert told.value.key == "source_not_listed"
    assert (is_remote("s3://a/b"), is_remote("file:///a"), is_remote("/a/b"), is_remote("C:\\a")) == (
        True,
        False,
        False,
        False,
    )
