"""Times the stages of a request and counts the tokens each took. Knows no stage."""

from __future__ import annotations

import time

from composer.pipeline import events
from vision.interfaces import Usage, VisionLanguageModel


class Clock:
    """Seconds and tokens since the last stage ended."""

    def __init__(self, model: VisionLanguageModel) -> None:
        self._model = model
        self._time = time.perf_counter()
        self._usage: Usage = model.usage.copy()

    def finished(self, stage: events.Stage) -> events.StageFinished:
        now, used = time.perf_counter(), self._model.usage.since(self._usage)
        event = events.StageFinished(
            stage, now - self._time, used.prompt_tokens + used.generated_tokens, used.cached_tokens
        )
        self._time, self._usage = now, self._model.usage.copy()
        return event
