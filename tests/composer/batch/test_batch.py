"""A batch goes on past failures, a second run does only what is missing, and an interrupted one can be resumed."""

from __future__ import annotations

import json
import re
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import composer.batch.runner
import composer.cli
import composer.pipeline.model_pool
from composer.batch.article_job import BatchConfig, existing_outcome, request_hash, run_job
from composer.batch.requests import BatchJob, read_jobs
from composer.batch.runner import LOCK, BatchRun
from composer.cli import main
from composer.errors import UsageError, WritingFailed
from composer.export.article_folder import load_article
from composer.i18n import localize
from composer.request import ComposeRequest
from composer.settings import IllustrationSettings, LanguageSettings, Needs, Settings
from image_db.library import Library
from retrieval.filters import Filters
from tests.composer.article_samples import picture
from tests.composer.fake_pipeline import FakePipeline
from tests.fakes import ColourEncoder
from vision.interfaces import Usage

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def fake(tmp_path: Path) -> FakePipeline:
    lib = tmp_path / "lib"
    Library.create(lib, ColourEncoder().identity).close()
    return FakePipeline([picture(lib, "hens.jpg", "gold"), picture(lib, "cows.jpg"), picture(lib, "barn.jpg", "red")])


class FakeWorkshop:
    """Hands out one fake pipeline, and notes for which library and settings."""

    def __init__(self, fake: FakePipeline) -> None:
        self.fake = fake
        self.workers = 2
        self.usage = Usage(prompt_tokens=70, cached_tokens=20, generated_tokens=30)
        self.asked: list[tuple[Path, Settings]] = []
        self.closed = False

    def pipeline(self, library: Path, settings: Settings) -> FakePipeline:
        self.asked.append((library, settings))
        return self.fake

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def batch(
    tmp_path: Path, fake: FakePipeline, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Runs ``vignette batch`` on the lines given and returns exit code, stdout and stderr."""
    loads: list[FakeWorkshop] = []

    def load(settings: Settings) -> FakeWorkshop:
        loads.append(FakeWorkshop(fake))
        return loads[-1]

    monkeypatch.setattr(composer.pipeline.model_pool.ModelPool, "load", load)
    monkeypatch.setattr(composer.cli, "COMMANDS", ("batch",))

    def run(*lines: object, options: tuple[str, ...] = (), name: str = "requests.jsonl") -> tuple[int, str, str]:
        path = tmp_path / name
        path.write_text("\n".join(x if isinstance(x, str) else json.dumps(x) for x in lines), encoding="utf-8")
        loads.clear()
        library = () if "--library" in options else ("--library", str(tmp_path / "lib"))
        code = main(["batch", str(path), "--out", str(tmp_path / "out"), *library, *options])
        run.loads = loads  # type: ignore[attr-defined]
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def shown_in(folder: Path) -> list[str]:
    """The names of a folder, less the hidden lock of its batch."""
    return sorted(path.name for path in folder.iterdir() if path.name != LOCK)


def told(tmp_path: Path) -> dict:
    return json.loads((tmp_path / "out/summary.json").read_text())


def config(tmp_path: Path) -> BatchConfig:
    return BatchConfig(tmp_path, tmp_path / "lib", Settings("embedded"))


def test_every_line_gets_a_whole_folder_named_by_line_and_instruction(batch: Run, tmp_path: Path) -> None:
    code, out, err = batch({"instruction": "A day on the farm", "seed": 3}, "", {"instruction": "如何养好一只宠物"})
    assert code == 0
    assert shown_in(tmp_path / "out") == [
        "001-a-day-on-the-farm",
        "003-如何养好一只宠物",
        "report.html",
        "summary.json",
    ]
    for folder in ("001-a-day-on-the-farm", "003-如何养好一只宠物"):
        held = {p.name for p in (tmp_path / "out" / folder).iterdir()}
        assert held == {"article.json", "article.md", "article.html", "images", "trace.jsonl"}
    farm = load_article(tmp_path / "out/001-a-day-on-the-farm")
    assert (farm.title, farm.provenance["seed"], len(farm.pictures)) == ("A day on the farm", 3, 2)
    assert load_article(tmp_path / "out/003-如何养好一只宠物").language == "zh"
    assert out.splitlines()[0].split() == [
        "line",
        "status",
        "seconds",
        "words",
        "pictures",
        "folder,",
        "or",
        "what",
        "went",
        "wrong",
    ]
    assert out.splitlines()[-2:] == ["2 made, 0 kept, 0 failed", str(tmp_path / "out/report.html")]
    assert re.search(r"\] 003-如何养好一只宠物 made in \d+ s: \d+ words, 2 pictures\n", err)
    assert "\x1b" not in err, "nothing is drawn over where nobody watches"


def test_a_failed_line_does_not_stop_the_rest_and_is_in_the_exit_code(batch: Run, tmp_path: Path) -> None:
    code, out, _ = batch(
        {"instruction": "please fail"},
        "{oops",
        {"instruction": "crash now"},
        {"instruction": "fine", "wrods": 3},
        ["no"],
        {"instruction": "Last"},
    )
    assert code == 1
    summary = told(tmp_path)
    keys = ["nothing_written", "in_line", "unexpected", "in_line", "in_line", ""]
    assert [item["error_key"] for item in summary["items"]] == keys
    assert summary["items"][4]["error_values"] == {"line": 5, "reason": {"key": "not_an_object", "values": {}}}
    assert [item["status"] for item in summary["items"]] == ["failed"] * 5 + ["made"]
    assert (summary["made"], summary["kept"], summary["failed"], summary["pending"]) == (1, 0, 5, 0)
    errors = [item["error"] for item in summary["items"]]
    assert errors[0] == localize(WritingFailed("nothing_written"), "en", batch=True)
    assert errors[1].startswith("line 2: it is not JSON: ")
    assert errors[2] == "unexpected ZeroDivisionError: a bug"
    assert "fake_pipeline.py" in summary["items"][2]["details"], "a bug keeps its traceback"
    assert errors[3].startswith("line 4: wrods is not known; known are: name, instruction, illustrate, ")
    assert errors[4] == "line 5: it is not a JSON object; write one with keys such as instruction"
    for error in errors[:5]:
        assert error in out
    assert "--" not in out, "a line names fields, not options of compose"
    assert shown_in(tmp_path / "out") == ["006-last", "report.html", "summary.json"]


def test_a_rerun_does_only_what_is_missing(batch: Run, fake: FakePipeline, tmp_path: Path) -> None:
    lines = [{"instruction": "One"}, {"instruction": "please fail"}, {"instruction": "Three"}]
    assert batch(*lines)[0] == 1
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("article.*")}
    fake.requests.clear()
    lines[1] = {"instruction": "please work"}
    code, out, _ = batch(*lines)
    assert code == 0
    assert [r.instruction for r in fake.requests] == ["please work"]
    assert {p: p.stat().st_mtime_ns for p in before} == before
    assert out.splitlines()[-2] == "1 made, 2 kept, 0 failed"
    assert batch(*lines)[1].splitlines()[-2] == "0 made, 3 kept, 0 failed"
    assert batch.loads == [], "no model is loaded where nothing is missing"  # type: ignore[attr-defined]


def test_an_article_of_another_request_is_never_replaced_unasked(batch: Run, tmp_path: Path) -> None:
    batch({"instruction": "One", "seed": 1})
    before = (tmp_path / "out/001-one/article.json").read_bytes()
    code, out, _ = batch({"instruction": "One", "seed": 2})
    assert code == 1
    folder = tmp_path / "out/001-one"
    told = f"{folder} holds the article of another request, profile, library or picture; --update replaces it, "
    assert told + "or name another --out" in out
    assert batch({"instruction": "One", "seed": 1}, options=("--profile", "tiny"))[0] == 1
    Library.create(tmp_path / "other", ColourEncoder().identity).close()
    assert batch({"instruction": "One", "seed": 1, "library": "other"})[0] == 1
    assert (tmp_path / "out/001-one/article.json").read_bytes() == before


def test_update_makes_what_has_changed_again_and_force_everything(
    batch: Run, fake: FakePipeline, tmp_path: Path
) -> None:
    batch({"instruction": "One", "seed": 1}, {"instruction": "Two"})
    fake.requests.clear()
    changed = [{"instruction": "One", "seed": 2}, {"instruction": "Two"}]
    assert batch(*changed, options=("--update",))[0] == 0
    assert [r.instruction for r in fake.requests] == ["One"]
    assert load_article(tmp_path / "out/001-one").provenance["seed"] == 2
    fake.requests.clear()
    assert batch(*changed, options=("--force",))[0] == 0
    assert {r.instruction for r in fake.requests} == {"One", "Two"}
    assert shown_in(tmp_path / "out") == ["001-one", "002-two", "report.html", "summary.json"]
    with pytest.raises(SystemExit) as usage:
        batch(*changed, options=("--force", "--update"))
    assert usage.value.code == 2


def test_an_article_that_cannot_be_made_again_stays(batch: Run, fake: FakePipeline, tmp_path: Path) -> None:
    batch({"instruction": "One"})
    before = (tmp_path / "out/001-one/article.json").read_bytes()

    def fail() -> None:
        raise OSError("the disk is on fire")

    fake.step = fail
    assert batch({"instruction": "One"}, options=("--force",))[0] == 1
    assert (tmp_path / "out/001-one/article.json").read_bytes() == before


def test_force_does_not_touch_an_article_that_no_batch_made(batch: Run, tmp_path: Path) -> None:
    batch({"instruction": "One"})
    path = tmp_path / "out/001-one/article.json"
    values = json.loads(path.read_text())
    del values["provenance"]["request_sha256"]
    path.write_text(json.dumps(values))
    code, out, _ = batch({"instruction": "One"}, options=("--force",))
    assert code == 1
    assert "holds an article that no batch made; move it away or name another --out" in out


def test_a_folder_that_holds_something_else_is_refused_before_the_work(
    batch: Run, fake: FakePipeline, tmp_path: Path
) -> None:
    (tmp_path / "out/001-one").mkdir(parents=True)
    (tmp_path / "out/001-one/mine.txt").write_text("keep")
    code, out, _ = batch({"instruction": "One"})
    assert code == 1
    assert "001-one is not empty (it holds 'mine.txt'" in out
    assert fake.requests == []


# One that comes between the opening of a file and its ``with`` leaves the file to the collector.
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_what_is_at_work_and_the_next_run_goes_on(
    number: signal.Signals,
    batch: Run,
    fake: FakePipeline,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = [{"instruction": name} for name in ("One", "Two", "Three", "Four")]
    first = threading.Lock()  # taken once: a second signal would end the waiting for what is at work
    # A test run that a shell started in the background was started with interrupts ignored.
    usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    before = signal.signal(number, usual)
    request.addfinalizer(lambda: signal.signal(number, before))

    runs: list[BatchRun] = []

    class Watched(BatchRun):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            runs.append(self)

    monkeypatch.setattr(composer.batch.runner, "BatchRun", Watched)

    def interrupt() -> None:
        if len(fake.requests) >= 3:
            if first.acquire(blocking=False):
                signal.pthread_kill(threading.main_thread().ident or 0, number)
            runs[0]._cutting.wait(60)  # the article must not be done before the main thread has acted

    fake.step = interrupt
    code, _, err = batch(*lines, options=("--workers", "2"))
    assert code == 130
    assert err.endswith("vignette: interrupted\n")
    assert fake.most_running <= 2
    summary = told(tmp_path)
    made = [item["folder"] for item in summary["items"] if item["status"] == "made"]
    assert 1 <= len(made) <= 2
    assert summary["pending"] == 4 - len(made)
    assert shown_in(tmp_path / "out") == sorted([*made, "report.html", "summary.json"])
    assert fake.running == 0, "nothing goes on in the background"
    fake.step = lambda: None
    fake.requests.clear()
    assert batch(*lines)[0] == 0
    assert len(fake.requests) == 4 - len(made)


def test_two_batches_in_one_folder_are_kept_apart(batch: Run, fake: FakePipeline, tmp_path: Path) -> None:
    from filelock import FileLock

    (tmp_path / "out").mkdir()
    with FileLock(tmp_path / "out" / LOCK):
        code, _, err = batch({"instruction": "One"})
    assert code == 1
    assert f"another batch works in {tmp_path / 'out'}" in err
    assert fake.requests == []
    assert shown_in(tmp_path / "out") == []
    assert batch({"instruction": "One"})[0] == 0


def test_a_line_that_breaks_before_it_is_made_does_not_end_the_batch(
    batch: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from composer.batch import article_job

    def broken(folder: Path) -> None:
        if folder.name == "001-one":
            raise ZeroDivisionError("a bug")

    monkeypatch.setattr(article_job, "check_free", broken)
    assert batch({"instruction": "One"}, {"instruction": "Two"})[0] == 1
    assert [item["error_key"] for item in told(tmp_path)["items"]] == ["unexpected", ""]


def test_pictures_of_a_text_of_its_own_come_along_and_the_missing_are_noticed(batch: Run, tmp_path: Path) -> None:
    picture(tmp_path / "texts", "boats.jpg")
    (tmp_path / "texts/trip.md").write_text("# Trip\n\nBy boat.\n\n![Boats](boats.jpg)\n\n![Nets](nets.jpg)\n")
    assert batch({"illustrate": "texts/trip.md"})[0] == 0
    assert (tmp_path / "out/001-trip/boats.jpg").is_file()
    (notice,) = told(tmp_path)["items"][0]["notices"]
    assert "nets.jpg" in notice


def test_fail_fast_begins_nothing_after_a_failure(batch: Run, tmp_path: Path) -> None:
    lines = [{"instruction": "One"}, {"instruction": "please fail"}, {"instruction": "Three"}]
    code, out, _ = batch(*lines, options=("--fail-fast", "--workers", "1"))
    assert code == 1
    assert [item["status"] for item in told(tmp_path)["items"]] == ["made", "failed", "pending"]
    assert out.splitlines()[-2] == "1 made, 0 kept, 1 failed, 1 not made"
    assert batch("{oops", {"instruction": "Four"}, options=("--fail-fast",))[0] == 1
    assert batch.loads == [], "a line that cannot be read is a failure, too"  # type: ignore[attr-defined]


def test_every_line_can_have_a_library_and_settings_of_its_own(batch: Run, tmp_path: Path) -> None:
    Library.create(tmp_path / "birds", ColourEncoder().identity).close()
    line = {"instruction": "One", "library": "birds", "settings": {"pictures": {"min_fused": 0.1}}}
    assert batch(line, {"instruction": "Two"}, options=("--workers", "1"))[0] == 0
    (workshop,) = batch.loads  # type: ignore[attr-defined]
    assert [library for library, _ in workshop.asked] == [tmp_path / "birds", tmp_path / "lib"]
    assert [settings.pictures for _, settings in workshop.asked] == [
        IllustrationSettings(min_fused=0.1),
        IllustrationSettings(),
    ]
    assert workshop.closed


def test_a_line_may_name_its_own_library(tmp_path: Path, batch: Run) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(json.dumps({"instruction": "One", "library": "lib"}))
    assert main(["batch", str(path), "--out", str(tmp_path / "out")]) == 0


def test_a_library_that_is_not_there_is_told_before_models_are_loaded(batch: Run, tmp_path: Path) -> None:
    code, _, err = batch({"instruction": "One"}, options=("--library", str(tmp_path / "none")))
    assert code == 1
    assert "no library in" in err
    assert batch.loads == []  # type: ignore[attr-defined]


def test_json_goes_to_stdout_and_its_keys_are_those_of_the_file(batch: Run, tmp_path: Path) -> None:
    _, out, _ = batch({"instruction": "One"}, options=("--json",))
    printed, kept = json.loads(out), told(tmp_path)
    printed.pop("seconds"), kept.pop("seconds")
    assert printed == kept
    assert list(kept) == [
        "format", "made", "kept", "failed", "pending", "profile", "workers", "load_seconds",
        "prompt_tokens", "cached_tokens", "generated_tokens", "items",
    ]  # fmt: skip
    item = printed["items"][0]
    assert list(item) == [
        "line", "folder", "status", "title", "language", "words", "pictures", "slots", "seconds", "tokens",
        "stages", "notices", "error", "details", "error_key", "error_values",
    ]  # fmt: skip
    assert (item["words"] > 50, item["pictures"], item["slots"], item["tokens"]) == (True, 2, 3, 160)
    assert item["stages"] == {"write": 1.5, "place": 0.25, "caption": 0.25, "find": 0.25, "choose": 0.25, "finish": 0.1}
    assert (printed["profile"], printed["workers"], printed["generated_tokens"]) == ("embedded", 1, 30)
    batch({"instruction": "One"})
    again = told(tmp_path)["items"][0]
    assert (again["status"], again["stages"], again["tokens"]) == ("kept", item["stages"], 0)


@pytest.mark.parametrize("content", ["", "\n  \n"])
def test_a_file_without_requests_is_wrong_usage(content: str, batch: Run) -> None:
    code, _, err = batch(content)
    assert code == 2
    assert "holds no request; write one a line" in err


def test_a_missing_file_and_an_unknown_format_are_wrong_usage(tmp_path: Path, batch: Run) -> None:
    with pytest.raises(UsageError, match=r"^file_unreadable: file=.*none.jsonl, reason=No such file or directory$"):
        read_jobs(tmp_path / "none.jsonl")
    assert batch({"instruction": "One"}, options=("--format", "odt"))[0] == 2
    assert not (tmp_path / "out").exists()


def test_the_hash_of_a_request_changes_with_everything_that_decides_the_article(tmp_path: Path) -> None:
    boat = picture(tmp_path, "boat.jpg").path
    base = {"instruction": "x", "use_images": (boat,)}
    embedded, here = Settings("embedded"), Path("/a/lib")
    variants = [
        {"instruction": "y"},
        {"seed": 1},
        {"words": 200},
        {"images": 3},
        {"language": "zh"},
        {"text": "t"},
        {"filters": Filters(("CC",))},
    ]
    hashes = {request_hash(ComposeRequest(**{**base, **change}), embedded, here) for change in [{}, *variants]}
    same = ComposeRequest(**base)
    hashes |= {request_hash(same, Settings("tiny"), here), request_hash(same, embedded, Path("/a/birds"))}
    hashes |= {request_hash(same, Settings("embedded", pictures=IllustrationSettings(candidates=3)), here)}
    assert len(hashes) == len(variants) + 4
    assert request_hash(same, Settings("embedded", "said otherwise"), Path("/b/lib")) in hashes
    elsewhere = Settings("embedded", writer=LanguageSettings(threads=4, device="cpu"), needs=Needs(memory_gb=3.0))
    assert request_hash(same, elsewhere, here) in hashes, "where it runs does not decide an article"
    for other in ({"writer": LanguageSettings(model="a.gguf")}, {"own_judge": LanguageSettings()}):
        assert request_hash(same, Settings("embedded", **other), here) not in hashes
    boat.rename(tmp_path / "renamed.jpg")
    moved = ComposeRequest(instruction="x", use_images=(tmp_path / "renamed.jpg",))
    assert request_hash(moved, embedded, here) in hashes, "the same picture under another name is the same request"
    picture(tmp_path, "renamed.jpg", "red")
    assert request_hash(moved, embedded, here) not in hashes


def test_an_unreadable_job_is_settled_without_a_model(tmp_path: Path) -> None:
    outcome = existing_outcome(BatchJob(4, "004-x", None, UsageError("not_an_object")), config(tmp_path))
    assert outcome is not None
    assert outcome.error is not None
    assert (outcome.status, outcome.error.key) == ("failed", "not_an_object")
    assert existing_outcome(BatchJob(1, "001-x", ComposeRequest("x")), config(tmp_path)) is None


def test_a_made_article_carries_its_pictures_lost_on_the_way_as_a_reason(tmp_path: Path, fake: FakePipeline) -> None:
    fake.pictures[0].path.unlink()
    outcome = run_job(BatchJob(1, "001-x", ComposeRequest("x")), config(tmp_path), lambda _: fake)
    assert (outcome.status, outcome.pictures, outcome.slots) == ("made", 1, 3)


def test_a_composer_that_cannot_be_had_is_the_lines_failure(tmp_path: Path) -> None:
    def refuse(job: BatchJob) -> FakePipeline:
        raise UsageError("library_unknown")

    outcome = run_job(BatchJob(1, "001-x", ComposeRequest("x")), config(tmp_path), refuse)
    assert outcome.error is not None
    assert (outcome.status, outcome.error.key) == ("failed", "library_unknown")
