"""clip-retrieval's folders: what they name is indexed, their vectors are used where the encoder makes the same."""

from __future__ import annotations

import io
import pickle
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from image_db.cluster import ray_index
from image_db.cluster.clip_retrieval import export_clip_folder, is_clip_folder
from image_db.cluster.filling import fill_library
from image_db.cluster.shards import ShardFolder
from image_db.cluster.sources import Sources, list_sources
from image_db.errors import LibraryError
from image_db.library import Library
from image_db.metadata.record import ImageRecord
from image_db.scan import Exclusion
from image_db.stores.milvus_library import StoredPicture
from retrieval.stores.store_loading import pictures_of
from tests.fakes import PALETTE, ColourEncoder
from tests.image_db.cluster.test_filling import made_shards
from tests.image_db.conftest import paint

pa = pytest.importorskip("pyarrow", reason="pip install 'vignette-studio[cluster]'")

NAMES = list(PALETTE)


def clip_folder(folder: Path, columns: dict[str, list[Any]], vectors: np.ndarray | None, number: str = "0") -> Path:
    """As clip-retrieval writes it."""
    from pyarrow import parquet

    for name in ("img_emb", "metadata"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.table(columns), folder / "metadata" / f"metadata_{number}.parquet")
    if vectors is not None:
        np.save(folder / "img_emb" / f"img_emb_{number}.npy", vectors.astype(np.float16))
    return folder


def vectors_of(paths: Sequence[Path]) -> np.ndarray:
    return ColourEncoder().encode_images([Image.open(path).convert("RGB") for path in paths])


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    return [paint(tmp_path / "pictures" / f"IMG_{i:03}.png", colour) for i, colour in enumerate(NAMES)]


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures each call to the encoder had."""
    calls: list[int] = []
    plain = ColourEncoder.encode_images

    def counted(self: ColourEncoder, images: Sequence[Image.Image]) -> np.ndarray:
        calls.append(len(images))
        return plain(self, images)

    monkeypatch.setattr(ColourEncoder, "encode_images", counted)
    return calls


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """What the writer says of all shards together."""
    sums = {"files": 0, "brought": 0, "trusted": 0}
    plain = ray_index.WriteShards.__call__

    def noted(self: ray_index.WriteShards, batch: Any) -> Any:
        written = plain(self, batch)
        for row in written.to_pylist():
            for name in sums:
                sums[name] += row[name]
        return written

    monkeypatch.setattr(ray_index.WriteShards, "__call__", noted)
    return sums


def filled(tmp_path: Path, sources: Sources) -> dict[str, ImageRecord]:
    """Its pictures by file name; the vectors of all are the encoder's, to half precision."""
    shards: ShardFolder = made_shards(sources, tmp_path / "shards")
    with Library.create(tmp_path / "library", ColourEncoder().identity) as library:
        fill_library(library, ColourEncoder(), shards, sources)
        view = library.matrix()
        rows = dict(zip(view.ids, view.visual, strict=True))
        for record in library.records():
            if record.path.is_file():
                assert np.allclose(rows[record.id], vectors_of([record.path])[0], atol=2e-3)
        return {record.path.name: record for record in library.records()}


def test_pictures_come_with_words_and_with_vectors_that_are_this_encoders(
    tmp_path: Path, pictures: list[Path], encoded: list[int], told: dict[str, int]
) -> None:
    made = vectors_of(pictures)
    encoded.clear()
    paths = [str(pictures[0]), f"pictures/{pictures[1].name}", *map(str, pictures[2:8])]
    columns: dict[str, list[Any]] = {
        "image_path": paths,
        "caption": [f"a {name} wall" for name in NAMES[:8]],
        "url": [f"https://a.example/{i}" for i in range(8)],
        "LICENSE": ["CC-BY-4.0", None, *[""] * 6],
        "NSFW": ["UNLIKELY"] * 8,
    }
    folder = clip_folder(tmp_path / "clip", columns, made[:8], "00")
    rest = {"image_path": [str(path) for path in pictures[8:]], "caption": [""] * (len(pictures) - 8)}
    clip_folder(folder, rest, None, "01")
    pictures[0].with_suffix(".txt").write_text("what stands beside it")
    sources = list_sources([folder])
    assert [found.stamp.path for found in sources.files] == [str(path) for path in pictures]
    assert not sources.problems
    records = filled(tmp_path, sources)
    assert told == {"files": 12, "brought": 8, "trusted": 8}
    assert encoded[:3] == [2, 2, 4]  # of four with vectors the first and the last; without vectors all
    assert records["IMG_000.png"].caption == "what stands beside it"
    assert records["IMG_001.png"].caption == f"a {NAMES[1]} wall"
    assert records["IMG_001.png"].source_url == "https://a.example/1"
    assert records["IMG_000.png"].license == "CC BY 4.0"
    # Nothing is done again until the words are others.
    done = ShardFolder(str(tmp_path / "shards")).done(ColourEncoder().identity)
    assert {found.stamp for found in list_sources([folder]).files} == done
    clip_folder(folder, columns | {"caption": ["another"] * 8}, made[:8], "00")
    again = {found.stamp for found in list_sources([folder, pictures[0].parent]).files}
    assert len(again & done) == 4
    assert len(again) == 12


def test_a_run_says_how_many_vectors_were_used(
    tmp_path: Path, pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(units: Any, shards: ShardFolder, *_: Any) -> Iterator[dict[str, Any]]:
        encode = ray_index.EncodeRows(ColourEncoder, ColourEncoder().identity, threads=0)
        write = ray_index.WriteShards(shards, ColourEncoder().identity)
        for unit in units:
            for batch in ray_index.read_unit(pa.table({"unit": [pickle.dumps(unit)]}), shards):
                yield from write(encode(batch)).to_pylist()

    monkeypatch.setattr(ray_index, "start_ray", lambda options: None)
    monkeypatch.setattr(ray_index, "_run", work)
    vectors = vectors_of(pictures)
    vectors[6:] = vectors[:6]
    pictures[2].write_bytes(b"broken")  # it has no vector to be used or not
    folder = clip_folder(tmp_path / "clip", {"image_path": [str(path) for path in pictures]}, vectors)
    sources, shards = list_sources([folder]), ShardFolder(str(tmp_path / "shards"))
    options = ray_index.RayOptions(shard_files=6)
    report = ray_index.index_on_ray(sources, shards, ColourEncoder().identity, ColourEncoder, options)
    assert (report.files, report.shards, report.brought, report.trusted) == (12, 2, 11, 5)


def test_vectors_of_another_encoder_are_made_anew(tmp_path: Path, pictures: list[Path], told: dict[str, int]) -> None:
    made = vectors_of(pictures)
    others = {
        "another": np.random.default_rng(0).normal(size=made.shape),
        "shorter": made[:, :8],
        "shifted": np.roll(made, 1, axis=0),
    }
    for name, vectors in others.items():
        told.update(dict.fromkeys(told, 0))
        columns = {"image_path": [str(path) for path in pictures]}
        records = filled(tmp_path / name, list_sources([clip_folder(tmp_path / name / "clip", columns, vectors)]))
        assert len(records) == 12
        assert told == {"files": 12, "brought": 12, "trusted": 0}


def test_rows_may_be_of_pictures_in_tars(tmp_path: Path, pictures: list[Path], told: dict[str, int]) -> None:
    made = vectors_of(pictures)
    with tarfile.open(tmp_path / "00000.tar", "w") as tar:
        for number, path in enumerate(pictures):
            member = tarfile.TarInfo(f"{number:09}.png")
            member.size = path.stat().st_size
            tar.addfile(member, io.BytesIO(path.read_bytes()))
    order = [*range(11, 3, -1), 99]  # four pictures have no row, one row no picture
    columns = {"image_path": [f"{n:09}" for n in order], "caption": [f"number {n}" for n in order]}
    folder = clip_folder(tmp_path / "clip", columns, made[[*order[:-1], 0]])
    (problem,) = list_sources([folder]).problems
    assert (problem.reason.key, problem.reason.values["count"]) == ("rows_name_absent", 9)
    sources = list_sources([folder, tmp_path / "00000.tar"])
    assert (sources.problems, sources.files) == ([], [])
    records = filled(tmp_path, sources)
    assert {name: record.caption for name, record in records.items()} == {
        f"{n:09}.png": f"number {n}" if n > 3 else "" for n in range(12)
    }
    assert told == {"files": 12, "brought": 8, "trusted": 8}


def test_parts_that_do_not_fit_are_named(tmp_path: Path, pictures: list[Path]) -> None:
    names = {"image_path": [str(path) for path in pictures[:3]]}
    folder = clip_folder(tmp_path / "clip", names, vectors_of(pictures[:2]), "0")
    clip_folder(folder, names, np.zeros(3), "1")
    clip_folder(folder, {"text": ["no picture"]}, None, "2")
    (folder / "metadata" / "metadata_3.parquet").write_bytes(b"PAR1")
    clip_folder(folder, names, None, "4")
    sources = list_sources([folder])
    assert [problem.reason.key for problem in sources.problems] == [
        "vectors_of_other_rows",
        "vectors_not_numpy",
        "table_names_no_column",
        "table_not_parquet",
    ]
    assert len(sources.files) == 3
    assert len(list_sources([folder], Exclusion(["*_001.png"])).files) == 2
    assert is_clip_folder(folder)
    assert not is_clip_folder(pictures[0].parent)


def test_a_library_becomes_a_folder_and_the_folder_the_same_library(
    tmp_path: Path, pictures: list[Path], told: dict[str, int]
) -> None:
    from pyarrow import parquet

    pictures[0].with_suffix(".json").write_text(
        '{"caption": "A wall", "captions": {"zh": "墙"}, "tags": ["a; b", "c"], "author": "Ada", "alt": "Red"}'
    )
    pictures[1].with_suffix(".txt").write_text("another wall")
    (tmp_path / "one").mkdir()
    wanted = filled(tmp_path / "one", list_sources([pictures[0].parent]))
    for path in pictures[0].parent.glob("*.[jt]*"):
        path.unlink()
    folder = tmp_path / "clip"
    with Library.open(tmp_path / "one" / "library", None) as library:
        assert export_clip_folder(pictures_of(library), len(library), folder, part_rows=5) == 12
        visual = library.matrix().visual
        with pytest.raises(LibraryError) as refused:
            export_clip_folder(pictures_of(library), len(library), folder)
        assert refused.value.key == "export_folder_not_empty"
    # What clip-retrieval's index takes: matrices of halves in the order of their names, and as many rows.
    matrices = [np.load(path) for path in sorted((folder / "img_emb").iterdir())]
    tables = [parquet.read_table(path) for path in sorted((folder / "metadata").iterdir())]
    assert [matrix.shape for matrix in matrices] == [(5, 24), (5, 24), (2, 24)]
    assert [matrix.dtype for matrix in matrices] == [np.float16] * 3
    assert np.allclose(np.concatenate(matrices), visual, atol=1e-3)
    assert [table.num_rows for table in tables] == [5, 5, 2]
    assert [row["image_path"] for table in tables for row in table.to_pylist()] == [str(path) for path in pictures]
    told.update(dict.fromkeys(told, 0))
    (tmp_path / "two").mkdir()
    assert filled(tmp_path / "two", list_sources([folder])) == wanted
    assert told == {"files": 12, "brought": 12, "trusted": 12}


def test_parts_are_written_in_the_order_of_their_names(tmp_path: Path) -> None:
    held = (
        StoredPicture(ImageRecord(f"{n:064x}", Path(f"/{n}.png"), 4, 3), np.full(4, n, np.float32), None)
        for n in range(21)
    )
    export_clip_folder(held, 21, tmp_path / "clip", part_rows=2)
    names = sorted(path.name for path in (tmp_path / "clip" / "img_emb").iterdir())
    assert (names[0], names[-1]) == ("img_emb_00.npy", "img_emb_10.npy")
    values = np.concatenate([np.load(tmp_path / "clip" / "img_emb" / name) for name in names])
    assert values[:, 0].tolist() == list(range(21))
