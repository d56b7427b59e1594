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
from vision.joint_encoder.kernel_regression import KernelHead
from vision.training.dataset import Figure, figures_of, read_articles, strip_credit
from vision.training.joint.cross_validation import book_folds, cross_validate
from vision.training.joint.features import ClassFeatures, PairFeatures, read_pairs
from vision.training.joint.kernel_fit import KeptKernel, MlpJoint, cluster, distil, fit_kernel
from vision.training.joint.linear_fit import Projection, fit_ridge, recalls, without_direction
from vision.training.joint.recipe import JointRecipe, load_joint_recipe
from vision.training.joint.train import fit
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


MLP = JointRecipe("mlp", head="mlp", penalty=0.01, mixtures=400, smoothing=0.001)


def tensors_of(pairs: PairFeatures, recipe: JointRecipe) -> dict[str, bytes]:
    return {name: np.ascontiguousarray(value).tobytes() for name, value in fit(pairs, recipe).tensors().items()}


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
    for recipe in (JointRecipe("ridge", penalty=0.01), RECIPE, MLP):
        figures = recalls(fit(toy_pairs(300), recipe), unseen)
        assert figures["alt_r10"] > 0.9
        assert figures["caption_r10"] > 0.9


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    pairs = toy_pairs()
    recipe = JointRecipe("test", steps=5, batch=20)
    for kind in (recipe, MLP):
        first, again = tensors_of(pairs, kind), tensors_of(pairs, kind)
        assert first == again
        other = tensors_of(pairs, replace(kind, seed=1))
        assert any(first[name] != other[name] for name in first)


def test_accumulated_gradients_are_those_of_the_whole_batch() -> None:
    import torch

    from vision.training.joint.contrastive import backward, info_nce

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
    for recipe in (RECIPE, MLP):
        fit(pairs, recipe)
    assert [array.tobytes() for array in (pairs.images, pairs.alts, pairs.captions)] == before


def test_no_learning_rate_for_texts_leaves_their_projection_alone() -> None:
    pairs = toy_pairs()
    start = fit(pairs, JointRecipe("ridge"))
    refined = fit(pairs, JointRecipe("test", steps=5, batch=20, text_learning_rate=0))
    assert isinstance(start, Projection)
    assert isinstance(refined, Projection)
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


def test_folds_hold_whole_books_and_every_picture_once() -> None:
    books = list("aaaaaaaabbbccdd")
    folds = book_folds(books, 3)
    assert sorted(np.concatenate(folds).tolist()) == list(range(len(books)))
    assert [{books[row] for row in fold} for fold in folds] == [{"a"}, {"b"}, {"c", "d"}]
    with pytest.raises(DataError, match="has one book"):
        book_folds(["a", "a"])


def test_cross_validation_never_fits_on_the_book_it_measures() -> None:
    pairs = toy_pairs(30)
    books = ["a"] * 12 + ["b"] * 10 + ["c"] * 8
    seen: list[set[bytes]] = []

    def remember(part: PairFeatures) -> Projection:
        seen.append({row.tobytes() for row in part.images})
        return fit_ridge(part, 0.01, 0.0)

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


def test_a_kernel_finds_what_no_line_does_and_the_network_keeps_most_of_it() -> None:
    train, unseen = bent_pairs(400, 0), bent_pairs(150, 1)
    recipe = JointRecipe("mlp", head="mlp", penalty=0.001, sharpness=6, mixtures=4000, smoothing=1e-4)
    line = recalls(fit(train, JointRecipe("ridge", penalty=0.001)), unseen)["alt_r1"]
    kernel = recalls(fit_kernel(train, recipe, None), unseen)["alt_r1"]
    network = recalls(fit(train, recipe), unseen)["alt_r1"]
    assert line + 0.1 < network
    assert network - 0.05 < kernel


def test_the_kernel_answers_the_textbook_equation() -> None:
    pairs = toy_pairs()
    recipe = replace(MLP, caption_share=0.0)
    kernel = fit_kernel(pairs, recipe, None)
    examples, answers = kernel.head.examples.astype(float), kernel.head.answers
    near = np.exp(recipe.sharpness * (examples @ examples.T - 1))
    wanted = pairs.alts @ without_direction(pairs.alts.mean(0))
    np.testing.assert_allclose((near + recipe.penalty * np.eye(len(near))) @ answers, wanted, atol=2e-4)
    np.testing.assert_allclose(kernel.look(pairs.images), near @ answers, atol=2e-4)


def test_a_kept_kernel_is_what_we_read_and_the_network_beside_it_what_open_clip_reads() -> None:
    pairs, unseen = bent_pairs(400, 0), bent_pairs(150, 1)
    recipe = replace(MLP, keep_kernel=True, sharpness=6.0)
    kept = fit(pairs, recipe)
    assert isinstance(kept, KeptKernel)
    network = fit(pairs, replace(recipe, keep_kernel=False))
    tensors = kept.tensors()
    for name, value in network.tensors().items():
        np.testing.assert_array_equal(tensors[name], value)
    alone = KernelHead.of({name: value for name, value in tensors.items() if name.startswith("kernel.")})
    np.testing.assert_array_equal(alone(unseen.images), kept.look(unseen.images))
    assert kept.vision_cfg == network.vision_cfg
    assert recalls(kept, unseen)["alt_r1"] > recalls(network, unseen)["alt_r1"]


def test_several_towers_count_alike_in_the_kernel_and_the_network_reads_the_first_alone() -> None:
    """Two towers that see different halves of what texts say: together they find more than either."""
    one, other, told = two_towers(300, 0)
    unseen_one, unseen_other, unseen = two_towers(150, 1)
    recipe = replace(MLP, keep_kernel=True)
    kept = fit(told, recipe)
    assert isinstance(kept, KeptKernel)
    assert kept.kernel.head.widths == (40, 30)
    together = recalls(kept, unseen)["alt_r1"]
    for part, seen in ((one, unseen_one), (other, unseen_other)):
        assert recalls(fit(part, recipe), seen)["alt_r1"] + 0.1 < together
    alone = fit(one, recipe)
    assert isinstance(alone, KeptKernel)
    for name, value in alone.network.tensors().items():
        np.testing.assert_array_equal(kept.network.tensors()[name], value)
    np.testing.assert_array_equal(kept.network.look(unseen.images), alone.network.look(unseen_one.images))

    line = fit_ridge(told.of_first_tower, 0.01, 0.3)
    np.testing.assert_array_equal(line.look(unseen.images), line.look(unseen_one.images))

    # The kernel by its definition: exp of the sharpness times the mean cosine less one.
    cosines = np.zeros((150, 300))
    for columns in (slice(0, 40), slice(40, 70)):
        mean = unit(told.images[:, columns]).mean(0)
        seen, known = (unit(unit(pairs.images[:, columns]) - mean) for pairs in (unseen, told))
        cosines += seen @ known.T / 2
    full = fit_kernel(told, recipe, None)
    expected = np.exp(recipe.sharpness * (cosines - 1)) @ full.head.answers
    np.testing.assert_allclose(full.look(unseen.images), expected, atol=1e-3)


def two_towers(n: int, seed: int) -> tuple[PairFeatures, PairFeatures, PairFeatures]:
    generator, ways = np.random.default_rng(seed), np.random.default_rng(99)
    meaning = generator.normal(size=(n, 12))
    sees = [ways.normal(size=(6, 40)), ways.normal(size=(6, 30))]
    blocks = [unit(part @ way + 2) for part, way in zip((meaning[:, :6], meaning[:, 6:]), sees, strict=True)]
    texts = unit(meaning @ ways.normal(size=(12, 24)) + 1)
    empty = np.zeros_like(texts)
    alone = [PairFeatures(block, texts, empty) for block in blocks]
    return alone[0], alone[1], PairFeatures(np.concatenate(blocks, 1), texts, empty, widths=(40, 30))


def test_the_kernel_takes_texts_as_they_are_asked_and_the_network_as_open_clip_reads_them() -> None:
    """The tower that is asked knows all of what texts say, in more dimensions; the text tower a sixth of it."""
    generator, ways = np.random.default_rng(0), np.random.default_rng(99)
    meaning = generator.normal(size=(450, 12))
    images = unit(meaning @ ways.normal(size=(12, 40)) + 2)
    half, whole = unit(meaning[:, :2] @ ways.normal(size=(2, 24)) + 1), unit(meaning @ ways.normal(size=(12, 48)) + 1)
    none, more = np.zeros((450, 24), np.float32), np.zeros((450, 48), np.float32)
    plain = PairFeatures(images, half, none)
    pairs = replace(plain, asked=PairFeatures(images, whole, more))
    recipe = replace(MLP, keep_kernel=True)
    train, unseen = np.arange(300), np.arange(300, 450)
    kept, alone = fit(pairs.take(train), recipe), fit(plain.take(train), recipe)
    assert isinstance(kept, KeptKernel)
    assert isinstance(alone, KeptKernel)
    assert recalls(alone, plain.take(unseen))["alt_r1"] + 0.1 < recalls(kept, pairs.take(unseen))["alt_r1"]
    tensors = kept.tensors()
    assert tensors["query.proj.weight"].shape == (24, 48)
    assert tensors["kernel.answers"].shape == (300, 24)
    for name, value in alone.network.tensors().items():
        np.testing.assert_array_equal(tensors[name], value)
    found = cross_validate(pairs, ["abc"[i % 3] for i in range(450)], lambda part: fit(part, recipe))
    assert found.pairs.asked is not None
    np.testing.assert_array_equal(found.pairs.asked.alts, whole)
    told = found.recalls_of([joint.network for joint in found.joints if isinstance(joint, KeptKernel)])
    assert told["alt_r1"] < found.recalls["alt_r1"]


def test_a_stored_kernel_answers_almost_as_the_fitted_one() -> None:
    pairs, unseen = bent_pairs(400, 0), bent_pairs(150, 1)
    fitted = fit_kernel(pairs, replace(MLP, sharpness=6.0), None)
    stored = fitted.head.tensors()
    assert {name.removeprefix("kernel."): value.dtype.name for name, value in stored.items()} == {
        "sharpness": "float32", "mean": "float32", "examples": "int8", "steps": "float32", "answers": "float16",
        "widths": "int32",
    }  # fmt: skip
    exact, kept = unit(fitted.look(unseen.images)), unit(fitted.rounded().look(unseen.images))
    alike = (exact * kept).sum(1)
    assert alike.min() > 0.99
    assert alike.mean() > 0.999
    again = KernelHead.of(fitted.head.rounded().tensors())
    np.testing.assert_array_equal(again(unseen.images), fitted.rounded().look(unseen.images))


def test_other_fits_of_the_same_folds_are_measured_as_the_first_were() -> None:
    pairs, books = toy_pairs(60), ["a"] * 25 + ["b"] * 20 + ["c"] * 15
    found = cross_validate(pairs, books, lambda part: fit_ridge(part, 0.01, 0.0))
    assert found.recalls_of(found.joints) == pytest.approx(found.recalls)
    worse = [Projection(-joint.image, joint.text) for joint in found.joints if isinstance(joint, Projection)]
    assert found.recalls_of(worse)["alt_r1"] < found.recalls["alt_r1"]
    with pytest.raises(ValueError, match="2 fits for 3 folds"):
        found.recalls_of(found.joints[:2])


def test_the_network_is_timms_own_mlp() -> None:
    import torch
    from timm.layers import Mlp

    pairs = toy_pairs()
    found = fit(pairs, MLP)
    assert isinstance(found, MlpJoint)
    assert found.vision_cfg == {"timm_proj": "mlp", "timm_proj_bias": True}
    network = Mlp(40, 2 * 24, 24, bias=(True, True))
    prefix = "visual.head.mlp."
    state = {k.removeprefix(prefix): torch.from_numpy(v) for k, v in found.tensors().items() if k.startswith(prefix)}
    network.load_state_dict(state)
    with torch.inference_mode():
        expected = network(torch.from_numpy(pairs.images)).numpy()
    np.testing.assert_allclose(found.look(pairs.images), expected, atol=1e-5)


@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_classes_teach_what_no_picture_shows(head: str) -> None:
    everything = toy_pairs(300, noise=0.1)
    few, unseen = everything.take(np.arange(4)), everything.take(np.arange(200, 300))
    centred = unit(everything.images[4:200] - everything.images.mean(0))
    classes = ClassFeatures(centred, everything.alts[4:200])
    alone = JointRecipe("alone", head=head, penalty=0.01, mixtures=500)  # type: ignore[arg-type]
    without = recalls(fit(few, alone, classes), unseen)["alt_r1"]
    taught = recalls(fit(few, replace(alone, class_share=1.0), classes), unseen)["alt_r1"]
    assert taught > without + 0.1


def test_clusters_are_directions_and_find_separate_groups() -> None:
    generator = np.random.default_rng(0)
    groups = unit(np.eye(4, 12)[np.arange(80) % 4] + 0.05 * generator.normal(size=(80, 12)))
    centres = cluster(groups, 12, np.random.default_rng(1))
    np.testing.assert_allclose(np.linalg.norm(centres, axis=1), 1, atol=1e-5)
    assert {int(row.argmax()) for row in centres} == {0, 1, 2, 3}
    assert len(cluster(groups[:3], 8, generator)) == 8


def test_mixtures_are_worked_off_in_blocks_without_changing_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = toy_pairs()
    recipe = replace(MLP, mixtures=0)
    kernel = fit_kernel(pairs, recipe, None)
    whole = distil(kernel, pairs, recipe, None)
    monkeypatch.setattr("vision.training.joint.kernel_fit._BLOCK", 7)
    parts = distil(kernel, pairs, recipe, None)
    np.testing.assert_allclose(parts.look(pairs.images), whole.look(pairs.images), atol=1e-4)


def test_every_shipped_recipe_is_valid_and_mistakes_are_named(tmp_path: Path) -> None:
    assert recipe_names("joint-") == ["joint-kernel", "joint-ridge"]
    for name in recipe_names("joint-"):
        assert load_joint_recipe(name).name == name
    for text, message in [
        ("penatly = 3", "'penatly' is not a setting; known: seed, image_towers"),
        ("penalty = -1", "penalty is -1; it must be above 0"),
        ("steps = 'many'", "steps is 'many'; it must be of type int"),
        ("resize_mode = 'crop'", "resize_mode is 'crop'; use squash, shortest, longest"),
        ("batch = 10\naccumulate = 3", "batch is 10 and accumulate 3"),
        ("head = 'tree'", "head is 'tree'; use linear, mlp"),
        ("head = 'mlp'\nsteps = 3", "steps is 3; only a linear head has the contrastive stage"),
        ("keep_kernel = true", "keep_kernel needs head = 'mlp'"),
        ("image_towers = ['vgg']", r"image_towers is \['vgg'\]; name efficientnet-lite2 first"),
        ("image_towers = ['efficientnet-lite2', 'vgg']", "no image tower 'vgg'; known: efficientnet-lite0"),
        ("image_towers = ['efficientnet-lite2', 'efficientnet-lite0']", "several image_towers need keep_kernel"),
        ("query_tower = 'gpt'", "query_tower is 'gpt'; use , all-mpnet-base-v2"),
        ("query_tower = 'all-mpnet-base-v2'", "query_tower needs keep_kernel"),
        ("tuned_batch = 1", "tuned_batch is 1; a batch of texts needs at least 2"),
        ("tuned_layers = -1", "tuned_layers is -1; it must be 0 or more"),
        ("tuned_epochs = 0", r"tuned_epochs is 0; it must be above 0"),
        ("penalty", "is not TOML"),
    ]:
        file = tmp_path / "mine.toml"
        file.write_text(text)
        with pytest.raises(DataError, match=message):
            load_joint_recipe(str(file))
    with pytest.raises(DataError, match="--recipe nonsense is not known; use one of: joint"):
        load_joint_recipe("nonsense")


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
    joint = fit(pairs, JointRecipe("ridge", penalty=0.01))
    assert "section_text_mrr10" not in recalls(joint, unread)
    read = read_pairs((pairs.images, ()), figures, checkpoint, tmp_path, asked=np.array([4, 5])).take(np.array([4, 5]))
    assert asked[-1] == ["T. near 4", "T. near 5"]
    assert "section_text_mrr10" in recalls(joint, read)
