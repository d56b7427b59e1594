"""Which picture goes into which slot: one joint choice, no picture twice, best total.

Knows values and ids only; what they mean is for the caller.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def assign(values: Sequence[Mapping[str, float]], required: frozenset[str] = frozenset()) -> list[str | None]:
    """For each slot the id of its picture or None.

    ``values[s][id]`` is what picture ``id`` is worth in slot ``s``; an empty slot is worth 0, so a picture of negative
    value is shown only if ``required``. Required ids must be among the keys of every slot and no more than the slots.
    Solved exactly as a linear sum assignment (Jonker–Volgenant, scipy). Ties go to the earlier slot and the smaller id.
    """
    import numpy as np
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
