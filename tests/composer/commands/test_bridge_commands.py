"""The commands around a bridge: train it, train a LoRA behind it, let it describe a library, compose with it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from composer import cli
from composer.commands.terminal import printable, say
from composer.pipeline import loading as parts
from composer.settings import parse_settings
from image_db.library import Library
from tests.fakes import ColourEncoder
from tests.image_db.conftest import paint
from tests.vision.tiny_bridge import tiny_language_file, tiny_tower, write_articles
from vision.bridge.bridged_model import load_bridged_model
from vision.bridge.drafting import CaptionDraft
from vision.errors import Phrase

SMALL = (
    "batch = 8\nat_once = 4\nprecision = 'float32'\nmax_text_tokens = 12\nwarmup = 1\n"
    "queries = 4\nlayers = 1\nheads = 2\nwidth = 32\nword_epochs = 1.0\ntower = 'tiny-tower'\n"
)
LORA = "batch = 8\nat_once = 4\nprecision = 'float32'\nmax_text_tokens = 12\nmax_section_tokens = 24\ncandidates = 3\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Data, recipes, and a tiny tower for the real one."""
    for module in ("vision.bridge.grid_tower", "vision.training.bridge.train"):
        monkeypatch.setattr(f"{module}.load_tower", lambda name, device="cpu": tiny_tower())
    monkeypatch.setattr(cli, "COMMANDS", ("train", "index", "library"))
    monkeypatch.setattr(parts, "load_encoder", lambda settings: ColourEncoder())
    write_articles(tmp_path / "data")
    named = f"language_model = '{tiny_language_file(tmp_path)}'\n"
    (tmp_path / "small.toml").write_text(named + SMALL)
    (tmp_path / "lora.toml").write_text(named + LORA)
    return tmp_path


def vignette(*args: object) -> int:
    return cli.main([str(arg) for arg in args])


def test_from_data_to_a_library_described_by_the_trained_model(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data, recipe = ("--data", folder / "data"), ("--recipe", folder / "small.toml")
    assert vignette("train", "bridge", *data, "--out", folder / "one", *recipe) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[-1] == str(folder / "one")
    assert printed.out.startswith("describe: ")
    assert "nats a token with its own pictures" in printed.out
    assert "bridge (loss" in printed.err
    lora = ("train", "lora", *data, "--bridge", folder / "one", "--out", folder / "two")
    assert vignette(*lora, "--recipe", folder / "lora.toml") == 0
    assert {line.split(":")[0] for line in capsys.readouterr().out.splitlines()[:-1]} == {"place", "caption", "choose"}
    report = json.loads((folder / "two" / "training.json").read_text())
    assert (report["kind"], report["figures"], report["books"]) == ("lora", 48, 3)

    monkeypatch.setattr(
        "vision.huggingface.captioning.write_captions", lambda model, images: [f"seen by {model.identity.name}"]
    )
    paint(folder / "pictures" / "IMG_1.png", "red")
    index = ("index", folder / "pictures", "--library", folder / "library")
    assert vignette(*index, "--describe", folder / "two") == 0
    assert "1 picture without words got some, marked as guessed; 0 got none" in capsys.readouterr().out
    with Library.open(folder / "library", None) as library:
        (record,) = library.records()
    assert record.caption.startswith("seen by tiny-tower + bridge + ")
    assert record.caption_origin == "generated"


@pytest.fixture
def drafting(monkeypatch: pytest.MonkeyPatch) -> None:
    def draft(vectors: np.ndarray) -> list[CaptionDraft]:
        return [CaptionDraft("A wall.", ("red",)) for _ in vectors]

    monkeypatch.setattr(parts, "load_drafting", lambda settings, encoder: draft)


def drafted(folder: Path, *options: object) -> list[str]:
    """The captions of a library of one picture without words, indexed with these options."""
    paint(folder / "pictures" / "IMG_1.png", "red")
    assert vignette("index", folder / "pictures", "--library", folder / "library", *options) == 0
    with Library.open(folder / "library", None) as library:
        assert {record.caption_origin for record in library.records() if record.caption} <= {"generated"}
        return [record.caption for record in library.records()]


@pytest.mark.usefixtures("drafting")
def test_pictures_without_words_are_drafted_unless_one_says_no(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert drafted(folder, "--no-describe") == [""]
    assert "got some" not in capsys.readouterr().out
    monkeypatch.setattr("composer.pipeline.wordless.MOST_UNASKED", 0)
    assert drafted(folder) == [""]
    assert printable(Phrase("drafts_not_unasked", {"count": 1})) in capsys.readouterr().err
    assert drafted(folder, "--describe") == ["A wall."]
    assert say("described", described=1, silent=0) in capsys.readouterr().out


@pytest.mark.usefixtures("drafting")
def test_drafts_come_by_themselves(folder: Path) -> None:
    assert drafted(folder) == ["A wall."]


def test_why_there_are_no_drafts_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The encoder here is not the one whose space drafts are made from."""
    assert drafted(folder) == [""]
    assert capsys.readouterr().err.count(printable(Phrase("drafts_not_made", {"count": 1, "reason": ""}))) == 1
    index = ("index", folder / "pictures", "--library", folder / "library")
    assert vignette(*index, "--describe") == 1  # who asks for them gets an error


def test_labels_are_guessed_where_they_are_asked_for(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Labeller:
        def guess(self, images: list[object]) -> list[tuple[str, ...]]:
            return [("brick wall",) for _ in images]

    monkeypatch.setattr("vision.joint_encoder.imagenet_labels.ImageLabeller", Labeller)
    paint(folder / "pictures" / "IMG_1.png", "red")
    assert (
        vignette("index", folder / "pictures", "--library", folder / "library", "--describe", "labels", "--json") == 0
    )
    assert json.loads(capsys.readouterr().out) | {"seconds": 0} == {
        "library": str(folder / "library"), "pictures": 1, "added": 1, "unchanged": 0, "linked": 0, "updated_text": 0,
        "removed": 0, "failed": [], "warnings": [], "seconds": 0, "described": 1, "silent": 0,
        "excluded": 0, "folders_emptied": [], "folders_left_out": {}, "paired": 0,
    }  # fmt: skip
    with Library.open(folder / "library", None) as library:
        assert [record.guessed_tags for record in library.records()] == [("brick wall",)]


def test_a_profile_may_write_and_judge_with_a_bridge(folder: Path) -> None:
    vignette("train", "bridge", "--data", folder / "data", "--out", folder / "one", "--recipe", folder / "small.toml")
    language = {"kind": "bridge", "model": str(folder / "one"), "device": "cpu", "context_tokens": 1024}
    model = parts.load_language_model(parse_settings("mine", {"writer": language}).writer)
    assert model.sees_images
    assert model.identity == load_bridged_model(folder / "one").identity


def test_what_is_wrong_is_said_in_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "odd.toml").write_text("glasses = 2")
    data = ("--data", folder / "data", "--out", folder / "one")
    assert vignette("train", "bridge", *data, "--recipe", folder / "odd.toml") == 1
    assert "recipe odd: 'glasses' is not a setting" in capsys.readouterr().err
    assert vignette("train", "lora", *data, "--bridge", folder / "none", "--recipe", folder / "lora.toml") == 1
    assert "name a folder that vignette train bridge wrote" in capsys.readouterr().err
    assert not (folder / "one").exists()
