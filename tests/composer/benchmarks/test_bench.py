"""The benchmark's figures: medians, ratios, names, and what it says when it cannot measure."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest

from composer.benchmarks import runner as bench
from composer.benchmarks.runner import BenchFailed, Worker, bench_load, bench_writer, pick_reference
from composer.cli import main
from composer.commands.terminal import measure_table
from composer.errors import UsageError
from composer.evaluation.report import Measure
from tests.vision.tiny_gguf import write_tiny_gguf


class FakeWorker:
    """Answers like a worker; seconds grow with every round so that a mean and a median differ."""

    speeds: ClassVar[dict[str, float]] = {"vignette": 2.0, "llama.cpp": 1.0}

    def __init__(self, engine: str, log: list[tuple[str, str]]) -> None:
        self.engine, self.log, self.reads = engine, log, 0

    def do(self, **command: Any) -> dict[str, Any]:
        self.log.append((self.engine, command["do"]))
        if command["do"] == "peak":
            return {"peak_rss_gb": 1.5}
        if command["do"] == "read":
            self.reads += 1
            return {"seconds": (1000.0 if self.reads == 2 else 10.0) / self.speeds[self.engine]}
        tokens = command["tokens"] * len(command["prompts"])
        return {"tokens": tokens, "seconds": tokens / len(command["prompts"]) / self.speeds[self.engine]}

    def close(self) -> None: ...


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    calls: list[tuple[str, str]] = []
    monkeypatch.setattr(bench, "Worker", lambda engine, model, threads: FakeWorker(engine, calls))
    monkeypatch.setattr(bench, "sample_ids", lambda model: list(range(3000)))
    return calls


def test_rates_are_medians_over_rounds_taken_in_turns(log: list[tuple[str, str]]) -> None:
    measures = bench_writer(Path("m.gguf"), threads=2, rounds=3, reference="llama.cpp", progress=lambda text: None)
    assert measures["prefill_tokens_per_s"] == Measure(200.0, "tokens/s", 100.0), "the slow round is no median"
    assert measures["decode_tokens_per_s"] == Measure(2.0, "tokens/s", 1.0)
    assert measures["batch5_tokens_per_s"] == Measure(10.0, "tokens/s", 5.0), "both write the five side by side"
    assert measures["batch5_tokens_per_s"].ratio == 2
    assert [engine for engine, _ in log] == (["vignette"] * 3 + ["llama.cpp"] * 3) * 4


def test_without_a_reference_there_is_no_ratio(log: list[tuple[str, str]]) -> None:
    measures = bench_writer(Path("m.gguf"), threads=2, rounds=1, reference=None, progress=lambda text: None)
    assert measures["decode_tokens_per_s"].as_json() == {"value": 2.0, "unit": "tokens/s"}
    assert {engine for engine, _ in log} == {"vignette"}


def test_loading_is_timed_from_the_start_of_a_process(log: list[tuple[str, str]]) -> None:
    measures = bench_load(Path("m.gguf"), threads=2, rounds=2, reference="llama.cpp", progress=lambda text: None)
    assert set(measures) == {"first_token_s", "peak_rss_gb"}
    assert measures["peak_rss_gb"] == Measure(1.5, "GB", 1.5)
    assert 0 < measures["first_token_s"].value < 5


def test_a_measure_s_json_has_the_four_agreed_keys() -> None:
    assert Measure(30.0, "tokens/s", 20.0).as_json() == {
        "value": 30.0,
        "unit": "tokens/s",
        "reference": 20.0,
        "ratio": 1.5,
    }


def test_the_table_sets_both_engines_side_by_side() -> None:
    lines = measure_table({"decode_tokens_per_s": Measure(30.0, "tokens/s", 20.0)}, "llama.cpp").splitlines()
    assert lines[0].split() == ["measure", "value", "llama.cpp", "ratio"]
    assert lines[1].split() == ["decode_tokens_per_s", "30.000", "tokens/s", "20.000", "1.50"]


def test_a_reference_that_is_not_installed_is_an_error_only_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert pick_reference("auto") is None
    assert pick_reference("none") is None
    assert pick_reference("transformers") == "transformers"
    with pytest.raises(UsageError, match="reference_missing"):
        pick_reference("llama.cpp")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bench", "writer", "--rounds", "0"], "--rounds is 0; it must be at least 1"),
        (["bench", "load", "--threads", "-1"], "--threads is -1"),
    ],
)
def test_wrong_usage_names_the_flag(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


def test_an_engine_imports_nothing_of_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("composer", "vision", "json"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('code of the working folder was run')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(bench.__file__).parents[2]))
    worker = Worker("vignette", tmp_path / "missing.gguf", 1)
    with pytest.raises(BenchFailed) as caught:
        worker.do(do="peak")
    worker.close()
    assert "missing.gguf" in str(caught.value)


def test_a_worker_that_dies_is_reported_with_its_last_words(tmp_path: Path) -> None:
    worker = Worker("vignette", tmp_path / "missing.gguf", 1)
    try:
        with pytest.raises(BenchFailed, match=r"^engine_stopped: engine=vignette, reason=.*missing\.gguf"):
            worker.do(do="read", ids=[1])
    finally:
        worker.close()


def test_a_real_run_on_a_tiny_model_gives_positive_rates_as_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("PREFILL_TOKENS", 60), ("DECODE_TOKENS", 8), ("ARTICLE_TOKENS", 20), ("CAPTION_TOKENS", 4)):
        monkeypatch.setattr(bench, name, value)
    monkeypatch.setattr("composer.benchmarks.memory_bandwidth.BYTES_A_THREAD", 8 << 20)
    path = write_tiny_gguf(tmp_path / "tiny.gguf")
    code = main(["bench", "writer", "--model", str(path), "--rounds", "1", "--reference", "none", "--json"])
    assert code == 0
    printed = json.loads(capsys.readouterr().out)
    rates = {name for name, entry in printed.items() if entry["unit"] == "tokens/s"}
    assert rates == {f"{n}_tokens_per_s" for n in ("decode", "batch5", "prefill", "decode_limit")}
    assert all(entry["value"] > 0 for entry in printed.values())
    assert printed["decode_tokens_per_s"]["value"] < printed["decode_limit_tokens_per_s"]["value"]
    assert "llama_cpp" not in sys.modules


def test_four_words_in_a_row_that_stand_again_are_said_twice() -> None:
    from composer.benchmarks.batch import said_twice

    assert said_twice(["one two three four", "five six seven eight"]) == 0
    assert said_twice(["one two three four", "One two, three four."]) == 0.5
    assert said_twice(["one two three", "four five"]) == 0, "runs do not cross sections"
    assert said_twice([]) == 0


def test_the_reference_is_charged_with_reading_and_with_every_token_drawn() -> None:
    from composer.benchmarks.batch import BatchWork

    # 600 rows at 60 a second and 400 tokens at 20 a second take 30 s, for 300 tokens that are kept.
    assert BatchWork(finished=300, read=600, drawn=400).finished_per_s(60, 20) == 10
