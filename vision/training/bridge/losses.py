"""What bridge and LoRA learn from: the answer's tokens, and before that the words of a description.

Import it lazily: torch comes with it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

from vision.errors import DataError
from vision.huggingface.cache import CachedForward
from vision.training.bridge.samples import Sample

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vision.bridge.bridged_model import BridgedCausalLM
    from vision.bridge.projector import Bridge

_MIN_COUNT, _MAX_SHARE, _SHARPNESS = 4, 0.3, 12.0
_WORD = re.compile(r"[A-Za-z][a-z]{2,}")


class AnswerLoss:
    """Negative log-probability of the answers' tokens, summed, with their number.

    Where the language model is frozen and has a key-value cache that can be gone on with, what all samples begin with
    is read once.
    """

    def __init__(
        self, model: BridgedCausalLM, samples: Sequence[Sample], grids: NDArray[np.float16], *, share_prefix: bool
    ) -> None:
        self._model, self._samples, self._grids = model, samples, grids
        self._prefix = self._read_prefix(_common(samples, model.picture_id)) if share_prefix else None
        self._skip = self._prefix[0].shape[-2] if self._prefix else 0

    def __call__(self, part: Sequence[int]) -> tuple[torch.Tensor, float]:
        each, counts = self.each(part)
        return each.sum(), float(counts.sum())

    def each(self, part: Sequence[int], pictures: Sequence[Sequence[int]] | None = None) -> tuple[torch.Tensor, Any]:
        """Per sample: summed loss (B,) and number of tokens (B,). ``pictures`` shows others than the samples' own."""
        chosen = [self._samples[i] for i in part]
        shown = pictures if pictures is not None else [sample.pictures for sample in chosen]
        device, skip = self._model.device, self._skip
        width = max(len(sample.ids) for sample in chosen) - skip
        ids = torch.zeros(len(chosen), width, dtype=torch.long)
        mask = torch.zeros(len(chosen), skip + width, dtype=torch.long)
        labels = torch.full((len(chosen), width), -100)
        for row, sample in enumerate(chosen):
            own = torch.tensor(sample.ids[skip:])
            ids[row, : len(own)] = own
            mask[row, : skip + len(own)] = 1
            labels[row, len(own) - sample.answer : len(own)] = own[-sample.answer :]
        rows = [row for some in shown for row in some]
        grids = torch.from_numpy(self._grids[np.array(rows, dtype=int)].astype(np.float32)) if rows else None
        # Only positions before an answer's token need logits, the dearest part for a large vocabulary.
        first = int((labels >= 0).nonzero()[:, 1].min()) - 1
        logits = self._model(
            input_ids=ids.to(device),
            attention_mask=mask.to(device),
            position_ids=(torch.arange(width) + skip).expand(len(chosen), -1).to(device),
            cache=self._cache(len(chosen)),
            use_cache=self._prefix is not None,
            logits_to_keep=width - first,
            picture_grids=None if grids is None else grids.to(device),
        ).logits
        targets = labels[:, first + 1 :].to(device)
        losses = functional.cross_entropy(logits[:, :-1].float().transpose(1, 2), targets, reduction="none")
        return losses.sum(1), (targets >= 0).sum(1)

    @torch.no_grad()
    def _read_prefix(self, ids: tuple[int, ...]) -> list[torch.Tensor] | None:
        forward = CachedForward(self._model)
        if not ids or not (forward.cuts and forward.takes_positions):
            return None
        cache = forward.new_cache()
        self._model(input_ids=torch.tensor([ids], device=self._model.device), cache=cache, use_cache=True)
        return [tensor for layer in cache.layers for tensor in (layer.keys, layer.values)]

    def _cache(self, count: int) -> Any:
        if self._prefix is None:
            return None
        from transformers import DynamicCache

        cache = DynamicCache()
        for number in range(0, len(self._prefix), 2):
            keys, values = (tensor.expand(count, -1, -1, -1) for tensor in self._prefix[number : number + 2])
            cache.update(keys, values, number // 2)
        return cache


class WordLoss:
    """Each picture's vectors should lie at the embeddings of the words that describe it; no language model runs.

    The vectors score every frequent word by their nearest one (log-sum-exp over the K); cross-entropy against the
    description's own words, rare ones weighing more. Words are those of at least four of ``texts`` and at most three
    in ten of all. Raises DataError where there is none.
    """

    def __init__(
        self, bridge: Bridge, embeddings: torch.Tensor, tokenizer: Any, texts: Sequence[str], grids: NDArray[np.float16]
    ) -> None:
        self._bridge, self._grids = bridge, grids
        found = [sorted({word.lower() for word in _WORD.findall(text)}) for text in texts]
        counts = Counter(word for words in found for word in words)
        self.words = sorted(w for w, n in counts.items() if _MIN_COUNT <= n <= max(_MIN_COUNT, _MAX_SHARE * len(texts)))
        if not self.words:
            raise DataError("no_common_words", descriptions=len(texts))
        place = {word: number for number, word in enumerate(self.words)}
        rarity = {word: float(np.log(len(texts) / counts[word])) for word in self.words}
        self._targets = torch.zeros(len(texts), len(self.words))
        for row, words in enumerate(found):
            for word in words:
                if word in place:
                    self._targets[row, place[word]] = rarity[word]
        self._targets /= self._targets.sum(1, keepdim=True).clamp_min(1e-6)
        place_of = bridge.start.device
        self._targets, embeddings = self._targets.to(place_of), embeddings.float().to(place_of)
        mean, spread = embeddings.mean(0), embeddings.std(0)
        ids = [tokenizer(f" {word}", add_special_tokens=False)["input_ids"] for word in self.words]
        vectors = torch.stack([embeddings[some].mean(0) for some in ids])
        self._mean, self._spread = mean, spread
        self._vectors = (vectors - mean) / spread

    def scores(self, grids: torch.Tensor) -> torch.Tensor:
        """(B, N, D) grids → (B, words)."""
        inner = (self._bridge(grids)[:, 1:-1].float() - self._mean) / self._spread
        near: torch.Tensor = inner @ self._vectors.T * (_SHARPNESS / self._vectors.shape[1])
        return near.logsumexp(1)

    def __call__(self, part: Sequence[int]) -> tuple[torch.Tensor, float]:
        rows = np.array(part, dtype=int)
        grids = torch.from_numpy(self._grids[rows].astype(np.float32)).to(self._targets.device)
        log_odds = functional.log_softmax(self.scores(grids), dim=1)
        return -(self._targets[rows] * log_odds).sum(), float(len(part))


def _common(samples: Sequence[Sample], picture_id: int) -> tuple[int, ...]:
    """What all samples begin with, before the first picture."""
    shortest = min((sample.ids for sample in samples), key=len)
    longest = 0
    while longest < len(shortest) - 2 and shortest[longest] != picture_id:
        if any(sample.ids[longest] != shortest[longest] for sample in samples):
            break
        longest += 1
    return shortest[:longest]
