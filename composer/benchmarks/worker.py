"""One engine in a process of its own, doing timed work on command: what `vignette bench` compares.

Commands are JSON lines on stdin, answers JSON lines on stdout; run as ``python -m composer.benchmarks.worker ENGINE
GGUF THREADS``. A process each keeps thread pools from spinning against each other and makes peak memory the engine's
own.
"""

from __future__ import annotations

import json
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

TEMPERATURE, TOP_P = 0.7, 0.9
CONTEXT_TOKENS = 4096
BATCH_TOKENS = 512  # llama.cpp's own default


class Runner(Protocol):
    def read(self, ids: list[int]) -> float:
        """Seconds to read a prompt from nothing and have the logits of the next token."""
        ...

    def write(self, prompts: Sequence[list[int]], tokens: int) -> tuple[int, float]:
        """Tokens drawn and seconds taken to continue prompts that were read before the clock started."""
        ...


class Vignette:
    def __init__(self, path: Path, threads: int) -> None:
        from vision.llm.model import load_gguf_model

        self._model = load_gguf_model(path, threads=threads, context_tokens=CONTEXT_TOKENS)

    def read(self, ids: list[int]) -> float:
        from vision.interfaces import Sampling
        from vision.llm.scheduler import PromptTokens

        self._model.forget()
        batch = self._model.open_batch()
        batch.add(PromptTokens(ids, 0), Sampling(max_tokens=1, temperature=0))
        start = time.perf_counter()
        batch.step()
        seconds = time.perf_counter() - start
        batch.close()
        return seconds

    def write(self, prompts: Sequence[list[int]], tokens: int) -> tuple[int, float]:
        from vision.interfaces import Sampling
        from vision.llm.scheduler import PromptTokens

        self._model.forget()
        batch = self._model.open_batch()
        for seed, ids in enumerate(prompts):
            sampling = Sampling(max_tokens=tokens + 1, temperature=TEMPERATURE, top_p=TOP_P, seed=seed)
            batch.add(PromptTokens(ids, 0), sampling)
        batch.step()  # reads the prompts
        batch.step()  # the first tokens
        before, start = self._model.usage.generated_tokens, time.perf_counter()
        while batch:
            batch.step()
        return self._model.usage.generated_tokens - before, time.perf_counter() - start


class _OneByOne(ABC):
    """One prompt after the other."""

    def read(self, ids: list[int]) -> float:
        start = time.perf_counter()
        self._start(ids)
        return time.perf_counter() - start

    def write(self, prompts: Sequence[list[int]], tokens: int) -> tuple[int, float]:
        seconds = 0.0
        for ids in prompts:
            self._start(ids)
            start = time.perf_counter()
            for _ in range(tokens):
                self._step()
            seconds += time.perf_counter() - start
        return tokens * len(prompts), seconds

    @abstractmethod
    def _start(self, ids: list[int]) -> None:
        """Read a prompt, in place of what was read before."""

    @abstractmethod
    def _step(self) -> None:
        """Write one token more."""


class LlamaCpp(_OneByOne):
    """Several prompts are sequences of one batch, through the C interface: its Python class has none."""

    def __init__(self, path: Path, threads: int) -> None:
        from llama_cpp import Llama

        self._model = Llama(
            str(path),
            n_ctx=CONTEXT_TOKENS,
            n_threads=threads,
            n_threads_batch=threads,
            n_batch=BATCH_TOKENS,
            verbose=False,
        )

    def write(self, prompts: Sequence[list[int]], tokens: int) -> tuple[int, float]:
        return super().write(prompts, tokens) if len(prompts) == 1 else self._write_batch(prompts, tokens)

    def _write_batch(self, prompts: Sequence[list[int]], tokens: int) -> tuple[int, float]:
        import llama_cpp
        import numpy as np

        from vision.interfaces import Sampling
        from vision.llm.sampling import Sampler

        params = self._model.context_params
        params.n_seq_max = len(prompts)
        context = llama_cpp.llama_init_from_model(self._model._model.model, params)
        params.n_seq_max = 1
        batch = llama_cpp.llama_batch_init(BATCH_TOKENS, 0, 1)
        vocabulary = self._model.n_vocab()

        def run(rows: Sequence[tuple[int, int, int]], wanted: Sequence[int]) -> list[np.ndarray]:
            """Rows of (token, position, sequence); the logits (V,) of those ``wanted``."""
            batch.n_tokens = len(rows)
            for i, (token, position, sequence) in enumerate(rows):
                batch.token[i], batch.pos[i], batch.n_seq_id[i] = token, position, 1
                batch.seq_id[i][0], batch.logits[i] = sequence, i in wanted
            if llama_cpp.llama_decode(context, batch):
                raise RuntimeError("llama_decode failed")
            pointers = [llama_cpp.llama_get_logits_ith(context, i) for i in wanted]
            return [np.ctypeslib.as_array(pointer, (vocabulary,)).copy() for pointer in pointers]

        samplers = [Sampler(Sampling(temperature=TEMPERATURE, top_p=TOP_P, seed=i)) for i in range(len(prompts))]
        logits = []
        for sequence, ids in enumerate(prompts):
            logits += run([(token, at, sequence) for at, token in enumerate(ids)], [len(ids) - 1])
        start = time.perf_counter()
        for step in range(tokens):
            drawn = [sampler.draw(row) for sampler, row in zip(samplers, logits, strict=True)]
            rows = [(token, len(prompts[i]) + step, i) for i, token in enumerate(drawn)]
            logits = run(rows, range(len(rows)))
        seconds = time.perf_counter() - start
        llama_cpp.llama_batch_free(batch)
        llama_cpp.llama_free(context)
        return tokens * len(prompts), seconds

    def _start(self, ids: list[int]) -> None:
        self._model.reset()
        self._model.eval(ids)

    def _step(self) -> None:
        self._model.eval([self._model.sample(temp=TEMPERATURE, top_p=TOP_P)])


class Transformers(_OneByOne):
    """The same file dequantised to bfloat16."""

    def __init__(self, path: Path, threads: int) -> None:
        import torch

        from vision.llm.to_transformers import as_transformers

        torch.set_num_threads(threads)
        self._torch = torch
        self._model: Any = as_transformers(path, torch.bfloat16)
        self._state: Any = None

    def _start(self, ids: list[int]) -> None:
        self._run(ids, None)

    def _step(self) -> None:
        p = (self._state.logits[0, -1].float() / TEMPERATURE).softmax(-1)
        self._run([int(self._torch.multinomial(p, 1))], self._state.cache)

    def _run(self, ids: list[int], state: Any) -> None:
        with self._torch.inference_mode():
            self._state = self._model(self._torch.tensor([ids]), cache=state, use_cache=True, logits_to_keep=1)


RUNNERS: dict[str, Callable[[Path, int], Runner]] = {
    "vignette": Vignette,
    "llama.cpp": LlamaCpp,
    "transformers": Transformers,
}


def peak_rss_gb() -> float:
    """Of this process so far. Pages of mapped weights count once they are touched."""
    import resource

    with suppress(OSError, StopIteration):
        # Linux hands what the parent held at its peak down to whatever it starts; this is the process's own.
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024 / 1e9
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e9 if sys.platform == "darwin" else 1e6 / 1.024)


def answer(runner: Runner, command: dict[str, Any]) -> dict[str, Any]:
    if command["do"] == "read":
        return {"seconds": runner.read(command["ids"])}
    if command["do"] == "write":
        tokens, seconds = runner.write(command["prompts"], command["tokens"])
        return {"tokens": tokens, "seconds": seconds}
    return {"peak_rss_gb": peak_rss_gb()}


def main() -> int:
    engine, path, threads = sys.argv[1:4]
    runner = RUNNERS[engine](Path(path), int(threads))
    for line in sys.stdin:
        sys.stdout.write(json.dumps(answer(runner, json.loads(line))) + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
