"""Training finds what is to be found, changes only what it should, and repeats itself exactly."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from vision.errors import DataError
from vision.joint_encoder.checkpoint import ShippedCheckpoint
from vision.joint_encoder.kernel_regression import KernelRegression
from vision.training.dataset import Figure, figures_of, read_articles, strip_credit
from vision.training.joint.cross_validation import book_folds, cross_validate, recalls
from vision.training.joint.features import ClassFeatures, PairFeatures, read_pairs
from vision.training.joint.recipe import JointRecipe, load_joint_recipe
from vision.training.joint.regression_fit import (
    JointFit,
    RegressionFit,
    cluster,
    fit_joint,
    fit_network,
    fit_regression,
    without_direction,
)
from vision.training.metrics import bootstrap, median_rank, mrr_at, ranks_of_targets, recall_at
from vision.training.recipe_loading import recipe_names


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def toy_pairs(n: int = 60, seed: int = 0, noise: float = 0.3) -> PairFeatures:
    """Pictures and texts that say the same eight things in different ways; a third have no caption."""
    generator = np.random.default_rng(seed)
    ways = np.random.default_rng(99)
    meaning = generator.normal(size=(n, 8))
    to_image, to_text = ways.normal(size=(8, 40)), ways.normal(size=(8, 24))
    images = unit(meaning @ to_image + noise * generator.normal(size=(n, 40)) + 2)
    texts = [unit(meaning @ to_text + noise * generator.normal(size=(n, 24)) + 1) for _ in range(2)]
    texts[1][::3] = 0
    return PairFeatures(images, texts[0], texts[1])


RECIPE = JointRecipe("test", penalty=0.01, mixtures=400, smoothing=0.001)


def tensors_of(pairs: PairFeatures, recipe: JointRecipe) -> dict[str, bytes]:
    fitted = fit_joint(pairs, recipe)
    tensors = fitted.network.tensors() | fitted.regression.tensors()
    return {name: np.ascontiguousarray(value).tobytes() for name, value in tensors.items()}


def test_what_holds_in_training_holds_on_unseen_pairs() -> None:
    unseen = toy_pairs(seed=7)
    fitted = fit_joint(toy_pairs(300), RECIPE)
    for side in (fitted.regression, fitted.network):
        figures = recalls(side, unseen)
        assert figures["alt_r10"] > 0.9
        assert figures["caption_r10"] > 0.9


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    pairs = toy_pairs()
    first, again = tensors_of(pairs, RECIPE), tensors_of(pairs, RECIPE)
    assert first == again
    other = tensors_of(pairs, replace(RECIPE, seed=1))
    assert any(first[name] != other[name] for name in first)


def test_features_are_bit_identical_after_training() -> None:
    pairs = toy_pairs()
    before = [array.tobytes() for array in (pairs.images, pairs.alts, pairs.captions)]
    fit_joint(pairs, RECIPE)
    assert [array.tobytes() for array in (pairs.images, pairs.alts, pairs.captions)] == before


def test_ranks_count_ties_against_the_query() -> None:
    scores = np.array([[0.9, 0.1, 0.5], [0.2, 0.2, 0.2], [0.1, 0.3, 0.2]])
    ranks = ranks_of_targets(scores, np.array([0, 1, 2]))
    assert ranks.tolist() == [1, 3, 2]
    assert recall_at(ranks, 1) == pytest.approx(1 / 3)
    assert mrr_at(ranks, 2) == pytest.approx((1 + 0 + 1 / 2) / 3)
    assert median_rank(ranks) == 2
    with pytest.raises(ValueError, match="NaN"):
        ranks_of_targets(scores * np.nan, np.array([0, 1, 2]))


def test_the_bootstrap_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for seed in range(40):
        ranks = np.where(rng.random(200) < 0.4, 1, 50)
        interval = bootstrap(ranks, lambda r: recall_at(r, 1), resamples=100, seed=seed)
        assert interval.low <= interval.value <= interval.high
        hits += interval.low <= 0.4 <= interval.high
    assert 34 <= hits <= 40


@pytest.mark.parametrize(
    ("caption", "kept"),
    [
        ("A barn. (credit: “Jane”/Flickr)", "A barn."),
        ("A barn. (Credit a: modification of work by J. Doe (2010); credit b: NASA)", "A barn."),
        ("(credit: Jane)", ""),
        ("Two cells. [Source: NIH]", "Two cells."),
        ("A mirror. Credit left: A. Credit right: B", "A mirror."),
        ("Credit cards are both a convenience and a danger.", "Credit cards are both a convenience and a danger."),
        ("He is often credited as the inventor.", "He is often credited as the inventor."),
    ],
)
def test_credits_are_stripped_and_nothing_else(caption: str, kept: str) -> None:
    assert strip_credit(caption) == kept


def write_data(folder: Path, rows: list[dict], split: str = "train") -> Path:
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / f"{split}.jsonl").write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return folder


def article(number: int, book: str, *images: str) -> dict:
    figures = [
        {"type": "figure", "image": image, "alt": f"alt {image}", "caption": "c (credit: x)"} for image in images
    ]
    texts = [{"type": "paragraph", "text": "Before."}, {"type": "heading", "text": "H"}]
    return {"id": str(number), "book": book, "title": "T", "blocks": [*texts, *figures, *texts]}


def test_figures_come_once_with_the_paragraphs_around_them(tmp_path: Path) -> None:
    write_data(tmp_path, [article(1, "a", "images/1.png", "images/2.png"), article(2, "a", "images/1.png")])
    for name in ("1.png", "2.png"):
        (tmp_path / "images" / name).touch()
    figures = figures_of(read_articles(tmp_path, "train"))
    assert [f.image.name for f in figures] == ["1.png", "2.png"]
    assert (figures[0].caption, figures[0].section, figures[1].after) == ("c", "T. Before.", "Before.")


def test_unusable_data_are_named(tmp_path: Path) -> None:
    def error(folder: Path, split: str = "train") -> DataError:
        with pytest.raises(DataError) as caught:
            read_articles(folder, split)
        return caught.value

    assert error(tmp_path / "none").key == "data_folder_missing"
    assert error(tmp_path, "dev").key == "data_split_missing"
    for row, reason in [
        (article(1, "a", "images/gone.png"), "data_picture_missing"),
        ({"id": "1", "book": "a"}, "field_missing"),
        ({"id": "1", "book": "a", "title": "", "blocks": [{"type": "poem"}]}, "block_kind"),
    ]:
        write_data(tmp_path, [row])
        found = error(tmp_path)
        assert (found.key, found.values["line"], found.values["reason"].key) == ("data_line", 1, reason)  # type: ignore[attr-defined]
    write_data(tmp_path, [])
    assert error(tmp_path).key == "data_empty"


def test_folds_hold_whole_books_and_every_picture_once() -> None:
    books = list("aaaaaaaabbbccdd")
    folds = book_folds(books, 3)
    assert sorted(np.concatenate(folds).tolist()) == list(range(len(books)))
    assert [{books[row] for row in fold} for fold in folds] == [{"a"}, {"b"}, {"c", "d"}]
    with pytest.raises(DataError) as caught:
        book_folds(["a", "a"])
    assert caught.value.key == "one_book"


def test_cross_validation_never_fits_on_the_book_it_measures() -> None:
    pairs = toy_pairs(30)
    books = ["a"] * 12 + ["b"] * 10 + ["c"] * 8
    seen: list[set[bytes]] = []

    def remember(part: PairFeatures) -> RegressionFit:
        seen.append({row.tobytes() for row in part.images})
        return fit_regression(part, RECIPE, None)

    found = cross_validate(pairs, books, remember)
    for fold, fitted in zip(book_folds(books), seen, strict=True):
        measured = {row.tobytes() for row in pairs.images[fold]}
        assert not measured & fitted
        assert len(measured | fitted) == len(books)
    np.testing.assert_allclose(np.linalg.norm(found.images, axis=1), 1, atol=1e-5)
    assert set(found.recalls) == {"alt_r1", "alt_r10", "caption_r1", "caption_r10", "caption_text_r1"}


def bent_pairs(n: int, seed: int) -> PairFeatures:
    """Texts follow from pictures, but by no linear map: what counts is how far apart two directions are."""
    generator = np.random.default_rng(seed)
    ways = np.random.default_rng(5)
    images = unit(generator.normal(size=(n, 6)) @ ways.normal(size=(6, 40)) + 1)
    bent = np.cos(3 * images @ ways.normal(size=(40, 24)))
    return PairFeatures(images, unit(bent + 1), np.zeros((n, 24), np.float32))


def ridge_recall(train: PairFeatures, unseen: PairFeatures, penalty: float) -> float:
    """Recall at 1 of the textbook's linear ridge regression without the mean directions."""
    out_image, out_text = without_direction(train.images.mean(0)), without_direction(train.alts.mean(0))
    x, y = train.images @ out_image, train.alts @ out_text
    weights = np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ y)
    scores = unit(unseen.alts @ out_text) @ unit(unseen.images @ out_image @ weights).T
    return recall_at(ranks_of_targets(scores, np.arange(len(scores))), 1)


def test_the_regression_finds_what_no_line_does_and_the_network_keeps_most_of_it() -> None:
    train, unseen = bent_pairs(400, 0), bent_pairs(150, 1)
    recipe = JointRecipe("test", penalty=0.001, sharpness=6, mixtures=4000, smoothing=1e-4)
    fitted = fit_joint(train, recipe)
    regression, network = (recalls(side, unseen)["alt_r1"] for side in (fitted.regression, fitted.network))
    assert ridge_recall(train, unseen, 0.001) + 0.1 < network
    assert network - 0.05 < regression


def test_the_regression_answers_the_textbook_equation() -> None:
    pairs = toy_pairs()
    recipe = replace(RECIPE, caption_share=0.0)
    fitted = fit_regression(pairs, recipe, None)
    examples, answers = fitted.pictures.examples.astype(float), fitted.pictures.answers
    near = np.exp(recipe.sharpness * (examples @ examples.T - 1))
    wanted = pairs.alts @ without_direction(pairs.alts.mean(0))
    np.testing.assert_allclose((near + recipe.penalty * np.eye(len(near))) @ answers, wanted, atol=2e-4)
    np.testing.assert_allclose(fitted.embed_images(pairs.images), near @ answers, atol=2e-4)


def test_the_stored_regression_is_what_we_read_and_better_than_the_network_beside_it() -> None:
    pairs, unseen = bent_pairs(400, 0), bent_pairs(150, 1)
    fitted = fit_joint(pairs, replace(RECIPE, sharpness=6.0))
    alone = KernelRegression.of(fitted.regression.pictures.tensors())
    np.testing.assert_array_equal(alone(unseen.images), fitted.regression.embed_images(unseen.images))
    assert recalls(fitted.regression, unseen)["alt_r1"] > recalls(fitted.network, unseen)["alt_r1"]


def test_several_towers_count_alike_in_the_regression_and_the_network_reads_the_first_alone() -> None:
    """Two towers that see different halves of what texts say: together they find more than either."""
    one, other, both = two_towers(300, 0)
    unseen_one, unseen_other, unseen = two_towers(150, 1)
    fitted = fit_joint(both, RECIPE)
    assert fitted.regression.pictures.widths == (40, 30)
    together = recalls(fitted.regression, unseen)["alt_r1"]
    alone = fit_joint(one, RECIPE)
    assert recalls(alone.regression, unseen_one)["alt_r1"] + 0.1 < together
    assert recalls(fit_regression(other, RECIPE, None), unseen_other)["alt_r1"] + 0.1 < together
    for name, value in alone.network.tensors().items():
        np.testing.assert_array_equal(fitted.network.tensors()[name], value)
    np.testing.assert_array_equal(
        fitted.network.embed_images(unseen.images), alone.network.embed_images(unseen_one.images)
    )

    # By its definition: exp of the sharpness times the mean cosine less one.
    cosines = np.zeros((150, 300))
    for columns in (slice(0, 40), slice(40, 70)):
        mean = unit(both.images[:, columns]).mean(0)
        seen, known = (unit(unit(pairs.images[:, columns]) - mean) for pairs in (unseen, both))
        cosines += seen @ known.T / 2
    full = fit_regression(both, RECIPE, None)
    expected = np.exp(RECIPE.sharpness * (cosines - 1)) @ full.pictures.answers
    np.testing.assert_allclose(full.embed_images(unseen.images), expected, atol=1e-3)


def two_towers(n: int, seed: int) -> tuple[PairFeatures, PairFeatures, PairFeatures]:
    generator, ways = np.random.default_rng(seed), np.random.default_rng(99)
    meaning = generator.normal(size=(n, 12))
    sees = [ways.normal(size=(6, 40)), ways.normal(size=(6, 30))]
    blocks = [unit(part @ way + 2) for part, way in zip((meaning[:, :6], meaning[:, 6:]), sees, strict=True)]
    texts = unit(meaning @ ways.normal(size=(12, 24)) + 1)
    empty = np.zeros_like(texts)
    alone = [PairFeatures(block, texts, empty) for block in blocks]
    return alone[0], alone[1], PairFeatures(np.concatenate(blocks, 1), texts, empty, widths=(40, 30))


def test_the_regression_takes_texts_of_the_query_tower_and_the_network_those_of_open_clip() -> None:
    """The query tower knows all of what texts say, in more dimensions; the text tower a sixth of it."""
    generator, ways = np.random.default_rng(0), np.random.default_rng(99)
    meaning = generator.normal(size=(450, 12))
    images = unit(meaning @ ways.normal(size=(12, 40)) + 2)
    half, whole = unit(meaning[:, :2] @ ways.normal(size=(2, 24)) + 1), unit(meaning @ ways.normal(size=(12, 48)) + 1)
    none, more = np.zeros((450, 24), np.float32), np.zeros((450, 48), np.float32)
    plain = PairFeatures(images, half, none)
    pairs = replace(plain, query_texts=PairFeatures(images, whole, more))
    train, unseen = np.arange(300), np.arange(300, 450)
    asked, alone = fit_joint(pairs.take(train), RECIPE), fit_joint(plain.take(train), RECIPE)
    worse = recalls(alone.regression, plain.take(unseen))["alt_r1"]
    assert worse + 0.1 < recalls(asked.regression, pairs.take(unseen))["alt_r1"]
    tensors = asked.regression.tensors()
    assert tensors["query.proj.weight"].shape == (24, 48)
    assert tensors["kernel.answers"].shape == (300, 24)
    for name, value in alone.network.tensors().items():
        np.testing.assert_array_equal(asked.network.tensors()[name], value)
    fits: list[JointFit] = []

    def on_part(part: PairFeatures) -> RegressionFit:
        fits.append(fit_joint(part, RECIPE))
        return fits[-1].regression

    found = cross_validate(pairs, ["abc"[i % 3] for i in range(450)], on_part)
    assert found.pairs.query_texts is not None
    np.testing.assert_array_equal(found.pairs.query_texts.alts, whole)
    networks = [fitted.network for fitted in fits]
    assert found.recalls_of(networks)["alt_r1"] < found.recalls["alt_r1"]
    assert found.recalls_of([fitted.regression for fitted in fits]) == pytest.approx(found.recalls)
    with pytest.raises(ValueError, match="shorter"):
        found.recalls_of(networks[:2])


def test_a_stored_regression_answers_almost_as_the_fitted_one() -> None:
    pairs, unseen = bent_pairs(400, 0), bent_pairs(150, 1)
    fitted = fit_regression(pairs, replace(RECIPE, sharpness=6.0), None).pictures
    assert {name.removeprefix("kernel."): value.dtype.name for name, value in fitted.tensors().items()} == {
        "sharpness": "float32", "mean": "float32", "examples": "int8", "steps": "float32", "answers": "float16",
        "widths": "int32",
    }  # fmt: skip
    stored = fitted.rounded()
    exact, kept = unit(fitted(unseen.images)), unit(stored(unseen.images))
    alike = (exact * kept).sum(1)
    assert alike.min() > 0.99
    assert alike.mean() > 0.999
    np.testing.assert_array_equal(KernelRegression.of(stored.tensors())(unseen.images), stored(unseen.images))


def test_the_network_is_timms_own_mlp() -> None:
    import torch
    from timm.layers import Mlp

    pairs = toy_pairs()
    found = fit_joint(pairs, RECIPE).network
    network = Mlp(40, 2 * 24, 24, bias=(True, True))
    prefix = "visual.head.mlp."
    state = {k.removeprefix(prefix): torch.from_numpy(v) for k, v in found.tensors().items() if k.startswith(prefix)}
    network.load_state_dict(state)
    with torch.inference_mode():
        expected = network(torch.from_numpy(pairs.images)).numpy()
    np.testing.assert_allclose(found.embed_images(pairs.images), expected, atol=1e-5)


def test_classes_teach_what_no_picture_shows() -> None:
    everything = toy_pairs(300, noise=0.1)
    few, unseen = everything.take(np.arange(4)), everything.take(np.arange(200, 300))
    centred = unit(everything.images[4:200] - everything.images.mean(0))
    classes = ClassFeatures(centred, everything.alts[4:200])
    alone = JointRecipe("alone", penalty=0.01, mixtures=500)
    without, taught = fit_joint(few, alone, classes), fit_joint(few, replace(alone, class_share=1.0), classes)
    for side in ("regression", "network"):
        before = recalls(getattr(without, side), unseen)["alt_r1"]
        assert recalls(getattr(taught, side), unseen)["alt_r1"] > before + 0.1


def test_clusters_are_directions_and_find_separate_groups() -> None:
    generator = np.random.default_rng(0)
    groups = unit(np.eye(4, 12)[np.arange(80) % 4] + 0.05 * generator.normal(size=(80, 12)))
    centres = cluster(groups, 12, np.random.default_rng(1))
    np.testing.assert_allclose(np.linalg.norm(centres, axis=1), 1, atol=1e-5)
    assert {int(row.argmax()) for row in centres} == {0, 1, 2, 3}
    assert len(cluster(groups[:3], 8, generator)) == 8


def test_mixtures_are_worked_off_in_blocks_without_changing_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = toy_pairs()
    recipe = replace(RECIPE, mixtures=0)
    regression = fit_regression(pairs, recipe, None)
    whole = fit_network(regression, pairs, recipe, None)
    monkeypatch.setattr("vision.training.joint.regression_fit._BLOCK_ROWS", 7)
    parts = fit_network(regression, pairs, recipe, None)
    np.testing.assert_allclose(parts.embed_images(pairs.images), whole.embed_images(pairs.images), atol=1e-4)


def test_every_shipped_recipe_is_valid_and_mistakes_are_named(tmp_path: Path) -> None:
    assert recipe_names("joint-") == ["joint-kernel"]
    assert load_joint_recipe("joint-kernel").name == "joint-kernel"
    file = tmp_path / "mine.toml"
    for text, key, values in [
        ("penatly = 3", "recipe_setting_unknown", {"setting": "penatly"}),
        ("head = 'linear'", "recipe_setting_unknown", {"setting": "head"}),
        ("penalty = -1", "recipe_bounds", {"setting": "penalty", "value": -1, "bounds": ["> 0"]}),
        ("caption_share = 1", "recipe_bounds", {"value": 1, "bounds": ["≥ 0", "< 1"]}),
        ("mixtures = 'many'", "recipe_type", {"setting": "mixtures", "wanted": "int"}),
        ("resize_mode = 'crop'", "recipe_choice", {"value": "crop", "known": ["squash", "shortest", "longest"]}),
        ("image_towers = ['vgg']", "recipe_towers", {"first": "efficientnet-lite2"}),
        ("image_towers = ['efficientnet-lite2', 'vgg']", "recipe_choice", {"value": "vgg"}),
        ("query_tower = 'gpt'", "recipe_choice", {"setting": "query_tower", "value": "gpt"}),
        ("tuned_batch = 1", "recipe_bounds", {"setting": "tuned_batch", "bounds": ["≥ 2"]}),
        ("tuned_layers = -1", "recipe_bounds", {"setting": "tuned_layers"}),
        ("penalty", "recipe_not_toml", {"recipe": "mine"}),
    ]:
        file.write_text(text)
        with pytest.raises(DataError) as caught:
            load_joint_recipe(str(file))
        assert caught.value.key == key
        assert values.items() <= caught.value.values.items()
    with pytest.raises(DataError) as caught:
        load_joint_recipe("nonsense")
    assert (caught.value.key, caught.value.values["known"]) == ("recipe_unknown", ["joint-kernel"])
    with pytest.raises(DataError) as caught:
        load_joint_recipe("nonsense.toml")
    assert caught.value.key == "recipe_file_missing"


def test_sections_are_measured_only_where_they_were_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pairs = toy_pairs(6)
    figures = [Figure(Path(f"{i}.jpg"), f"alt {i}", "", "a", "x", "T", f"near {i}", "") for i in range(6)]
    asked: list[list[str]] = []

    def sentences(texts: list[str], *_: object) -> np.ndarray:
        asked.append(list(texts))
        return pairs.alts[: len(texts)].copy()

    monkeypatch.setattr("vision.training.joint.features.sentence_features", sentences)
    checkpoint = cast(ShippedCheckpoint, SimpleNamespace(query_tower=""))
    unread = read_pairs((pairs.images, ()), figures, checkpoint, tmp_path)
    assert unread.sections is None
    fitted = fit_regression(pairs, RECIPE, None)
    assert "section_text_mrr10" not in recalls(fitted, unread)
    rows = np.array([4, 5])
    read = read_pairs((pairs.images, ()), figures, checkpoint, tmp_path, section_rows=rows).take(rows)
    assert asked[-1] == ["T. near 4", "T. near 5"]
    assert "section_text_mrr10" in recalls(fitted, read)
