"""Drafts come from a picture's vector and the language model's states, from nothing beside them, and are plain."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.vision.tiny_gguf import write_tiny_gguf
from vision.bridge import drafting
from vision.bridge.caption_bridge import CaptionBridge, CaptionBridgeConfig
from vision.bridge.drafting import Drafter, load_drafter
from vision.errors import ModelError
from vision.interfaces import EncoderIdentity
from vision.llm.batch_runner import SequenceInput
from vision.llm.model import GgufModel, load_gguf_model

DIM, WIDTH = 6, 64


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> GgufModel:
    folder = tmp_path_factory.mktemp("drafting")
    return load_gguf_model(
        write_tiny_gguf(folder / "tiny.gguf"), cache_dir=folder / "cache", threads=1, context_tokens=256
    )


@pytest.fixture(scope="module")
def bridge(model: GgufModel) -> CaptionBridge:
    generator = np.random.default_rng(3)

    def drawn(*shape: int, size: float = 1.0) -> np.ndarray:
        return (size * generator.normal(size=shape)).astype(np.float32)

    end = min(model.tokenizer.end_ids)
    tokens = np.array(
        sorted({*(model.tokenizer.encode(letter)[0] for letter in "abc"), model.tokenizer.encode(" the")[0], end})
    )
    weights = {
        "state.weight": drawn(8, WIDTH), "state.bias": drawn(8), "picture.weight": drawn(8, DIM, size=2.0),
        "out.weight": drawn(WIDTH, 8), "out.bias": drawn(WIDTH), "direct.weight": drawn(WIDTH, DIM, size=2.0),
        "embeddings": drawn(len(tokens), WIDTH, size=0.1), "token_bias": drawn(len(tokens)),
        "tag_weight": np.eye(3, DIM, dtype=np.float32), "tag_bias": np.zeros(3, np.float32),
    }  # fmt: skip
    words = {"".join(letters) for n in range(1, 5) for letters in itertools.product("abc", repeat=n)} | {"the"}
    words |= {f"the{word}" for word in words} | {f"{word}the" for word in words}
    config = CaptionBridgeConfig(
        "toy", "e", "tiny", model.identity.sha256, "A photograph of:", ("x", "y", "z"), tuple(words)
    )
    return CaptionBridge(config, tokens, weights)


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    vectors = np.random.default_rng(0).normal(size=(5, DIM)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_log_probabilities_are_normalised_and_depend_on_both_sides(bridge: CaptionBridge, pictures: np.ndarray) -> None:
    states = np.random.default_rng(1).normal(size=(5, WIDTH)).astype(np.float32)
    found = bridge.log_probs(states, pictures)
    np.testing.assert_allclose(np.exp(found).sum(1), 1, rtol=1e-5)
    assert np.abs(found - bridge.log_probs(states, pictures[::-1])).max() > 0.1
    assert np.abs(found - bridge.log_probs(states[::-1], pictures)).max() > 0.1


def test_a_bridge_reads_as_it_was_written(bridge: CaptionBridge, tmp_path: Path, pictures: np.ndarray) -> None:
    bridge.save(tmp_path)
    read = CaptionBridge.load(tmp_path)
    assert read.config == bridge.config
    assert read.tokens.tolist() == bridge.tokens.tolist()
    states = np.random.default_rng(1).normal(size=(5, WIDTH)).astype(np.float32)
    np.testing.assert_allclose(read.log_probs(states, pictures), bridge.log_probs(states, pictures), atol=0.05)
    with pytest.raises(ModelError) as caught:
        CaptionBridge.load(tmp_path / "none")
    assert caught.value.key == "bridge_unreadable"


def test_tags_are_the_words_a_picture_has_most_of(bridge: CaptionBridge) -> None:
    picture = np.array([[0.1, 0.9, 0.5, 0, 0, 0]], np.float32)
    assert bridge.tags(picture, 2) == [("y", "z")]
    kindred = replace(bridge, config=replace(bridge.config, tags=("car", "painting", "painter")))
    assert kindred.tags(picture, 2) == [("painting", "car")]
    assert replace(bridge, config=replace(bridge.config, tags=("carpet", "cars", "car"))).tags(picture, 3) == [
        ("cars", "carpet")
    ]


def test_the_search_finds_what_trying_everything_finds(
    bridge: CaptionBridge, model: GgufModel, pictures: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With room for all beams; the states of each beginning are taken one by one."""
    steps = 3
    monkeypatch.setattr(drafting, "MOST_TOKENS", steps)
    monkeypatch.setattr(drafting, "BEAMS", 60)
    monkeypatch.setattr(Drafter, "_may_say", lambda self, text: True)
    lead = model.tokenizer.encode(bridge.config.lead)
    ends = [id_ for id_ in bridge.tokens.tolist() if id_ in model.tokenizer.end_ids]
    free = [id_ for id_ in bridge.tokens.tolist() if id_ not in ends]
    place = {id_: i for i, id_ in enumerate(bridge.tokens.tolist())}
    states = {}
    for n in range(steps):
        for ids in itertools.product(free, repeat=n):
            sequence = model.runner.cache.open([*lead, *ids])
            (rows,) = model.runner.states([SequenceInput(sequence, [*lead, *ids][len(sequence) :])])
            model.runner.cache.close(sequence, remember=False)
            states[ids] = rows
    for picture in pictures:
        log_probs = {ids: bridge.log_probs(rows, picture[None])[0] for ids, rows in states.items()}

        def total(ids: tuple[int, ...], log_probs: dict = log_probs) -> float:
            return sum(float(log_probs[ids[:n]][place[id_]]) for n, id_ in enumerate(ids))

        whole = [(*ids, end) for ids in states for end in ends]
        best = max(whole, key=lambda ids: total(ids) / len(ids) ** drafting._LENGTH_POWER)
        said = " ".join(model.tokenizer.decode(best[:-1]).split())
        assert Drafter(bridge, model).sentences(picture[None]) == [said]


def test_a_draft_does_not_depend_on_the_pictures_beside_it(
    bridge: CaptionBridge, model: GgufModel, pictures: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Drafter, "_may_say", lambda self, text: True)
    drafter = Drafter(bridge, model)
    together = drafter.draft(pictures)
    assert together == [drafter.draft(picture[None])[0] for picture in pictures]
    assert len({draft.sentence for draft in together}) > 1
    assert not model.runner.cache._running  # nothing is left open


def test_what_a_draft_may_not_say_it_does_not_say(
    bridge: CaptionBridge, model: GgufModel, pictures: np.ndarray
) -> None:
    speechless = replace(bridge, config=replace(bridge.config, words=("the",)))
    assert Drafter(speechless, model).sentences(pictures) == [""] * len(pictures)  # the toy has no full stop
    drafter = Drafter(bridge, model)
    said = ["the a.", "the a,", "a.", "the Abc.", "the 1.", "the zebra.", "the (a) b."]
    assert [drafter._may_say(text) for text in said] == [True] + [False] * 6


def test_weights_that_do_not_belong_together_are_refused(bridge: CaptionBridge, model: GgufModel) -> None:
    with pytest.raises(ModelError) as caught:
        Drafter(replace(bridge, config=replace(bridge.config, language_sha256="0" * 64)), model)
    assert caught.value.key == "captions_of_other_model"
    with pytest.raises(ModelError) as caught:
        load_drafter(EncoderIdentity("another", "0" * 64, DIM, DIM))
    assert caught.value.key == "drafts_of_other_encoder"


def test_what_ships_fits_what_ships_beside_it() -> None:
    from vision.downloads.store import manifest
    from vision.joint_encoder.encoder import load_embedded_encoder

    config = CaptionBridge.load().config
    assert config.encoder_sha256 == load_embedded_encoder().identity.sha256
    assert config.language_sha256 == manifest()[config.language_model].files[0].sha256
