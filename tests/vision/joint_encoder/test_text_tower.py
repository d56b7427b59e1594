"""Sentence encoders in NumPy say what transformers says, and a query tower is asked only what pictures should show."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.tiny_joint import WORDS
from vision.errors import ModelError
from vision.interfaces import EncoderIdentity
from vision.joint_encoder.bert_numpy import BertConfig
from vision.joint_encoder.checkpoint import read_tensors
from vision.joint_encoder.encoder import OpenClipEncoder
from vision.joint_encoder.text_tower import SentenceTower

TEXTS = ["a red parrot", "the boats go by .", "tea", "a parrot . red " * 30, "red & tea go by " * 60]


@pytest.fixture(scope="module")
def mpnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights as transformers saves them; far from zero, so that a mistake in their use would show."""
    import torch
    from tokenizers import BertWordPieceTokenizer
    from transformers import MPNetConfig, MPNetModel

    folder = tmp_path_factory.mktemp("mpnet")
    # MPNet takes the number 1 for padding, wherever it stands.
    words = ["[UNK]", "<pad>", *(word for word in WORDS if word not in ("[UNK]", "[PAD]"))]
    wordpiece = BertWordPieceTokenizer({word: i for i, word in enumerate(words)}, lowercase=True)
    wordpiece._tokenizer.save(str(folder / "tokenizer.json"))
    config = MPNetConfig(
        vocab_size=len(words), hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=48,
        max_position_embeddings=320, relative_attention_num_buckets=32, pad_token_id=1,
    )  # fmt: skip
    torch.manual_seed(1)
    model = MPNetModel(config, add_pooling_layer=False).eval()
    with torch.no_grad():
        for value in model.parameters():
            value.add_(torch.randn_like(value) * 0.3)
    model.save_pretrained(folder)
    return folder


def test_mpnet_reads_as_transformers_reads(mpnet: Path) -> None:
    import torch
    from tokenizers import Tokenizer
    from transformers import MPNetModel

    tower = SentenceTower(mpnet, read_tensors(mpnet / "model.safetensors", ""), 300)
    reference = MPNetModel.from_pretrained(mpnet, add_pooling_layer=False).eval()
    tokenizer = Tokenizer.from_file(str(mpnet / "tokenizer.json"))
    tokenizer.enable_truncation(300)
    expected = []
    for text in TEXTS:
        ids = torch.tensor([tokenizer.encode(text).ids])
        with torch.inference_mode():
            expected.append(reference(input_ids=ids)[0][0].mean(0).numpy())
    assert len(tokenizer.encode(TEXTS[-1]).ids) > 256  # farther apart than it tells distances
    np.testing.assert_allclose(tower.pooled(TEXTS), np.array(expected), atol=2e-5)


def test_a_tower_of_another_kind_or_without_its_tensors_is_refused(mpnet: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        BertConfig.from_dict({"model_type": "deberta"})
    assert (caught.value.key, caught.value.values["value"]) == ("text_tower_unlike", "deberta")
    weights = read_tensors(mpnet / "model.safetensors", "")
    del weights["encoder.relative_attention_bias.weight"]
    with pytest.raises(ModelError) as caught:
        SentenceTower(mpnet, weights, 64)
    assert caught.value.key == "text_tower_lacks"
    assert caught.value.values["tensor"] == "encoder.relative_attention_bias.weight"
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "mpnet"}))
    with pytest.raises(ModelError) as caught:
        SentenceTower(tmp_path, weights, 64)
    assert caught.value.key == "weights_unreadable"


class Constant:
    """Says the same of every text."""

    def __init__(self, value: float) -> None:
        self._vector = np.array([value, 1], np.float32)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        return np.tile(self._vector, (len(texts), 1))

    sentences = encode


def test_a_query_tower_is_loaded_for_what_pictures_should_show_and_for_nothing_else() -> None:
    loaded: list[str] = []

    def load(name: str, value: float) -> Constant:
        loaded.append(name)
        return Constant(value)

    encoder = OpenClipEncoder(
        EncoderIdentity("test", "0" * 64, 2, 2), None, lambda: pytest.fail("no picture was shown"),
        lambda: load("texts", 0), lambda: load("queries", 1),
    )  # fmt: skip
    np.testing.assert_allclose(encoder.encode_sentences(["a"]), [[0, 1]])
    assert loaded == ["texts"]
    np.testing.assert_allclose(encoder.encode_texts(["a", "b"]), np.full((2, 2), np.sqrt(0.5)), rtol=1e-6)
    encoder.encode_texts(["c"])
    assert loaded == ["texts", "queries"]
