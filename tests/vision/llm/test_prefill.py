"""Reading several prompts at once: the same bits as one by one, and nothing read twice."""

import numpy as np
import pytest

from tests.vision.tiny_gguf import write_tiny_gguf
from vision.llm.model import GgufModel, load_gguf_model
from vision.llm.prefill import groups_that_fit, prefill


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> GgufModel:
    folder = tmp_path_factory.mktemp("reading")
    path = write_tiny_gguf(folder / "tiny.gguf", "qwen2", "Q8_0")
    return load_gguf_model(path, cache_dir=folder / "cache", threads=1, context_tokens=512)


ARTICLE = [5 + i % 40 for i in range(100)]
QUESTIONS = [[50 + i for i in range(20)], [80 + i for i in range(20)]]
PROMPTS = [ARTICLE + question + [110 + i, 3] for question in QUESTIONS for i in range(4)]


def read_alone(model: GgufModel, ids: list[int]) -> np.ndarray:
    model.forget()
    [(sequence, logits)] = prefill(model._runner, [ids], [model.usage])
    model._runner.cache.close(sequence, remember=False)
    return logits


def test_prompts_read_together_have_the_logits_they_have_alone_to_the_last_bit(model: GgufModel) -> None:
    alone = [read_alone(model, ids) for ids in PROMPTS]
    model.forget()
    together = prefill(model._runner, PROMPTS, [model.usage] * len(PROMPTS))
    for one, (sequence, logits), ids in zip(alone, together, PROMPTS, strict=True):
        np.testing.assert_array_equal(one, logits)
        assert sequence.tokens == ids
        model._runner.cache.close(sequence)


def test_what_prompts_share_is_read_once(model: GgufModel) -> None:
    model.forget()
    before = model.usage.copy()
    for sequence, _ in prefill(model._runner, PROMPTS[::-1], [model.usage] * len(PROMPTS)):
        model._runner.cache.close(sequence)
    spent = model.usage.since(before)
    assert spent.prompt_tokens == sum(map(len, PROMPTS))
    assert spent.prompt_tokens - spent.cached_tokens == len(ARTICLE) + 2 * len(QUESTIONS[0]) + 2 * len(PROMPTS)


def test_groups_count_shared_beginnings_once_and_long_strangers_apart(model: GgufModel) -> None:
    model.forget()
    strangers = [[7 + i] * 300 for i in range(3)]
    assert groups_that_fit(model._runner, strangers, 512) == [[0], [1], [2]]
    assert groups_that_fit(model._runner, PROMPTS, 1024) == [list(range(len(PROMPTS)))]


def test_a_cache_too_small_for_all_leaves_nothing_open(model: GgufModel) -> None:
    from vision.errors import PromptTooLong

    model.forget()
    cache = model._runner.cache
    free = len(cache._free)
    strangers = [[7 + i] * 400 for i in range(8)]
    with pytest.raises(PromptTooLong):
        prefill(model._runner, strangers, [model.usage] * len(strangers))
    model.forget()
    assert len(cache._free) == free
