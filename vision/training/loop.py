"""One training loop for bridge, LoRA and prompts: batches in parts, a schedule, checkpoints, a curve, an early end.

A run that is killed goes on from its last checkpoint and ends with the same weights as one that was not: batches
depend on seed and step alone, and the checkpoint holds the optimiser and the random state. A ``loss`` turns the samples
of a part into a sum and a count. Import it lazily: torch comes with it.
"""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from vision.errors import DataError
from vision.joint_encoder.precision import computes_bfloat16
from vision.training import Progress
from vision.training.batches import Batches
from vision.training.charts import Line, draw_chart
from vision.training.recipe_loading import Precision, StepsRecipe

STATE_FILE, LOSSES_FILE, CURVE_FILE = "state.pt", "losses.csv", "curve.svg"
_SMOOTHING = 0.9  # of the line through the losses

# Samples of one part → sum of the loss over what it counts, and how much that is. The step divides by the whole count.
Loss = Callable[[Sequence[int]], tuple[torch.Tensor, float]]


@dataclass(frozen=True, slots=True)
class Watch:
    """A loss on samples that are not trained on, measured every ``every`` steps and at the end.

    The run ends where it was no better than the best before for ``patience`` times (0: never), and the weights are
    those of the best time.
    """

    measure: Callable[[], float]
    every: int
    patience: int


@dataclass(slots=True)
class LossHistory:
    """One row a step: number, mean loss, rate, seconds since the start of this process. ``watched``: step and loss."""

    rows: list[tuple[int, float, float, float]] = field(default_factory=list)
    watched: list[tuple[int, float]] = field(default_factory=list)

    @property
    def best(self) -> int:
        """Which of ``watched`` is the best, the first of equals."""
        return min(range(len(self.watched)), key=lambda i: self.watched[i][1])

    def is_over(self, watch: Watch | None) -> bool:
        """Whether it was no better than the best for too long."""
        if watch is None or not watch.patience or not self.watched:
            return False
        return len(self.watched) - 1 - self.best >= watch.patience


def run_steps(
    what: str,
    parameters: Mapping[str, torch.nn.Parameter],
    batches: Batches,
    loss: Loss,
    recipe: StepsRecipe,
    key: str,
    folder: Path,
    progress: Progress = lambda *_: None,
    stop_after: int | None = None,
    watch: Watch | None = None,
) -> LossHistory:
    """Train ``parameters`` in place. ``folder`` gets ``WHAT-state.pt``, ``WHAT-losses.csv`` and ``WHAT-curve.svg``.

    ``key`` names data and recipe: a checkpoint of another run is refused. ``stop_after`` ends the call at that step as
    a kill would, except that nothing is written. Raises DataError where the folder holds the checkpoint of another run.
    """
    state_file = folder / f"{what}-{STATE_FILE}"
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in parameters.values() if p.dim() > 1], "weight_decay": recipe.weight_decay},
            {"params": [p for p in parameters.values() if p.dim() <= 1], "weight_decay": 0.0},
        ],
        lr=recipe.learning_rate,
    )
    torch.manual_seed(recipe.seed)
    history = LossHistory()
    total = max(1, round(recipe.epochs * len(batches(0))))
    best: dict[str, torch.Tensor] = {}
    begun = _resume(state_file, parameters, optimizer, history, best, key) if state_file.is_file() else 0
    clock = time.monotonic()
    for number, batch in enumerate(_stream(batches, begun), begun):
        if number >= total or number == stop_after or history.is_over(watch):
            break
        rate = _rate(number, total, recipe)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad(set_to_none=True)
        value = accumulate(batch, list(parameters.values()), loss, recipe)
        torch.nn.utils.clip_grad_norm_(list(parameters.values()), recipe.clip)
        optimizer.step()
        history.rows.append((number + 1, value, rate, round(time.monotonic() - clock, 2)))
        progress(f"{what} (loss {value:.3f}), steps", number + 1, total)
        last = number + 1 == total
        if watch is not None and ((number + 1) % watch.every == 0 or last):
            history.watched.append((number + 1, watch.measure()))
            if history.best == len(history.watched) - 1:
                best |= {name: parameter.detach().clone() for name, parameter in parameters.items()}
        last = last or history.is_over(watch)
        if (number + 1) % recipe.save_every == 0 or last:
            _save(state_file, parameters, optimizer, history, best, key, number + 1)
            _write_losses(folder / f"{what}-{LOSSES_FILE}", history)
        if last:
            _draw_losses(folder / f"{what}-{CURVE_FILE}", f"{what}: loss", history)
    with torch.no_grad():
        for name, tensor in best.items():
            parameters[name].copy_(tensor)
    return history


def accumulate(
    batch: Sequence[int], parameters: Sequence[torch.nn.Parameter], loss: Loss, recipe: StepsRecipe
) -> float:
    """Set the gradient of the batch's mean loss, worked off ``at_once`` samples at a time; returns that mean.

    The sums of all parts are carried back and divided by the whole count at the end: so the gradient is that of the
    whole batch, however unequal the parts.
    """
    total = weight = 0.0
    for start in range(0, len(batch), recipe.at_once):
        with autocast(recipe.precision, recipe.device):
            found, count = loss(batch[start : start + recipe.at_once])
        if not torch.isfinite(found.detach()):
            raise DataError("loss_diverged")
        found.backward()
        total, weight = total + float(found.detach()), weight + count
    for parameter in parameters:
        if parameter.grad is not None:
            parameter.grad.div_(weight)
    return total / weight


def autocast(precision: Precision, device: str) -> AbstractContextManager[Any]:
    """bfloat16 where it is asked for, or with "auto" where the processor computes in it."""
    kind = torch.device(device).type
    if precision == "float32" or (precision == "auto" and not computes_bfloat16(kind)):
        return nullcontext()
    return torch.autocast(kind, torch.bfloat16)


def _stream(batches: Batches, begun: int) -> Iterator[list[int]]:
    """All batches of all epochs, without the first ``begun``."""
    epoch = 0
    while True:
        found = batches(epoch)
        yield from found[begun:]
        begun = max(0, begun - len(found))
        epoch += 1


def _rate(step: int, total: int, recipe: StepsRecipe) -> float:
    if step < recipe.warmup:
        return recipe.learning_rate * (step + 1) / recipe.warmup
    done = (step - recipe.warmup) / max(1, total - recipe.warmup)
    return recipe.learning_rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))


def _save(
    file: Path,
    parameters: Mapping[str, torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
    history: LossHistory,
    best: Mapping[str, torch.Tensor],
    key: str,
    step: int,
) -> None:
    """Whole or not at all: a run may be killed at any moment."""
    partial = file.with_suffix(".partial")
    state = {
        "key": key,
        "step": step,
        "parameters": {name: value.detach() for name, value in parameters.items()},
        "optimizer": optimizer.state_dict(),
        "random": torch.get_rng_state(),
        "random_on_gpu": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "rows": [list(row) for row in history.rows],
        "watched": [list(row) for row in history.watched],
        "best": dict(best),
    }
    torch.save(state, partial)
    partial.replace(file)


def _resume(
    file: Path,
    parameters: Mapping[str, torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
    history: LossHistory,
    best: dict[str, torch.Tensor],
    key: str,
) -> int:
    state = torch.load(file, map_location="cpu", weights_only=True)
    if state["key"] != key or set(state["parameters"]) != set(parameters):
        raise DataError("other_run", file=str(file))
    with torch.no_grad():
        for name, value in parameters.items():
            value.copy_(state["parameters"][name])
    optimizer.load_state_dict(state["optimizer"])
    torch.set_rng_state(state["random"])
    if state["random_on_gpu"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["random_on_gpu"])
    history.rows = [tuple(row) for row in state["rows"]]
    history.watched = [tuple(row) for row in state.get("watched", [])]  # of runs before there was a watch: none
    best |= state.get("best", {})
    return int(state["step"])


def _write_losses(file: Path, history: LossHistory) -> None:
    with file.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.writer(opened)
        watched = dict(history.watched)
        writer.writerow(("step", "loss", "learning_rate", "seconds", *(("watched",) if watched else ())))
        for step, loss, rate, seconds in history.rows:
            seen = (f"{watched[step]:.5f}" if step in watched else "",) if watched else ()
            writer.writerow((step, f"{loss:.5f}", f"{rate:.3g}", seconds, *seen))


def _draw_losses(file: Path, title: str, history: LossHistory) -> None:
    """Every step as a dot, and an exponential mean that does not begin at the first value alone."""
    numbers, losses, _, _ = zip(*history.rows, strict=True)
    mean = weight = 0.0
    smooth = []
    for loss in losses:
        mean = _SMOOTHING * mean + (1 - _SMOOTHING) * loss
        weight = _SMOOTHING * weight + (1 - _SMOOTHING)
        smooth.append(mean / weight)
    lines: dict[str, Line] = {"mean": (numbers, smooth)}
    if history.watched:
        steps, watched = zip(*history.watched, strict=True)
        lines["not trained on"] = (steps, watched)
    draw_chart(file, title, "step", lines, dots=(numbers, losses))
