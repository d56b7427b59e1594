"""Threads that share models, libraries and parsers make the articles that one of them would make alone."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

import pytest

from composer.article import parser as blocks
from composer.batch.article_job import BatchConfig, Outcome, run_job
from composer.batch.requests import BatchJob
from composer.batch.runner import BatchRun
from composer.export import markdown_html as rendering
from composer.pipeline.model_pool import ExclusiveView, FairLock, ModelPool, callers_at_once
from composer.request import ComposeRequest
from composer.settings import IllustrationSettings, Settings
from image_db.library import Library
from retrieval.candidates import Query
from retrieval.filters import Filters
from retrieval.search import Searcher
from tests.composer.pipeline.test_pipeline import DRAFT, answer
from tests.composer.scripted_model import ScriptedModel
from tests.composer.small_pipeline import COLOURS, make_library, paint
from tests.fakes import ColourEncoder
from vision.interfaces import Chunk, Message, Prompt, Sampling

EASY = Settings("test", pictures=IllustrationSettings(min_fused=0.0001))


@pytest.fixture
def hurried() -> Iterator[None]:
    """Threads that change places as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


class OneAtATime(ScriptedModel):
    """Fails where two callers are inside at once, as an engine without locks would."""

    def __init__(self) -> None:
        super().__init__(answer, lambda prompt, options: [-float(len(o)) for o in options])
        self._inside: str | None = None

    def _enter(self) -> None:
        assert self._inside is None, f"{threading.current_thread().name} met {self._inside} in the model"
        self._inside = threading.current_thread().name

    def stream(self, prompt: Prompt, sampling: Sampling) -> Iterator[Chunk]:
        self._enter()
        try:
            yield from super().stream(prompt, sampling)
        finally:
            self._inside = None

    def score(self, prompt: Prompt, options: Sequence[str]) -> list[float]:
        self._enter()
        try:
            return super().score(prompt, options)
        finally:
            self._inside = None


class Together(ScriptedModel):
    """A model that serves several callers at once and is slow enough for them to meet."""

    callers_at_once = 8

    def __init__(self) -> None:
        super().__init__(answer, lambda prompt, options: [-float(len(o)) for o in options])
        self.inside = 0
        self.most_inside = 0
        self._lock = threading.Lock()

    def caller(self) -> Together:
        return self

    def close(self) -> None:
        assert self.inside == 0

    def stream(self, prompt: Prompt, sampling: Sampling) -> Iterator[Chunk]:
        with self._lock:
            self.inside += 1
            self.most_inside = max(self.inside, self.most_inside)
        try:
            time.sleep(0.001)
            yield from super().stream(prompt, sampling)
        finally:
            with self._lock:
                self.inside -= 1


def libraries(folder: Path, encoder: ColourEncoder) -> tuple[Path, Path]:
    for name, colours in (("one", COLOURS), ("two", ("red", "blue", "yellow"))):
        make_library(folder / name, encoder, colours).close()
    return folder / "one/library", folder / "two/library"


def jobs(folder: Path, other: Path) -> list[BatchJob]:
    own = paint(folder / "own.png", "pink", "a pink wall")
    requests = [
        *(ComposeRequest("old walls", seed=seed, words=200) for seed in range(6)),
        *(ComposeRequest(text=DRAFT, images=count) for count in (0, 1, 2, 3)),
        ComposeRequest(text=DRAFT, images=2, use_images=(own,)),
        ComposeRequest("旧墙", language="zh", words=200),
        *(ComposeRequest(text=DRAFT, images=4, filters=Filters(min_side_px=px)) for px in range(1, 10)),
    ]
    return [
        BatchJob(line, f"{line:03d}", request, library=other if line % 3 == 0 else None)
        for line, request in enumerate(requests, 1)
    ]


def run(folder: Path, name: str, model: ScriptedModel, workers: int) -> dict[str, bytes]:
    """Every file the batch leaves, by name; seconds are not compared."""
    encoder = ColourEncoder()
    one, two = folder / "one/library", folder / "two/library"
    if not one.exists():
        libraries(folder, encoder)
    out = folder / name
    out.mkdir()
    config = BatchConfig(out, one, EASY)
    workshop = ModelPool(EASY, model, encoder)
    batch = BatchRun(
        jobs(folder, two),
        lambda job, listen: run_job(job, config, lambda j: workshop.pipeline(config.library_of(j)), listen),
        workers=workers,
    )
    ended = [update.news for update in batch.updates() if isinstance(update.news, Outcome)]
    workshop.close()
    assert [o.error for o in ended if o.error] == []
    assert len(ended) == len(jobs(folder, two))
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name != "trace.jsonl"
    }


def test_the_number_of_workers_does_not_change_an_article(tmp_path: Path, hurried: None) -> None:
    alone = run(tmp_path, "alone", OneAtATime(), 1)
    assert len(alone) > 3 * 20
    assert run(tmp_path, "turns", OneAtATime(), 8) == alone
    together = Together()
    assert run(tmp_path, "together", together, 8) == alone
    assert together.most_inside > 1, "the callers never met"


def test_a_model_that_says_nothing_serves_one_caller_at_a_time(tmp_path: Path) -> None:
    assert callers_at_once(OneAtATime()) == 1
    assert ModelPool(EASY, OneAtATime(), ColourEncoder()).workers == 1
    assert ModelPool(EASY, Together(), ColourEncoder()).workers == 8


def test_each_caller_counts_what_it_used_itself() -> None:
    model, turns = OneAtATime(), FairLock()
    one, two = ExclusiveView(model, turns), ExclusiveView(model, turns)
    prompt = [Message.of("user", "What does it show? The red wall")]
    first = one.stream(prompt, Sampling())
    next(first)
    waiting = threading.Thread(target=lambda: two.score(prompt, ["a", "b"]))
    waiting.start()
    waiting.join(0.05)
    assert waiting.is_alive(), "the other's stream is not over"
    assert one.count_tokens(prompt) == 7, "a call inside one's own stream does not wait for itself"
    first.close()
    waiting.join(5)
    assert (one.usage.prompt_tokens, one.usage.generated_tokens) == (7, 1)
    assert (two.usage.prompt_tokens, two.usage.generated_tokens) == (7, 0)
    assert turns.waiting == 0


def test_turns_are_handed_on_in_the_order_of_asking() -> None:
    turns, served = FairLock(), []
    turns.acquire()

    def ask(number: int) -> None:
        turns.acquire()
        served.append(number)
        turns.release()

    threads = []
    for number in range(20):
        threads.append(threading.Thread(target=ask, args=(number,)))
        threads[-1].start()
        while turns.waiting < number + 2:
            time.sleep(0.001)
    turns.release()
    for thread in threads:
        thread.join(5)
    assert served == list(range(20))


def test_a_failed_call_gives_the_turn_back() -> None:
    def refuse(prompt: Prompt, options: Sequence[str]) -> list[float]:
        raise ValueError("no")

    turns = FairLock()
    view = ExclusiveView(ScriptedModel(answer, refuse), turns)
    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            view.score([Message.of("user", "x")], ["a"])
    assert turns.waiting == 0


def in_threads(work: list) -> list[BaseException]:
    errors: list[BaseException] = []

    def guarded(one) -> None:  # type: ignore[no-untyped-def]
        try:
            one()
        except BaseException as error:  # noqa: BLE001 - told to the test
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(one,)) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return errors


def test_searches_with_many_filters_share_a_snapshot(tmp_path: Path, hurried: None) -> None:
    encoder = ColourEncoder()
    with make_library(tmp_path, encoder) as library:
        searcher = Searcher(library, encoder)

        def search(start: int) -> None:
            for number in range(60):
                filters = Filters(min_side_px=1 + (start + number) % 40)
                assert searcher.search(Query("a red wall", filters=filters), 1)[0].record.path.stem == "red"

        assert in_threads([lambda s=s: search(s) for s in range(0, 40, 5)]) == []


def test_a_library_is_read_while_another_thread_changes_it(tmp_path: Path, hurried: None) -> None:
    encoder = ColourEncoder()
    with make_library(tmp_path, encoder) as library:
        searcher = Searcher(library, encoder)
        first = next(library.records())

        def read() -> None:
            for _ in range(20):
                assert searcher.search(Query("a blue wall"), 1)[0].record.path.stem == "blue"
                assert len(library.phashes()) == len(COLOURS)

        def write() -> None:
            for _ in range(15):
                library.update_text(first, encoder.encode_sentences([first.caption])[0])

        assert in_threads([read] * 6 + [write] * 2) == []
        assert library.damage() == []


@pytest.mark.parametrize("module", [rendering, blocks])
def test_a_parser_is_compiled_before_threads_share_it(module: ModuleType, hurried: None) -> None:
    """markdown-it compiles its rules when it first parses; a second thread would meet a list that is half full."""
    module._parser.cache_clear()
    parser = module._parser()
    rulers = (parser.core.ruler, parser.block.ruler, parser.inline.ruler, parser.inline.ruler2)
    assert all(ruler.__cache__ is not None for ruler in rulers)


def test_articles_are_rendered_alike_in_all_threads(hurried: None) -> None:
    text = "*a* **b** `c` [d](https://e.org)\n\n| f |\n|---|\n| g |\n\n- h\n"
    expected = rendering.sections_html([text], text)
    seen: list[list[str]] = []
    assert in_threads([lambda: seen.append(rendering.sections_html([text], text))] * 8) == []
    assert seen == [expected] * 8


def test_one_library_is_opened_once_for_all_composers(tmp_path: Path) -> None:
    encoder = ColourEncoder()
    one, two = libraries(tmp_path, encoder)
    workshop = ModelPool(EASY, OneAtATime(), encoder)
    made: list = []
    assert in_threads([lambda: made.append(workshop.pipeline(one))] * 8) == []
    assert len({id(c.library) for c in made}) == 1
    assert len({id(c.model) for c in made}) == 8
    assert workshop.pipeline(two).library is not made[0].library
    assert isinstance(made[0].library, Library)
    workshop.close()
