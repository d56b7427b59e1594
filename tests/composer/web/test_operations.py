"""What those who run the page ask it: is it alive, and what has it done; and its log for machines."""

from __future__ import annotations

import io
import json
import logging
import re
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from composer.pipeline.events import StageFinished
from composer.studio.metrics import StudioMetrics
from composer.web.access_control import Access
from composer.web.log_redaction import _LOGGERS, log_as_json, note
from tests.live_server import LiveServer

SAMPLE = re.compile(r'(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>[a-z]+="[^"]*"(?:,[a-z]+="[^"]*")*)\})? (?P<value>\S+)')


def samples(text: str) -> dict[str, float]:
    """As the format says (prometheus.io, exposition formats): each family once, its type before its samples."""
    found: dict[str, float] = {}
    kinds: dict[str, str] = {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert name not in kinds
            kinds[name] = kind
        elif not line.startswith("#"):
            match = SAMPLE.fullmatch(line)
            assert match is not None, line
            family = re.sub(r"_(sum|count|bucket)$", "", match["name"])
            assert kinds.get(match["name"], kinds.get(family)) is not None
            assert line.rpartition(" ")[0] not in found
            found[line.rpartition(" ")[0]] = float(match["value"])
    assert text.endswith("\n")
    return found


def test_the_numbers_of_a_page_add_up() -> None:
    metrics = StudioMetrics()
    metrics.stage(StageFinished("write", 1.5, tokens=120))
    metrics.stage(StageFinished("write", 2.0, tokens=80))
    metrics.article("made")
    for _ in range(3):
        with metrics.searching():
            pass
    with pytest.raises(ValueError, match="not counted"), metrics.searching():
        raise ValueError("not counted")
    found = samples(metrics.exposition(waiting=2, running=1))
    assert found['vignette_articles_total{state="made"}'] == 1
    assert found['vignette_articles{state="waiting"}'] == 2
    assert found['vignette_stage_seconds_sum{stage="write"}'] == 3.5
    assert found['vignette_stage_seconds_count{stage="write"}'] == 2
    assert found["vignette_tokens_total"] == 200
    buckets = [value for name, value in found.items() if name.startswith("vignette_search_seconds_bucket")]
    assert buckets == sorted(buckets)
    assert buckets[-1] == found["vignette_search_seconds_count"] == 3


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    access = Access(True, ("127.0.0.1",), "anna:correct-horse", None, "")
    live = LiveServer(tmp_path_factory.mktemp("operations"), access=access)
    yield live
    live.close()


def get(server: LiveServer, path: str, **headers: str) -> tuple[int, str]:
    request = urllib.request.Request(server.url + path, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""


def test_health_is_told_to_whoever_asks_and_numbers_to_those_with_the_password(server: LiveServer) -> None:
    status, body = get(server, "healthz", Host="10.0.0.7:7860")  # as a probe of Kubernetes asks
    assert (status, json.loads(body)["status"]) == (200, "ok")
    assert get(server, "metrics")[0] == 401
    status, body = get(server, "metrics", Authorization="Basic YW5uYTpjb3JyZWN0LWhvcnNl")
    assert status == 200
    assert samples(body)["vignette_tokens_total"] == 0
    assert get(server, "healthz/", Host="10.0.0.7")[0] == 421
    assert get(server, "config", Host="10.0.0.7")[0] == 421


def test_a_log_for_machines_holds_no_messages() -> None:
    loggers = [logging.getLogger(name) for name in (*_LOGGERS, "vignette")]
    before = [(logger.handlers, logger.propagate) for logger in loggers]
    out = io.StringIO()
    try:
        log_as_json(out)
        note("a line\nof the page")
        try:
            raise ValueError("what somebody wrote")
        except ValueError:
            logging.getLogger("uvicorn.error").exception("failed: %s", "what somebody wrote")
    finally:
        for logger, (handlers, propagate) in zip(loggers, before, strict=True):
            logger.handlers, logger.propagate = handlers, propagate
    first, second = (json.loads(line) for line in out.getvalue().splitlines())
    assert (first["level"], first["message"]) == ("error", "a line\nof the page")
    assert "ValueError" in second["message"]
    assert "somebody" not in out.getvalue()
    assert {"time", "level", "logger", "message"} == set(first)
