"""What holds for every test: no network beyond this machine, few threads, and model files that must be there."""

from __future__ import annotations

import ipaddress
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# Read by the libraries when they are first imported, hence before any test module is. More threads than one wait
# for each other most of the time: these models are tiny, and another worker has the other core.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", GRADIO_ANALYTICS_ENABLED="False")

# Timing belongs to benchmarks: a busy machine must not fail a property.
settings.register_profile("vignette", deadline=None, derandomize=True)
settings.load_profile("vignette")


class NetworkUsed(AssertionError):
    """A test that is not marked ``network`` reached beyond this machine."""


_guard = {"on": True}
_connect, _connect_ex, _getaddrinfo = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo


def _is_here(host: object) -> bool:
    if host in (None, "", "localhost", b"localhost", socket.gethostname()):
        return True
    try:
        address = ipaddress.ip_address(host.decode() if isinstance(host, bytes) else str(host))
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _check(host: object) -> None:
    if _guard["on"] and not _is_here(host):
        raise NetworkUsed(f"a test asked for {host!r}; mark it `network`, or use a server on this machine")


def _guarded_connect(self: socket.socket, address: Any) -> None:
    if self.family in (socket.AF_INET, socket.AF_INET6):
        _check(address[0])
    _connect(self, address)


def _guarded_connect_ex(self: socket.socket, address: Any) -> int:
    if self.family in (socket.AF_INET, socket.AF_INET6):
        _check(address[0])
    return _connect_ex(self, address)


def _guarded_getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
    _check(host)
    return _getaddrinfo(host, *args, **kwargs)


def pytest_configure() -> None:
    socket.socket.connect = _guarded_connect  # type: ignore[assignment, method-assign]
    socket.socket.connect_ex = _guarded_connect_ex  # type: ignore[assignment, method-assign]
    socket.getaddrinfo = _guarded_getaddrinfo


def find_chromium() -> str | None:
    """The browser that tests marked ``browser`` drive; `make test` installs Debian's where it may."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def _share(path: str) -> str:
    """What stays with one worker: a module, whose fixtures are made once, and all of the page's tests together."""
    return "tests/browser" if path.startswith("tests/browser/") else path


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler import LoadScopeScheduling

    class Shares(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _share(nodeid.split("::")[0])

    config.option.loadscopereorder = False  # by its number of tests
    return Shares(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # The largest share comes first, so that no worker is left alone with it at the end.
    items.sort(key=lambda item: "browser" not in item.path.relative_to(Path(__file__).parent).parts)
    if find_chromium() is not None or os.environ.get("CI"):  # CI must not pass by skipping
        return
    skip = pytest.mark.skip(reason="NO BROWSER: install Chromium (Debian: apt-get install chromium)")
    for item in items:
        if item.get_closest_marker("browser") is not None:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def chromium_path() -> str:
    path = find_chromium()
    assert path is not None, "there is no Chromium; on Debian: apt-get install chromium"
    return path


@pytest.fixture(autouse=True)
def _network_for_marked_tests(request: pytest.FixtureRequest) -> Iterator[None]:
    _guard["on"] = request.node.get_closest_marker("network") is None
    yield
    _guard["on"] = True


_HOME_BEFORE = os.environ.get("VIGNETTE_HOME")


@pytest.fixture(autouse=True)
def _own_note_of_the_last_library(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test changes which library is the default of whoever runs the tests."""
    from image_db import default_library

    note, own = default_library._note, tmp_path_factory.getbasetemp() / "last-library.txt"
    monkeypatch.setattr(
        default_library, "_note", lambda: own if os.environ.get("VIGNETTE_HOME") == _HOME_BEFORE else note()
    )


@pytest.fixture(scope="session")
def model_path() -> Callable[[str], Path]:
    """Where a model of the manifest is. Fails, not skips, where it is missing: `make test` pulls what tests need."""
    from vision.downloads.store import locate
    from vision.errors import WeightsError

    def find(name: str) -> Path:
        try:
            return locate(name)
        except WeightsError as error:
            pytest.fail(f"{error} (`make test` does so for the models that the default run needs)", pytrace=False)

    return find
