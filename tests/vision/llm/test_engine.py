"""The C engine against transformers on tiny random models, and against itself: batches, caches, pieces."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest

from tests.vision.tiny_gguf import write_tiny_gguf
from vision.downloads.store import home
from vision.errors import ModelError, PromptTooLong
from vision.llm.batch_runner import BatchRunner, SequenceInput
from vision.llm.gguf import read_gguf
from vision.llm.kernels import build
from vision.llm.kernels.binding import CEngine
from vision.llm.kernels.build import KERNELS_VARIABLE, PATHS, load_kernels, runnable_paths
from vision.llm.kv_cache import KVCache
from vision.llm.model import load_gguf_model
from vision.llm.model_cache import CachedModel, open_cached
from vision.llm.to_transformers import as_transformers

BLOCKS = 40
PATHS_ATOL = 0.02  # of the largest logit: activations round to 8 bits, so one last bit may move a whole step
IDS = list(np.random.default_rng(5).integers(0, 250, 75))


@pytest.fixture(scope="module", params=runnable_paths())
def library(request: pytest.FixtureRequest) -> ctypes.CDLL:
    return load_kernels(home() / "converted", request.param)


def converted(folder: Path, architecture: str = "llama", kind: str = "Q8_0", **options: int) -> CachedModel:
    return open_cached(write_tiny_gguf(folder / "tiny.gguf", architecture, kind, **options), folder / "cache")


def c_runner(library: ctypes.CDLL, model: CachedModel, *, threads: int = 2, max_rows: int = 64) -> BatchRunner:
    engine = CEngine(library, model, threads=threads, context_tokens=512, blocks=BLOCKS, max_rows=max_rows)
    return BatchRunner(engine, KVCache(BLOCKS, 32, engine.copy_block), max_rows)


def all_logits(runner: BatchRunner, ids: list[int]) -> np.ndarray:
    """After every token, one token a pass."""
    sequence = runner.cache.open(ids[:1])
    rows = [runner.run([SequenceInput(sequence, [token])])[0][0].copy() for token in ids]
    runner.cache.close(sequence, remember=False)
    return np.stack(rows)


def transformers_logits(path: Path, ids: list[int]) -> np.ndarray:
    """After every token, of the same file dequantised."""
    import torch

    with torch.no_grad():
        logits: np.ndarray = as_transformers(path, torch.float32)(torch.tensor([ids])).logits[0].numpy()
    return logits


def output_weight(path: Path) -> np.ndarray:
    tensors = read_gguf(path).tensors
    return tensors["output.weight" if "output.weight" in tensors else "token_embd.weight"].floats()


def mean_kl(reference: np.ndarray, logits: np.ndarray) -> float:
    p, q = (
        x - np.log(np.exp(x - x.max(-1, keepdims=True)).sum(-1, keepdims=True)) - x.max(-1, keepdims=True)
        for x in (reference.astype(np.float64), logits.astype(np.float64))
    )
    return float((np.exp(p) * (p - q)).sum(-1).mean())


def test_states_are_what_the_logits_are_made_of(library: ctypes.CDLL, tmp_path: Path) -> None:
    model = converted(tmp_path)
    runner, ids = c_runner(library, model), [int(i) for i in IDS[:20]]
    logits = all_logits(runner, ids)
    sequence = runner.cache.open([])
    (states,) = runner.states([SequenceInput(sequence, ids, ids)])
    assert states.shape == (20, model.config.width)
    weight = output_weight(tmp_path / "tiny.gguf")
    np.testing.assert_allclose(states @ weight.T, logits, atol=0.03 * np.abs(logits).max())
    other = runner.cache.open([])
    (last,) = runner.states([SequenceInput(other, ids)])
    np.testing.assert_array_equal(last, states[-1:])


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3"])
def test_every_architecture_agrees_with_transformers(library: ctypes.CDLL, tmp_path: Path, architecture: str) -> None:
    model = converted(tmp_path, architecture)
    reference = transformers_logits(tmp_path / "tiny.gguf", IDS)
    ours = all_logits(c_runner(library, model), IDS)
    assert np.corrcoef(reference.ravel(), ours.ravel())[0, 1] > 0.9995
    assert mean_kl(reference, ours) < 1e-3 * max(1.0, float(reference.var()))


@pytest.mark.parametrize("kind", ["Q4_0", "Q4_1", "Q4_K", "Q5_K", "Q6_K", "F16"])
def test_every_kind_of_tensor_runs_like_its_dequantised_weights(
    library: ctypes.CDLL, tmp_path: Path, kind: str
) -> None:
    model = converted(tmp_path, "qwen2", kind, width=256)
    reference = transformers_logits(tmp_path / "tiny.gguf", IDS[:40])
    ours = all_logits(c_runner(library, model), IDS[:40])
    assert np.corrcoef(reference.ravel(), ours.ravel())[0, 1] > 0.999


def test_reading_in_one_pass_or_in_pieces_gives_the_same_bits(library: ctypes.CDLL, tmp_path: Path) -> None:
    model = converted(tmp_path)
    one_by_one = all_logits(c_runner(library, model), IDS)
    for max_rows in (7, 64, 256):
        runner = c_runner(library, model, max_rows=max_rows)
        (logits,) = runner.run([SequenceInput(runner.cache.open(IDS), IDS)])
        np.testing.assert_array_equal(logits[0], one_by_one[-1])


def test_the_number_of_threads_does_not_change_a_bit(library: ctypes.CDLL, tmp_path: Path) -> None:
    model = converted(tmp_path)
    results = [all_logits(c_runner(library, model, threads=threads), IDS[:20]) for threads in (1, 2, 5)]
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_every_path_agrees_with_the_portable_one(library: ctypes.CDLL, tmp_path: Path) -> None:
    model = converted(tmp_path, "qwen2", "Q6_K", width=256)
    portable = load_kernels(home() / "converted", "portable")
    ours, plain = (all_logits(c_runner(which, model), IDS[:40]) for which in (library, portable))
    np.testing.assert_allclose(ours, plain, atol=PATHS_ATOL * np.abs(ours).max())
    assert np.corrcoef(ours.ravel(), plain.ravel())[0, 1] > 0.9999


@pytest.mark.parametrize("path", ["auto", *runnable_paths()])
def test_the_environment_chooses_the_path(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = load_kernels(home() / "converted", path)
    monkeypatch.setenv(KERNELS_VARIABLE, path)
    assert load_kernels(home() / "converted")._name == expected._name


def test_a_path_that_is_unknown_or_not_for_this_cpu_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(KERNELS_VARIABLE, "sse9")
    with pytest.raises(ModelError, match="kernel_path_unknown: variable=VIGNETTE_KERNELS, given=sse9"):
        load_gguf_model(write_tiny_gguf(tmp_path / "tiny.gguf"), cache_dir=tmp_path / "cache")
    monkeypatch.setattr(build, "_cpu", lambda: ("x86_64", "flags : sse2 avx"))
    for path in PATHS[:-1]:
        with pytest.raises(ModelError, match=f"kernel_path_not_runnable: variable=VIGNETTE_KERNELS, given={path}"):
            load_kernels(tmp_path, path)
    monkeypatch.setattr(build, "_cpu", lambda: ("x86_64", "flags : avx avx2 fma f16c"))
    assert runnable_paths() == ("avx2", "portable")


def test_sequences_of_a_batch_do_not_disturb_each_other(library: ctypes.CDLL, tmp_path: Path) -> None:
    runner = c_runner(library, converted(tmp_path))
    prompts = [IDS[:3], IDS[10:60], IDS[20:41], [*IDS[10:40], *IDS[:30]]]
    alone = []
    for ids in prompts:
        runner.cache.clear()
        sequence = runner.cache.open(ids)
        alone.append(runner.run([SequenceInput(sequence, ids)])[0].copy())
        runner.cache.close(sequence, remember=False)
    sequences = [runner.cache.open(ids) for ids in prompts]
    together = runner.run([SequenceInput(s, ids) for s, ids in zip(sequences, prompts, strict=True)])
    for single, batched in zip(alone, together, strict=True):
        np.testing.assert_array_equal(single, batched)


@pytest.mark.parametrize("shared", [1, 31, 32, 33, 64, 74])
def test_a_prefix_from_the_cache_gives_the_same_bits_as_reading_it(
    library: ctypes.CDLL, tmp_path: Path, shared: int
) -> None:
    model = converted(tmp_path)
    fresh = all_logits(c_runner(library, model), IDS)[-1]
    runner = c_runner(library, model)
    other = [*IDS[:shared], *[3, 1, 4, 1, 5][: 80 - shared]]
    first = runner.cache.open(other)
    runner.run([SequenceInput(first, other)])
    runner.cache.close(first)
    again = runner.cache.open(IDS)
    assert len(again) == shared
    (logits,) = runner.run([SequenceInput(again, IDS[shared:])])
    np.testing.assert_array_equal(logits[0], fresh)
    runner.run([SequenceInput(again, IDS[:9])])
    unharmed = runner.cache.open([*other, 0])
    assert unharmed.tokens == other, "what branched off must not have overwritten what it branched from"
    (logits,) = runner.run([SequenceInput(unharmed, [9])])
    np.testing.assert_array_equal(logits[0], all_logits(c_runner(library, model), [*other, 9])[-1])


def test_log_probabilities_of_targets_are_those_of_the_logits(library: ctypes.CDLL, tmp_path: Path) -> None:
    runner = c_runner(library, converted(tmp_path), max_rows=16)
    rows = all_logits(runner, IDS).astype(np.float64)
    expected = [row[t] - np.log(np.exp(row).sum()) for row, t in zip(rows[-40:-1], IDS[-39:], strict=True)]
    sequence = runner.cache.open(IDS[:1])
    (values,) = runner.run([SequenceInput(sequence, IDS[:-1], targets=IDS[-39:])])
    np.testing.assert_allclose(values, expected, atol=1e-5)


def test_a_full_cache_is_an_error_that_leaves_the_sequences_as_they_were(library: ctypes.CDLL, tmp_path: Path) -> None:
    engine = CEngine(library, converted(tmp_path), threads=2, context_tokens=512, blocks=6, max_rows=64)
    runner = BatchRunner(engine, KVCache(6, 32, engine.copy_block), 64)
    sequence = runner.cache.open(IDS)
    (before,) = runner.run([SequenceInput(sequence, IDS)])
    hog = runner.cache.open([1])
    with pytest.raises(PromptTooLong, match="cache_full: tokens=192"):
        runner.run([SequenceInput(sequence, [1]), SequenceInput(hog, [2] * 60), SequenceInput(hog, [3] * 60)])
    assert sequence.tokens[: len(IDS)] == IDS
    runner.cache.close(hog, remember=False)
    runner.cache.truncate(sequence, len(IDS) - 1)
    (after,) = runner.run([SequenceInput(sequence, IDS[-1:])])
    np.testing.assert_array_equal(before, after)


def test_rows_out_of_range_never_reach_the_kernel(library: ctypes.CDLL, tmp_path: Path) -> None:
    runner = c_runner(library, converted(tmp_path))
    good = {"token": 0, "position": 0, "sequence": 0, "table": 0, "output_row": 0}
    bad = [("token", 10**6), ("token", -1), ("position", 512), ("position", 32), ("position", -1), ("sequence", 1)]
    bad += [("sequence", -1), ("table", BLOCKS), ("table", -1), ("output_row", 1), ("output_row", -1)]
    for name, value in bad:
        arrays = {key: np.array([number], np.int32) for key, number in (good | {name: value}).items()}
        with pytest.raises(ValueError, match="out of range"):
            runner.engine.decode(**arrays | {"table": arrays["table"][None]})
    two, one = np.zeros(2, np.int32), np.zeros(1, np.int32)
    with pytest.raises(ValueError, match="2 tokens came with 1 positions"):
        runner.engine.decode(two, one, two, one[None], one)


def test_gradients_reach_embeddings_given_to_the_transformers_model(tmp_path: Path) -> None:
    import torch

    model = as_transformers(write_tiny_gguf(tmp_path / "tiny.gguf", "qwen2"), torch.float32)
    ids = torch.tensor([IDS[:12]])
    inputs = model.get_input_embeddings()(ids).detach().requires_grad_()
    out = model(inputs_embeds=inputs, labels=ids)
    torch.testing.assert_close(out.logits, model(ids).logits)
    out.loss.backward()
    assert inputs.grad is not None
    assert torch.isfinite(inputs.grad).all()
    assert inputs.grad.abs().sum() > 0
