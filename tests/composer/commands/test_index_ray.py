"""``vignette index --engine ray`` from its options to the library; the work itself is done here, without Ray."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from composer import cli
from composer.pipeline import loading
from composer.profiles.choice import library_encoder
from image_db.cluster.ray_index import RayReport
from image_db.cluster.shards import ShardFolder
from image_db.cluster.sources import Sources
from image_db.library import Library
from image_db.stores.opening import open_library
from tests.fakes import ColourEncoder
from tests.image_db.cluster.test_filling import draft, made_shards
from tests.image_db.conftest import paint

pytest.importorskip("pyarrow", reason="pip install 'vignette-studio[cluster]'")


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    def work(sources: Sources, shards: ShardFolder, *_: Any) -> RayReport:
        made_shards(sources, Path(shards.address))
        return RayReport(len(sources.files), 0, len(shards.names()), 0.5, "figures")

    monkeypatch.setattr("image_db.cluster.ray_index.index_on_ray", work)
    monkeypatch.setattr(loading, "load_encoder", lambda settings: ColourEncoder())
    monkeypatch.setattr(loading, "load_drafting", lambda settings, encoder: draft)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    paint(tmp_path / "pictures" / "IMG_1.png", "red").with_suffix(".txt").write_text("a red wall")
    paint(tmp_path / "pictures" / "IMG_2.png", "blue")
    return tmp_path / "pictures"


def index(*words: object) -> int:
    return cli.main(["index", *map(str, words), "--engine", "ray"])


@pytest.mark.parametrize(
    ("options", "caption"), [((), "A wall."), (("--describe",), "A wall."), (("--no-describe",), "")]
)
def test_pictures_without_words_are_drafted_as_they_are_without_ray(
    tmp_path: Path, pictures: Path, options: tuple[str, ...], caption: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):  # a second run leaves the drafts as they are
        assert index(pictures, "--library", tmp_path / "library", "--json", *options) == 0
        told = json.loads(capsys.readouterr().out)
        with Library.open(tmp_path / "library", None) as library:
            assert {r.path.name: r.caption for r in library.records()} == {
                "IMG_1.png": "a red wall",
                "IMG_2.png": caption,
            }
    assert (told["added"], told["unchanged"], told["updated_text"], told["pictures"]) == (0, 2, 0, 2)


@pytest.mark.parametrize("trusted", [3, 2])
def test_it_is_said_whether_vectors_of_clip_retrieval_were_used(
    tmp_path: Path, pictures: Path, trusted: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(sources: Sources, shards: ShardFolder, *_: Any) -> RayReport:
        made_shards(sources, Path(shards.address))
        return RayReport(len(sources.files), 0, 1, 0.5, "figures", brought=3, trusted=trusted)

    monkeypatch.setattr("image_db.cluster.ray_index.index_on_ray", work)
    assert index(pictures, "--library", tmp_path / "library", "--json", "--no-describe") == 0
    said = capsys.readouterr()
    assert (json.loads(said.out)["brought"], json.loads(said.out)["trusted"]) == (3, trusted)
    assert ("encoded anew" in said.err) == (trusted < 3)
    assert ColourEncoder().identity.name in said.err


def test_without_ray_a_folder_of_clip_retrieval_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "clip" / "metadata").mkdir(parents=True)
    (tmp_path / "clip" / "metadata" / "metadata_0.parquet").touch()
    assert cli.main(["index", str(tmp_path / "clip"), "--library", str(tmp_path / "library")]) == 2
    assert "--engine ray" in capsys.readouterr().err
    assert not (tmp_path / "library").exists()


def test_a_store_gets_drafts_where_they_are_asked_for(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("milvus_lite", reason="pip install 'vignette-studio[cluster]'")
    address = f"milvus+file://{tmp_path}/store"
    to_store = (pictures, "--library", address, "--shards", tmp_path / "shards")
    for options, caption in (((), ""), (("--describe",), "A wall.")):
        assert index(*to_store, *options) == 0
        with open_library(address) as store:
            assert {r.path.name: r.caption for r in store.records()} == {
                "IMG_1.png": "a red wall",
                "IMG_2.png": caption,
            }
    assert library_encoder(Path(address)) == ColourEncoder().identity.name
    assert library_encoder(Path(f"{address}-none")) is None
    assert index(*to_store, "--describe", "labels") == 2
    assert "--describe labels" in capsys.readouterr().err
    assert index(pictures, "--library", tmp_path / "library", "--watch") == 2
    assert index(pictures, "--library", address) == 2  # where are the shards?
