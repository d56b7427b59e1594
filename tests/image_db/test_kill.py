"""Indexing, compacting and encoding anew that are killed without warning end as if they had run through.

Moments are drawn by fixed seeds. The last tests count steps, before and after each write, flush and statement, and have
the process kill itself at one of them, so that kills fall between any two.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from image_db.errors import LibraryMissing
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


STEPS = """
import os, random, sqlite3, sys, time
from pathlib import Path
from image_db import indexing, vectors
from image_db.catalog import Catalog
from image_db.compaction import compact
from image_db.library import Library
from image_db.reencoding import reencode
from tests.fakes import ColourEncoder

indexing.COMMIT_PICTURES = 8
what, folder, pictures = sys.argv[1:4]

class Counting(ColourEncoder):
    def encode_images(self, images):
        os.write(1, b"%d\\n" % len(images))
        return super().encode_images(images)

left = int(sys.argv[4])

def step():
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), 9)

def stepping(owner, name):
    plain = getattr(owner, name)
    def stepped(*args, **kwargs):
        step()
        result = plain(*args, **kwargs)
        step()
        return result
    setattr(owner, name, stepped)

for owner, name in ((vectors.VectorFile, "write"), (vectors.os, "fsync"), (Catalog, "_run"), (Catalog, "execute"),
                    (Path, "unlink")):
    stepping(owner, name)
encoder = Counting()
other = Counting("shapes", textual_dim=32)
if what == "index":
    with Library.open_or_create(folder, encoder.identity) as library, library.writing():
        indexing.index_paths(library, encoder, [pictures], batch_size=4)
elif what == "compact":
    with Library.open(folder, encoder.identity) as library:
        compact(library)
else:
    with Library.open(folder) as library:
        if library.encoder.sha256 != other.identity.sha256:
            reencode(library, other, batch_size=3, without_unreadable=True)
"""
WORKS = ("index", "compact", "reencode")
ONE_COMMIT = 8 + 4 - 1  # pictures at most: a commit is due after the batch that fills it


class Work(NamedTuple):
    """Whether it ran through, and how many pictures it encoded."""

    ran: bool
    encoded: int


def work(what: str, library: Path, pictures: Path, kill_at: int = 0) -> Work:
    """A kill comes at that step, counted from 1."""
    command = [sys.executable, "-c", STEPS, what, str(library), str(pictures), str(kill_at)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in (0, -9), done.stderr[-2000:]
    return Work(done.returncode == 0, sum(map(int, done.stdout.split())))


def contents(folder: Path) -> tuple:
    with Library.open(folder) as library:
        assert library.damage() == []
        view, records = library.matrix(), list(library.records())
        words = [view.textual[i].tobytes() if view.has_text[i] else b"" for i in range(len(view.ids))]
        return records, view.ids, view.visual.tobytes(), words


def killed_at_random(tmp_path: Path, pictures: Path, kills: int, seed: int) -> None:
    """Each work is killed at random steps, begun again until it runs through, and compared with one left alone."""
    count = 24
    for number, path in enumerate(paint_many(pictures, count)):
        if number % 3 == 0:
            path.with_suffix(".txt").write_text(f"picture number {number}")
    chance = random.Random(seed)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    done = 0
    for what in WORKS:
        if what == "compact":
            for folder in (whole, killed):
                for path in sorted(pictures.glob("*.png"))[::5] if folder == whole else ():
                    path.unlink()
                assert work("index", folder, pictures).ran
        before = contents(whole) if what != "index" else None
        assert work(what, whole, pictures).ran
        after = contents(whole)
        untouched = tmp_path / "before"
        if before is not None:
            shutil.copytree(killed, untouched)
        for _ in range(kills // len(WORKS) + (what == "index") * (kills % len(WORKS))):
            shutil.rmtree(killed, ignore_errors=True)
            if before is not None:
                shutil.copytree(untouched, killed)
            first = work(what, killed, pictures, chance.randrange(1, 120))
            done += not first.ran
            held, seen = 0, None
            if (killed / "catalog.sqlite").exists() and not first.ran:
                with suppress(LibraryMissing):
                    seen = contents(killed)
                    held = len(seen[0])
                    # A reader meets the library as it was, as it will be or, of indexing, with some of its pictures.
                    assert what == "index" or seen in (before, after)
            second = work(what, killed, pictures)
            assert second.ran
            assert contents(killed) == after
            if what == "index" and not first.ran:
                assert second.encoded == count - held, "what was committed is not encoded again"
                assert first.encoded - held <= ONE_COMMIT
            elif what == "reencode" and not first.ran and seen == before:
                assert first.encoded + second.encoded <= len(after[0]) + 3, "a batch at most is encoded twice"
        shutil.rmtree(untouched, ignore_errors=True)
    assert done > kills // 2, "kills came too late to test anything"


def test_kills_at_five_random_steps_leave_the_library_as_it_was_or_as_it_will_be(
    tmp_path: Path, pictures: Path
) -> None:
    killed_at_random(tmp_path, pictures, 5, seed=1)


@pytest.mark.slow
def test_kills_at_two_hundred_random_steps_leave_the_library_as_it_was_or_as_it_will_be(
    tmp_path: Path, pictures: Path
) -> None:
    killed_at_random(tmp_path, pictures, 200, seed=2)
