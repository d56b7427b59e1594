"""Folders that are watched: something is told after a change, and nothing of the library's own files."""

from __future__ import annotations

import threading
from pathlib import Path

from image_db.watching import changes
from tests.image_db.conftest import paint


def test_a_change_is_told_and_what_the_library_writes_is_not(tmp_path: Path) -> None:
    pictures, library = tmp_path / "pictures", tmp_path / "pictures" / "lib"
    library.mkdir(parents=True)
    stop, told = threading.Event(), threading.Semaphore(0)
    heard: list[int] = []

    def listen() -> None:
        for _ in changes([pictures], ignored=library, stop=stop, settled_ms=50):
            heard.append(len(heard))
            told.release()

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        # The watch begins at some moment after the thread: write until it is heard.
        for number in range(200):
            paint(pictures / f"IMG_{number}.png")
            if told.acquire(timeout=0.1):
                break
        assert heard
        while told.acquire(timeout=0.5):  # what was written before is told
            pass
        known = len(heard)
        (library / "catalog.sqlite").write_bytes(b"x")
        assert not told.acquire(timeout=0.5)
        assert len(heard) == known
        (pictures / "IMG_0.txt").write_text("a caption")
        assert told.acquire(timeout=10)
    finally:
        stop.set()
        thread.join(10)
