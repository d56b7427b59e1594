"""What the page stands on: progress, lines of work, rooms and their edits, pictures for the screen, words."""

from __future__ import annotations

import re
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from composer.article.model import Article
from composer.errors import UsageError
from composer.export.article_folder import save_article
from composer.i18n import UI_LANGUAGES, localize, preferred, strings
from composer.pipeline.events import ArticleSoFar, Done, Notice, StageFinished, StageStarted, TextDelta
from composer.pipeline.progress import Progress
from composer.request import ComposeRequest
from composer.studio.job_queue import Job, Line
from composer.studio.libraries import edited_record
from composer.studio.models import make_request
from composer.studio.picture_links import Gallery
from composer.studio.showcase import ARTICLE_PX, THUMBNAIL_PX, Showcase
from composer.studio.time_estimate import Pace
from tests.composer.article_samples import farm_article, picture, record_of
from tests.composer.quick_rooms import heard
from vision.errors import ImageError

EN = strings("en")


def folded(*events: object) -> Progress:
    progress = Progress()
    for event in events:
        progress = progress.after(event)  # type: ignore[arg-type]
    return progress


def fields(**changes: object) -> dict[str, object]:
    given: dict[str, object] = {
        "illustrate": False,
        "instruction": "A day",
        "text": "",
        "length": "medium",
        "pictures": "auto",
        "language": "auto",
        "tone": "",
        "seed": 0,
        "must": None,
        "may": None,
    }
    return {**given, **changes}


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
    standing = folded(TextDelta("# A day\n\nOne.\n\n## Noon\n\nTwo is not fini")).standing()
    assert standing is not None
    assert (standing.title, standing.language) == ("A day", "en")
    assert [section.text for section in standing.sections] == ["One.", "## Noon\n\nTwo is not fini"]
    assert Progress().standing() is None
    assert folded(TextDelta("# Only a title")).standing() is None
    chinese = folded(TextDelta("# 猫\n\n猫喜欢晒太阳。")).standing("auto")
    assert chinese is not None
    assert chinese.language == "zh"


# Lines of work


def test_jobs_run_one_after_another_in_the_order_of_asking() -> None:
    line, gate, order = Line(), threading.Event(), []

    def work(name: str) -> Any:
        def run(job: Job) -> None:
            gate.wait(10)
            order.append(name)

        return run

    jobs = [line.submit(work(name)) for name in "abc"]
    assert [line.before(job) for job in jobs] == [0, 1, 2]
    gate.set()
    assert all(job.wait(10) for job in jobs)
    assert order == ["a", "b", "c"]
    assert [line.before(job) for job in jobs] == [0, 0, 0]


def test_a_wider_line_runs_several_at_once() -> None:
    line, both = Line(width=2), threading.Barrier(3, timeout=10)
    for _ in range(2):
        line.submit(lambda job: both.wait() and None)
    both.wait()


def test_a_job_stopped_while_it_waits_gives_up_its_place_and_is_told() -> None:
    line, gate, told = Line(), threading.Event(), []
    first = line.submit(lambda job: gate.wait(10) and None)
    second = line.submit(lambda job: told.append(job.stopping))
    third = line.submit(lambda job: told.append("third"))
    line.stop(second)
    assert second.wait(10)
    assert told == [True]
    assert line.before(third) == 1
    gate.set()
    assert first.wait(10)
    assert third.wait(10)
    assert told == [True, "third"]


def test_a_job_that_fails_frees_the_line(bugs: list[Any]) -> None:
    line = Line()

    def fail(job: Job) -> None:
        raise ZeroDivisionError

    assert line.submit(fail).wait(10)
    assert line.submit(lambda job: None).wait(10)
    assert heard(bugs) == [ZeroDivisionError]


# How long it takes


def test_the_rest_is_judged_by_how_far_the_text_is_and_then_by_earlier_jobs() -> None:
    pace = Pace()
    begun = folded(StageStarted("write"), TextDelta("word " * 5))
    assert pace.left_s(begun, 100, 3.0) is None, "five words of a hundred say nothing"
    half = folded(StageStarted("write"), TextDelta("word " * 50))
    first = pace.left_s(half, 100, 30.0)
    assert first is not None
    assert first > 30
    for stage, seconds in (("write", 60.0), ("place", 1.0), ("caption", 1.0), ("find", 1.0), ("choose", 1.0)):
        pace.learn(StageFinished(stage, seconds), 100)  # type: ignore[arg-type]
    pace.learn(StageFinished("finish", 1.0), 100)
    assert pace.left_s(half, 100, 30.0) == pytest.approx(35.0)
    assert pace.left_s(folded(StageStarted("write")), 100, 0.0) == pytest.approx(65.0)
    assert pace.left_s(folded(StageFinished("write", 60.0), StageStarted("choose")), 100, 5.0) == pytest.approx(1.0)
    assert pace.left_s(Progress(done=True), 100, 5.0) is None


# Requests


def test_the_fields_of_the_page_become_a_request(tmp_path: Path) -> None:
    own, other = picture(tmp_path, "own.jpg").path, picture(tmp_path, "other.jpg").path
    request = make_request(
        fields(pictures="3", seed=7.0, must=[str(own)], may=[str(other)], length="long", tone="vivid")
    )
    assert request == ComposeRequest(
        "A day", use_images=(own,), may_use=(other,), images=3, seed=7, words=1200, tone="vivid"
    )
    text = make_request(fields(illustrate=True, instruction="", text="# T\n\nP\r\n"))
    assert (text.text, text.instruction, text.images) == ("# T\n\nP\r\n", "", None)


@pytest.mark.parametrize(
    ("wrong", "language", "words"),
    [
        ({"instruction": " "}, "en", "Say what the article should be about."),
        ({"illustrate": True}, "zh", "请先粘贴需要配图的文字。"),
        ({"pictures": "many"}, "en", "many is no number of pictures; say auto or 0 to 50."),
        ({"pictures": "99"}, "zh", "“99”不是图片数量；请填 auto 或 0 至 50。"),
    ],
)
def test_missing_fields_are_named_in_the_language_of_the_page(
    wrong: dict[str, object], language: str, words: str
) -> None:
    with pytest.raises(UsageError) as refused:
        make_request(fields(**wrong), language)
    assert localize(refused.value, language) == words


def test_an_upload_that_is_no_picture_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "evil.jpg").write_text("<svg onload=alert(1)>")
    for field in ("must", "may"):
        with pytest.raises(ImageError, match=r"evil\.jpg"):
            make_request(fields(**{field: [str(tmp_path / "evil.jpg")]}))


# Libraries


def test_a_record_takes_what_a_person_wrote_and_keeps_the_rest(tmp_path: Path) -> None:
    record = picture(tmp_path, "hens.jpg", caption="Hens", caption_origin="generated", captions=(("zh", "鸡"),))
    edited = edited_record(record, {"caption": "Brown hens", "tags": "hen, farm，bird", "license": "CC0"})
    assert (edited.caption, edited.caption_origin) == ("Brown hens", "given")
    assert edited.tags == ("hen", "farm", "bird")
    assert (edited.license, edited.captions, edited.id) == ("CC0", (("zh", "鸡"),), record.id)
    assert edited_record(record, {"caption_zh": ""}).captions == ()
    assert edited_record(record, {"alt": "x"}).caption_origin == "generated"


# Pictures for the screen


def test_large_pictures_are_scaled_down_and_small_ones_copied_as_they_are(tmp_path: Path) -> None:
    showcase = Showcase(tmp_path / "shown")
    large = picture(tmp_path, "large.jpg", size=(3000, 2000))
    with Image.open(showcase.copy(large, ARTICLE_PX)) as image:
        assert image.size == (1440, 960)
    with Image.open(showcase.copy(large, THUMBNAIL_PX)) as image:
        assert image.size == (240, 160)
    Image.new("RGBA", (30, 20), (255, 0, 0, 80)).save(tmp_path / "clear.png")
    clear = record_of(tmp_path / "clear.png", 30, 20)
    assert showcase.copy(clear, ARTICLE_PX).read_bytes() == clear.path.read_bytes()


def test_a_copy_is_made_once_and_stays_in_its_folder_whatever_the_id(tmp_path: Path) -> None:
    showcase = Showcase(tmp_path / "shown")
    hens = picture(tmp_path, "hens.jpg")
    first = showcase.copy(hens, 240)
    hens.path.unlink()
    assert showcase.copy(hens, 240) == first
    odd = replace(picture(tmp_path, "hens.jpg"), id="../../etc/passwd")
    assert showcase.copy(odd, 240).parent == tmp_path / "shown"


def test_a_file_that_is_no_picture_is_never_shown(tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_text("secret")
    with pytest.raises(ImageError):
        Showcase(tmp_path / "shown").copy(record_of(tmp_path / "secret.jpg", 5, 5), 240)
    assert list((tmp_path / "shown").iterdir()) == []


# Words


def test_every_language_has_every_string_with_the_same_blanks() -> None:
    for language in UI_LANGUAGES:
        table = strings(language)
        assert set(table) == set(EN)
        for key, text in table.items():
            assert text.strip()
            assert sorted(re.findall(r"{\w+}", text)) == sorted(re.findall(r"{\w+}", EN[key])), key


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
    gallery = Gallery(Showcase(tmp_path / "shown"))
    hens = picture(tmp_path, "hens.jpg")
    address = gallery.picture(hens)
    found = gallery.find(address.removeprefix("vignette/"))
    assert found is not None
    assert found.path.parent == tmp_path / "shown"
    assert gallery.thumbnail(hens) != address
    assert Gallery(Showcase(tmp_path / "shown")).picture(hens) != address, "addresses cannot be worked out"
    for token in ("", "x", "../hens.jpg", str(hens.path), hens.id):
        assert gallery.find(token) is None


def test_a_stopped_article_can_be_saved(tmp_path: Path) -> None:
    standing = folded(TextDelta("# A day\n\nOne.")).standing()
    assert isinstance(standing, Article)
    save_article(standing, tmp_path / "out")
    assert (tmp_path / "out/article.md").read_text() == "# A day\n\nOne.\n"
