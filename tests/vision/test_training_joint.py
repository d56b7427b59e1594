"""Training finds what is to be found, changes only what it should, and repeats itself exactly."""

import json
from pathlib import Path

import numpy as np
import pytest

from vision.errors import DataError
from vision.training.data import figures_of, read_articles, strip_credit
from vision.training.features import PairFeatures
from vision.training.joint import fit, validation_books
from vision.training.metrics import bootstrap, median_rank, mrr_at, ranks_of_targets, recall_at
from vision.training.projection import fit_ridge, recalls, without_direction
from vision.training.recipe import JointRecipe, load_joint_recipe, recipe_names


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


RECIPE = JointRecipe("test", penalty=0.01, steps=150, batch=60, feature_dropout=0, text_dropout=0, caption_chance=0)


def test_one_batch_overfits() -> None:
    rng = np.random.default_rng(1)
    noise = PairFeatures(unit(rng.normal(size=(100, 40))), unit(rng.normal(size=(100, 24))), np.zeros((100, 24), "f4"))
    recipe = JointRecipe(
        "test", penalty=1, steps=400, batch=100, feature_dropout=0, text_dropout=0, learning_rate=0.05,
        text_learning_rate=0.01, average=0.5,
    )  # fmt: skip
    assert recalls(fit(noise, JointRecipe("ridge", penalty=1)), noise)["alt_r1"] < 0.8
    assert recalls(fit(noise, recipe), noise)["alt_r1"] == 1


def test_what_holds_in_training_holds_on_unseen_pairs() -> None:
    unseen = toy_pairs(seed=7)
    for recipe in (JointRecipe("ridge", penalty=0.01), RECIPE):
        figures = recalls(fit(toy_pairs(300), recipe), unseen)
        assert figures["alt_r10"] > 0.9
        assert figures["caption_r10"] > 0.9


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    pairs = toy_pairs()
    recipe = JointRecipe("test", steps=5, batch=20)
    first, again = fit(pairs, recipe), fit(pairs, recipe)
    assert first.image.tobytes() == again.image.tobytes()
    assert first.text.tobytes() == again.text.tobytes()
    other = fit(pairs, JointRecipe("test", steps=5, batch=20, seed=1))
    assert first.image.tobytes() != other.image.tobytes()


def test_accumulated_gradients_are_those_of_the_whole_batch() -> None:
    import torch

    from vision.training.contrastive import backward, info_nce

    torch.manual_seed(0)
    images, texts = torch.randn(24, 10), torch.randn(24, 6)

    def gradients(parts: int) -> list[torch.Tensor]:
        torch.manual_seed(1)
        weights = [torch.randn(10, 4).requires_grad_(), torch.randn(6, 4).requires_grad_()]
        scale = torch.tensor(1.5).requires_grad_()
        if parts:
            backward(images, texts, *weights, scale, parts)
        else:
            normal = torch.nn.functional.normalize
            info_nce(normal(images @ weights[0], dim=1), normal(texts @ weights[1], dim=1), scale).backward()
        return [tensor.grad for tensor in (*weights, scale) if tensor.grad is not None]

    whole = gradients(0)
    for parts in (1, 4, 24):
        for found, expected in zip(gradients(parts), whole, strict=True):
            torch.testing.assert_close(found, expected)


def test_features_and_start_are_bit_identical_after_training() -> None:
    pairs = toy_pairs()
    before = [array.tobytes() for array in (pairs.images, pairs.alts, pairs.captions)]
    fit(pairs, RECIPE)
    assert [array.tobytes() for array in (pairs.images, pairs.alts, pairs.captions)] == before


def test_no_learning_rate_for_texts_leaves_their_projection_alone() -> None:
    pairs = toy_pairs()
    start = fit(pairs, JointRecipe("ridge"))
    refined = fit(pairs, JointRecipe("test", steps=5, batch=20, text_learning_rate=0))
    assert not np.array_equal(start.image, refined.image)
    np.testing.assert_allclose(refined.text, start.text, atol=1e-6)


def test_ridge_is_the_textbook_solution_without_the_mean_directions() -> None:
    pairs = toy_pairs()
    fitted = fit_ridge(pairs, 0.5, 0.0)
    out_image = without_direction(pairs.images.mean(0))
    out_text = without_direction(pairs.alts.mean(0))
    x, y = pairs.images @ out_image, pairs.alts @ out_text
    gradient = x.T @ (x @ fitted.image - y) + 0.5 * out_image @ fitted.image
    np.testing.assert_allclose(gradient, 0, atol=1e-4)
    np.testing.assert_allclose(pairs.alts.mean(0) @ fitted.text, 0, atol=1e-5)


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
    with pytest.raises(DataError, match=r"does not exist; give --data a folder with train\.jsonl"):
        read_articles(tmp_path / "none", "train")
    with pytest.raises(DataError, match=r"has no dev\.jsonl"):
        read_articles(tmp_path, "dev")
    write_data(tmp_path, [article(1, "a", "images/gone.png")])
    with pytest.raises(DataError, match=r"train\.jsonl line 1: picture images/gone\.png is not in"):
        read_articles(tmp_path, "train")
    write_data(tmp_path, [{"id": "1", "book": "a"}])
    with pytest.raises(DataError, match="line 1: lacks 'title'"):
        read_articles(tmp_path, "train")


def test_validation_takes_whole_books_and_never_all(tmp_path: Path) -> None:
    rows = [article(i, book, f"images/{i}.png") for i, book in enumerate("aaaaaaaabbbc")]
    for i in range(len(rows)):
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "images" / f"{i}.png").touch()
    figures = figures_of(read_articles(write_data(tmp_path, rows), "train"))
    assert validation_books(figures) == ("c", "b")
    with pytest.raises(DataError, match="has one book"):
        validation_books([f for f in figures if f.book == "a"])


def test_every_shipped_recipe_is_valid_and_mistakes_are_named(tmp_path: Path) -> None:
    assert "joint-ridge" in recipe_names()
    for name in recipe_names():
        assert load_joint_recipe(name).name == name
    for text, message in [
        ("penatly = 3", "'penatly' is not a setting; known: seed, resize_mode"),
        ("penalty = -1", "penalty is -1; it must be above 0"),
        ("steps = 'many'", "steps is 'many'; it must be of type int"),
        ("resize_mode = 'crop'", "resize_mode is 'crop'; use squash, shortest, longest"),
        ("batch = 10\naccumulate = 3", "batch is 10 and accumulate 3"),
        ("penalty", "is not TOML"),
    ]:
        file = tmp_path / "mine.toml"
        file.write_text(text)
        with pytest.raises(DataError, match=message):
            load_joint_recipe(str(file))
    with pytest.raises(DataError, match="--recipe nonsense is not known; use one of: joint"):
        load_joint_recipe("nonsense")
