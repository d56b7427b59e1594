"""How long the rest of a job will take, judged by earlier jobs of this process and by how far the text is.

A first job is judged by what each stage took of the whole on a small machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock

from composer.pipeline.events import STAGES, StageFinished
from composer.pipeline.progress import Progress

# Seconds relative to writing, measured with the embedded profile on two cores; replaced by what is seen here.
_RELATIVE: Mapping[str, float] = {
    "load": 0.05, "write": 1.0, "place": 0.12, "caption": 0.15, "find": 0.02, "choose": 0.25, "finish": 0.05,
}  # fmt: skip
_MEMORY = 0.5  # share of the newest job in what is expected


class TimeEstimator:
    """Threads may share one."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._per_word: dict[str, float] = {}

    def learn(self, stage: StageFinished, words: int) -> None:
        """A stage of an article that was to have so many words is over."""
        seen = stage.seconds / max(words, 1)
        with self._lock:
            known = self._per_word.get(stage.stage)
            self._per_word[stage.stage] = seen if known is None else _MEMORY * seen + (1 - _MEMORY) * known

    def left_s(self, progress: Progress, written: int, words: int, stage_s: float) -> float | None:
        """Seconds until the end, ``stage_s`` after the present stage began; None while nothing can be said.

        ``written`` is the number of words so far, of about ``words``.
        """
        if progress.stage is None or progress.done:
            return None
        over = {stage.stage: stage.seconds for stage in progress.trace}
        writing_s = over.get("write") or self._writing_s(progress, written, words, stage_s)
        if writing_s is None:
            return None
        left = 0.0
        for stage in STAGES[STAGES.index(progress.stage) :]:
            with self._lock:
                known = self._per_word.get(stage)
            whole = writing_s if stage == "write" else _RELATIVE[stage] * writing_s if known is None else known * words
            left += max(whole - stage_s, 0.0) if stage == progress.stage else whole
        return left

    def _writing_s(self, progress: Progress, written: int, words: int, stage_s: float) -> float | None:
        share = written / max(words, 1)
        if progress.stage == "write" and share >= 0.1:
            return stage_s / min(share, 1.0)
        with self._lock:
            known = self._per_word.get("write")
        return None if known is None else known * words
