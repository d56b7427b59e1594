"""The same against a real server, llama-cpp-python's (extra ``bench``), on a model that Vignette's engine runs too."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.live_server import free_port
from tests.vision.tiny_gguf import write_tiny_gguf
from vision.interfaces import Message, Prompt, Sampling
from vision.llm.model import GgufModel, load_gguf_model
from vision.served.model import ServedModel, load_served_model

pytestmark = pytest.mark.slow
pytest.importorskip("llama_cpp", reason="pip install 'llama-cpp-python[server]'")

PROMPT: Prompt = (
    Message.of("system", "You are a helpful assistant."),
    Message.of("user", "Is a hen a bird? Answer with one word, yes or no."),
)


@pytest.fixture(scope="module", params=["tiny", "smollm2-135m-instruct"])
def models(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, model_path: Callable[[str], Path]
) -> Iterator[tuple[ServedModel, GgufModel]]:
    """One file, run by llama.cpp behind the server and by Vignette's own engine."""
    folder = tmp_path_factory.mktemp("served")
    path = write_tiny_gguf(folder / "tiny.gguf") if request.param == "tiny" else model_path(request.param)
    port, environment = free_port(), {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "llama_cpp.server", "--model", str(path), "--model_alias", "served-model"]
    command += ["--port", str(port), "--n_ctx", "512", "--n_threads", "1"]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(command, env=environment, stdout=log, stderr=log) as server,
    ):
        try:
            served = load_served_model(
                f"http://127.0.0.1:{port}/v1",
                " served-model ",
                context_tokens=512,
                tries=60,  # until it listens
                first_pause_s=0.05,
                rng=random.Random(0),
            )
            own = load_gguf_model(path, threads=1, context_tokens=512, cache_dir=folder / "converted")
            yield served, own
            served.close()
        finally:
            server.terminate()


def test_what_the_server_can_is_found_out(models: tuple[ServedModel, GgufModel]) -> None:
    served, _ = models
    assert served.traits.log_probs
    assert not served.traits.continues  # its chat formats always open a new turn
    assert not served.sees_images  # it reads a picture's address as text
    assert served.notice is not None
    assert served.notice.key == "server_closes_turns"


def test_options_have_the_probabilities_that_vignette_s_own_engine_finds(
    models: tuple[ServedModel, GgufModel],
) -> None:
    served, own = models
    listed = served._loop.run(served._listed(PROMPT, "", [served.usage]))
    options = [token for token in listed if token.isprintable() and token.strip() and "�" not in token][:8]
    assert len(options) >= 4
    assert served.score(PROMPT, options) == pytest.approx(own.score(PROMPT, options), abs=0.3)


def test_greedy_text_is_that_of_vignette_s_own_engine(models: tuple[ServedModel, GgufModel]) -> None:
    served, own = models
    greedy = Sampling(max_tokens=12, temperature=0.0)
    texts = ["".join(chunk.text for chunk in model.stream(PROMPT, greedy)) for model in (served, own)]
    assert texts[0][:8] == texts[1][:8]
    assert served.usage.generated_tokens > 0


def test_several_at_once_are_all_answered_though_the_server_breaks_streams_off(
    models: tuple[ServedModel, GgufModel],
) -> None:
    """llama-cpp-python ends a stream when the next request comes; it is gone on with until it is whole."""
    served, _ = models
    callers = [served.caller() for _ in range(3)]
    texts: dict[int, str] = {}

    def ask(number: int) -> None:
        sampling = Sampling(max_tokens=8, temperature=0.5, seed=number)
        texts[number] = "".join(chunk.text for chunk in callers[number].stream(PROMPT, sampling))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(texts) == [0, 1, 2]
    assert all(texts.values())
