"""What the page stands on: progress, queues of jobs, growing texts, pictures for the screen."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from composer.article.markdown import parse_markdown
from composer.article.model import Article
from composer.export.article_folder import save_article
from composer.i18n import preferred
from composer.pipeline.events import ArticleSoFar, Done, Notice, StageFinished, StageStarted, TextDelta
from composer.pipeline.progress import Progress
from composer.studio.growing_text import GrowingText
from composer.studio.job_queue import Job, JobQueue
from composer.studio.picture_links import (
    ARTICLE_PX,
    EXPORT_KEPT_S,
    THUMBNAIL_KEPT_S,
    THUMBNAIL_PX,
    PictureLinks,
    ThumbnailCache,
)
from composer.studio.time_estimate import TimeEstimator
from image_db.corrections import corrected
from tests.composer.article_samples import farm_article, picture, record_of
from tests.composer.quick_sessions import heard
from vision.errors import ImageError


def folded(*events: object) -> Progress:
    progress = Progress()
    for event in events:
        progress = progress.after(event)  # type: ignore[arg-type]
    return progress


# Progress


def test_progress_keeps_text_stages_drafts_and_notices(tmp_path: Path) -> None:
    article = farm_article(tmp_path)
    progress = folded(StageStarted("write"), TextDelta("# A\n\n"), TextDelta("Text."))
    assert (progress.stage, progress.text, progress.article) == ("write", "# A\n\nText.", None)
    progress = folded(StageFinished("write", 2.0), Notice("fewer_fit"), ArticleSoFar(article))
    assert (progress.stage, [t.stage for t in progress.trace]) == (None, ["write"])
    assert (progress.notices, progress.article, progress.done) == ((Notice("fewer_fit"),), article, False)
    assert folded(Done(article)).done


def test_what_stands_of_an_unfinished_text_is_an_article_with_every_word_of_it() -> None:
    standing = GrowingText().article("# A day\n\nOne.\n\n## Noon\n\nTwo is not fini")
    assert standing is not None
    assert (standing.title, standing.language) == ("A day", "en")
    assert [section.text for section in standing.sections] == ["One.", "## Noon\n\nTwo is not fini"]
    assert GrowingText().article("") is None
    assert GrowingText().article("# Only a title") is None
    chinese = GrowingText("auto").article("# 猫\n\n猫喜欢晒太阳。")
    assert chinese is not None
    assert chinese.language == "zh"


PIECES = (
    "# H1", "## H2", "para one", "- a", "* b", "+b", "1. x", "2.", "2.b", "---", "--", "===", "```", "    code", "> q",
    "a|b", "-|-", "[a]: http://x", "[a]:", "http://y", "<div>", "</div>", "*b*", "第一段。", "title: x", "\n", "  ",
)  # fmt: skip


@given(
    st.lists(st.tuples(st.sampled_from(PIECES), st.sampled_from(("", "\n", "\n\n"))), max_size=10), st.integers(1, 6)
)
def test_a_growing_text_is_cut_as_the_whole_of_it_is(pieces: list[tuple[str, str]], step: int) -> None:
    text = "".join(piece + gap for piece, gap in pieces)
    growing = GrowingText()
    for at in range(step, len(text) + step, step):
        article, parsed = growing.article(text[:at]), parse_markdown(text[:at])
        sections = [] if article is None else list(article.sections)
        assert [section.text for section in sections] == [section.text for section in parsed.sections]
        leading = "" if parsed.title_in_text else parsed.title
        assert article is None or article.title == (leading or parsed.sections[0].heading)


def test_only_what_grew_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    def parse(text: str) -> Any:
        read.append(len(text))
        return parse_markdown(text)

    monkeypatch.setattr("composer.studio.growing_text.parse_markdown", parse)
    paragraph = "The morning begins early, long before the sun clears the poplars.\n\n"
    growing = GrowingText()
    for end in range(0, 50 * len(paragraph), 20):
        growing.article(("# A day\n\n" + paragraph * 50)[:end])
    assert max(read) < 3 * len(paragraph)
    assert growing.words(growing._text) == pytest.approx(50 * 11 + 2, abs=15)


# Queues of jobs


def test_jobs_run_one_after_another_in_the_order_of_asking() -> None:
    queue, gate, order = JobQueue(), threading.Event(), []

    def work(name: str) -> Any:
        def run(job: Job) -> None:
            gate.wait(10)
            order.append(name)

        return run

    moves: list[int] = []
    jobs = [queue.submit(work(name)) for name in "ab"]
    jobs.append(queue.submit(work("c"), moved=lambda: moves.append(1)))
    assert [job.before for job in jobs] == [0, 1, 2]
    moves.clear()
    gate.set()
    assert all(job.wait(10) for job in jobs)
    assert order == ["a", "b", "c"]
    assert [job.before for job in jobs] == [0, 0, 0]
    assert moves == [1], "it is told when one less comes before it"


def test_a_wider_queue_runs_several_at_once() -> None:
    queue, both = JobQueue(width=2), threading.Barrier(3, timeout=10)
    jobs = [queue.submit(lambda job: both.wait() and None) for _ in range(2)]
    both.wait()
    assert all(job.wait(10) for job in jobs)


def test_a_job_stopped_while_it_waits_gives_up_its_place_and_is_told() -> None:
    queue, gate, told = JobQueue(), threading.Event(), []
    first = queue.submit(lambda job: gate.wait(10) and None)
    second = queue.submit(lambda job: told.append(job.stopping))
    third = queue.submit(lambda job: told.append("third"))
    second.stop()
    assert second.wait(10)
    assert told == [True]
    assert third.before == 1
    gate.set()
    assert first.wait(10)
    assert third.wait(10)
    assert told == [True, "third"]


def test_a_job_that_fails_frees_the_queue(bugs: SimpleQueue[Any]) -> None:
    queue = JobQueue()

    def fail(job: Job) -> None:
        raise ZeroDivisionError

    assert queue.submit(fail).wait(10)
    assert queue.submit(lambda job: None).wait(10)
    assert heard(bugs) == [ZeroDivisionError]


# How long it takes


def test_the_rest_is_judged_by_how_far_the_text_is_and_then_by_earlier_jobs() -> None:
    times = TimeEstimator()
    begun = folded(StageStarted("write"), TextDelta("word " * 5))
    assert times.left_s(begun, 5, 100, 3.0) is None, "five words of a hundred say nothing"
    half = folded(StageStarted("write"), TextDelta("word " * 50))
    first = times.left_s(half, 50, 100, 30.0)
    assert first is not None
    assert first > 30
    for stage, seconds in (("write", 60.0), ("place", 1.0), ("caption", 1.0), ("find", 1.0), ("choose", 1.0)):
        times.learn(StageFinished(stage, seconds), 100)  # type: ignore[arg-type]
    times.learn(StageFinished("finish", 1.0), 100)
    assert times.left_s(half, 50, 100, 30.0) == pytest.approx(35.0)
    assert times.left_s(folded(StageStarted("write")), 0, 100, 0.0) == pytest.approx(65.0)
    assert times.left_s(folded(StageFinished("write", 60.0), StageStarted("choose")), 50, 100, 5.0) == pytest.approx(
        1.0
    )
    assert times.left_s(Progress(done=True), 50, 100, 5.0) is None


# Libraries


def test_a_record_takes_what_a_person_wrote_and_keeps_the_rest(tmp_path: Path) -> None:
    record = picture(tmp_path, "hens.jpg", caption="Hens", caption_origin="generated", captions=(("zh", "鸡"),))
    edited = corrected(record, {"caption": "Brown hens", "tags": "hen, farm，bird", "license": "CC0"})
    assert (edited.caption, edited.caption_origin) == ("Brown hens", "given")
    assert edited.tags == ("hen", "farm", "bird")
    assert (edited.license, edited.captions, edited.id) == ("CC0", (("zh", "鸡"),), record.id)
    assert corrected(record, {"caption_zh": ""}).captions == ()
    assert corrected(record, {"alt": "x"}).caption_origin == "generated"


# Pictures for the screen


def test_large_pictures_are_scaled_down_and_small_ones_copied_as_they_are(tmp_path: Path) -> None:
    thumbnails = ThumbnailCache(tmp_path / "shown")
    large = picture(tmp_path, "large.jpg", size=(3000, 2000))
    with Image.open(thumbnails.copy(large, ARTICLE_PX)) as image:
        assert image.size == (1440, 960)
    with Image.open(thumbnails.copy(large, THUMBNAIL_PX)) as image:
        assert image.size == (240, 160)
    Image.new("RGBA", (30, 20), (255, 0, 0, 80)).save(tmp_path / "clear.png")
    clear = record_of(tmp_path / "clear.png", 30, 20)
    assert thumbnails.copy(clear, ARTICLE_PX).read_bytes() == clear.path.read_bytes()


def test_a_copy_is_made_once_and_stays_in_its_folder_whatever_the_id(tmp_path: Path) -> None:
    thumbnails = ThumbnailCache(tmp_path / "shown")
    hens = picture(tmp_path, "hens.jpg")
    first = thumbnails.copy(hens, 240)
    hens.path.unlink()
    assert thumbnails.copy(hens, 240) == first
    odd = replace(picture(tmp_path, "hens.jpg"), id="../../etc/passwd")
    assert thumbnails.copy(odd, 240).parent == tmp_path / "shown"


def test_a_file_that_is_no_picture_is_never_shown(tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_text("secret")
    with pytest.raises(ImageError):
        ThumbnailCache(tmp_path / "shown").copy(record_of(tmp_path / "secret.jpg", 5, 5), 240)
    assert list((tmp_path / "shown").iterdir()) == []


# Words


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("de-DE,de;q=0.9,en;q=0.7,zh;q=0.1", "en"),
        ("", "en"),
        ("fr", "en"),
        ("ZH", "zh"),
    ],
)
def test_the_page_greets_in_a_language_of_the_browser(header: str, language: str) -> None:
    assert preferred(header) == language


def test_an_address_stands_for_the_picture_it_was_given_for_and_no_other(tmp_path: Path) -> None:
    links = PictureLinks(tmp_path)
    hens = picture(tmp_path, "hens.jpg")
    address = links.picture(hens)
    found = links.find(address.removeprefix("/vignette-files/"))
    assert found is not None
    assert found.path.parent == tmp_path / "pictures"
    assert links.thumbnail(hens) != address
    assert PictureLinks(tmp_path).picture(hens) != address, "addresses cannot be worked out"
    for token in ("", "x", "../hens.jpg", str(hens.path), hens.id):
        assert links.find(token) is None


def test_a_stopped_article_can_be_saved(tmp_path: Path) -> None:
    standing = GrowingText().article("# A day\n\nOne.")
    assert isinstance(standing, Article)
    save_article(standing, tmp_path / "out")
    assert (tmp_path / "out/article.md").read_text() == "# A day\n\nOne.\n"


# What expires


def test_an_export_can_be_had_for_an_hour_and_is_removed_then(tmp_path: Path) -> None:
    now_s = [1e9]
    links = PictureLinks(tmp_path, lambda: now_s[0])

    def export(name: str) -> str:
        folder = links.export_folder()
        folder.mkdir(parents=True)
        (folder / name).write_text(name)
        return links.export(folder / name)

    first = export("first.html").removeprefix("/vignette-files/")
    now_s[0] += EXPORT_KEPT_S / 2
    second = export("second.html").removeprefix("/vignette-files/")
    found = links.find(first)
    assert found is not None
    assert (found.path.read_text(), found.download) == ("first.html", "first.html")
    now_s[0] += EXPORT_KEPT_S / 2 + 1
    export("third.html")
    assert links.find(first) is None
    assert links.find(second) is not None
    assert sorted(path.name for path in tmp_path.rglob("*.html")) == ["second.html", "third.html"]


def test_a_copy_nobody_looks_at_for_a_day_is_removed_and_made_again_when_it_is_asked_for(tmp_path: Path) -> None:
    import time

    now_s = [time.time()]
    links = PictureLinks(tmp_path, lambda: now_s[0])
    hens, cows, pigs = (picture(tmp_path, f"{name}.jpg", colour) for name, colour in
                        (("hens", "gold"), ("cows", "brown"), ("pigs", "pink")))  # fmt: skip
    seen = [links.find(links.thumbnail(record).removeprefix("/vignette-files/")) for record in (hens, cows)]
    now_s[0] += THUMBNAIL_KEPT_S * 0.7
    links.find(links.thumbnail(cows).removeprefix("/vignette-files/"))
    now_s[0] += THUMBNAIL_KEPT_S * 0.7
    links.find(links.thumbnail(pigs).removeprefix("/vignette-files/"))
    assert [file is not None and file.path.exists() for file in seen] == [False, True]
    again = links.find(links.thumbnail(hens).removeprefix("/vignette-files/"))
    assert again is not None
    assert again.path.exists()
