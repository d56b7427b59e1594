"""Tower, bridge and language model together are a VisionLanguageModel like any other."""

from pathlib import Path

import pytest
import torch

from tests.vision.tiny_bridge import picture, tiny_bridge, tiny_language, tiny_tower
from vision.bridge.bridged_model import PICTURE, BridgedCausalLM, bridged_model, load_bridged_model
from vision.bridge.grid_tower import VisionTower
from vision.bridge.language_model import CausalModel
from vision.errors import ModelError, PromptTooLong
from vision.interfaces import Message, Sampling, VisionLanguageModel

RED, BLUE = picture("red"), picture("blue")


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> tuple[VisionTower, CausalModel]:
    return tiny_tower(), tiny_language(tmp_path_factory.mktemp("language"))


@pytest.fixture(scope="module", params=["sampler", "mlp"])
def model(request: pytest.FixtureRequest, parts: tuple[VisionTower, CausalModel]) -> VisionLanguageModel:
    tower, language = parts
    return bridged_model(tower, tiny_bridge(tower, language, kind=request.param), language)


def asked(*content: object) -> tuple[Message, ...]:
    return (Message("user", content),)  # type: ignore[arg-type]


def test_it_honours_the_protocol(model: VisionLanguageModel) -> None:
    assert isinstance(model, VisionLanguageModel)
    assert model.sees_images
    assert len(model.identity.sha256) == 64
    assert model.context_tokens == 512


def test_a_picture_takes_its_tokens_in_the_prompt(model: VisionLanguageModel) -> None:
    without = model.count_tokens(asked("What is this?"))
    one = model.count_tokens(asked("What is this?", RED)) - without
    assert one in (6, 11)  # sampler of 4 queries, or 9 places; start and end
    assert model.count_tokens(asked("What is this?", RED, BLUE)) - without == 2 * one


def test_scores_depend_on_the_picture_and_its_place(model: VisionLanguageModel) -> None:
    options = ["the", "in her"]
    red = model.score(asked("It is ", RED), options)
    assert red != pytest.approx(model.score(asked("It is ", BLUE), options), abs=1e-4)
    both, swapped = model.score(asked("a", RED, "b", BLUE), options), model.score(asked("a", BLUE, "b", RED), options)
    assert both != pytest.approx(swapped, abs=1e-4)
    assert red == pytest.approx(model.score(asked("It is ", RED), options), abs=1e-4)


def test_scores_do_not_depend_on_the_order_of_the_options_nor_on_the_batch(model: VisionLanguageModel) -> None:
    prompts = [asked("It is ", RED), asked("It is ", BLUE, " and more"), asked("No picture")]
    options = ["the", "in her", "x"]
    forward = [model.score(prompt, options) for prompt in prompts]
    backward = [model.score(prompt, options[::-1])[::-1] for prompt in prompts]
    together = model.score_batch(prompts, [options] * 3)
    for row in range(3):
        assert backward[row] == pytest.approx(forward[row], abs=1e-4)
        assert together[row] == pytest.approx(forward[row], abs=1e-4)


def test_scores_are_those_of_the_language_model_reading_the_bridge_s_vectors(
    parts: tuple[VisionTower, CausalModel],
) -> None:
    tower, language = parts
    bridge = tiny_bridge(tower, language)
    model = bridged_model(tower, bridge, language)
    tokenizer = language.tokenizer
    before, after = "<|im_start|>user\nIt is ", "<|im_end|>\n<|im_start|>assistant\n"
    ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in (before, after, "the")]
    words = [language.model.get_input_embeddings()(torch.tensor([part])) for part in ids]
    seen = bridge(torch.from_numpy(tower.features([RED])))
    with torch.inference_mode():
        whole = torch.cat([words[0], seen, words[1], words[2]], 1)
        logits = language.model(inputs_embeds=whole).logits[0].log_softmax(-1)
    start = whole.shape[1] - len(ids[2]) - 1
    expected = sum(float(logits[start + i, token]) for i, token in enumerate(ids[2]))
    assert model.score(asked("It is ", RED), ["the"])[0] == pytest.approx(expected, abs=1e-3)


def test_it_writes_and_the_same_seed_writes_the_same(model: VisionLanguageModel) -> None:
    sampling = Sampling(max_tokens=8, temperature=1.0, seed=3)
    texts = ["".join(chunk.text for chunk in model.stream(asked("Tell of ", RED), sampling)) for _ in range(2)]
    assert texts[0] == texts[1]
    chunks = list(model.stream_batch([asked("a", RED), asked("b", BLUE)], [sampling, sampling]))
    assert {chunk.index for chunk in chunks} == {0, 1}
    assert sum(chunk.finish is not None for chunk in chunks) == 2


def test_words_that_spell_a_picture_are_only_words(model: VisionLanguageModel) -> None:
    assert model.score(asked(f"It is {PICTURE} ", RED), ["the"])[0] < 0
    assert model.count_tokens(asked(PICTURE)) > model.count_tokens(asked(""))


def test_too_many_pictures_are_refused_not_cut_off(model: VisionLanguageModel) -> None:
    with pytest.raises(PromptTooLong, match=r"pictures_too_long: .*pictures=90"):
        model.score(asked(*[RED] * 90), ["the"])


def test_pictures_and_places_that_do_not_match_are_refused(parts: tuple[VisionTower, CausalModel]) -> None:
    tower, language = parts
    model = BridgedCausalLM(language.model, tiny_bridge(tower, language), picture_id=400)
    with pytest.raises(ModelError, match="picture_places: pictures=0, places=1, each=6"):
        model(torch.tensor([[1, 400]]))


def test_a_folder_of_other_weights_is_refused(
    parts: tuple[VisionTower, CausalModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tower, language = parts
    tiny_bridge(tower, language).save_pretrained(tmp_path)
    monkeypatch.setattr("vision.bridge.grid_tower.load_tower", lambda name, device: tiny_tower(seed=1))
    with pytest.raises(ModelError, match=r"bridge_of_other_weights: .*model=tiny-tower"):
        load_bridged_model(tmp_path)
    monkeypatch.setattr("vision.bridge.grid_tower.load_tower", lambda name, device: tower)
    loaded, made = load_bridged_model(tmp_path), bridged_model(tower, tiny_bridge(tower, language), language)
    assert loaded.score(asked("It is ", RED), ["the"]) == pytest.approx(
        made.score(asked("It is ", RED), ["the"]), abs=0.05
    )
