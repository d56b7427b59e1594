"""What the page stands on: progress folded from events, one job at a time, pictures for the screen, words, HTML."""

from __future__ import annotations

import re
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from composer.article import Article, Section
from composer.errors import UsageError, WritingFailed
from composer.events import Done, Draft, Notice, StageFinished, StageStarted, TextDelta
from composer.output import save_article
from composer.page import alternatives, growing, lesson, message, stages
from composer.progress import Progress
from composer.request import ComposeRequest
from composer.showcase import ARTICLE_PX, THUMBNAIL_PX, Showcase
from composer.strings import UI_LANGUAGES, preferred, strings
from composer.studio import Studio, make_request
from image_db.records import ImageRecord
from tests.composer.article_samples import farm_article, picture, record_of
from tests.composer.fake_composer import FakeComposer
from vision.errors import ImageError

EN = strings("en")


def folded(*events: object) -> Progress:
    progress = Progress()
    for event in events:
        progress = progress.after(event)  # type: ignore[arg-type]
    return progress


def url(record: ImageRecord) -> str:
    return f"p/{record.path.name}"


def fields(**changes: object) -> dict[str, object]:
    given: dict[str, object] = {
        "illustrate": False,
        "instruction": "A day",
        "text": "",
        "length": "medium",
        "pictures": "auto",
        "language": "auto",
        "seed": 0,
        "uploads": None,
    }
    return {**given, **changes}


# Progress


def test_progress_keeps_text_stages_drafts_and_notices(tmp_path: Path) -> None:
    article = farm_article(tmp_path)
    progress = folded(StageStarted("write"), TextDelta("# A\n\n"), TextDelta("Text."))
    assert (progress.stage, progress.text, progress.article) == ("write", "# A\n\nText.", None)
    progress = folded(StageFinished("write", 2.0), Notice("careful"), Draft(article))
    assert (progress.stage, [t.stage for t in progress.trace]) == (None, ["write"])
    assert (progress.notices, progress.article, progress.done) == (("careful",), article, False)
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


# The studio


def test_a_job_ends_with_the_article_and_gives_the_models_back(tmp_path: Path) -> None:
    fake = FakeComposer([picture(tmp_path, "hens.jpg")])
    loads: list[Path] = []

    def load(folder: Path) -> FakeComposer:
        loads.append(folder)
        return fake

    studio = Studio([tmp_path], load)
    for _ in range(2):
        last = list(studio.run("me", ComposeRequest("farm"), tmp_path))[-1]
        assert last.done
        assert not studio.busy
    assert loads == [tmp_path], "models are loaded once"
    list(studio.run("me", ComposeRequest("farm"), tmp_path / "other"))
    assert loads == [tmp_path, tmp_path / "other"]


def test_stopping_closes_the_composer_and_keeps_what_was_written(tmp_path: Path) -> None:
    fake = FakeComposer([])
    studio = Studio([tmp_path], lambda _: fake)
    seen: list[Progress] = []
    for progress in studio.run("me", ComposeRequest("farm"), tmp_path):
        seen.append(progress)
        if len(progress.text) > 200 and not progress.stopped:
            assert studio.stop("me")
    assert seen[-1].stopped
    assert seen[-1].text == seen[-2].text
    assert fake.closed == 1
    assert not studio.busy
    assert not studio.stop("me"), "no job is left to stop"
    assert not studio.stop("somebody else")


def test_an_abandoned_job_gives_the_models_back(tmp_path: Path) -> None:
    fake = FakeComposer([])
    studio = Studio([tmp_path], lambda _: fake)
    job = studio.run("me", ComposeRequest("farm"), tmp_path)
    for _ in range(5):
        next(job)
    job.close()  # type: ignore[attr-defined]
    assert (fake.closed, studio.busy) == (1, False)


def test_a_failed_job_gives_the_models_back_and_says_why(tmp_path: Path) -> None:
    studio = Studio([tmp_path], lambda _: FakeComposer([]))
    with pytest.raises(WritingFailed):
        list(studio.run("me", ComposeRequest("fail"), tmp_path))
    assert not studio.busy


def test_two_sessions_take_turns_and_get_their_own_articles(tmp_path: Path) -> None:
    fake = FakeComposer([picture(tmp_path, "hens.jpg")])
    studio = Studio([tmp_path], lambda _: fake)
    titles: dict[str, str] = {}

    def work(name: str) -> None:
        last = list(studio.run(name, ComposeRequest(f"Topic of {name}"), tmp_path))[-1]
        assert last.article is not None
        titles[name] = last.article.title

    threads = [threading.Thread(target=work, args=(name,)) for name in ("a", "b", "c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert titles == {name: f"Topic of {name}" for name in ("a", "b", "c")}
    assert fake.most_running == 1


def test_the_fields_of_the_page_become_a_request(tmp_path: Path) -> None:
    own = picture(tmp_path, "own.jpg").path
    request = make_request(**fields(pictures="3", seed=7.0, uploads=[str(own)], length="long"))  # type: ignore[arg-type]
    assert request == ComposeRequest("A day", use_images=(own,), images=3, seed=7, words=1200)
    text = make_request(**fields(illustrate=True, instruction="", text="# T\n\nP\r\n"))  # type: ignore[arg-type]
    assert (text.text, text.instruction, text.images) == ("# T\n\nP\r\n", "", None)


def test_missing_fields_are_named_in_the_language_of_the_page(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^Say what the article should be about\.$"):
        make_request(**fields(instruction=" "))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"^请先粘贴需要配图的文字。$"):
        make_request(**fields(illustrate=True, ui_language="zh"))  # type: ignore[arg-type]


def test_an_upload_that_is_no_picture_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "evil.jpg").write_text("<svg onload=alert(1)>")
    with pytest.raises(UsageError, match=r"^evil\.jpg is not a picture of a known format"):
        make_request(**fields(uploads=[str(tmp_path / "evil.jpg")]))  # type: ignore[arg-type]


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


# HTML


def test_stages_say_which_is_at_work_and_which_are_over() -> None:
    html = stages(folded(StageFinished("write", 1.0), StageStarted("place"), Notice("<b>careful")), EN, 12.4)
    assert '<li class="over">Writing</li><li class="now" aria-current="step">Placing</li>' in html
    assert "12 s" in html
    assert "&lt;b&gt;careful" in html


def test_the_growing_article_is_set_like_the_export_and_escapes_what_is_written() -> None:
    html = growing(folded(TextDelta("# T\n\n<script>alert(1)</script> *x*")), "auto", url)
    assert html.startswith('<div class="vignette growing" lang="en"><h1>T</h1>')
    assert "&lt;script&gt;" in html
    assert "<script" not in html
    assert growing(Progress(), "auto", url) == ""


def test_alternatives_name_each_picture_its_score_and_its_reason(tmp_path: Path) -> None:
    article = farm_article(tmp_path)
    html = alternatives(article, 0, url, EN)
    assert html.count("<button") == 4
    assert html.count('aria-pressed="true"') == 1
    assert 'aria-label="Shown now: Hens leave the barn"' in html
    assert 'aria-label="Use this picture instead: A red barn"' in html
    assert "fit 0.40; matches “A red barn”" in html
    assert "Why this one: chosen 2.3× over the next" in html
    empty = alternatives(article, 2, url, EN)
    assert "No picture here" in empty
    assert "nothing fits: best 0.12, needs 0.21" in empty
    assert "data-remove" not in empty


def test_nothing_hostile_survives_in_the_pieces_of_the_page(tmp_path: Path) -> None:
    evil = '"><script>alert(1)</script><img src=x onerror=alert(1)>'
    hens = replace(picture(tmp_path, "hens.jpg"), caption=evil, id=evil)
    article = farm_article(tmp_path)
    placement = article.placements[0]
    worst = replace(placement.candidates[0], record=hens, why=evil)
    hostile = replace(placement, candidates=(worst,), reason=evil, chosen=hens)
    for chosen in (hens, None):
        bad = Article(evil, evil, (Section(evil),), (replace(hostile, chosen=chosen),))
        for html in (alternatives(bad, 0, url, EN), growing(folded(Draft(bad)), evil, url), message(evil)):
            assert "<script" not in html
            assert "<img src=x" not in html


def test_the_lesson_shows_the_commands_to_run() -> None:
    for language in UI_LANGUAGES:
        html = lesson(strings(language))
        assert "vignette library sample" in html
        assert "vignette index ~/Pictures --library ~/my-library" in html


def test_a_stopped_article_can_be_saved(tmp_path: Path) -> None:
    standing = folded(TextDelta("# A day\n\nOne.")).standing()
    assert standing is not None
    save_article(standing, tmp_path / "out")
    assert (tmp_path / "out/article.md").read_text() == "# A day\n\nOne.\n"
