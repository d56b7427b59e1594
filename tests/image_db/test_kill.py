"""Indexing that is killed without warning, again and again, ends as if it had run through."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from image_db.indexing import index_paths
from image_db.library import Library
from image_db.verification import verify
from tests.fakes import ColourEncoder
from tests.image_db.conftest import paint_many

ROOT = Path(__file__).resolve().parents[2]
COUNT = 150

CHILD = """
import sys
from image_db import indexing
from image_db.library import Library
from tests.fakes import ColourEncoder

indexing.COMMIT_PICTURES = 8  # many commits, so that kills fall into them
encoder = ColourEncoder()
with Library.open_or_create(sys.argv[1], encoder.identity) as library:
    indexing.index_paths(library, encoder, [sys.argv[2]], batch_size=4, progress=lambda *_: print(flush=True))
"""


def test_a_library_survives_kills_in_the_middle_of_indexing(
    tmp_path: Path, pictures: Path, encoder: ColourEncoder
) -> None:
    paint_many(pictures, COUNT)
    for number in range(0, COUNT, 3):
        (pictures / f"IMG_{number:05}.txt").write_text(f"picture number {number}")
    chance = random.Random(4)
    held = 0
    for _ in range(3):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, tmp_path / "lib", pictures], cwd=ROOT, stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        for _ in range(chance.randrange(12, 50)):  # pictures done, then somewhere in what follows
            child.stdout.readline()
        time.sleep(chance.uniform(0, 0.01))
        child.kill()
        child.wait()
        child.stdout.close()
        with Library.open(tmp_path / "lib", encoder.identity) as library:
            assert held <= len(library) <= COUNT
            held = len(library)
            assert verify(library).sound
    assert 0 < held < COUNT, "kills came too early or too late to test anything"
    with Library.open(tmp_path / "lib", encoder.identity) as library:
        report = index_paths(library, encoder, [pictures])
        assert (report.added + report.unchanged, report.failed) == (COUNT, ())
        killed, killed_records = library.matrix(), list(library.records())
    with Library.create(tmp_path / "untouched", encoder.identity) as library:
        index_paths(library, encoder, [pictures])
        whole, whole_records = library.matrix(), list(library.records())
    assert killed_records == whole_records
    assert killed.ids == whole.ids
    np.testing.assert_array_equal(killed.visual, whole.visual)
    np.testing.assert_array_equal(killed.has_text, whole.has_text)
    np.testing.assert_array_equal(killed.textual[killed.has_text], whole.textual[whole.has_text])
