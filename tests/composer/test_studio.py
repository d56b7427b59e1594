"""What the page stands on: progress, lines of work, rooms and their edits, pictures for the screen, words."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from composer.article import Article
from composer.drafts import DraftStore
from composer.errors import DraftError, EditError, UsageError
from composer.events import Done, Draft, Notice, StageFinished, StageStarted, TextDelta
from composer.output import save_article
from composer.progress import Progress
from composer.request import ComposeRequest
from composer.showcase import ARTICLE_PX, THUMBNAIL_PX, Showcase
from composer.strings import UI_LANGUAGES, preferred, strings
from composer.studio import Studio, make_request
from composer.studio_actions import perform
from composer.studio_jobs import Job, Line
from composer.studio_pace import Pace
from composer.studio_pictures import Gallery
from composer.studio_room import Room
from composer.studio_rooms import Rooms
from composer.studio_shelves import edited_record
from tests.composer.article_samples import farm_article, picture, record_of
from tests.composer.fake_composer import FakeComposer
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


@pytest.fixture
def bugs(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What threads died of; the server's log would show it."""
    died: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: died.append(args.exc_type))
    return died


def heard(bugs: list[Any]) -> list[Any]:
    """A thread is heard of a moment after what it did is over."""
    deadline_s = time.monotonic() + 10
    while not bugs and time.monotonic() < deadline_s:
        time.sleep(0.01)
    return bugs


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


# Rooms


class Models:
    """A workshop whose composer writes by rule."""

    workers = 1
    encoder: Any = None

    def __init__(self, fake: FakeComposer) -> None:
        self.fake = fake

    def composer(self, library_dir: Path) -> FakeComposer:
        return self.fake


@pytest.fixture
def rooms(tmp_path: Path) -> Rooms:
    fake = FakeComposer([picture(tmp_path, "hens.jpg"), picture(tmp_path, "cows.jpg", "indianred")])
    return Rooms(Studio(lambda: Models(fake)), DraftStore(tmp_path / "drafts"))


def fake_of(rooms: Rooms) -> FakeComposer:
    models = rooms.studio.models()
    assert isinstance(models, Models)
    return models.fake


def finished(room: Room) -> Room:
    work = room.work
    if work is not None and work.job is not None:
        assert work.job.wait(20)
    assert room.work is None
    return room


def test_an_article_is_made_saved_and_found_again_by_its_owner_alone(rooms: Rooms, tmp_path: Path) -> None:
    owner = rooms.new_owner()
    room = finished(rooms.begin(owner, ComposeRequest("farm"), tmp_path))
    assert room.article is not None
    assert room.article.title == "farm"
    assert not room.trouble
    assert rooms.open(owner, room.draft.id) is room
    assert [info.title for info in rooms.drafts(owner)] == ["farm"]
    with pytest.raises(DraftError):
        rooms.open(rooms.new_owner(), room.draft.id)
    other = Rooms(rooms.studio, rooms.store)
    again = other.open(owner, room.draft.id).article
    assert again is not None
    assert again.sections == room.article.sections, "a server started again finds it"


def test_a_failure_is_kept_to_be_shown_and_a_bug_does_not_block_the_draft(rooms: Rooms, tmp_path: Path) -> None:
    owner = rooms.new_owner()
    assert "try another --seed" in finished(rooms.begin(owner, ComposeRequest("fail"), tmp_path)).trouble


def test_a_bug_is_told_and_frees_the_models(rooms: Rooms, tmp_path: Path, bugs: list[Any]) -> None:
    owner = rooms.new_owner()
    assert "the log of the server says what" in finished(rooms.begin(owner, ComposeRequest("crash"), tmp_path)).trouble
    assert finished(rooms.begin(owner, ComposeRequest("farm"), tmp_path)).article is not None
    assert heard(bugs) == [ZeroDivisionError]


def test_stopping_closes_the_composer_and_keeps_what_was_written(rooms: Rooms, tmp_path: Path) -> None:
    fake, here, go = fake_of(rooms), threading.Event(), threading.Event()
    words = [0]

    def step() -> None:
        words[0] += 1
        if words[0] == 40:
            here.set()
            go.wait(10)

    fake.step = step
    room = rooms.begin(rooms.new_owner(), ComposeRequest("farm"), tmp_path)
    assert here.wait(10)
    room.stop()
    go.set()
    finished(room)
    assert (room.note, fake.closed, fake.running) == ("stopped", 1, 0)
    assert room.article is not None
    assert room.article.sections[0].text.startswith("This is about farm.")


def test_sessions_take_turns_and_get_their_own_articles(rooms: Rooms, tmp_path: Path) -> None:
    opened = [rooms.begin(rooms.new_owner(), ComposeRequest(f"Topic {n}"), tmp_path) for n in range(10)]
    titles = [room.article.title for room in map(finished, opened) if room.article is not None]
    assert titles == [f"Topic {n}" for n in range(10)]
    assert fake_of(rooms).most_running == 1


def adopted(rooms: Rooms, tmp_path: Path) -> Room:
    return rooms.adopt(rooms.new_owner(), farm_article(tmp_path / "farm"), tmp_path)


def test_edits_are_steps_and_typing_on_is_one_step(rooms: Rooms, tmp_path: Path) -> None:
    room = adopted(rooms, tmp_path)
    first = room.present().sections[0].text
    for text in ("T", "Ty", "Typed"):
        perform(room, "edit_text", {"at": 0, "text": text, "typing": "one"})
    perform(room, "edit_text", {"at": 0, "text": "Again", "typing": "two"})
    perform(room, "undo", {})
    assert room.present().sections[0].text == "Typed"
    perform(room, "undo", {})
    assert room.present().sections[0].text == first
    perform(room, "redo", {})
    assert room.present().sections[0].text == "Typed"
    on_disk = room.shelf.open(room.draft.id).article
    assert on_disk is not None
    assert on_disk.sections == room.present().sections, "every step is on disk"


def test_threads_that_edit_at_once_lose_nothing(rooms: Rooms, tmp_path: Path) -> None:
    room = adopted(rooms, tmp_path)
    count = len(room.present().sections)
    threads = [
        threading.Thread(target=perform, args=(room, "add_section", {"at": -1, "text": f"New {n}."})) for n in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    added = {section.text for section in room.present().sections} & {f"New {n}." for n in range(12)}
    assert len(added) == 12
    assert len(room.present().sections) == count + 12


def test_an_article_being_made_is_not_edited(rooms: Rooms, tmp_path: Path) -> None:
    gate = threading.Event()
    fake_of(rooms).step = lambda: gate.wait(10) and None
    room = rooms.begin(rooms.new_owner(), ComposeRequest("farm"), tmp_path)
    with pytest.raises(EditError):
        perform(room, "undo", {})
    with pytest.raises(UsageError, match="being made already"):
        room.compose(ComposeRequest("farm"))
    gate.set()
    finished(room)


@pytest.mark.parametrize(
    ("action", "values", "message"),
    [
        ("fly", {}, "there is no action 'fly'"),
        ("edit_text", {"at": "x", "text": "a"}, "at is not a number"),
        ("edit_text", {"at": True, "text": "a"}, "at is not a number"),
        ("edit_text", {"at": 0, "text": ["a"]}, "text is not a text"),
        ("edit_text", {"at": 0, "text": "a" * 60_001}, "text has 60,001 characters; at most 60,000 are taken"),
        ("set_caption", {"at": 0, "text": "a" * 2_001}, "text has 2,001 characters; at most 2,000 are taken"),
        (
            "propose",
            {"at": 0, "action": "rm -rf"},
            "action is 'rm -rf'; use one of: rewrite, expand, shorten, translate",
        ),
        ("show_picture", {"at": 0, "id": "../../etc/passwd"}, "not among those found"),
        ("refit", {"count": 51}, "51 pictures are out of range; ask for 0 to 50"),
        ("retry", {"stage": "all"}, "stage is 'all'"),
    ],
)
def test_what_a_browser_sends_is_read_strictly(
    rooms: Rooms, tmp_path: Path, action: str, values: dict[str, Any], message: str
) -> None:
    room = adopted(rooms, tmp_path)
    before = room.article
    with pytest.raises((UsageError, EditError), match=re.escape(message)):
        perform(room, action, values)
    assert room.article is before


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


def test_missing_fields_are_named_in_the_language_of_the_page() -> None:
    with pytest.raises(UsageError, match=r"^Say what the article should be about\.$"):
        make_request(fields(instruction=" "))
    with pytest.raises(UsageError, match=r"^请先粘贴需要配图的文字。$"):
        make_request(fields(illustrate=True), "zh")
    with pytest.raises(UsageError, match=r"^many is no number of pictures; say auto or 0 to 50\.$"):
        make_request(fields(pictures="many"))


def test_an_upload_that_is_no_picture_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "evil.jpg").write_text("<svg onload=alert(1)>")
    with pytest.raises(UsageError, match=r"^evil\.jpg is not a picture of a known format"):
        make_request(fields(must=[str(tmp_path / "evil.jpg")]))
    with pytest.raises(UsageError, match=r"^evil\.jpg is not a picture of a known format"):
        make_request(fields(may=[str(tmp_path / "evil.jpg")]))


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
