"""The language model behind the protocol: streams, batches, scores, counters and errors."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFWriter

from tests.vision.tiny_gguf import write_tiny_gguf
from vision.downloads.store import home
from vision.errors import ModelError, PromptTooLong, WeightsError
from vision.interfaces import Chunk, Message, Prompt, Sampling, Usage, VisionLanguageModel
from vision.llm.kernels.build import kernels_folder, load_kernels
from vision.llm.model import GgufModel, load_gguf_model
from vision.llm.model_cache import open_cached

FARM = "Write about a day on a farm."
GREEDY = Sampling(max_tokens=24, temperature=0)


@pytest.fixture(scope="module")
def smollm2(model_path: Callable[[str], Path]) -> GgufModel:
    return load_gguf_model(model_path("smollm2-135m-instruct"), threads=2, context_tokens=1024)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache folder of the test's own, with the kernels already built."""
    folder = tmp_path / "cache"
    folder.mkdir()
    load_kernels(home() / "converted")
    kernels_folder(folder).symlink_to(kernels_folder(home() / "converted"))
    return folder


@pytest.fixture
def tiny(tmp_path: Path, cache: Path) -> GgufModel:
    path = write_tiny_gguf(tmp_path / "tiny.gguf", "qwen3")
    return load_gguf_model(path, threads=1, context_tokens=256, cache_dir=cache)


def ask(text: str, begun: str = "") -> Prompt:
    return [Message.of("user", text), *([Message.of("assistant", begun)] if begun else [])]


def texts(chunks: Iterator[Chunk]) -> dict[int, str]:
    out: dict[int, str] = {}
    for chunk in chunks:
        out[chunk.index] = out.get(chunk.index, "") + chunk.text
    return out


def written(model: GgufModel, prompt: Prompt, sampling: Sampling) -> str:
    return texts(model.stream(prompt, sampling))[0]


def test_it_honours_the_protocol(tiny: GgufModel) -> None:
    assert isinstance(tiny, VisionLanguageModel)
    assert (tiny.sees_images, tiny.identity.name, len(tiny.identity.sha256)) == (False, "tiny", 64)


def test_it_knows_what_the_model_learnt(smollm2: GgufModel) -> None:
    paris, banana = smollm2.score(
        ask("What is the capital of France?", "The capital of France is"), [" Paris", " banana"]
    )
    assert paris > math.log(0.5)
    assert banana < math.log(0.01)


def test_the_same_seed_writes_the_same_and_another_one_something_else(smollm2: GgufModel) -> None:
    sampling = [Sampling(max_tokens=20, temperature=1.0, seed=seed) for seed in (1, 1, 2)]
    first, again, other = (written(smollm2, ask(FARM), s) for s in sampling)
    assert first == again != other


def test_a_batch_writes_what_each_prompt_alone_would(smollm2: GgufModel) -> None:
    prompts = [ask(FARM), ask("Hi"), ask("Name three birds.", "1."), ask(FARM + " In winter.")]
    samplings = [Sampling(max_tokens=n, temperature=0.8, seed=n) for n in (16, 5, 22, 9)]
    alone = [written(smollm2, p, s) for p, s in zip(prompts, samplings, strict=True)]
    chunks = list(smollm2.stream_batch(prompts, samplings))
    assert texts(iter(chunks)) == dict(enumerate(alone))
    assert sorted(c.index for c in chunks if c.finish) == [0, 1, 2, 3]
    for index in range(4):
        assert [c.finish is not None for c in chunks if c.index == index].index(True) == (
            sum(c.index == index for c in chunks) - 1
        ), "the finishing chunk is the last of its prompt"


def test_prompts_may_join_and_leave_a_running_batch(smollm2: GgufModel) -> None:
    alone = written(smollm2, ask("Hi"), GREEDY)
    batch = smollm2.open_batch()
    first = batch.add(smollm2.encode(ask(FARM)), GREEDY)
    for _ in range(3):
        batch.step()
    second = batch.add(smollm2.encode(ask("Hi")), GREEDY)
    chunks = batch.step()
    batch.cancel(first)
    while batch:
        chunks += batch.step()
    assert texts(c for c in chunks if c.index == second) == {second: alone}


def test_a_joining_prompt_is_read_in_the_pass_of_those_that_run(
    tiny: GgufModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = tiny.open_batch()
    batch.add(tiny.encode(ask("the long farm")), Sampling(max_tokens=20, temperature=0))
    batch.step()
    rows: list[int] = []
    decode = tiny._runner.engine.decode
    monkeypatch.setattr(
        tiny._runner.engine, "decode", lambda token, *rest: (rows.append(len(token)), decode(token, *rest))[1]
    )
    prompt = tiny.encode(ask("something else"))
    known = tiny._runner.cache.known_tokens(prompt.ids)
    batch.add(prompt, Sampling(max_tokens=20, temperature=0))
    batch.step()
    assert rows == [1 + len(prompt.ids) - known]
    batch.close()


def test_a_batch_larger_than_the_cache_waits_for_room(tiny: GgufModel) -> None:
    prompts = [ask(f"{i} " + "the " * 90) for i in range(5)]
    samplings = [Sampling(max_tokens=30, temperature=1, seed=i) for i in range(5)]
    alone = [written(tiny, p, s) for p, s in zip(prompts, samplings, strict=True)]
    assert texts(tiny.stream_batch(prompts, samplings)) == dict(enumerate(alone))


def test_closing_a_stream_cancels_it_and_leaves_the_cache_usable(smollm2: GgufModel) -> None:
    whole = written(smollm2, ask(FARM), GREEDY)
    before = smollm2.usage.copy()
    stream = smollm2.stream(ask(FARM), GREEDY)
    start = next(stream).text + next(stream).text
    stream.close()  # type: ignore[attr-defined]
    assert smollm2.usage.since(before).generated_tokens <= 5
    assert whole.startswith(start)
    assert written(smollm2, ask(FARM), GREEDY) == whole


def test_two_streams_may_be_read_in_turns(smollm2: GgufModel) -> None:
    wholes = [written(smollm2, ask(text), GREEDY) for text in (FARM, "Hi")]
    streams = [smollm2.stream(ask(text), GREEDY) for text in (FARM, "Hi")]
    parts = ["", ""]
    live = {0, 1}
    while live:
        for i in sorted(live):
            chunk = next(streams[i], None)
            if chunk is None:
                live.discard(i)
            else:
                parts[i] += chunk.text
    assert parts == wholes


def test_continuing_one_s_own_text_reads_almost_nothing_again(smollm2: GgufModel) -> None:
    begun = written(smollm2, ask(FARM), Sampling(max_tokens=60, temperature=0.7, seed=4))
    before = smollm2.usage.copy()
    written(smollm2, ask(FARM, begun), Sampling(max_tokens=1))
    cost = smollm2.usage.since(before)
    assert cost.prompt_tokens - cost.cached_tokens <= 6
    assert cost.prompt_tokens > 60


def test_a_begun_answer_is_continued_not_repeated(smollm2: GgufModel) -> None:
    text = written(smollm2, ask("Count to five.", "1, 2, 3,"), Sampling(max_tokens=8, temperature=0))
    assert text.lstrip().startswith("4")


def test_stop_strings_end_an_answer(smollm2: GgufModel) -> None:
    whole = written(smollm2, ask(FARM), GREEDY)
    stop = whole[20:26]
    chunks = list(smollm2.stream(ask(FARM), Sampling(max_tokens=24, temperature=0, stop=("never\x00", stop))))
    assert "".join(c.text for c in chunks) == whole[: whole.index(stop)]
    assert chunks[-1].finish == "stop"


def test_an_end_of_turn_finishes_with_stop_and_the_budget_with_length(smollm2: GgufModel) -> None:
    short = list(smollm2.stream(ask("What is 2 + 2? One word."), Sampling(max_tokens=200, temperature=0)))
    assert short[-1].finish == "stop"
    assert "<|im_end|>" not in "".join(c.text for c in short)
    assert list(smollm2.stream(ask(FARM), Sampling(max_tokens=3, temperature=0)))[-1].finish == "length"


def test_scores_are_sums_of_log_probabilities_of_the_option_alone(smollm2: GgufModel) -> None:
    prompt = ask("Which animal barks?", "The animal that barks is the")
    whole, first = smollm2.score(prompt, [" dog in the yard", " dog"])
    (rest,) = smollm2.score([prompt[0], Message.of("assistant", prompt[1].text + " dog")], [" in the yard"])
    assert whole == pytest.approx(first + rest, abs=1e-4)
    assert smollm2.score(prompt, [" dog", " dog", " dog in the yard"]) == [first, first, whole]


def test_single_token_options_cover_a_distribution(smollm2: GgufModel) -> None:
    letters = ["A", "B", "C", "D"]
    scores = smollm2.score(ask("Answer with one letter: A, B, C or D?", "The answer is "), letters)
    assert 0 < sum(math.exp(s) for s in scores) <= 1


def test_scoring_in_a_batch_equals_scoring_alone_and_reads_a_shared_prefix_once(smollm2: GgufModel) -> None:
    article = "The parrot sat in the tree. " * 20
    prompts = [ask(f"{article} Question {i}: is there a bird?") for i in range(4)]
    options = [["Yes", "No, none at all"], ["Yes"], [], ["No", "Yes", "Perhaps it is"]]
    before = smollm2.usage.copy()
    together = smollm2.score_batch(prompts, options)
    cost = smollm2.usage.since(before)
    assert cost.cached_tokens > cost.prompt_tokens * 0.5
    assert together == [smollm2.score(p, o) for p, o in zip(prompts, options, strict=True)]
    assert [len(scores) for scores in together] == [2, 1, 0, 3]


def test_usage_counts_what_was_read_found_and_written(tiny: GgufModel) -> None:
    assert tiny.usage == Usage()
    tokens = tiny.count_tokens(ask("hello the world"))
    chunks = list(tiny.stream(ask("hello the world"), Sampling(max_tokens=5, temperature=0)))
    assert chunks[-1].finish
    assert tiny.usage.prompt_tokens == tokens
    assert tiny.usage.cached_tokens == 0
    assert 1 <= tiny.usage.generated_tokens <= 5
    tiny.score(ask("hello the world"), ["a"])
    assert tiny.usage.prompt_tokens == 2 * tokens
    assert tiny.usage.cached_tokens == tokens - 1


def test_a_prompt_that_leaves_no_room_is_refused_with_the_numbers(tiny: GgufModel) -> None:
    fits = next(n for n in range(300, 0, -1) if tiny.count_tokens(ask("x" * n)) == 255)
    chunks = list(tiny.stream(ask("x" * fits), Sampling(max_tokens=50)))
    assert chunks[-1].finish in ("length", "stop")
    with pytest.raises(PromptTooLong, match="prompt_too_long: tokens=256, room=1, limit=256"):
        tiny.stream(ask("x" * (fits + 1)), Sampling())
    with pytest.raises(PromptTooLong, match="room=3"):
        tiny.score(ask("x" * (fits - 1)), ["abc"])


def test_wrong_calls_are_refused(tiny: GgufModel) -> None:
    with pytest.raises(ValueError, match="longer than argument"):
        tiny.stream_batch([ask("a")], [Sampling(), Sampling()])
    with pytest.raises(ModelError, match="option_empty"):
        tiny.score(ask("a"), [""])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threads": 0}, "option=threads, given=0"),
        ({"context_tokens": 0}, "option=context_tokens, given=0"),
    ],
)
def test_wrong_options_are_refused(tmp_path: Path, cache: Path, options: dict[str, object], message: str) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf")
    with pytest.raises(ModelError, match=message):
        load_gguf_model(path, cache_dir=cache, **options)  # type: ignore[arg-type]


def test_another_architecture_is_refused_by_name(tmp_path: Path, cache: Path) -> None:
    writer = GGUFWriter(str(tmp_path / "m.gguf"), "mamba")
    writer.add_tensor("token_embd.weight", np.zeros((8, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(ModelError, match="architecture_unknown: name=mamba"):
        load_gguf_model(tmp_path / "m.gguf", cache_dir=cache)
    assert not list(cache.glob("*-v*")), "a refused model leaves no converted folder"


def test_conversion_happens_once_and_appears_whole_or_not_at_all(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf")

    def full_disk(*args: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("vision.llm.model_cache._save_safetensors", full_disk)
        with pytest.raises(WeightsError, match=r"conversion_failed: .*reason=No space left on device"):
            load_gguf_model(path, cache_dir=cache)
    assert not [p for p in cache.iterdir() if p.is_dir() and p.name not in ("hashes", kernels_folder(cache).name)]
    first = load_gguf_model(path, cache_dir=cache)
    monkeypatch.setattr("vision.llm.model_cache.read_gguf", lambda path: pytest.fail("converted a second time"))
    again = load_gguf_model(path, cache_dir=cache)
    assert written(first, ask("hi"), GREEDY) == written(again, ask("hi"), GREEDY)


def test_converted_weights_are_a_sound_safetensors_file_with_aligned_arrays(tmp_path: Path, cache: Path) -> None:
    from safetensors.numpy import load_file

    opened = open_cached(write_tiny_gguf(tmp_path / "tiny.gguf", "qwen2", "Q4_1"), cache)
    stored = {k: v for k, v in load_file(opened.folder / "weights.safetensors").items() if not k.startswith("pad.")}
    mapped = {name: view.data for name, view in opened.matrices.items()} | dict(opened.vectors)
    assert stored.keys() == mapped.keys()
    for name, array in stored.items():
        np.testing.assert_array_equal(array, mapped[name])
        assert mapped[name].ctypes.data % 64 == 0


def test_a_file_that_changed_is_converted_anew(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "tiny.gguf"
    hashes = {load_gguf_model(write_tiny_gguf(path, seed=seed), cache_dir=cache).identity.sha256 for seed in (0, 1)}
    assert len(hashes) == 2


def test_inference_imports_neither_torch_nor_transformers(tmp_path: Path, cache: Path) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf")
    load_gguf_model(path, cache_dir=cache)
    code = f"""
import json, sys
from pathlib import Path
from vision.llm.model import load_gguf_model
from vision.interfaces import Message, Sampling
model = load_gguf_model(Path({str(path)!r}), cache_dir=Path({str(cache)!r}), threads=1)
list(model.stream([Message.of("user", "hi")], Sampling(max_tokens=3)))
print(json.dumps([name for name in ("torch", "transformers", "gguf", "gradio") if name in sys.modules]))
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(out.stdout) == []
