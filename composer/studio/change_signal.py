"""A version that grows with every change, and a way for any number of event loops to wait for the next one."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress


class ChangeSignal:
    """Threads may share one."""

    def __init__(self) -> None:
        self.version = 1
        self._lock = threading.Lock()
        self._waiting: set[asyncio.Future[None]] = set()

    def notify(self) -> None:
        """Something changed: wake whoever waits."""
        with self._lock:
            self.version += 1
            woken, self._waiting = self._waiting, set()
        for future in woken:
            with suppress(RuntimeError):  # the loop of a page that went away is closed
                future.get_loop().call_soon_threadsafe(_finish, future)

    async def wait(self, version: object, timeout_s: float) -> None:
        """Return as soon as the version is another than this one, after ``timeout_s`` at the latest."""
        future = asyncio.get_running_loop().create_future()
        with self._lock:
            if self.version != version:
                return
            self._waiting.add(future)
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(future, timeout_s)
        finally:
            with self._lock:
                self._waiting.discard(future)


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
