"""What is read once counts as if it had been read for every question, whatever the model's cache is made of."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
import torch

from tests.model_families import FAMILIES
from tests.seeing_families import SEEING_FAMILIES
from tests.vision.tiny_bridge import picture
from vision.huggingface.loading import load_hub_model
from vision.huggingface.model import HubModel
from vision.interfaces import Message, Prompt, Sampling

TOLERANCE = 1e-5  # nats
YES_NO = [" A", " B"]
LONGER = [" the red parrot", " A", " by the river and the boats"]
ARTICLE = (
    Message.of("user", "Write about the farm."),
    Message.of("assistant", "A day on the farm begins before the sun is up; the cows are waiting at the gate. " * 3),
)
KINDS = {"plain": "llama", "sliding": "mistral", "hybrid": "qwen3_5_text", "convolutions": "lfm2", "alibi": "bloom"}


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], HubModel]:
    builders = {family.kind: family.build for family in (*FAMILIES, *SEEING_FAMILIES)}

    @cache
    def load(kind: str) -> HubModel:
        model = load_hub_model(str(builders[kind](tmp_path_factory.mktemp(kind))), device="cpu")
        assert isinstance(model, HubModel)
        return model

    def forgetful(kind: str) -> HubModel:
        load(kind)._reader.forget()
        return load(kind)

    return forgetful


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def model(request: pytest.FixtureRequest, zoo: Callable[[str], HubModel]) -> HubModel:
    return zoo(request.param)


def about(slot: str, candidate: str) -> Prompt:
    question = Message.of("user", f"Which picture fits {slot}? {candidate}")
    return (*ARTICLE, question, Message.of("assistant", "The answer is"))


def fresh(model: HubModel, prompt: Prompt, option: str) -> float:
    """One pass over prompt and option of the bare transformers model, which remembers nothing."""
    ids, added = model._encoder.encode(prompt).ids, model._encoder.encode_continuation(option)
    with torch.inference_mode():
        logits = model._forward.model(input_ids=torch.tensor([[*ids, *added]]), use_cache=False).logits[0]
    log_probs = torch.log_softmax(logits.float(), dim=-1)
    return sum(float(log_probs[len(ids) - 1 + i, token]) for i, token in enumerate(added))


@pytest.mark.parametrize("options", [YES_NO, LONGER], ids=["one token", "several"])
def test_every_question_about_an_article_scores_as_a_fresh_pass(model: HubModel, options: list[str]) -> None:
    assert (max(len(model._encoder.encode_continuation(option)) for option in options) == 1) is (options is YES_NO)
    for slot in ("the gate", "the river by the old tree"):
        prompts = [about(slot, what) for what in ("cows", "the red parrot", "boats", "a pet", "water, clean")]
        scores = model.score_batch(prompts, [options] * len(prompts))
        for prompt, row in zip(prompts, scores, strict=True):
            assert row == pytest.approx([fresh(model, prompt, option) for option in options], abs=TOLERANCE)


def test_an_article_is_read_once_for_all_its_questions(model: HubModel) -> None:
    article = len(model._encoder.encode(ARTICLE).ids)
    for number, slot in enumerate(("the gate", "the river by the old tree", "the sun", "the water")):
        prompts = [about(slot, what) for what in ("cows", "the red parrot", "boats")]
        before = model.usage.copy()
        model.score_batch(prompts, [YES_NO] * 3)
        used = model.usage.since(before)
        read = used.prompt_tokens - used.cached_tokens
        assert read - article > 0 if number == 0 else read < article


def test_drafts_of_one_prompt_are_written_side_by_side_and_as_each_alone(
    model: HubModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt, samplings = about("the gate", "cows"), [Sampling(max_tokens=9, temperature=1.0, seed=i) for i in range(3)]
    alone = ["".join(chunk.text for chunk in model.stream(prompt, sampling)) for sampling in samplings]
    steps: list[int] = []
    step = model._forward.step
    monkeypatch.setattr(model._forward, "step", lambda rows, ids: steps.append(len(ids)) or step(rows, ids))
    texts = [""] * 3
    for chunk in model.stream_batch([prompt] * 3, samplings):
        texts[chunk.index] += chunk.text
    assert texts == alone
    assert steps[0] == 3


def test_an_interrupted_pass_spoils_no_copy(model: HubModel, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = [about("the gate", what) for what in ("cows", "the red parrot")]
    expected = model.score_batch(prompts, [YES_NO] * 2)

    def interrupt(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(model._forward.model.get_output_embeddings(), "forward", interrupt)
        with pytest.raises(KeyboardInterrupt):
            model.score_batch([about("the sun", what) for what in ("one", "another one")], [YES_NO] * 2)
    for one, other in zip(model.score_batch(prompts, [YES_NO] * 2), expected, strict=True):
        assert one == pytest.approx(other, abs=TOLERANCE)


def test_few_copies_are_kept(zoo: Callable[[str], HubModel]) -> None:
    model = zoo("qwen3_5_text")
    for number in range(20):
        model.score_batch([about(f"{number} boats and {number} cows", what) for what in "ab"], [YES_NO] * 2)
    assert len(model._reader._kept) < 8
    before = model.usage.copy()
    model.score(about("the gate", "cows"), YES_NO)  # the article's own is still among them
    assert model.usage.since(before).cached_tokens >= len(model._encoder.encode(ARTICLE).ids) - 1


@pytest.mark.parametrize("kind", [family.kind for family in SEEING_FAMILIES])
def test_a_picture_is_looked_at_once_and_counts_as_often_as_it_is_shown(
    kind: str, zoo: Callable[[str], HubModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = zoo(kind)
    architecture = model._forward.model.base_model
    looked: list[int] = []
    look = architecture.get_image_features
    features = model._encoder._features
    assert features is not None

    def counted(*args: object, **inputs: torch.Tensor) -> object:
        looked.append(1)
        return look(*args, **inputs)

    monkeypatch.setattr(features, "_encode", counted)
    red, blue = picture("red"), picture("blue")

    def shown(where: str, *pictures: object) -> Prompt:
        return (*ARTICLE, Message("user", (f"What stands {where}? ", *pictures, " Which?")))

    prompts = [shown("at the gate", red), shown("at the gate", blue), shown("by the river", blue)]
    scores = model.score_batch(prompts, [YES_NO] * 3)
    assert len(looked) == 2
    for prompt, row in zip(prompts, scores, strict=True):
        encoded = model._encoder.encode(prompt)
        with torch.inference_mode():
            logits = model._forward.model(
                input_ids=torch.tensor([encoded.ids]), use_cache=False, **encoded.aligned, **encoded.pixels
            ).logits[0, -1]
        expected = torch.log_softmax(logits.float(), dim=-1)
        ids = [model._encoder.encode_continuation(option)[0] for option in YES_NO]
        assert row == pytest.approx([float(expected[i]) for i in ids], abs=1e-4)
    model.score(shown("here", red, blue), YES_NO)
    assert len(looked) == 2
