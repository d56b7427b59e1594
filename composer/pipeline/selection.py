"""From ranked candidates to placements: what each is worth in its slot, one joint choice, and the reasons."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from composer.article.model import Placement, Slot
from composer.settings import IllustrationSettings
from image_db.metadata.record import ImageRecord
from retrieval.candidates import Candidate, log_odds
from vision.errors import Phrase

# A judge's log-odds beyond this are over-confidence, not evidence.
MAX_JUDGEMENT = 4.0


@dataclass(frozen=True, slots=True)
class Considered:
    """A slot with its candidates as the search ranks them, and the model's log-probability that none belongs there.

    ``naming`` are log-odds by record id for pictures whose subject the section names, or which show another individual
    than the one that is wanted.
    """

    slot: Slot
    candidates: tuple[Candidate, ...]
    none_log_prob: float | None = None
    naming: Mapping[str, float] = field(default_factory=dict, hash=False)

    def judged(self, candidates: Sequence[Candidate], none_log_prob: float | None) -> Considered:
        """With what the model says of those of its candidates that it was asked about."""
        known = {candidate.record.id: candidate for candidate in candidates}
        candidates = tuple(known.get(c.record.id, c) for c in self.candidates)
        return replace(self, candidates=candidates, none_log_prob=none_log_prob)

    def worth_of(self, candidate: Candidate, settings: IllustrationSettings) -> float:
        """What showing it is worth, what the section names included; see ``worth``."""
        return worth(candidate, self.none_log_prob, settings) + self.naming.get(candidate.record.id, 0.0)


def may_be_chosen(candidate: Candidate, settings: IllustrationSettings, required: frozenset[str]) -> bool:
    """Whether the picture can be shown at all, whatever a judge says: retrieval finds it fit, or it must appear."""
    return candidate.record.id in required or candidate.fused >= settings.min_fused


def worth(candidate: Candidate, none_log_prob: float | None, settings: IllustrationSettings) -> float:
    """What showing the picture is worth against leaving the slot empty, in weighted log-odds; 0 is indifference.

    Retrieval's share is the log-odds of ``fused`` over those of ``min_fused``. The judge's is its log-odds for the
    picture against "none", calibrated and bounded, or, where it was not asked for none, 0.
    """
    found = log_odds(candidate.fused) - log_odds(settings.min_fused)
    if candidate.log_prob is None or none_log_prob is None:
        return found
    judged = settings.judge_slope * (candidate.log_prob - none_log_prob) + settings.judge_offset
    judged = max(-MAX_JUDGEMENT, min(MAX_JUDGEMENT, judged))
    return (1 - settings.judge_weight) * found + settings.judge_weight * judged


def choose(
    considered: Sequence[Considered],
    settings: IllustrationSettings,
    *,
    required: frozenset[str] = frozenset(),
    same: Callable[[str, str], bool] = lambda one, other: one == other,
) -> tuple[Placement, ...]:
    """Fill the slots jointly. ``same`` tells two ids that a reader would take for one picture.

    A picture below ``min_fused`` is never shown unless required. Raises ValueError for more required ones than slots.
    """
    values: list[dict[str, float]] = []
    for entry in considered:
        options = {}
        for candidate in entry.candidates:
            if may_be_chosen(candidate, settings, required):
                options[candidate.record.id] = entry.worth_of(candidate, settings)
        values.append(options)
    chosen = assign(values, required)
    while (clash := _clash(chosen, values, required, same)) is not None:
        slot, id_ = clash
        del values[slot][id_]
        chosen = assign(values, required)
    return tuple(
        _placement(entry, options, id_, set(filter(None, chosen)), settings, required)
        for entry, options, id_ in zip(considered, values, chosen, strict=True)
    )


def assign(values: Sequence[Mapping[str, float]], required: frozenset[str] = frozenset()) -> list[str | None]:
    """For each slot the id of its picture or None.

    ``values[s][id]`` is what picture ``id`` is worth in slot ``s``; an empty slot is worth 0, so a picture of negative
    value is shown only if ``required``. Required ids must be among the keys of every slot and no more than the slots.
    Solved exactly as a linear sum assignment (Jonker–Volgenant, scipy). Ties go to the earlier slot and the smaller id.
    """
    from scipy.optimize import linear_sum_assignment

    slots = len(values)
    if len(required) > slots:
        raise ValueError(f"{len(required)} required pictures do not fit into {slots} slots")
    ids = sorted({id_ for options in values for id_ in options})
    if not slots or not ids:
        return [None] * slots
    bound = 1.0 + sum(abs(v) for options in values for v in options.values())
    gain = np.full((slots, len(ids) + slots), -4.0 * bound * slots)  # a picture that is no option of the slot
    gain[:, len(ids) :] = 0.0  # left empty
    column = {id_: i for i, id_ in enumerate(ids)}
    for s, options in enumerate(values):
        for id_, value in options.items():
            gain[s, column[id_]] = value + (2.0 * bound if id_ in required else 0.0)
    rows, columns = linear_sum_assignment(gain, maximize=True)
    chosen: list[str | None] = [None] * slots
    for s, c in zip(rows, columns, strict=True):
        if c < len(ids):
            chosen[s] = ids[c]
    return chosen


def _clash(
    chosen: Sequence[str | None],
    values: Sequence[dict[str, float]],
    required: frozenset[str],
    same: Callable[[str, str], bool],
) -> tuple[int, str] | None:
    """The less valuable of two look-alikes among the chosen, as (slot, id); never a required one."""
    for second, id_ in enumerate(chosen):
        for first in range(second):
            other = chosen[first]
            if id_ is None or other is None or not same(id_, other):
                continue
            pair = [(values[first][other], first, other), (values[second][id_], second, id_)]
            free = [entry for entry in pair if entry[2] not in required]
            if free:
                _, slot, loser = min(free)
                return slot, loser
    return None


def _placement(
    entry: Considered,
    options: dict[str, float],
    id_: str | None,
    shown: set[str],
    settings: IllustrationSettings,
    required: frozenset[str],
) -> Placement:
    order = sorted(entry.candidates, key=lambda c: (c.record.id != id_, -entry.worth_of(c, settings), c.record.id))
    record: ImageRecord | None = order[0].record if id_ is not None else None
    reason: tuple[Phrase, ...]
    if record is not None:
        others = [value for other, value in options.items() if other != id_]
        reason = (_reason(options[record.id], others, record.id in required), *order[0].why)
    elif not entry.candidates:
        reason = (Phrase("nothing_found"),)
    else:
        best = max(c.fused for c in entry.candidates)
        if best < settings.min_fused:
            reason = (Phrase("nothing_fits", {"best": best, "needed": settings.min_fused}),)
        elif any(c.fused >= settings.min_fused and c.record.id in shown for c in entry.candidates):
            reason = (Phrase("taken"),)
        else:
            reason = (Phrase("model_prefers_none"),)
    return Placement(slot=entry.slot, candidates=tuple(order), chosen=record, reason=reason)


def _reason(value: float, others: Sequence[float], required: bool) -> Phrase:
    if required:
        return Phrase("required")
    if not others:
        return Phrase("chosen_only")
    times = math.exp(min(5.0, value - max(others)))
    # The best of a slot's candidates may serve another slot better; then the next one stands here.
    return Phrase("chosen_first", {"times": times}) if times >= 1 else Phrase("chosen_next")
