"""A batch composed by workers of Ray: all made, none twice, though a worker is killed and the server restarts."""

from __future__ import annotations

import io
import os
import signal
import threading
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from composer.batch.article_job import BatchConfig
from composer.batch.ray_composers import RayComposers, with_server
from composer.batch.requests import BatchJob
from composer.batch.runner import run_batch
from composer.export.article_folder import load_article
from composer.pipeline import events
from composer.request import ComposeRequest
from composer.settings import LanguageSettings, Settings
from tests.composer.fake_pipeline import FakePipeline
from tests.composer.small_pipeline import make_library
from tests.fakes import ColourEncoder
from tests.vision.served.stand_in import StandIn
from vision.interfaces import Message, Sampling, Usage
from vision.served.model import ServedModel, load_served_model

ray = pytest.importorskip("ray", reason="pip install 'vignette-studio[cluster]'")

ROOT = Path(__file__).resolve().parents[3]
SERVED = " one two three four five six"


@pytest.fixture(scope="module", autouse=True)
def _paths() -> Iterator[None]:
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(ROOT)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
        ray.shutdown()
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before


class ServedPipeline(FakePipeline):
    """Fixed articles whose title the server writes. The worker dies in the middle of the article that says so, once."""

    def __init__(self, model: ServedModel, log: Path) -> None:
        super().__init__(())
        self._model, self._log = model, log

    def events(self, request: ComposeRequest) -> Iterator[events.Event]:
        with self._log.open("a") as log:
            log.write(f"{request.instruction}\n")
        prompt = (Message.of("user", request.instruction),)
        said = "".join(chunk.text for chunk in self._model.stream(prompt, Sampling()))
        mark = self._log.with_suffix(".killed")
        if "deadly" in request.instruction and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        for event in super().events(request):
            if isinstance(event, events.Done):
                yield events.Done(replace(event.article, title=f"{request.instruction}:{said}"))
            else:
                yield event


class ServedPool:
    """Picklable as its loader is; a model of the server, as ``ModelPool`` would have one."""

    def __init__(self, settings: Settings, log: Path) -> None:
        self._model = load_served_model(settings.writer.address, tries=8, first_pause_s=0.05, timeout_s=10)
        self._log = log

    @property
    def usage(self) -> Usage:
        return self._model.usage

    def pipeline(self, library_dir: Any, settings: Settings) -> ServedPipeline:
        return ServedPipeline(self._model, self._log)


class LoadServed:
    def __init__(self, log: Path) -> None:
        self.log = log

    def __call__(self, settings: Settings) -> ServedPool:
        return ServedPool(settings, self.log)


@pytest.mark.slow
def test_eight_articles_are_all_made_and_none_twice(tmp_path: Path) -> None:
    log, out = tmp_path / "log", tmp_path / "articles"
    out.mkdir()
    with make_library(tmp_path / "walls", ColourEncoder()) as library:
        folder = library.folder
    jobs = [
        BatchJob(n, f"{n:02d}", ComposeRequest(f"article {n}" + (" deadly" if n == 3 else ""))) for n in range(1, 9)
    ]
    with StandIn() as server:
        profile = Settings("served", writer=LanguageSettings(kind="server", address=server.url))
        config = BatchConfig(out, folder, profile)
        restarted = threading.Event()

        def restart(handler: Any, body: dict[str, Any]) -> bool:
            """This request finds a server that goes away; a new one comes to the same address."""
            server.restart()
            restarted.set()
            handler.close_connection = True
            return True

        server.faults = [None] * 12 + [restart]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")

            def open_composers(config: BatchConfig, count: int, workers: int | None) -> RayComposers:
                return RayComposers(config, count, workers, load=LoadServed(log))

            summary = run_batch(jobs, config, io.StringIO(), workers=2, fail_fast=False, open_composers=open_composers)
            assert restarted.is_set()
            assert [(outcome.status, outcome.error) for outcome in summary.all()] == [("made", None)] * 8
            assert log.with_suffix(".killed").exists()
            again = run_batch(jobs, config, io.StringIO(), workers=2, fail_fast=False, open_composers=open_composers)
    assert [outcome.status for outcome in again.all()] == ["kept"] * 8
    begun = log.read_text().splitlines()
    assert sorted(set(begun)) == sorted(job.request.instruction for job in jobs if job.request is not None)
    assert len(begun) == 9  # that of the worker that died is the only one begun again
    for job in jobs:
        article = load_article(out / job.folder)
        assert job.request is not None
        assert article.title == f"{job.request.instruction}:{SERVED}"


def test_several_servers_are_taken_in_turn() -> None:
    writer = LanguageSettings(kind="server", address="http://a/v1, http://b/v1")
    settings = Settings("served", writer=writer)
    assert [with_server(settings, n).writer.address for n in range(3)] == ["http://a/v1", "http://b/v1", "http://a/v1"]
    assert with_server(Settings("plain"), 1) == Settings("plain")
