"""How far the engine strays from the dequantised reference on running text: perplexity and KL divergence.

The text is the dev split of ../shared/data where it is present, else the project's README, which is shorter.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from vision.llm.model import MAX_ROWS, GgufModel, load_gguf_model
from vision.llm.to_transformers import as_transformers

ROOT = Path(__file__).parents[3]
DEV = ROOT.parent / "shared" / "data" / "openstax" / "dev.jsonl"
WINDOW = 512


def running_text() -> str:
    if not DEV.exists():
        return (ROOT / "README.md").read_text(encoding="utf-8")
    articles = (json.loads(line) for line in DEV.read_text(encoding="utf-8").splitlines())
    return "\n\n".join(b["text"] for a in articles for b in a["blocks"] if b["type"] == "paragraph")


def engine_logits(model: GgufModel, ids: list[int]) -> np.ndarray:
    """After every token, by the engine's own passes."""
    cache, engine = model._runner.cache, model._runner.engine
    sequence = cache.open(ids[:1])
    cache.extend(sequence, ids)
    table = np.array([sequence.blocks], np.int32)
    parts = []
    for start in range(0, len(ids), MAX_ROWS):
        part = np.array(ids[start : start + MAX_ROWS], np.int32)
        rows = np.arange(len(part), dtype=np.int32)
        parts.append(engine.decode(part, rows + start, np.zeros_like(rows), table, rows))
    cache.close(sequence, remember=False)
    return np.concatenate(parts)


@dataclass
class Drift:
    tokens: int
    perplexity_ratio: float
    mean_kl_nats: float


def windows(model: GgufModel, tokens: int) -> Iterator[list[int]]:
    ids = model._tokenizer.encode(running_text())[:tokens]
    for start in range(0, len(ids) - 1, WINDOW):
        yield ids[start : start + WINDOW + 1]


def drift(path: Path, tokens: int, dtype: str) -> Drift:
    import torch

    model = load_gguf_model(path, context_tokens=WINDOW)
    reference = as_transformers(path, getattr(torch, dtype))
    count, kl, ours, theirs = 0, 0.0, 0.0, 0.0
    for ids in windows(model, tokens):
        with torch.inference_mode():
            p = reference(torch.tensor([ids[:-1]])).logits[0].float().log_softmax(-1)
        q = torch.from_numpy(engine_logits(model, ids[:-1])).log_softmax(-1)
        targets = torch.tensor(ids[1:])[:, None]
        kl += float((p.exp() * (p - q)).sum())
        theirs -= float(p.gather(1, targets).sum())
        ours -= float(q.gather(1, targets).sum())
        count += len(targets)
    return Drift(count, float(np.exp((ours - theirs) / count)), kl / count)


def test_smollm2_stays_close_to_its_dequantised_weights(model_path: Callable[[str], Path]) -> None:
    measured = drift(model_path("smollm2-135m-instruct"), 1024, "float32")
    assert measured.tokens >= 500
    assert measured.mean_kl_nats < 0.01, measured
    assert abs(measured.perplexity_ratio - 1) < 0.01, measured


@pytest.mark.slow
def test_qwen_stays_close_to_its_dequantised_weights_over_20_000_tokens(model_path: Callable[[str], Path]) -> None:
    if not DEV.exists():
        pytest.skip(f"{DEV} is missing: 20,000 tokens of dev text are needed")
    # In fp32: what bf16 arithmetic itself would stray is not the engine's, and few CPUs compute in it quickly.
    measured = drift(model_path("qwen2.5-coder-1.5b-instruct"), 20_000, "float32")
    assert measured.tokens >= 19_900
    assert measured.mean_kl_nats < 0.02, measured
    assert abs(measured.perplexity_ratio - 1) < 0.01, measured
