"""Drafts of what pictures show, from their vectors alone: a sentence each, and a few words.

The sentence is found by beam search: the language model runs on the C engine, the caption bridge says what each beam
may go on with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from vision.bridge.caption_bridge import CaptionBridge
from vision.bridge.plain_words import is_plain
from vision.errors import ModelError
from vision.llm.batch_runner import BatchRunner, SequenceInput
from vision.llm.kv_cache import CachedSequence

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vision.interfaces import EncoderIdentity
    from vision.llm.model import GgufModel

    Array = NDArray[np.float32]

BEAMS = 6
MOST_TOKENS = 24
TAGS = 12
AT_ONCE = 16  # pictures; with their beams well within a pass of the engine
_LENGTH_POWER = 0.7  # of the tokens that a beam's log-probability is divided by: 0 favours short sentences


@dataclass(frozen=True, slots=True)
class CaptionDraft:
    """``sentence`` is empty where none came that holds no name, number or quotation; ``tags`` are likeliest first."""

    sentence: str
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Beam:
    sequence: CachedSequence
    ids: tuple[int, ...] = ()
    log_prob: float = 0.0


@dataclass(slots=True)
class _Search:
    """One picture's beams that go on, and (worth, ids) of those that ended."""

    picture: Array
    beams: list[_Beam]
    ended: list[tuple[float, tuple[int, ...]]] = field(default_factory=list)


class Drafter:
    """One caller at a time."""

    def __init__(self, bridge: CaptionBridge, model: GgufModel) -> None:
        """Raises ModelError where the bridge was trained before another language model."""
        if model.identity.sha256 != bridge.config.language_sha256:
            raise ModelError(
                "captions_of_other_model",
                model=model.identity.name,
                wanted=bridge.config.language_sha256[:12],
                found=model.identity.sha256[:12],
            )
        self._bridge = bridge
        self._runner: BatchRunner = model.runner
        self._tokenizer = model.tokenizer
        self._lead = model.tokenizer.encode(bridge.config.lead)
        self._known = frozenset(bridge.config.words)
        self._ends = np.isin(bridge.tokens, sorted(model.tokenizer.end_ids))

    def draft(self, pictures: Array) -> list[CaptionDraft]:
        """Of pictures' vectors (n, D) in the joint space."""
        drafts: list[CaptionDraft] = []
        for start in range(0, len(pictures), AT_ONCE):
            some = pictures[start : start + AT_ONCE]
            drafted = zip(self.sentences(some), self._bridge.tags(some, TAGS), strict=True)
            drafts += [CaptionDraft(sentence, tags) for sentence, tags in drafted]
        return drafts

    def sentences(self, pictures: Array) -> list[str]:
        searches = [_Search(picture, [_Beam(self._runner.cache.open(self._lead))]) for picture in pictures]
        try:
            for _ in range(MOST_TOKENS):
                live = [search for search in searches if search.beams]
                if not live:
                    break
                self._step(live)
        finally:
            for search in searches:
                self._close(search.beams)
        return [self._best(search) for search in searches]

    def _step(self, searches: Sequence[_Search]) -> None:
        beams = [beam for search in searches for beam in search.beams]
        inputs = []
        for beam in beams:
            whole = [*self._lead, *beam.ids]
            inputs.append(SequenceInput(beam.sequence, whole[len(beam.sequence) :]))
        states = np.concatenate(self._runner.states(inputs))
        owners = np.repeat(np.arange(len(searches)), [len(search.beams) for search in searches])
        log_probs = self._bridge.log_probs(states, np.stack([search.picture for search in searches])[owners])
        for number, search in enumerate(searches):
            self._grow(search, log_probs[owners == number])

    def _grow(self, search: _Search, log_probs: Array) -> None:
        """The best ways to go on, by log-probability in all; beams that end are put aside with their worth."""
        beams = search.beams
        for row, beam in enumerate(beams):
            for place in self._repeated(beam.ids):
                log_probs[row, place] = -np.inf
        totals = log_probs + np.array([[beam.log_prob] for beam in beams])
        chosen: list[_Beam] = []
        for flat in _largest(totals, 2 * BEAMS):
            row, place = divmod(int(flat), totals.shape[1])
            total, ids = float(totals[row, place]), beams[row].ids
            if not np.isfinite(total) or len(chosen) == BEAMS:
                break
            if self._ends[place]:
                search.ended.append((total / (len(ids) + 1) ** _LENGTH_POWER, ids))
                continue
            sequence = self._runner.cache.fork(beams[row].sequence, len(beams[row].sequence))
            chosen.append(_Beam(sequence, (*ids, int(self._bridge.tokens[place])), total))
        self._close(beams)
        # A beam only gets less likely: it cannot overtake a sentence that is better than it would be at full length.
        best = max((worth for worth, _ in search.ended), default=-np.inf)
        hopeful = [beam for beam in chosen if beam.log_prob / MOST_TOKENS**_LENGTH_POWER > best]
        self._close([beam for beam in chosen if beam not in hopeful])
        search.beams = hopeful

    def _repeated(self, ids: tuple[int, ...]) -> list[int]:
        """Places in the vocabulary of tokens that would say a pair of tokens again."""
        if len(ids) < 2:
            return []
        again = [ids[i + 1] for i in range(len(ids) - 1) if ids[i] == ids[-1]]
        return [int(place) for place in np.flatnonzero(np.isin(self._bridge.tokens, again))]

    def _best(self, search: _Search) -> str:
        for _, ids in sorted(search.ended, key=lambda one: -one[0]):
            text = " ".join(self._tokenizer.decode(ids).split())
            if self._may_say(text):
                return text
        return ""

    def _may_say(self, text: str) -> bool:
        """Neither what breaks off before a name or quotation, nor a word that nobody knows: a name, as a rule."""
        words = [word.strip(".,;:!?()").lower() for word in text.split()]
        whole = text.endswith(".") and "(" not in text and len(words) > 1
        return whole and is_plain(text) and self._known.issuperset(filter(None, words))

    def _close(self, beams: Sequence[_Beam]) -> None:
        for beam in beams:
            self._runner.cache.close(beam.sequence, remember=False)


def _largest(values: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Places in ``values``, flattened, of its ``count`` largest, largest first and the first of equals."""
    costs = -values.ravel()
    last = min(count, len(costs)) - 1
    # Most of a step's time beside the language model would go into sorting them all.
    near = np.flatnonzero(costs <= np.partition(costs, last)[last])
    return near[np.argsort(costs[near], kind="stable")][:count]


def load_drafter(encoder: EncoderIdentity, *, threads: int | None = None) -> Drafter:
    """The shipped bridge with its language model.

    Raises ModelError where it was trained in another encoder's space, WeightsError where the model is not on this
    machine.
    """
    from vision.downloads.store import locate
    from vision.llm.model import load_gguf_model

    bridge = CaptionBridge.load()
    if encoder.sha256 != bridge.config.encoder_sha256:
        raise ModelError("drafts_of_other_encoder", encoder=encoder.name, wanted=bridge.config.encoder)
    path = locate(bridge.config.language_model)
    return Drafter(bridge, load_gguf_model(path, threads=threads, context_tokens=2048))
