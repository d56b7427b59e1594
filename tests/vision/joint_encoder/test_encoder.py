"""One encoder class for the shipped weights and for any open_clip checkpoint, agreeing with open_clip itself."""

import json
import subprocess
import sys
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from tests.tiny_joint import build_tiny_bert_clip, open_clip_vectors
from tests.tiny_models import build_tiny_open_clip
from tests.tower_dtypes import DTYPES, FLOAT32_ATOL, VECTOR_ATOL, choose_dtype
from vision.errors import DataError, ModelError
from vision.images import load_image
from vision.interfaces import JointEncoder
from vision.joint_encoder.checkpoint import ShippedCheckpoint, languages_of, shipped_towers
from vision.joint_encoder.encoder import load_embedded_encoder, load_open_clip_encoder
from vision.joint_encoder.open_clip import pooled_tower
from vision.joint_encoder.text_tower import BertTextTower, fetched_sentence_tower
from vision.training.joint.learning_curve import measure_learning
from vision.training.joint.recipe import JointRecipe
from vision.training.joint.train import export_open_clip, train_joint

TEXTS = ["A red parrot.", "the boats go by", "", "a " * 400, "caf&eacute;\n  &amp; tea", "如何养好一只宠物"]


def pictures() -> list[Image.Image]:
    generator = np.random.default_rng(0)
    sizes = [(40, 40), (90, 30), (20, 70), (64, 33)]
    return [Image.fromarray(generator.integers(0, 255, (h, w, 3), dtype=np.uint8)) for w, h in sizes]


@pytest.fixture(scope="module")
def bert_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_bert_clip(tmp_path_factory.mktemp("joint") / "bert")


@pytest.fixture(scope="module")
def plain_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_open_clip(tmp_path_factory.mktemp("joint") / "plain")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["bert_clip", "plain_clip"])
def test_vectors_are_those_of_open_clip(
    kind: str, dtype: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose_dtype(monkeypatch, dtype)
    folder = request.getfixturevalue(kind)
    encoder = load_open_clip_encoder(str(folder))
    images, texts = open_clip_vectors(folder, pictures(), TEXTS)
    np.testing.assert_allclose(encoder.encode_images(pictures()), images, atol=VECTOR_ATOL[dtype])
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), texts, atol=VECTOR_ATOL[dtype])


@pytest.mark.parametrize("kind", ["bert_clip", "plain_clip"])
def test_every_open_clip_checkpoint_honours_the_protocol(kind: str, request: pytest.FixtureRequest) -> None:
    encoder = load_open_clip_encoder(str(request.getfixturevalue(kind)))
    assert isinstance(encoder, JointEncoder)
    identity = encoder.identity
    outputs = {
        identity.visual_dim: [encoder.encode_images(pictures()), encoder.encode_texts(TEXTS)],
        identity.textual_dim: [encoder.encode_sentences(TEXTS)],
    }
    for width, arrays in outputs.items():
        for vectors in arrays:
            assert vectors.dtype == np.float32
            assert vectors.flags.c_contiguous
            assert vectors.shape[1] == width
            np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert encoder.encode_images([]).shape == (0, identity.visual_dim)
    assert encoder.encode_texts([]).shape == (0, identity.visual_dim)
    assert encoder.encode_sentences([]).shape == (0, identity.textual_dim)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_vector_does_not_depend_on_what_else_is_in_the_batch(
    bert_clip: Path, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose_dtype(monkeypatch, dtype)
    encoder = load_open_clip_encoder(str(bert_clip))
    alone = np.concatenate([encoder.encode_texts([text]) for text in TEXTS])
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), alone, atol=1e-5)
    many = encoder.encode_images(pictures() * 6)
    np.testing.assert_allclose(many[20:24], encoder.encode_images(pictures()), atol=VECTOR_ATOL[dtype])


def test_sentences_of_a_general_checkpoint_are_its_texts(bert_clip: Path) -> None:
    encoder = load_open_clip_encoder(str(bert_clip))
    np.testing.assert_array_equal(encoder.encode_sentences(TEXTS), encoder.encode_texts(TEXTS))


def test_identity_follows_the_weights_and_not_the_place(bert_clip: Path, tmp_path: Path) -> None:
    first = load_open_clip_encoder(str(bert_clip)).identity
    copy = tmp_path / "moved"
    copy.mkdir()
    for file in bert_clip.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    assert load_open_clip_encoder(str(copy)).identity.sha256 == first.sha256
    other = build_tiny_bert_clip(tmp_path / "other", seed=1)
    assert load_open_clip_encoder(str(other)).identity.sha256 != first.sha256
    config = json.loads((copy / "open_clip_config.json").read_text())
    config["preprocess_cfg"]["resize_mode"] = "longest"
    (copy / "open_clip_config.json").write_text(json.dumps(config))
    assert load_open_clip_encoder(str(copy)).identity.sha256 != first.sha256


def test_languages_follow_the_text_tower() -> None:
    def told(**text_cfg: str) -> frozenset[str] | None:
        return languages_of({"text_cfg": text_cfg})

    assert told() == told(hf_model_name="roberta-base") == frozenset({"en"})
    assert told(hf_model_name="xlm-roberta-base") is None
    assert told(hf_tokenizer_name="timm/ViT-B-16-SigLIP2-256") is None
    assert told(hf_tokenizer_name="timm/ViT-B-16-SigLIP-i18n-256") is None


def test_what_cannot_be_loaded_is_one_line_that_says_why(
    bert_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def error(name: str, pretrained: str | None = None) -> ModelError:
        with pytest.raises(ModelError) as caught:
            load_open_clip_encoder(name, pretrained)
        return caught.value

    assert error(str(tmp_path)).key == "not_open_clip_folder"
    assert error("local-dir:/nowhere/at/all").key == "not_open_clip_folder"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    away = error("hf-hub:nobody/has-this")  # tests are offline
    assert (away.key, away.values["model"]) == ("hub_not_asked", "nobody/has-this")
    unknown = error("ViT-B-33", "openai")
    assert (unknown.key, unknown.values["near"][0]) == ("open_clip_near", "ViT-B-32")  # type: ignore[index]
    assert error("zzz").key == "open_clip_unknown"
    untagged = error("ViT-B-32", "no_such_tag")
    assert (untagged.key, untagged.values["tags"][0]) == ("open_clip_tags", "openai")  # type: ignore[index]

    broken = tmp_path / "broken"
    broken.mkdir()
    for file in bert_clip.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    weights = broken / "open_clip_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    encoder = load_open_clip_encoder(str(broken))
    with pytest.raises(ModelError) as caught:
        encoder.encode_texts(["a"])
    assert (caught.value.key, caught.value.values["file"]) == ("weights_unreadable", str(weights))
    weights.unlink()
    assert error(str(broken)).key == "open_clip_cannot_load"


@pytest.fixture(scope="module")
def shipped(model_path: Callable[[str], Path]) -> JointEncoder:
    for name in shipped_towers():
        model_path(name)
    return load_embedded_encoder()


def test_the_fetched_text_tower_reads_as_minilm_does_and_the_shipped_encoder_is_tuned(shipped: JointEncoder) -> None:
    # Cosines of the published all-MiniLM-L6-v2, as its model card's example sentences give them.
    sentences = ["That is a happy person", "That is a happy dog", "Today is a sunny day"]
    fetched = BertTextTower(ShippedCheckpoint(towers_only="squash")).pooled(sentences)
    fetched /= np.linalg.norm(fetched, axis=1, keepdims=True)
    np.testing.assert_allclose(fetched[0] @ fetched[1:].T, [0.6945773, 0.2568845], atol=2e-3)
    tuned = shipped.encode_sentences(sentences)
    assert 0.5 < float((tuned[0] * fetched[0]).sum()) < 0.999
    assert shipped.languages == frozenset({"en"})
    assert (shipped.identity.textual_dim, shipped.identity.name) == (384, "vignette-joint")


def photographs_told_apart(encoder: JointEncoder) -> bool:
    photographs = Path(str(resources.files("gradio"))) / "media_assets" / "images"
    told = {
        "cheetah1.jpg": "a cheetah, a spotted big cat",
        "lion.jpg": "a lion with a mane",
        "tower.jpg": "a tall tower against the sky",
    }
    images = encoder.encode_images([load_image(photographs / name, target_px=300) for name in told])
    scores = encoder.encode_texts(list(told.values())) @ images.T
    return scores.argmax(1).tolist() == [0, 1, 2]


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_shipped_encoder_finds_each_photograph_by_its_description(
    shipped: JointEncoder, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose_dtype(monkeypatch, dtype)
    assert photographs_told_apart(load_embedded_encoder())


def test_the_shipped_encoder_reads_queries_through_mpnet(shipped: JointEncoder) -> None:
    checkpoint = ShippedCheckpoint()
    assert checkpoint.query_tower == "all-mpnet-base-v2"
    read = fetched_sentence_tower(checkpoint.query_tower).pooled(TEXTS[:3])
    read /= np.linalg.norm(read, axis=1, keepdims=True)
    expected = read @ checkpoint.tensors("query.")["proj.weight"].T
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(shipped.encode_texts(TEXTS[:3]), expected, atol=1e-5)


def test_the_shipped_encoder_looks_through_its_kernel(shipped: JointEncoder) -> None:
    checkpoint = ShippedCheckpoint()
    kernel = checkpoint.tensors("kernel.")
    examples = kernel["examples"].astype(np.float32) * kernel["steps"][:, None]
    assert checkpoint.image_towers == ("efficientnet-lite2", "efficientnet-lite1", "efficientnet-lite0")
    cosines = np.zeros((len(pictures()), len(examples)), np.float32)
    for number, name in enumerate(checkpoint.image_towers):
        columns = slice(1280 * number, 1280 * (number + 1))
        pooled = pooled_tower(name, "squash").encode(pictures())
        directions = pooled / np.linalg.norm(pooled, axis=1, keepdims=True) - kernel["mean"][columns]
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        cosines += directions @ examples[:, columns].T / 3
    expected = np.exp(4 * (cosines - 1)) @ kernel["answers"]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(shipped.encode_images(pictures()), expected, atol=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_exported_checkpoint_reads_alike_and_looks_through_the_network_for_us_and_for_open_clip(
    shipped: JointEncoder, tmp_path: Path, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose_dtype(monkeypatch, dtype)
    folder = export_open_clip(None, tmp_path / "exported")
    texts, images = TEXTS[:3], pictures()[:2]
    loaded = load_open_clip_encoder(str(folder))
    np.testing.assert_array_equal(loaded.encode_sentences(texts), shipped.encode_sentences(texts))
    assert loaded.languages == shipped.languages
    seen, read = open_clip_vectors(folder, images, texts)
    np.testing.assert_allclose(seen, loaded.encode_images(images), atol=VECTOR_ATOL[dtype])
    np.testing.assert_allclose(read, loaded.encode_texts(texts), atol=FLOAT32_ATOL)  # NumPy reads
    assert photographs_told_apart(loaded)
    with pytest.raises(DataError) as caught:
        export_open_clip(None, folder)
    assert caught.value.key == "folder_not_empty"


def test_reading_words_needs_no_torch(shipped: JointEncoder) -> None:
    code = (
        "import sys; from vision.joint_encoder.encoder import load_embedded_encoder\n"
        "load_embedded_encoder().encode_texts(['a red parrot'])\n"
        "print(sorted({'torch', 'transformers', 'open_clip', 'timm'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_run_keeps_its_regression_and_says_what_the_network_beside_it_is_worth(
    shipped: JointEncoder, tmp_path: Path
) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    (data / "images").mkdir(parents=True)
    articles = []
    for number in range(12):
        colour = tuple(int(value) for value in np.random.default_rng(number).integers(0, 256, 3))
        Image.new("RGB", (40, 40), colour).save(data / "images" / f"{number}.png")
        figure = {"type": "figure", "image": f"images/{number}.png", "alt": f"A wall of shade {number}"}
        blocks = [{"type": "paragraph", "text": f"Of wall {number}."}, figure]
        articles.append({"id": str(number), "book": "ab"[number % 2], "title": "Walls", "blocks": blocks})
    (data / "train.jsonl").write_text("\n".join(map(json.dumps, articles)), encoding="utf-8")
    towers = ("efficientnet-lite2", "efficientnet-lite0")
    recipe = JointRecipe("small", mixtures=20, image_towers=towers, query_tower="all-mpnet-base-v2")
    report = train_joint(data, out, recipe)
    assert set(report.exported) == {"unseen_books"}
    assert set(report.exported["unseen_books"]) == set(report.unseen_books)
    assert json.loads((out / "training.json").read_text())["exported"] == report.exported
    card = (out / "README.md").read_text()
    assert "| unseen books, the network | " in card
    assert "a kernel regression over the training pictures" in card
    look = [Image.open(data / "images" / f"{number}.png").convert("RGB") for number in (0, 5)]
    regression = load_open_clip_encoder(str(out)).encode_images(look)
    network = load_open_clip_encoder(str(export_open_clip(out, tmp_path / "exported"))).encode_images(look)
    assert not np.allclose(regression, network, atol=1e-3)
    points = measure_learning(data, out, recipe)
    assert [point.fit for point in points] == ["network", "regression"] * 3
    rows = (out / "learning.csv").read_text().splitlines()
    assert rows[0] == "fit,pairs,alt_r1,alt_r10"
    assert [row.split(",")[:2] for row in rows[1:]] == [[point.fit, str(point.pairs)] for point in points]
    assert ElementTree.parse(out / "learning.svg").getroot().tag.endswith("svg")
