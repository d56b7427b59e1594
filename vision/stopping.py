"""From tokens to text: characters are passed on whole, stop strings are cut off before anyone sees them.

Pure Python and shared by every engine. Deliberately knows neither tensors nor sampling: a tokenizer is
a function from ids to text here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

_HALF_A_CHARACTER = "\ufffd"


class TextAssembler:
    """Turns token ids into text as they come, holding back bytes that are not yet a whole character.

    ``decode`` maps ids to text and writes U+FFFD for incomplete UTF-8. Only a short window is decoded for
    each token, with the previous window in front, because many tokenizers drop a leading space.
    """

    def __init__(self, decode: Callable[[list[int]], str]) -> None:
        self._decode = decode
        self._ids: list[int] = []
        self._window_start = 0
        self._emitted_end = 0

    def push(self, token_id: int) -> str:
        """Text that became certain with this token; empty while a character is incomplete."""
        self._ids.append(token_id)
        window = self._decode(self._ids[self._window_start :])
        if window.endswith(_HALF_A_CHARACTER):
            return ""
        before = self._decode(self._ids[self._window_start : self._emitted_end])
        if len(window) <= len(before):
            return ""
        self._window_start, self._emitted_end = self._emitted_end, len(self._ids)
        return window[len(before) :]

    def flush(self) -> str:
        """What is left at the end, without the incomplete character if there is one."""
        window = self._decode(self._ids[self._window_start :]).rstrip(_HALF_A_CHARACTER)
        before = self._decode(self._ids[self._window_start : self._emitted_end])
        self._window_start = self._emitted_end = len(self._ids)
        return window[len(before) :]


class StopFilter:
    """Passes text on until a stop string occurs, however the pieces are cut.

    The stop string that is complete first ends the text, so that the cut into pieces makes no difference.
    """

    def __init__(self, stop: Sequence[str]) -> None:
        self._stop = tuple(text for text in stop if text)
        self._held = ""
        self.stopped = False

    def push(self, text: str) -> str:
        """Text that can no longer be part of a stop string; empty once ``stopped``."""
        if self.stopped:
            return ""
        self._held += text
        starts = [(self._held.find(stop), len(stop)) for stop in self._stop]
        ends_and_starts = [(start + length, start) for start, length in starts if start >= 0]
        if ends_and_starts:
            self.stopped = True
            _, start = min(ends_and_starts)
            certain, self._held = self._held[:start], ""
            return certain
        cut = len(self._held) - self._open_length()
        certain, self._held = self._held[:cut], self._held[cut:]
        return certain

    def flush(self) -> str:
        """What was held back, where generation ended before a stop string was complete."""
        held, self._held = self._held, ""
        return held

    def _open_length(self) -> int:
        """Length of the longest end of the held text that begins a stop string."""
        longest = max((len(stop) for stop in self._stop), default=0) - 1
        for length in range(min(longest, len(self._held)), 0, -1):
            tail = self._held[-length:]
            if any(stop.startswith(tail) for stop in self._stop):
                return length
        return 0
