"""A caption bridge is trained on what pictures show, and makes texts likelier beside their own pictures."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from tests.vision.tiny_bridge import write_articles
from tests.vision.tiny_gguf import write_tiny_gguf
from tests.vision.training.test_joint import toy_pairs
from vision.bridge.caption_bridge import CaptionBridge
from vision.errors import DataError
from vision.joint_encoder.checkpoint import ShippedCheckpoint
from vision.llm.model import load_gguf_model
from vision.training.captions import train
from vision.training.captions.recipe import CaptionRecipe, load_caption_recipe
from vision.training.captions.texts import caption_texts, tag_words, without_preamble
from vision.training.captions.train import PictureVectors, picture_vectors, train_captions
from vision.training.dataset import Figure
from vision.training.joint.cross_validation import book_folds
from vision.training.joint.recipe import JointRecipe
from vision.training.joint.regression_fit import fit_regression, targets, without_direction
from vision.vectors import unit


def figure(alt: str, caption: str = "") -> Figure:
    return Figure(Path("x"), alt, caption, "book", "article", "Title", "", "")


@pytest.mark.parametrize(
    ("sentence", "kept"),
    [
        ("A photograph shows a barn.", "A barn."),
        ("This is a black and white photo of a man on a horse.", "A man on a horse."),
        ("Photograph A shows two dogs in a field", "Dogs in a field."),
        ("An aerial image depicting a harbour", "A harbour."),
        ("A woman in a hat is shown.", "A woman in a hat."),
        ("A painter.", "A painter."),
        ("", ""),
    ],
)
def test_preambles_and_counts_go(sentence: str, kept: str) -> None:
    assert without_preamble(sentence) == kept


def test_names_numbers_and_quotations_do_not_count() -> None:
    alts = ["A man named Abraham sits by 3 hens.", "Ford stands by a car that says “Go”.", "Helen, a child, walks."]
    others = [f"A hen and a child and a car stand {place} there." for place in ("over", "under", "in", "by")]
    texts = caption_texts([figure(alt) for alt in (*alts, *others)])
    learned = [[word for word, counts in zip(t.words, t.counts, strict=True) if counts] for t in texts[:3]]
    assert learned == [
        ["A", "man", "named", "sits", "by", "hens."],
        ["stands", "by", "a", "car", "that", "says"],
        ["a", "child,", "walks."],
    ]
    assert [text.is_whole for text in texts[:3]] == [True, False, True]


def test_later_sentences_count_where_they_stand_alone() -> None:
    told = "A barn in a field. It is red. There are hens before it. The left one looks up."
    assert [text.text for text in caption_texts([figure(told)])] == ["A barn in a field.", "There are hens before it."]


def test_tags_are_plain_words_that_say_something() -> None:
    assert tag_words([figure("The photo shows three hens near Rome.", "Hens eat.")]) == [{"hens", "eat"}]


def test_both_vectors_of_a_picture_come_back_from_the_kernel() -> None:
    pairs = toy_pairs(80)
    books = [f"book {row % 4}" for row in range(80)]
    recipe = JointRecipe("test", penalty=0.5)  # as the shipped encoder's
    fitted = fit_regression(pairs, recipe, None)
    checkpoint = cast(ShippedCheckpoint, SimpleNamespace(tensors=lambda prefix: fitted.pictures.tensors()))
    found = picture_vectors(checkpoint, books)
    wanted = targets(pairs, recipe.caption_share)
    said = unit((wanted @ without_direction(wanted.mean(0))).astype(np.float32))
    assert (found.said * said).sum(1).min() > 0.995  # examples are stored in bytes
    fold = book_folds(books)[0]
    rest = np.setdiff1d(np.arange(80), fold)
    alone = unit(fit_regression(pairs.take(rest), recipe, None).embed_images(pairs.images[fold]))
    assert (found.unseen[fold] * alone).sum(1).mean() > 0.97  # the means of pictures and texts are of all books here
    with pytest.raises(DataError) as caught:
        picture_vectors(checkpoint, [*books, "one more"])
    assert caught.value.key == "encoder_of_other_data"


def test_a_run_learns_what_pictures_tell_and_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_articles(tmp_path / "data")
    path = write_tiny_gguf(tmp_path / "tiny.gguf")
    model = load_gguf_model(path, cache_dir=tmp_path / "cache", threads=1, context_tokens=256)
    colours = ("red", "green", "blue")

    def vectors(checkpoint: object, books: list[str]) -> PictureVectors:
        alts = [f.alt for f in train.figures_of(train.read_articles(tmp_path / "data", "train"))]
        said = np.array([[float(colour in alt) for colour in colours] + [0.1] for alt in alts], np.float32)
        return PictureVectors(unit(said), unit(said))

    monkeypatch.setattr(train, "ShippedCheckpoint", lambda: SimpleNamespace(name="toy", sha256="e"))
    monkeypatch.setattr(train, "picture_vectors", vectors)
    monkeypatch.setattr(train, "locate", lambda name: path)
    monkeypatch.setattr(train, "load_gguf_model", lambda *_, **__: model)
    recipe = CaptionRecipe(
        "test", width=16, dropout=0.0, text_epochs=2.0, epochs=12.0, batch=8, at_once=8, learning_rate=1e-2,
        warmup=2, precision="float32", tag_pictures=2, tag_penalty=0.1,
    )  # fmt: skip
    report = train_captions(tmp_path / "data", tmp_path / "out", recipe)
    assert report.nats_own["caption"] < report.nats_other["caption"] - 0.1
    bridge = CaptionBridge.load(tmp_path / "out")
    assert bridge.config.language_sha256 == model.identity.sha256
    first = (tmp_path / "out" / "caption_bridge.safetensors").read_bytes()
    monkeypatch.setattr(model.runner, "states", lambda inputs: 1 / 0)  # read once, kept
    train_captions(tmp_path / "data", tmp_path / "out", recipe)
    assert (tmp_path / "out" / "caption_bridge.safetensors").read_bytes() == first
    assert json.loads((tmp_path / "out" / "training.json").read_text())["kind"] == "captions"


def test_recipes_are_read_and_checked(tmp_path: Path) -> None:
    assert load_caption_recipe("captions-embedded").lead == "A photograph of:"
    (tmp_path / "mine.toml").write_text("dropout = 1.0\n")
    with pytest.raises(DataError) as caught:
        load_caption_recipe(str(tmp_path / "mine.toml"))
    assert caught.value.key == "recipe_bounds"
