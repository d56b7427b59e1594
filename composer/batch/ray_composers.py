"""Composers on Ray: actors on any number of machines, each with the profile's models, usually those of a server.

The driver hands an actor one article at a time and hears its events as they come, so that no more is under way than
there are actors. An actor that dies is started again by Ray and makes its article anew, unless that is already in its
folder: what is finished is never made twice. Library, output folder and sources are what all machines see.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol, TypeAlias

from composer.batch.article_job import (
    BatchConfig,
    Composes,
    Interrupted,
    Listener,
    Outcome,
    existing_outcome,
    run_job,
)
from composer.batch.requests import BatchJob
from composer.settings import LanguageSettings, Settings
from image_db.cluster.ray_index import RayOptions, start_ray
from vision.errors import Phrase
from vision.interfaces import Usage

WORKERS = 4  # actors, where none are asked for
_ATTEMPTS = 3
_RESTART_S = 600.0  # for a machine to come and its models to load


class PipelinePool(Protocol):
    """What an actor needs of ``composer.pipeline.model_pool.ModelPool``."""

    @property
    def usage(self) -> Usage: ...

    def pipeline(self, library_dir: Any, settings: Settings) -> Composes: ...


LoadPool: TypeAlias = Callable[[Settings], PipelinePool]  # called where the work is; pickled on the way there


def load_pool(settings: Settings) -> PipelinePool:
    from composer.pipeline.model_pool import ModelPool

    return ModelPool.load(settings)


class ComposingActor:
    """One composer, on a machine of the cluster."""

    def __init__(self, config: BatchConfig, load: LoadPool, number: int) -> None:
        self._config = replace(config, profile=with_server(config.profile, number))
        self._pool = load(self._config.profile)

    def ready(self) -> bool:
        return True

    def usage(self) -> Usage:
        return self._pool.usage

    def compose(self, job: BatchJob) -> Iterator[Any]:
        """The events of an article, and at last its outcome."""
        events: queue.SimpleQueue[Any] = queue.SimpleQueue()

        def work() -> None:
            events.put(run_job(job, self._config, self._pipeline, events.put))

        import threading

        threading.Thread(target=work, daemon=True).start()
        while True:
            event = events.get()
            yield event
            if isinstance(event, Outcome):
                return

    def _pipeline(self, job: BatchJob) -> Composes:
        return self._pool.pipeline(self._config.library_of(job), job.settings(self._config.profile))


class RayComposers:
    """See ``composer.batch.runner.Composers``."""

    def __init__(
        self,
        config: BatchConfig,
        jobs: int,
        workers: int | None,
        *,
        address: str = "",
        load: LoadPool = load_pool,
    ) -> None:
        """Raises LibraryError where Ray is not installed or not reached, and what loading the models raises."""
        start_ray(RayOptions(address=address))
        import ray

        self.workers = min(workers or WORKERS, jobs)
        self._config = config
        actor = ray.remote(num_cpus=0, max_restarts=-1)(ComposingActor)
        self._actors = [actor.remote(config, load, number) for number in range(self.workers)]
        try:
            ray.get([one.ready.remote() for one in self._actors])
        except ray.exceptions.RayActorError as error:
            self.close()
            raise getattr(error, "cause", None) or error from error
        self._free: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for one in self._actors:
            self._free.put(one)

    @property
    def usage(self) -> Usage:
        import ray

        total = Usage()
        for one in self._actors:
            total.add(ray.get(one.usage.remote()))
        return total

    def run_job(self, job: BatchJob, listen: Listener) -> Outcome:
        import ray

        actor = self._free.get()
        try:
            for _ in range(_ATTEMPTS):
                try:
                    for ref in actor.compose.options(num_returns="streaming").remote(job):
                        news = ray.get(ref)
                        if isinstance(news, Outcome):
                            return news
                        listen(news)
                except Interrupted:
                    ray.kill(actor, no_restart=False)
                    return Outcome(job.line, job.folder, "pending")
                except ray.exceptions.RayError:
                    # The actor died, and is asked nothing before it is there again; what it finished is in its folder.
                    with suppress(ray.exceptions.RayError):
                        ray.get(actor.ready.options(max_task_retries=-1).remote(), timeout=_RESTART_S)
                    made = existing_outcome(job, replace(self._config, again="missing"))
                    if made is not None:
                        return replace(made, status="made") if made.status == "kept" else made
            return Outcome(job.line, job.folder, "failed", error=Phrase("composer_lost", {"times": _ATTEMPTS}))
        finally:
            self._free.put(actor)

    def close(self) -> None:
        import ray

        for one in self._actors:
            ray.kill(one)


def with_server(settings: Settings, number: int) -> Settings:
    """The profile with one of several servers, whose addresses stand side by side with commas between them."""

    def one(language: LanguageSettings) -> LanguageSettings:
        addresses = [address for part in language.address.split(",") if (address := part.strip())]
        return replace(language, address=addresses[number % len(addresses)]) if addresses else language

    own_judge = one(settings.own_judge) if settings.own_judge is not None else None
    return replace(settings, writer=one(settings.writer), own_judge=own_judge)
