"""A batch reads strictly, goes on past failures, and a second run does only what is missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import composer.cli
import composer.parts
from composer.batch import make, request_hash, settled, summary, table
from composer.batch_requests import Job, read_jobs
from composer.cli import main
from composer.errors import UsageError
from composer.output import load_article
from composer.request import ComposeRequest
from retrieval.candidates import Filters
from tests.composer.article_samples import picture
from tests.composer.fake_composer import FakeComposer

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def fake(tmp_path: Path) -> FakeComposer:
    lib = tmp_path / "lib"
    return FakeComposer([picture(lib, "hens.jpg", "gold"), picture(lib, "cows.jpg"), picture(lib, "barn.jpg", "red")])


@pytest.fixture
def batch(
    tmp_path: Path, fake: FakeComposer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Runs ``vignette batch`` on the lines given and returns exit code, stdout and stderr."""
    loads: list[Path] = []

    def load(settings: object, library: Path) -> FakeComposer:
        loads.append(library)
        return fake

    monkeypatch.setattr(composer.parts, "load_composer", load)
    monkeypatch.setattr(composer.cli, "COMMANDS", ("batch",))

    def run(*lines: object, options: tuple[str, ...] = ()) -> tuple[int, str, str]:
        path = tmp_path / "requests.jsonl"
        path.write_text("\n".join(x if isinstance(x, str) else json.dumps(x) for x in lines), encoding="utf-8")
        loads.clear()
        code = main(["batch", str(path), "--out", str(tmp_path / "out"), "--library", str(tmp_path / "lib"), *options])
        run.loads = len(loads)  # type: ignore[attr-defined]
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_every_line_gets_a_whole_folder_named_by_line_and_instruction(batch: Run, tmp_path: Path) -> None:
    code, out, err = batch({"instruction": "A day on the farm", "seed": 3}, "", {"instruction": "如何养好一只宠物"})
    assert code == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "001-a-day-on-the-farm",
        "003-如何养好一只宠物",
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
    assert out.splitlines()[-1] == "2 made, 0 kept, 0 failed"
    assert "[2/2] 003-如何养好一只宠物 made in 0 s" in err


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
    told = json.loads((tmp_path / "out/summary.json").read_text())
    assert [item["status"] for item in told["items"]] == ["failed"] * 5 + ["made"]
    assert (told["made"], told["kept"], told["failed"]) == (1, 0, 5)
    errors = [item["error"] for item in told["items"]]
    assert errors[0] == "the model gave nothing usable; try another --seed"
    assert errors[1].startswith("line 2 is not JSON: ")
    assert errors[2] == "unexpected ZeroDivisionError: a bug"
    assert "fake_composer.py" in told["items"][2]["details"], "a bug keeps its traceback"
    known = "instruction, illustrate, use_images, images, language, seed, words, filters"
    assert errors[3] == f"line 4: unknown key 'wrods'; known: {known}"
    assert errors[4] == "line 5: it is not a JSON object; write one with keys such as instruction"
    for error in errors[:5]:
        assert error in out
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["006-last", "summary.json"]


def test_a_rerun_does_only_what_is_missing(batch: Run, fake: FakeComposer, tmp_path: Path) -> None:
    lines = [{"instruction": "One"}, {"instruction": "please fail"}, {"instruction": "Three"}]
    assert batch(*lines)[0] == 1
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("article.*")}
    fake.requests.clear()
    lines[1] = {"instruction": "please work"}
    code, out, _ = batch(*lines)
    assert code == 0
    assert [r.instruction for r in fake.requests] == ["please work"]
    assert {p: p.stat().st_mtime_ns for p in before} == before
    assert out.splitlines()[-1] == "1 made, 2 kept, 0 failed"
    assert batch(*lines)[1].splitlines()[-1] == "0 made, 3 kept, 0 failed"
    assert batch.loads == 0, "no model is loaded where nothing is missing"  # type: ignore[attr-defined]


def test_an_article_of_another_request_is_never_replaced(batch: Run, tmp_path: Path) -> None:
    batch({"instruction": "One", "seed": 1})
    before = (tmp_path / "out/001-one/article.json").read_bytes()
    code, out, _ = batch({"instruction": "One", "seed": 2})
    assert code == 1
    folder = tmp_path / "out/001-one"
    assert f"{folder} holds the article of another request, profile or picture; remove it or name another --out" in out
    code, _, _ = batch({"instruction": "One", "seed": 1}, options=("--profile", "tiny"))
    assert code == 1
    assert (tmp_path / "out/001-one/article.json").read_bytes() == before


def test_a_folder_that_holds_something_else_is_refused_before_the_work(
    batch: Run, fake: FakeComposer, tmp_path: Path
) -> None:
    (tmp_path / "out/001-one").mkdir(parents=True)
    (tmp_path / "out/001-one/mine.txt").write_text("keep")
    code, out, _ = batch({"instruction": "One"})
    assert code == 1
    assert "is not empty (it holds 'mine.txt')" in out
    assert fake.requests == []


def test_an_interrupt_keeps_what_is_done_and_the_summary_so_far(batch: Run, fake: FakeComposer, tmp_path: Path) -> None:
    def interrupt() -> None:
        if len(fake.requests) == 2:
            raise KeyboardInterrupt

    fake.step = interrupt
    code, _, err = batch({"instruction": "One"}, {"instruction": "Two"}, {"instruction": "Three"})
    assert code == 130
    assert err.endswith("vignette: interrupted\n")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["001-one", "summary.json"]
    assert json.loads((tmp_path / "out/summary.json").read_text())["made"] == 1


def test_json_goes_to_stdout_and_equals_the_file(batch: Run, tmp_path: Path) -> None:
    _, out, _ = batch({"instruction": "One"}, options=("--json",))
    assert json.loads(out) == json.loads((tmp_path / "out/summary.json").read_text())
    item = json.loads(out)["items"][0]
    assert (item["words"] > 50, item["pictures"], item["slots"], item["tokens"]) == (True, 2, 3, 160)


@pytest.mark.parametrize("content", ["", "\n  \n"])
def test_a_file_without_requests_is_wrong_usage(content: str, batch: Run) -> None:
    code, _, err = batch(content)
    assert code == 2
    assert "holds no request; write one a line" in err


def test_a_missing_file_and_an_unknown_format_are_wrong_usage(tmp_path: Path, batch: Run) -> None:
    with pytest.raises(UsageError, match=r"none.jsonl cannot be read: No such file or directory"):
        read_jobs(tmp_path / "none.jsonl")
    assert batch({"instruction": "One"}, options=("--format", "pdf"))[0] == 2
    assert not (tmp_path / "out").exists()


def test_all_fields_of_a_request_can_be_given_and_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "trip.md").write_bytes(b"# Trip\r\n\r\nBy boat.\r\n")
    boat = picture(tmp_path / "pics", "boat.jpg").path
    line = {
        "illustrate": "trip.md",
        "instruction": "calm pictures",
        "use_images": ["pics/boat.jpg"],
        "images": 4,
        "language": "en",
        "seed": 9,
        "words": 300,
        "filters": {"licenses": ["CC BY"], "tags": ["sea"], "min_side_px": 200},
    }
    (tmp_path / "r.jsonl").write_text(
        "\ufeff" + json.dumps(line) + "\r\n" + json.dumps({"illustrate": "trip.md", "images": "auto"})
    )
    first, second = read_jobs(tmp_path / "r.jsonl")
    assert first.request == ComposeRequest(
        instruction="calm pictures",
        text="# Trip\r\n\r\nBy boat.\r\n",
        text_name="trip",
        use_images=(boat,),
        images=4,
        language="en",
        seed=9,
        words=300,
        filters=Filters(("CC BY",), ("sea",), 200),
    )
    assert second.request is not None
    assert (second.request.images, second.folder) == (None, "002-trip")


def test_line_separators_inside_a_text_do_not_split_a_line(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_text('{"instruction": "a\u2028b\u0085c"}', encoding="utf-8")
    (job,) = read_jobs(tmp_path / "r.jsonl")
    assert job.request is not None
    assert job.request.instruction == "a\u2028b\u0085c"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"instruction": 3}, "instruction is 3; it must be text"),
        ({"instruction": "x", "seed": True}, "seed is True; it must be a whole number"),
        ({"instruction": "x", "images": "many"}, "images is 'many'; it must be a whole number or \"auto\""),
        ({"instruction": "x", "use_images": "a.jpg"}, "use_images is 'a.jpg'; it must be a list of texts"),
        ({"instruction": "x", "use_images": ["none.jpg"]}, "use_images: {dir}/none.jpg does not exist"),
        ({"illustrate": "none.md"}, "illustrate: {dir}/none.md cannot be read: No such file or directory"),
        (
            {"instruction": "x", "filters": {"licence": []}},
            "unknown key 'filters.licence'; known: filters.licenses, filters.tags, filters.min_side_px",
        ),
        ({"instruction": "x", "language": "xx"}, "--language xx is not known; use auto or one of: en, zh"),
    ],
)
def test_a_wrong_value_is_named_with_its_line(line: dict[str, object], message: str, tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_text(json.dumps({"instruction": "fine"}) + "\n" + json.dumps(line))
    jobs = read_jobs(tmp_path / "r.jsonl")
    assert jobs[0].request is not None
    assert jobs[1].request is None
    assert jobs[1].error == "line 2: " + message.replace("{dir}", str(tmp_path))


def test_the_hash_of_a_request_changes_with_everything_that_decides_the_article(tmp_path: Path) -> None:
    boat = picture(tmp_path, "boat.jpg").path
    base = {"instruction": "x", "use_images": (boat,)}
    variants = [
        {"instruction": "y"},
        {"seed": 1},
        {"words": 200},
        {"images": 3},
        {"language": "zh"},
        {"text": "t"},
        {"filters": Filters(("CC",))},
    ]
    hashes = {request_hash(ComposeRequest(**{**base, **change}), "embedded") for change in [{}, *variants]}
    assert len(hashes) == len(variants) + 1
    same = ComposeRequest(**base)
    assert request_hash(same, "embedded") in hashes
    assert request_hash(same, "tiny") not in hashes
    boat.rename(tmp_path / "renamed.jpg")
    moved = ComposeRequest(instruction="x", use_images=(tmp_path / "renamed.jpg",))
    assert request_hash(moved, "embedded") in hashes, "the same picture under another name is the same request"
    picture(tmp_path, "renamed.jpg", "red")
    assert request_hash(moved, "embedded") not in hashes


def test_notices_reach_the_summary_and_an_unreadable_job_is_settled_without_a_model(tmp_path: Path) -> None:
    job = Job(4, "004-x", None, "line 4: bad")
    outcome = settled(job, tmp_path, "embedded")
    assert outcome is not None
    assert (outcome.status, outcome.error) == ("failed", "line 4: bad")
    assert settled(Job(1, "001-x", ComposeRequest("x")), tmp_path, "embedded") is None
    assert "1 failed" in table([outcome])
    assert summary([outcome])["failed"] == 1


def test_a_made_article_carries_its_pictures_lost_on_the_way_as_a_reason(tmp_path: Path, fake: FakeComposer) -> None:
    fake.pictures[0].path.unlink()
    outcome = make(Job(1, "001-x", ComposeRequest("x")), tmp_path, fake, profile="embedded")
    assert (outcome.status, outcome.pictures, outcome.slots) == ("made", 1, 3)
