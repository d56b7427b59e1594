from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from composer import cli
from composer.commands.terminal import say
from composer.i18n import fill, tables
from composer.pipeline import loading as parts
from composer.profiles import choice
from composer.profiles.machine import Machine
from image_db.errors import SampleUnavailable
from image_db.library import Library
from tests.fakes import ColourEncoder
from tests.image_db.conftest import paint
from vision.images import formats

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def encoder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ColourEncoder:
    made = ColourEncoder()
    monkeypatch.setattr(cli, "COMMANDS", ("library", "index"))
    monkeypatch.setattr(parts, "load_encoder", lambda settings: made)
    monkeypatch.setenv("VIGNETTE_HOME", str(tmp_path / "home"))
    return made


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    for colour in ("red", "green", "blue"):
        paint(folder / f"{colour}.png", colour)
        (folder / f"{colour}.txt").write_text(f"A wall painted {colour}")
    return folder


class Vignette:
    """Runs the command line in this process; keeps what it printed."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.out = self.err = ""

    def __call__(self, *args: object) -> int:
        code = cli.main([str(arg) for arg in args])
        self.out, self.err = self._capsys.readouterr()
        return code


@pytest.fixture
def vignette(capsys: pytest.CaptureFixture[str]) -> Vignette:
    return Vignette(capsys)


def test_indexing_tells_what_was_added_and_then_what_stayed(vignette: Vignette, pictures: Path, tmp_path: Path) -> None:
    assert vignette("index", pictures, "--library", tmp_path / "lib") == 0
    assert vignette.out.startswith("3 added in ")
    assert vignette.out.endswith(f"library {tmp_path / 'lib'} holds 3 pictures\n")
    assert vignette("index", pictures, "--library", tmp_path / "lib") == 0
    assert vignette.out.startswith("3 unchanged in ")


def test_indexing_names_what_could_not_be_used_at_the_end(vignette: Vignette, pictures: Path, tmp_path: Path) -> None:
    (pictures / "bad\x1b[2J.jpg").write_text("no picture")
    (pictures / "red.json").write_text("{")
    assert vignette("index", pictures, "--library", tmp_path / "lib") == 0
    lines = vignette.out.splitlines()
    assert "3 added, 1 not usable in " in lines[0]
    assert lines[1] == "1 file could not be used:"
    assert lines[2].startswith(rf"  {pictures}/bad\x1b[2J.jpg: is not a picture of a known format")
    assert lines[3] == "1 file could not be read in full:"
    assert lines[4].startswith(f"  {pictures}/red.json: is not valid JSON")


def test_indexing_as_json_gives_one_object(vignette: Vignette, pictures: Path, tmp_path: Path) -> None:
    (pictures / "bad.jpg").write_text("no picture")
    assert vignette("index", pictures, "--library", tmp_path / "lib", "--json") == 0
    values = json.loads(vignette.out)
    assert (values["added"], values["pictures"], values["library"]) == (3, 3, str(tmp_path / "lib"))
    assert [item["path"] for item in values["failed"]] == [str(pictures / "bad.jpg")]


def test_indexing_nothing_usable_fails(vignette: Vignette, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert vignette("index", tmp_path / "empty", "--library", tmp_path / "lib") == 1
    assert vignette.out.startswith("no pictures found in ")
    assert vignette("index", tmp_path / "nowhere", "--library", tmp_path / "other") == 1
    assert vignette.err == f"vignette: {tmp_path / 'nowhere'}: no such file or folder; check how it is spelt\n"
    assert not (tmp_path / "other").exists()


def test_a_library_of_another_encoder_is_refused_by_name(
    vignette: Vignette, pictures: Path, tmp_path: Path, encoder: ColourEncoder
) -> None:
    Library.create(tmp_path / "lib", ColourEncoder("shapes").identity).close()
    for command in (("index", pictures), ("library", "search", "red")):
        with Library.open(tmp_path / "lib") as library:
            if command[0] == "library":
                library.add([(record_of(pictures), *vectors(ColourEncoder("shapes")))])
        assert vignette(*command, "--library", tmp_path / "lib", "--profile", "embedded") == 1
        assert vignette.err.startswith(f"vignette: library {tmp_path / 'lib'} was made with encoder shapes (")
        assert "not colours (" in vignette.err
        assert "index into another --library, or use the --profile that has the library's encoder" in vignette.err
        assert vignette.err.count("\n") == 1


def record_of(pictures: Path):
    from image_db.metadata.record import ImageRecord

    return ImageRecord("0" * 64, pictures / "red.png", 40, 30, caption="A wall")


def vectors(encoder: ColourEncoder):
    return encoder.encode_texts(["red"])[0], encoder.encode_sentences(["A wall"])[0]


def test_searching_puts_the_fitting_picture_first(vignette: Vignette, pictures: Path, tmp_path: Path) -> None:
    vignette("index", pictures, "--library", tmp_path / "lib")
    assert vignette("library", "search", "something blue", "--library", tmp_path / "lib", "-k", "2") == 0
    lines = vignette.out.splitlines()
    assert len(lines) == 2, "only what fits"
    assert lines[1].split()[0] == "1"
    assert lines[1].split()[-5:] == ["A", "wall", "painted", "blue", str(pictures / "blue.png")]
    assert vignette("library", "search", "something red", "--library", tmp_path / "lib", "--json") == 0
    found = [json.loads(line) for line in vignette.out.splitlines()]
    assert found[0]["caption"] == "A wall painted red"
    assert found[0]["fused"] == max(candidate["fused"] for candidate in found)


def test_a_search_that_finds_nothing_says_what_to_try(vignette: Vignette, pictures: Path, tmp_path: Path) -> None:
    vignette("index", pictures, "--library", tmp_path / "lib")
    assert vignette("library", "search", "рыба", "--library", tmp_path / "lib") == 0
    assert vignette.out.splitlines() == [say("search_nothing", words="рыба"), say("search_reads", languages="en")]
    for programs in ("--json", "--paths"):
        assert vignette("library", "search", "рыба", "--library", tmp_path / "lib", programs) == 0
        assert vignette.out == ""
        assert say("search_nothing", words="рыба") in vignette.err.splitlines()
    assert vignette("library", "search", "--where", "size:2mp..", "--library", tmp_path / "lib") == 0
    assert vignette.out.splitlines() == [say("search_nothing_true", where="size:2mp..")]
    assert vignette("library", "search", "wall -painted", "--library", tmp_path / "lib") == 0
    assert vignette.out.splitlines() == [say("search_nothing", words="wall -painted")], "it is in a script that is read"
    assert vignette("library", "search", "without walls", "--library", tmp_path / "lib") == 1


def test_searching_a_missing_or_empty_library_is_one_clear_line(vignette: Vignette, tmp_path: Path) -> None:
    folder = tmp_path / "lib"
    assert vignette("library", "search", "red", "--library", folder) == 1
    assert (
        vignette.err == f"vignette: no library in {folder}; make one with: vignette index FOLDER --library {folder}\n"
    )
    Library.create(folder, ColourEncoder().identity).close()
    assert vignette("library", "search", "red", "--library", folder) == 1
    assert vignette.err == (
        f"vignette: library {folder} is empty; fill it with: vignette index FOLDER --library {folder}\n"
    )


def test_the_library_settles_the_encoder_so_no_hub_is_asked_and_no_profile_named(
    vignette: Vignette, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked() -> bool:
        raise AssertionError("the hub was asked")

    vignette("index", pictures, "--library", tmp_path / "lib", "--profile", "embedded")
    monkeypatch.setattr(choice.machines, "hub_answers", asked)
    monkeypatch.setattr(choice.machines, "look", lambda: Machine(64 << 30, 60 << 30, 900 << 30))
    monkeypatch.setattr(choice, "library_encoder", lambda folder: "vignette-joint")
    assert vignette("library", "search", "something blue", "--library", tmp_path / "lib") == 0
    assert "profile embedded: " not in vignette.err


def test_a_slip_of_a_way_to_describe_is_said_before_anything_is_indexed(
    vignette: Vignette, pictures: Path, tmp_path: Path
) -> None:
    assert vignette("index", pictures, "--library", tmp_path / "lib", "--describe", "lables") == 2
    assert fill(tables("en")["joints"]["did_you_mean"], word="labels") in vignette.err
    assert not (tmp_path / "lib").exists()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((" ",), tables("en")["flags"]["search_empty"]),
        (("red", "-k", "0"), "-k is 0; it must be at least 1"),
    ],
)
def test_wrong_searches_are_wrong_usage(
    vignette: Vignette, tmp_path: Path, args: tuple[str, ...], message: str
) -> None:
    assert vignette("library", "search", *args, "--library", tmp_path) == 2
    assert vignette.err == f"vignette: {message}\n"


def test_info_names_the_encoder_and_the_failures(vignette: Vignette, pictures: Path, tmp_path: Path) -> None:
    (pictures / "bad.jpg").write_text("no picture")
    vignette("index", pictures, "--library", tmp_path / "lib")
    assert vignette("library", "info", "--library", tmp_path / "lib") == 0
    facts = dict(line.split(maxsplit=1) for line in vignette.out.splitlines())
    assert facts["pictures"] == "3, 3 with words"
    assert facts["encoder"].startswith("colours (")
    assert facts["problem"].startswith(f"{pictures / 'bad.jpg'}: is not a picture")
    assert vignette("library", "info", "--library", tmp_path / "lib", "--json") == 0
    values = json.loads(vignette.out)
    assert (values["pictures"], values["encoder_sha256"]) == (3, ColourEncoder().identity.sha256)


def test_verify_fails_where_a_picture_is_missing(vignette: Vignette, pictures: Path, tmp_path: Path) -> None:
    vignette("index", pictures, "--library", tmp_path / "lib")
    assert vignette("library", "verify", "--library", tmp_path / "lib") == 0
    assert vignette.out == f"library {tmp_path / 'lib'} is sound: 3 pictures in 3 files checked\n"
    (pictures / "red.png").unlink()
    assert vignette("library", "verify", "--library", tmp_path / "lib") == 1
    assert vignette.out.startswith(f"missing  {pictures / 'red.png'}\n")


def test_export_writes_records_or_a_folder(vignette: Vignette, pictures: Path, tmp_path: Path) -> None:
    vignette("index", pictures, "--library", tmp_path / "lib")
    assert vignette("library", "export", tmp_path / "out.jsonl", "--library", tmp_path / "lib") == 0
    assert vignette.out == f"3 records in {tmp_path / 'out.jsonl'}\n"
    assert vignette("library", "export", tmp_path / "out", "--library", tmp_path / "lib") == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "blue.png",
        "green.png",
        "metadata.jsonl",
        "red.png",
    ]


def test_export_writes_the_folder_of_another_program(vignette: Vignette, pictures: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="pip install 'vignette-studio[cluster]'")
    vignette("index", pictures, "--library", tmp_path / "lib")
    to_clip = ("--layout", "clip-retrieval", "--library", tmp_path / "lib")
    assert vignette("library", "export", tmp_path / "clip", *to_clip) == 0
    assert vignette.out.startswith("3 pictures in ")
    assert sorted(str(path.relative_to(tmp_path / "clip")) for path in (tmp_path / "clip").rglob("*.*")) == [
        "img_emb/img_emb_0.npy",
        "metadata/metadata_0.parquet",
    ]
    assert vignette("library", "export", tmp_path / "clip", *to_clip) == 1


def test_the_sample_is_fetched_indexed_and_its_folder_is_the_last_line(
    vignette: Vignette, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from image_db.sample import build as sample

    def fetch(pictures_dir: Path, cache_dir: Path, progress) -> sample.SampleReport:
        assert cache_dir.is_relative_to(tmp_path / "home")
        paint(pictures_dir / "red.png")
        progress("metadata.jsonl", 1, 1)
        return sample.SampleReport(1, 2)

    monkeypatch.setattr(sample, "fetch_sample", fetch)
    assert vignette("library", "sample") == 0
    folder = tmp_path / "home" / "libraries" / "sample"
    assert vignette.out.splitlines()[0] == "1 picture"
    assert "2 pictures of the sample are not in the packages of this system" in vignette.err
    assert vignette.out.splitlines()[-1] == str(folder)
    assert vignette("library", "path", "sample") == 0
    assert vignette.out == f"{folder}\n"
    assert vignette("library", "search", "red", "--library", folder) == 0


def test_the_sample_is_indexed_anew_for_another_encoder_and_the_old_index_is_kept(
    vignette: Vignette, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from image_db.sample import build as sample

    def fetch(pictures_dir: Path, *_: object) -> sample.SampleReport:
        paint(pictures_dir / "red.png")
        return sample.SampleReport(1, 0)

    monkeypatch.setattr(sample, "fetch_sample", fetch)
    assert vignette("library", "sample") == 0
    newer = ColourEncoder()
    newer.identity = replace(newer.identity, sha256="f" * 64)
    monkeypatch.setattr("composer.pipeline.loading.load_encoder", lambda _: newer)
    assert vignette("library", "sample") == 0
    folder = tmp_path / "home" / "libraries" / "sample"
    (aside,) = folder.glob("earlier-*")
    assert f"that index is now in {aside}" in vignette.err
    assert (aside / "catalog.sqlite").is_file()
    assert vignette("library", "search", "red", "--library", folder) == 0


def test_a_system_without_the_sample_says_so_in_one_line(vignette: Vignette, monkeypatch: pytest.MonkeyPatch) -> None:
    from image_db.sample import build as sample

    def fail(*_: object) -> None:
        raise SampleUnavailable("sample_needs_apt")

    monkeypatch.setattr(sample, "fetch_sample", fail)
    assert vignette("library", "sample") == 1
    assert "this system has no apt-get" in vignette.err
    assert vignette.err.count("\n") == 1


def test_an_interruption_says_what_is_kept(
    vignette: Vignette, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoder: ColourEncoder
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(encoder, "encode_images", interrupt)
    assert vignette("index", pictures, "--library", tmp_path / "lib") == 130
    assert f"library {tmp_path / 'lib'} keeps its 0 pictures; the same command goes on from there" in vignette.err


def test_registering_the_commands_imports_nothing_heavy() -> None:
    code = (
        "import sys, argparse\n"
        "from composer.commands import index, library\n"
        "sub = argparse.ArgumentParser().add_subparsers()\n"
        "index.register(sub), library.register(sub)\n"
        "print({'numpy', 'PIL', 'torch', 'faiss', 'sqlite3', 'rich'} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_formats_that_are_not_read_are_one_line_with_a_count_each(
    vignette: Vignette, pictures: Path, tmp_path: Path
) -> None:
    for name in ("a.psd", "b.PSB", "c.tga", "d.svg"):
        (pictures / name).write_bytes(b"raw")
    assert vignette("index", pictures, "--library", tmp_path / "lib") == 0
    lines = vignette.out.splitlines()
    assert lines[1] == "left out: 2 Photoshop, 1 Targa, 1 SVG; convert them to JPEG to have them indexed"
    assert vignette("library", "info", "--library", tmp_path / "lib") == 0
    assert "a.psd" in vignette.out


def test_formats_are_told_by_decoding_a_picture_in_each(vignette: Vignette, monkeypatch: pytest.MonkeyPatch) -> None:
    assert vignette("library", "formats", "--json") == 0
    told = {line["format"]: line for line in map(json.loads, vignette.out.splitlines())}
    assert {"JPEG", "PNG", "WebP", "GIF", "TIFF", "BMP", "AVIF", "HEIC", "JPEG XL", "camera RAW"} <= told.keys()
    assert all(line["read"] for line in told.values()), told
    monkeypatch.setitem(sys.modules, "pillow_jxl", None)
    caches = (formats.reader_missing, formats.known_formats, formats.pillow_plugins)
    for cache in caches:
        cache.cache_clear()
    assert vignette("library", "formats") == 0
    assert "pip install pillow-jxl-plugin" in vignette.out
    for cache in caches:
        cache.cache_clear()


def test_what_was_left_out_on_purpose_is_told(vignette: Vignette, pictures: Path, tmp_path: Path) -> None:
    paint(pictures / "IMG_1.jpg", "red")
    (pictures / "IMG_1.CR2").write_bytes(b"raw")
    paint(pictures / "cache/x.png", "blue")
    command = ("index", pictures, "--library", tmp_path / "lib", "--exclude", "green.*", "--exclude", "nothing")
    assert vignette(*command, "--json") == 0
    said = json.loads(vignette.out)
    assert (said["pictures"], said["paired"], said["excluded"]) == (3, 1, 2)  # green.png and green.txt
    assert said["folders_left_out"] == {"cache": 1}
    assert vignette(*command) == 0
    assert say("index_paired", count=1) in vignette.out
    assert say("folders_left_out", count=1, names=["cache"]) in vignette.out
