"""The memory that the largest pictures take, measured from outside: indexing ten, and three sent to the page at once.

Peak memory is what Linux counts; ``pytest -m slow -rP tests/test_memory.py`` prints it. The encoder alone takes 1.0 GB
once it has seen a picture, of which .3 are files that are mapped; the page with all models 1.9 GB, of which .75 are.
"""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.composer.small_pipeline import paint
from tests.vision.test_png import chunk

ROOT = Path(__file__).resolve().parents[1]
SIDE_PX = 13_300  # as many pixels as are read at most
MOST_GB = 1.5
MOST_OF_UPLOADS_GB = 0.25  # beyond what an article with a small picture takes
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="other systems count memory otherwise"),
]


def largest_png(path: Path, seed: int) -> Path:
    """Some 3 MB: rows that repeat, as in drawings and screenshots."""
    packing = zlib.compressobj(1)
    packed = bytearray()
    for row in range(SIDE_PX):
        colours = (
            bytes((seed * 31 + row + column // 50) % 256 for column in range(3 * SIDE_PX)) if not row % 500 else b""
        )
        packed += packing.compress(b"\0" + colours if colours else b"\2" + bytes(3 * SIDE_PX))
    packed += packing.flush()
    header = struct.pack(">IIBBBBB", SIDE_PX, SIDE_PX, 8, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", bytes(packed)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    return path


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-P", "-m", "composer.cli", *arguments]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def test_indexing_ten_of_the_largest_pictures(tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(10):
        largest_png(pictures / f"{number}.png", number)
    process = subprocess.Popen(
        command("index", str(pictures), "--library", str(tmp_path / "library")), env=environment()
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    sys.stdout.write(f"indexing ten pictures of {SIDE_PX} × {SIDE_PX}: {used.ru_maxrss * 1024 / 1e9:.2f} GB\n")
    assert used.ru_maxrss * 1024 / 1e9 < MOST_GB


def test_three_of_the_largest_pictures_sent_at_once(tmp_path: Path) -> None:
    library = tmp_path / "library"
    (tmp_path / "pictures").mkdir()
    paint(tmp_path / "pictures" / "wall.png", "red")
    subprocess.run(
        command("index", str(tmp_path / "pictures"), "--library", str(library)), env=environment(), check=True
    )
    sent = [largest_png(tmp_path / f"{number}.png", number) for number in range(3)]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    process = subprocess.Popen(
        command("app", "--profile", "tiny", "--library", str(library), "--port", port, "--no-browser"),
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        url = process.stdout.readline().strip()
        assert '"state": "done"' in _illustrated(url, paint(tmp_path / "small.png", "blue"))
        before_gb = _peak_gb(process.pid)
        with ThreadPoolExecutor(3) as pool:
            told = list(pool.map(lambda picture: _illustrated(url, picture), sent))
        assert all('"state": "done"' in said for said in told), told
        peak_gb = _peak_gb(process.pid)
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()
    sys.stdout.write(f"the page with a small picture: {before_gb:.2f} GB; three large ones at once: {peak_gb:.2f} GB\n")
    assert peak_gb - before_gb < MOST_OF_UPLOADS_GB


def _peak_gb(process_id: int) -> float:
    lines = Path(f"/proc/{process_id}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024 / 1e9


def _illustrated(url: str, picture: Path) -> str:
    """What the server tells of an article that must show the picture."""
    with httpx.Client(base_url=f"{url}/gradio_api", timeout=600) as client:
        (path,) = client.post("/upload", files={"files": (picture.name, picture.read_bytes())}).json()
        asked = {
            "text": "The wall is red.\n\nThe gate is blue.\n",
            "images": "1",
            "must_use": [{"path": path, "meta": {"_type": "gradio.FileData"}}],
        }
        begun = client.post("/call/v2/illustrate", json=asked).json()
        return client.get(f"/call/v2/illustrate/{begun['event_id']}").text
