"""How Ray is started and what it is asked for, without starting it."""

from __future__ import annotations

from typing import Any

import pytest

from image_db.cluster.ray_index import RayOptions, start_ray
from image_db.errors import LibraryError
from vision import usable_cores

ray = pytest.importorskip("ray", reason="pip install 'vignette-studio[cluster]'")


def busy() -> Exception:
    return Exception("The current node timed out during startup.")


class Starts:
    """``outcomes`` are what comes of each start of Ray in turn; ``ended`` counts those whose processes were ended."""

    def __init__(self) -> None:
        self.outcomes: list[Exception | None] = []
        self.ended = 0

    def init(self, **_: Any) -> None:
        starts = self

        class Node:
            def __init__(self) -> None:
                outcome = starts.outcomes.pop(0)
                if outcome is not None:
                    raise outcome

            def kill_all_processes(self, **_: bool) -> None:
                starts.ended += 1

        Node()


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> Starts:
    made = Starts()
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", made.init)
    return made


def test_a_machine_that_is_busy_is_given_another_try(starts: Starts) -> None:
    starts.outcomes = [busy(), None]
    start_ray(RayOptions(workers=2))
    assert (starts.outcomes, starts.ended) == ([], 1)
    starts.outcomes = [busy() for _ in range(4)]
    with pytest.raises(LibraryError) as told:
        start_ray(RayOptions(workers=2))
    assert (told.value.key, starts.ended) == ("ray_not_reached", 5)


@pytest.mark.parametrize("error", [ConnectionError("none there"), RuntimeError("twice"), ValueError("no address")])
def test_what_another_try_does_not_mend_is_said_at_once(starts: Starts, error: Exception) -> None:
    starts.outcomes = [error, None]
    with pytest.raises(LibraryError) as told:
        start_ray(RayOptions(address="ray://nowhere:10001"))
    assert (told.value.key, told.value.values["address"]) == ("ray_not_reached", "ray://nowhere:10001")
    assert (starts.outcomes, starts.ended) == ([None], 0)


@pytest.mark.parametrize(
    ("options", "encoders", "cores_each"),
    [
        (RayOptions(workers=2), 2, 1),
        (RayOptions(workers=16), 4, 4),
        (RayOptions(workers=6, encoders=3), 3, 2),
        (RayOptions(address="auto"), 1, 1),
        (RayOptions(address="auto", encoders=8, gpus_each=1), 8, 1),
        (RayOptions(workers=8, gpus_each=0.5), 1, 8),
    ],
)
def test_here_all_cores_are_used_and_on_a_cluster_what_is_asked_for(
    options: RayOptions, encoders: int, cores_each: int
) -> None:
    settled = options.settled()
    assert (settled.encoders, settled.cores_each) == (encoders, cores_each)
    if not options.gpus_each and not options.address:
        # All encoders and a reader fit side by side, or the run would stand still.
        taken = settled.encoders * settled.encoding()["num_cpus"] + settled.reading(5)["num_cpus"]
        assert taken <= settled.workers


def test_the_cores_of_this_process_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {3}, raising=False)
    assert usable_cores() == 1
    assert RayOptions().settled().encoders == 1
