"""Several callers of one model: each gets what it would get alone, counts its own tokens, and disturbs nobody."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tests.vision.tiny_gguf import write_tiny_gguf
from vision.errors import ModelError, PromptTooLong
from vision.interfaces import Message, Prompt, Sampling, VisionLanguageModel
from vision.llm.model import GgufModel, load_gguf_model
from vision.llm.server import BatchingServer, ServerClient

WORDS = ("red", "green", "blue", "grey", "pink", "black")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> GgufModel:
    folder = tmp_path_factory.mktemp("serving")
    path = write_tiny_gguf(folder / "tiny.gguf", "qwen2", "Q8_0")
    return load_gguf_model(path, cache_dir=folder / "cache", threads=1, context_tokens=512)


@pytest.fixture
def served(model: GgufModel) -> Iterator[BatchingServer]:
    model.forget()
    served = BatchingServer(model)
    yield served
    served.close()


def ask(word: str) -> Prompt:
    return (Message.of("user", f"Tell of {word} walls and of nothing else."),)


def drawn(seed: int) -> Sampling:
    return Sampling(max_tokens=24, temperature=0.9, seed=seed)


def work(model: VisionLanguageModel, word: str, seed: int) -> tuple[str, list[str], list[float]]:
    """A stream, a batch of two and a scoring, as an article makes them."""
    text = "".join(chunk.text for chunk in model.stream(ask(word), drawn(seed)))
    batch = ["", ""]
    for chunk in model.stream_batch([ask(word), ask(word + text[:5])], [drawn(seed), drawn(seed + 1)]):
        batch[chunk.index] += chunk.text
    return text, batch, model.score(ask(text[:9]), ["yes", "no", "perhaps so"])


def test_callers_get_together_what_each_gets_alone(model: GgufModel, served: BatchingServer) -> None:
    alone = {word: work(model, word, seed) for seed, word in enumerate(WORDS)}
    model.forget()
    met: dict[str, object] = {}
    barrier = threading.Barrier(len(WORDS))

    def run(seed: int, word: str) -> None:
        caller = served.caller()
        barrier.wait()
        met[word] = work(caller, word, seed)

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(WORDS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert met == alone


def test_answers_of_two_callers_grow_side_by_side(served: BatchingServer) -> None:
    one, two = (served.caller().stream(ask(word), Sampling(max_tokens=400, temperature=0.9)) for word in WORDS[:2])
    first = [next(one), next(two), next(one), next(two)]
    assert all(chunk.finish is None for chunk in first), "one was complete before the other began"
    one.close()
    two.close()


def test_each_caller_counts_its_own_tokens_and_the_model_all(model: GgufModel, served: BatchingServer) -> None:
    before = model.usage.copy()
    one, two = served.caller(), served.caller()
    generated = sum(1 for _ in one.stream(ask("red"), Sampling(max_tokens=7, temperature=0)))
    assert 0 < generated <= one.usage.generated_tokens <= 7
    assert one.usage.prompt_tokens == one.count_tokens(ask("red"))
    assert two.usage.prompt_tokens == two.usage.generated_tokens == 0
    two.score(ask("red"), ["yes", "no"])
    assert two.usage.prompt_tokens == one.usage.prompt_tokens
    assert two.usage.cached_tokens > 0, "the second caller read again what the first had read"
    total = one.usage.copy()
    total.add(two.usage)
    assert model.usage.since(before) == total


def test_a_stream_that_is_left_makes_room_and_disturbs_nobody(model: GgufModel, served: BatchingServer) -> None:
    left, kept = served.caller(), served.caller()
    expected = "".join(c.text for c in model.stream(ask("blue"), drawn(5)))
    leaving = left.stream(ask("red"), Sampling(max_tokens=300, temperature=0.9))
    next(leaving)
    staying = kept.stream(ask("blue"), drawn(5))
    begun = next(staying).text
    leaving.close()
    assert begun + "".join(c.text for c in staying) == expected
    assert left.score(ask("red"), ["yes"]) == kept.score(ask("red"), ["yes"])
    assert left.usage.generated_tokens < 300


def test_an_error_reaches_the_caller_it_belongs_to_and_the_others_go_on(served: BatchingServer) -> None:
    fine, wrong = served.caller(), served.caller()
    stream = fine.stream(ask("red"), drawn(1))
    next(stream)
    with pytest.raises(PromptTooLong, match=r"prompt_too_long: .*limit=512"):
        list(wrong.stream(ask("red " * 900), drawn(1)))
    with pytest.raises(PromptTooLong, match=r"prompt_too_long: .*limit=512"):
        wrong.score(ask("red " * 900), ["yes"])
    with pytest.raises(ModelError, match="option_empty"):
        wrong.score(ask("red"), [""])
    assert [chunk.finish for chunk in stream][-1] in ("stop", "length")


def test_a_failing_engine_is_told_to_everybody_and_the_next_call_works(
    model: GgufModel, served: BatchingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = served.caller().stream(ask("red"), Sampling(max_tokens=200, temperature=0.9))
    next(stream)

    def broken(*_: object) -> None:
        raise MemoryError("no memory for 3 rows")

    with monkeypatch.context() as patch:
        patch.setattr(model._runner.engine, "decode", broken)
        with pytest.raises(MemoryError, match="no memory for 3 rows"):
            list(stream)
    assert work(served.caller(), "red", 3) == work(served.caller(), "red", 3)


def test_closing_ends_streams_with_an_error_and_refuses_new_ones(served: BatchingServer) -> None:
    stream = served.caller().stream(ask("red"), Sampling(max_tokens=400, temperature=0.9))
    next(stream)
    served.close()
    served.close()
    with pytest.raises(ModelError, match="model_closed"):
        list(stream)
    with pytest.raises(ModelError, match="model_closed"):
        served.caller().score(ask("red"), ["yes"])


def test_a_caller_is_a_vision_language_model(served: BatchingServer) -> None:
    assert isinstance(served.caller(), VisionLanguageModel)
    assert list(ServerClient(served).stream_batch([], [])) == []
