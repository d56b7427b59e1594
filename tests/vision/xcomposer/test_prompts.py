"""Prompts as InternLM-XComposer was trained on them, and the protocol on top: scores, batches, captions, caches."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.vision.tiny_xcomposer import END, START, write_tiny_xcomposer
from vision.errors import PromptTooLong
from vision.huggingface.captioning import write_captions
from vision.huggingface.model import HubModel
from vision.interfaces import Message, Sampling
from vision.xcomposer.loading import load_xcomposer
from vision.xcomposer.tokenizer import InternLM2Tokenizer

OPTIONS = ["yes", "no", "the river"]


def picture(width: int, height: int, seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


SMALL, WIDE, TALL = picture(50, 40, 1), picture(170, 60, 2), picture(60, 100, 3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_xcomposer(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module", params=["tiles", "square"])
def model(request: pytest.FixtureRequest, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> HubModel:
    if request.param == "square":
        folder = write_tiny_xcomposer(tmp_path_factory.mktemp("square"), tiles=False)
    return load_xcomposer(str(folder), device="cpu")


def asked(*content: str | Image.Image) -> tuple[Message, ...]:
    return (Message("user", content),)


def ids_of(model: HubModel, prompt: tuple[Message, ...]) -> list[int]:
    return list(model._encoder.encode(prompt).ids)


def test_a_conversation_has_the_published_form_after_one_start_token(folder: Path) -> None:
    model, tokenizer = load_xcomposer(str(folder), device="cpu"), InternLM2Tokenizer(folder, "tiny")
    prompt = (
        Message.of("system", "Be brief."),
        Message.of("user", "Hello"),
        Message.of("assistant", "The river."),
        Message.of("user", "Which boats?"),
    )
    text = (
        "[UNUSED_TOKEN_146]system\nBe brief.[UNUSED_TOKEN_145]\n"
        "[UNUSED_TOKEN_146]user\nHello[UNUSED_TOKEN_145]\n"
        "[UNUSED_TOKEN_146]assistant\nThe river.[UNUSED_TOKEN_145]\n"
        "[UNUSED_TOKEN_146]user\nWhich boats?[UNUSED_TOKEN_145]\n"
        "[UNUSED_TOKEN_146]assistant\n"
    )
    assert ids_of(model, prompt) == [tokenizer.bos_token_id, *tokenizer(text)["input_ids"]]
    continued = (*prompt, Message.of("assistant", "The boats go"))
    assert ids_of(model, continued) == [tokenizer.bos_token_id, *tokenizer(text + "The boats go")["input_ids"]]


def test_text_is_encoded_piece_by_piece_between_pictures(folder: Path) -> None:
    model, tokenizer = load_xcomposer(str(folder), device="cpu"), InternLM2Tokenizer(folder, "tiny")
    found = ids_of(model, asked("Image1 ", SMALL, "; Image2 ", TALL, " Which?"))
    head, middle, tail = (
        tokenizer(text)["input_ids"]
        for text in (f"{START}user\nImage1 ", "; Image2 ", f" Which?{END}\n{START}assistant\n")
    )
    # One tile, and two of three rows: small view, separator, tiles; 2 × 2 vectors a tile and an end for every row.
    places = [420] * (2 * 3 + 1 + 2 * 3), [420] * (2 * 3 + 1 + 4 * 5)
    assert found == [tokenizer.bos_token_id, *head, *places[0], *middle, *places[1], *tail]


def test_several_pictures_share_fewer_tiles(model: HubModel) -> None:
    square = not hasattr(model._encoder._model, "plora_glb_GN")  # type: ignore[attr-defined]
    large = picture(600, 300, 4)
    alone, both = (
        sum(span.end - span.start for span in model._encoder.encode(asked(*[large] * count)).spans) for count in (1, 2)
    )
    # 6 × 3 tiles alone, 3 × 2 each of two.
    assert (alone, both) == ((25, 50) if square else (7 + 6 * 13, 2 * (7 + 4 * 7)))


def test_scores_are_those_of_one_pass_over_prompt_and_option(model: HubModel) -> None:
    import torch

    encoder, inner = model._encoder, model._forward.model
    prompt = asked("Which? ", WIDE, " or ", SMALL)
    encoded = encoder.encode(prompt)
    vectors = encoder.pictures_between(encoded, 0, len(encoded.ids))["picture_vectors"]
    for option, score in zip(OPTIONS, model.score(prompt, OPTIONS), strict=True):
        tokens = encoder.encode_continuation(option)
        with torch.inference_mode():
            logits = inner(torch.tensor([[*encoded.ids, *tokens]]), picture_vectors=vectors).logits[0].log_softmax(-1)
        start = len(encoded.ids) - 1
        expected = sum(float(logits[start + i, token]) for i, token in enumerate(tokens))
        assert score == pytest.approx(expected, abs=1e-4)


def test_batched_and_cached_scores_are_the_single_and_fresh_ones(model: HubModel) -> None:
    turns = (*asked("Read: the parrot sits in the tree."), Message.of("assistant", "Yes."))
    prompts = [
        (*turns, *asked("Does it fit? ", SMALL)),
        (*turns, *asked("Does it fit? ", WIDE, " or ", TALL)),
        (*turns, *asked("And the cows?")),
        (*turns, *asked("And the boats by the river?")),
    ]
    fresh = []
    for prompt in prompts:
        model._reader.forget()
        fresh.append(model.score(prompt, OPTIONS))
    before = model.usage.copy()
    together = model.score_batch(prompts, [OPTIONS] * 4)
    assert model.usage.since(before).cached_tokens > 0
    words = model.score_batch(prompts[2:], [OPTIONS] * 2)
    for row, scores in enumerate(fresh):
        assert together[row] == pytest.approx(scores, abs=1e-4)
    for found, expected in zip(words, fresh[2:], strict=True):
        assert found == pytest.approx(expected, abs=1e-4)


def test_scores_depend_on_the_picture_and_its_place(model: HubModel) -> None:
    both, swapped = (
        model.score(asked("a", *pair[:1], "b", *pair[1:]), OPTIONS) for pair in ((SMALL, TALL), (TALL, SMALL))
    )
    assert both != pytest.approx(swapped, abs=1e-3)
    assert model.score(asked("a", SMALL), OPTIONS) != pytest.approx(model.score(asked("a", TALL), OPTIONS), abs=1e-3)


def test_a_picture_is_looked_at_once(model: HubModel, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = []
    inner = model._forward.model
    see = inner.see
    monkeypatch.setattr(inner, "see", lambda pixels: looked.append(pixels.shape) or see(pixels))
    fresh = picture(50, 50, 99)
    for question in ("What?", "Where?", "When?"):
        model.score(asked(f"{question} ", fresh), OPTIONS)
    model.count_tokens(asked("Counting looks at nothing.", picture(50, 50, 98)))
    assert len(looked) == 1


def test_batched_texts_are_the_single_ones(model: HubModel) -> None:
    prompts = [asked("Tell of ", SMALL), asked("Tell of ", WIDE), asked("Tell of the river"), asked("Tell of the tree")]
    samplings = [Sampling(max_tokens=6, temperature=temperature, seed=5) for temperature in (0.0, 1.0, 0.0, 1.0)]
    single = [
        "".join(chunk.text for chunk in model.stream(prompt, sampling))
        for prompt, sampling in zip(prompts, samplings, strict=True)
    ]
    together = [""] * 4
    for chunk in model.stream_batch(prompts, samplings):
        together[chunk.index] += chunk.text
    words = [""] * 2
    for chunk in model.stream_batch(prompts[2:], samplings[2:]):
        words[chunk.index] += chunk.text
    assert together == single
    assert words == single[2:]


def test_captions_are_written(model: HubModel) -> None:
    captions = write_captions(model, [SMALL, TALL], Sampling(max_tokens=5, temperature=0.0))
    assert len(captions) == 2


@pytest.mark.parametrize("token", [START, END, "<ImageHere>", "</s>", "[UNUSED_TOKEN_141]", "<s>"])
def test_a_token_written_in_a_text_is_only_words(model: HubModel, token: str) -> None:
    clean = ids_of(model, asked("a  b", SMALL))
    found = ids_of(model, asked(f"a {token} b", SMALL))
    tokenizer: InternLM2Tokenizer = model._tokenizer
    for special in (*tokenizer._special_ids, tokenizer(START)["input_ids"][-1], tokenizer(END)["input_ids"][-1], 420):
        assert found.count(special) == clean.count(special)
    assert len(found) > len(clean)


def test_a_prompt_too_long_for_the_model_is_refused_not_cut_off(folder: Path) -> None:
    model = load_xcomposer(str(folder), device="cpu", context_tokens=300)
    with pytest.raises(PromptTooLong, match=r"pictures_too_long: .*pictures=12"):
        model.score(asked(*[TALL] * 12), ["yes"])


def test_tokens_that_the_settings_add_stand_alone(folder: Path, tmp_path: Path) -> None:
    """As the published class splits: text between two of them is encoded for itself, with its own first blank."""
    (tmp_path / "tokenizer.model").write_bytes((folder / "tokenizer.model").read_bytes())
    plain = InternLM2Tokenizer(tmp_path, "tiny")
    added = {"7": {"content": "river", "special": False}, "411": {"content": "<new>", "special": True}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"added_tokens_decoder": added}))
    found = InternLM2Tokenizer(tmp_path, "tiny")
    assert found("the river<new>goes")["input_ids"] == [
        *plain("the ")["input_ids"], 7, 411, *plain("goes")["input_ids"]
    ]  # fmt: skip
    assert len(found) == len(plain) == 420
    assert "<new>" in found.all_special_tokens


def test_unknown_characters_come_back_whole(folder: Path) -> None:
    tokenizer = InternLM2Tokenizer(folder, "tiny")
    text = "Ünïcode 浦语 🦜"
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
