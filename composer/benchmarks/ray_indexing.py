"""Indexing on Ray, whose workers are all on this machine, against plain indexing on the same cores; each command a
process of its own, from its start to the library it leaves.

python -m composer.benchmarks.ray_indexing plain|ray PROFILE PICTURES LIBRARY
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Set
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from composer.benchmarks.library import pictures_here
from composer.benchmarks.runner import BenchFailed, Progress, in_own_process
from composer.errors import UsageError
from composer.evaluation.report import Measure
from image_db.library import Library
from vision.images import load_image

PICTURES = 4_000
_PICTURE_PX = 500  # the longer side, at most
_SHARD_FILES = 128  # several shards each worker, between which the rate is taken
_GOAL_OVER_PLAIN = 1.25
_GOAL_SCALING = 1.7


def bench_ray(
    profile: str, library_dir: Path, *, rounds: int, progress: Progress, count: int = PICTURES
) -> dict[str, Measure]:
    """So many small pictures, made of the library's: plain indexing and Ray on two cores, then both on one, in turns.

    What two cores bring plain indexing is what they can bring. A core has one worker: the readers and the encoder of
    one core compute in one thread each. Raises LibraryError where the library is empty, UsageError where this process
    may not use two cores or cannot be kept on them.
    """
    cores = sorted(os.sched_getaffinity(0))[:2] if hasattr(os, "sched_getaffinity") else []
    if len(cores) < 2:
        raise UsageError("two_cores_needed")
    two_cores, one_core = set(cores), {cores[0]}
    turns = {
        "plain": ("plain", two_cores),
        "two": ("ray", two_cores),
        "one": ("ray", one_core),
        "plain_one": ("plain", one_core),
    }
    timed: dict[str, list[_Timing]] = {turn: [] for turn in turns}
    with tempfile.TemporaryDirectory(prefix="vignette-bench-") as name:
        place = Path(name)
        made = make_pictures(library_dir, place / "pictures", count, progress)
        for number in range(1, rounds + 1):
            for turn, (engine, allowed) in turns.items():
                progress(f"round {number} of {rounds}: {engine} on {len(allowed)} core(s)")
                library = place / f"{turn}-{number}"
                with kept_on(allowed):
                    timing = _timed(engine, profile, place / "pictures", library)
                timed[turn].append(timing)
                progress(f"  {timing.took_s:.1f} s, {timing.started_s:.1f} s of them to start Ray")
                with Library.open(library) as filled:
                    if len(filled) != made:
                        raise BenchFailed("bench_pictures_missing", found=len(filled), made=made)

    def median(turn: str, name: str) -> float:
        return statistics.median(getattr(timing, name) for timing in timed[turn])

    plain, two, one, plain_one = (median(turn, "took_s") for turn in turns)
    return {
        "plain_index_per_s": Measure(made / plain, "pictures/s"),
        "ray_index_per_s": Measure(made / two, "pictures/s", made / plain),
        "ray_over_plain": Measure(two / plain, "of plain indexing's time", _GOAL_OVER_PLAIN),
        "ray_start_s": Measure(median("two", "started_s"), "s"),
        "ray_one_core_per_s": Measure(made / one, "pictures/s"),
        "ray_two_over_one": Measure(one / two, "times the rate of one core", _GOAL_SCALING),
        "ray_work_two_over_one": Measure(
            median("two", "working_per_s") / median("one", "working_per_s"),
            "times the rate of one core, between the first shard and the last",
            _GOAL_SCALING,
        ),
        "plain_two_over_one": Measure(plain_one / plain, "times the rate of one core"),
    }


def make_pictures(library_dir: Path, folder: Path, count: int, progress: Progress) -> int:
    """Small JPEG files, no two alike, of the pictures of a library that are on this machine."""
    paths = [record.path for record in pictures_here(library_dir)]
    folder.mkdir()
    made = 0
    for path in paths:
        image = load_image(path, target_px=_PICTURE_PX)
        image.thumbnail((_PICTURE_PX, _PICTURE_PX))
        for number in range(made, min(count, made + -(-count // len(paths)))):
            turned = image.crop((number % 7, number // 7 % 7, image.width, image.height))
            turned.putpixel((0, 0), (number % 256, number // 256 % 256, 0))
            turned.save(folder / f"IMG_{number:06}.jpg", quality=85)
            made = number + 1
            if made % 500 == 0:
                progress(f"making pictures: {made:,} of {count:,}")
    return made


@contextmanager
def kept_on(cores: Set[int]) -> Iterator[None]:
    """What is started meanwhile computes on these cores alone."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class _Timing(NamedTuple):
    """Seconds by the clock, those of them in which Ray was started, and pictures a second while all workers were at
    work.
    """

    took_s: float
    started_s: float
    working_per_s: float


def _timed(engine: str, *command: object) -> _Timing:
    start = time.perf_counter()
    told = json.loads(in_own_process("ray_indexing", engine, *map(str, command), engine=engine))
    return _Timing(time.perf_counter() - start, **told)


def index(engine: str, profile: str, pictures: str, library_dir: str) -> None:
    from composer.pipeline.loading import load_encoder
    from composer.profiles.choice import resolve
    from image_db.cluster.filling import fill_library
    from image_db.cluster.ray_index import RayOptions, index_on_ray, start_ray
    from image_db.cluster.shards import ShardFolder, shards_beside
    from image_db.cluster.sources import list_sources
    from image_db.indexing import index_paths

    settings = resolve(profile).settings
    encoder = load_encoder(settings)
    started_s = 0.0
    written: list[tuple[float, int]] = [(time.perf_counter(), 0)]  # when so many pictures were in shards
    with Library.create(Path(library_dir), encoder.identity) as library:
        if engine == "plain":
            index_paths(library, encoder, [pictures])
        else:
            sources, shards = list_sources([pictures]), ShardFolder(shards_beside(Path(library_dir)))
            start = time.perf_counter()
            start_ray(RayOptions())
            started_s = time.perf_counter() - start
            index_on_ray(
                sources,
                shards,
                encoder.identity,
                partial(load_encoder, settings),
                RayOptions(shard_files=_SHARD_FILES),
                lambda done, _: written.append((time.perf_counter(), done)),
            )
            fill_library(library, encoder, shards, sources)
    (begun, few), (ended, all_) = written[1 if len(written) > 2 else 0], written[-1]
    rate = (all_ - few) / (ended - begun) if all_ > few else 0.0
    print(json.dumps({"started_s": started_s, "working_per_s": rate}))  # noqa: T201 - its answer


if __name__ == "__main__":
    index(*sys.argv[1:])
