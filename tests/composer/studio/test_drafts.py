"""Drafts survive reloads, restarts and kills; nobody sees or overwrites another's."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from composer.article.model import Article, Section
from composer.article.serialization import dump
from composer.editing.history import EditHistory
from composer.editing.pictures import remove_picture, replace_picture
from composer.editing.sections import edit_text
from composer.errors import DraftError
from composer.pipeline.events import ArticleSoFar, StageFinished, StageStarted, TextDelta
from composer.pipeline.progress import Progress
from composer.studio.autosave import INTERVAL_S, Recorder, record_progress
from composer.studio.draft_store import KEPT_DAYS, KEPT_DRAFTS, Draft, DraftStore, Shelf
from tests.composer.article_samples import farm_article, picture

ROOT = Path(__file__).resolve().parents[3]
DAY_S = 86_400


@pytest.fixture
def store(tmp_path: Path) -> DraftStore:
    return DraftStore(tmp_path / "drafts")


@pytest.fixture
def shelf(store: DraftStore) -> Shelf:
    return store.shelf(store.new_owner())


def text_article(text: str) -> Article:
    return Article("Hens", "en", (Section(text, gap="\n"),))


def held(shelf: Shelf, draft: Draft) -> str:
    article = shelf.open(draft.id).article
    assert article is not None
    return article.sections[0].text


def test_a_draft_opens_as_it_was_saved_with_its_steps_back_and_forward(shelf: Shelf, tmp_path: Path) -> None:
    article = farm_article(tmp_path)
    history = EditHistory(article)
    history = history.do("edit_text", edit_text(article, 0, "Dawn."))
    history = history.do("remove_picture", remove_picture(history.article, 1))
    history = history.do(
        "replace_picture", replace_picture(history.article, 0, article.placements[0].candidates[2].record.id)
    ).undo()
    draft = shelf.save(shelf.new(article), history, info={"instruction": "a farm"})
    opened = shelf.open(draft.id)
    assert opened.history is not None
    assert dump(opened.history.article) == dump(history.article)
    assert dump(opened.history.undo().undo().article) == dump(article)
    assert dump(opened.history.redo().article) == dump(history.redo().article)
    assert (opened.history.undoable, opened.history.redoable) == ("remove_picture", "replace_picture")
    assert (opened.state, dict(opened.info)) == ("standing", {"instruction": "a farm"})


def test_steps_share_what_they_have_in_common_on_disk_too(shelf: Shelf, tmp_path: Path) -> None:
    article = farm_article(tmp_path)
    draft = shelf.new(article)
    alone = (shelf.folder / f"{draft.id}.draft").stat().st_size
    history = EditHistory(article)
    for number in range(20):
        history = history.do("edit_text", edit_text(history.article, 0, f"Sentence {number}."))
    draft = shelf.save(draft, history)
    assert (shelf.folder / f"{draft.id}.draft").stat().st_size < alone + 20 * 300


def test_drafts_are_listed_latest_first_with_title_and_size(shelf: Shelf, tmp_path: Path) -> None:
    first = shelf.new(text_article("Hens lay eggs."))
    second = shelf.new(farm_article(tmp_path))
    third = shelf.new(info={"instruction": "All about\nbees"})
    first = shelf.save(first, first.history)
    assert [(d.id, d.title, d.state) for d in shelf.drafts()] == [
        (first.id, "Hens", "standing"),
        (third.id, "All about bees", "writing"),
        (second.id, "A day on the farm", "standing"),
    ]
    assert [(d.words, d.pictures) for d in shelf.drafts()] == [(3, 0), (0, 0), (58, 2)]
    assert abs(shelf.drafts()[0].saved_s - time.time()) < 60
    shelf.delete(third.id)
    assert [d.id for d in shelf.drafts()] == [first.id, second.id]


def test_nobody_finds_the_drafts_of_others_and_tokens_are_not_on_disk(store: DraftStore) -> None:
    owners = [store.new_owner() for _ in range(50)]
    assert len(set(owners)) == 50
    drafts = [store.shelf(owner).new(text_article(f"of {number}")) for number, owner in enumerate(owners)]
    assert len({draft.id for draft in drafts}) == 50
    for number, owner in enumerate(owners):
        assert [d.id for d in store.shelf(owner).drafts()] == [drafts[number].id]
    with pytest.raises(DraftError, match=r"^this draft is gone"):
        store.shelf(owners[0]).open(drafts[1].id)
    names = " ".join(str(path) for path in store.folder.rglob("*"))
    assert not any(owner in names for owner in owners)


@pytest.mark.parametrize("token", ["", "short", "../" * 14 + "a", "a" * 42 + "/", "a" * 44])
def test_what_is_no_token_opens_no_folder(store: DraftStore, token: str) -> None:
    with pytest.raises(DraftError, match=r"^this is no owner's token; ask for a new one$"):
        store.shelf(token)


@pytest.mark.parametrize("draft_id", ["", "..", "../../etc/passwd", "0" * 31, "0" * 31 + "G", "0" * 32 + "\n"])
def test_what_is_no_id_reaches_no_file(shelf: Shelf, draft_id: str) -> None:
    for act in (shelf.open, shelf.delete):
        with pytest.raises(DraftError, match=r"^this is no draft's id$"):
            act(draft_id)


def test_two_sessions_that_open_one_draft_end_with_two_and_lose_nothing(shelf: Shelf) -> None:
    original = shelf.new(text_article("Common ground."))
    one, two = shelf.open(original.id), shelf.open(original.id)
    one = shelf.save(one, text_article("One's."))
    two = shelf.save(two, text_article("Two's."))
    assert one.id == original.id
    assert two.id != original.id
    one, two = shelf.save(one, text_article("One's again.")), shelf.save(two, text_article("Two's again."))
    assert (held(shelf, one), held(shelf, two)) == ("One's again.", "Two's again.")
    assert len(shelf.drafts()) == 2


def test_a_reloaded_page_goes_on_in_the_same_draft(shelf: Shelf) -> None:
    draft = shelf.new(text_article("Before."))
    for number in range(3):
        draft = shelf.save(shelf.open(draft.id), text_article(f"Reload {number}."))
    assert len(shelf.drafts()) == 1
    assert held(shelf, draft) == "Reload 2."


def test_a_session_that_saves_from_two_events_at_once_stays_in_its_draft(shelf: Shelf) -> None:
    draft = shelf.new(text_article("Before."))
    shelf.save(draft, text_article("First event."))
    late = shelf.save(draft, text_article("Second event."))
    assert late.id == draft.id
    assert held(shelf, late) == "Second event."


def test_a_draft_deleted_elsewhere_is_saved_anew(shelf: Shelf) -> None:
    draft = shelf.new(text_article("Before."))
    shelf.delete(draft.id)
    with pytest.raises(DraftError, match=r"^this draft is gone; it was deleted, or not saved for a long time$"):
        shelf.open(draft.id)
    assert held(shelf, shelf.save(draft, text_article("After."))) == "After."


def test_ten_sessions_saving_at_once_keep_every_last_edit(store: DraftStore) -> None:
    shared = store.shelf(store.new_owner())
    original = shared.new(text_article("Common."))
    last: dict[int, Draft] = {}

    def session(number: int) -> None:
        draft = shared.open(original.id)
        for step in range(8):
            draft = shared.save(draft, text_article(f"Session {number} step {step}."))
        last[number] = draft

    threads = [threading.Thread(target=session, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({draft.id for draft in last.values()}) == 10
    for number, draft in last.items():
        assert held(shared, draft) == f"Session {number} step 7."


CHILD = """
import sys
from pathlib import Path
from composer.article.model import Article, Section
from composer.studio.draft_store import Shelf

shelf = Shelf(Path(sys.argv[1]))
draft = shelf.open(sys.argv[2])
for number in range(1_000_000):
    text = f"{number} " + "hens and more hens " * 4000
    draft = shelf.save(draft, Article("Hens", "en", (Section(text),)))
    print(number, flush=True)
"""


def test_a_process_killed_while_saving_never_loses_the_state_before(shelf: Shelf) -> None:
    draft = shelf.new(text_article("-1 "))
    chance = random.Random(3)
    for _ in range(4):
        before = int(held(shelf, draft).split()[0])
        command = [sys.executable, "-c", CHILD, str(shelf.folder), draft.id]
        child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        for _ in range(chance.randrange(2, 6)):
            told = int(child.stdout.readline())
        time.sleep(chance.uniform(0, 0.02))
        child.kill()
        rest = child.stdout.read().split()
        child.wait()
        child.stdout.close()
        told = int(rest[-1]) if rest else told
        text = held(shelf, draft)
        assert int(text.split()[0]) in (told, told + 1), f"{before=}"
        assert text.endswith("hens ")
    assert [d.id for d in shelf.drafts()] == [draft.id]
    left = list(shelf.folder.glob(".partial-*"))
    DraftStore(shelf.folder.parent).prune(time.time() + 2 * DAY_S)
    assert not list(shelf.folder.glob(".partial-*")), left


def test_two_processes_and_this_one_save_one_draft_into_three(shelf: Shelf) -> None:
    draft = shelf.new(text_article("start"))
    mine = shelf.open(draft.id)
    command = [sys.executable, "-c", CHILD.replace("1_000_000", "6"), str(shelf.folder), draft.id]
    children = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for child in children:
        assert child.stdout is not None
        child.stdout.readline()  # it has opened the draft and saved once
    mine = shelf.save(mine, text_article("mine"))
    for child in children:
        child.communicate()
        assert child.returncode == 0
    assert mine.id != draft.id
    assert held(shelf, mine) == "mine"
    others = [shelf.open(d.id).article for d in shelf.drafts() if d.id != mine.id]
    assert {article.sections[0].text[:2] for article in others if article} == {"5 "}


def test_a_disk_that_refuses_is_told_and_the_state_before_stays(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    draft = shelf.new(text_article("Before."))

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DraftError, match=r"cannot be saved: No space left on device; free some space, or set VIGNETTE"):
        shelf.save(draft, text_article("After."))
    monkeypatch.undo()
    assert held(shelf, draft) == "Before."
    assert not list(shelf.folder.glob(".partial-*"))


def test_a_damaged_draft_is_told_apart_and_left_out_of_the_list(shelf: Shelf) -> None:
    good, bad = shelf.new(text_article("Good.")), shelf.new(text_article("Bad."))
    path = shelf.folder / f"{bad.id}.draft"
    path.write_text("{ torn", encoding="utf-8")
    assert [d.id for d in shelf.drafts()] == [good.id]
    with pytest.raises(DraftError, match=rf"{bad.id}\.draft cannot be read: .*; delete it, or restore it"):
        shelf.open(bad.id)


def test_text_of_every_kind_survives(shelf: Shelf) -> None:
    text = '母鸡 \u2028 line \x00 </script> \U0001f414 "quoted"\\n'
    assert held(shelf, shelf.new(text_article(text))) == text
    assert held(shelf, shelf.new(text_article("half a pair \ud83d here"))) == "half a pair ? here"


def test_an_upload_kept_beside_the_drafts_outlives_its_temporary_file(shelf: Shelf, tmp_path: Path) -> None:
    record = picture(tmp_path / "upload", "My Hen!.JPG")
    kept = shelf.keep_picture(record.path)
    again = shelf.keep_picture(record.path)
    record.path.unlink()
    assert kept == again
    assert kept.name == "my-hen.jpg"
    assert hashlib.sha256(kept.read_bytes()).hexdigest() == record.id
    with pytest.raises(DraftError, match=r"^picture My Hen!\.JPG cannot be kept: No such file"):
        shelf.keep_picture(record.path)


def test_old_and_too_many_drafts_are_pruned_but_never_todays(
    store: DraftStore, shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = picture(tmp_path, "shown.png", caption="Shown")
    unused = picture(tmp_path, "unused.png", "goldenrod", caption="Unused")
    kept, dropped = shelf.keep_picture(shown.path), shelf.keep_picture(unused.path)
    article = farm_article(tmp_path)
    first = article.placements[0]
    article = replace(article, placements=(replace(first, chosen=replace(shown, path=kept), candidates=()),))
    drafts = [shelf.new(text_article(f"Number {n}.")) for n in range(KEPT_DRAFTS + 2)]
    newest = shelf.new(article)
    assert store.prune() == 0
    assert kept.exists()
    assert dropped.exists()
    day = time.time() + 1.5 * DAY_S
    assert store.prune(day) == 3
    left = [d.id for d in shelf.drafts()]
    assert left[0] == newest.id
    assert left[-1] == drafts[3].id
    assert kept.exists()
    assert not dropped.exists()
    assert store.prune(time.time() + (KEPT_DAYS - 1) * DAY_S) == 0
    assert store.prune(time.time() + (KEPT_DAYS + 1) * DAY_S) == KEPT_DRAFTS
    assert not shelf.folder.exists()


class StageTimer:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_an_article_that_is_being_written_is_on_disk_as_far_as_it_is(shelf: Shelf, tmp_path: Path) -> None:
    clock = StageTimer()
    recorder = Recorder(shelf, shelf.new(info={"instruction": "hens"}), clock=clock)
    progress = Progress().after(StageStarted("write"))
    recorder.record(progress)
    assert shelf.open(recorder.draft.id).article is None
    sizes = []
    for word in ["# Hens\n\n", "Hens lay ", "eggs. ", "They ", "scratch.\n\n", "At night ", "they sleep."]:
        progress = progress.after(TextDelta(word))
        clock.now_s += INTERVAL_S / 2.5
        recorder.record(progress)
        opened = shelf.open(recorder.draft.id)
        assert opened.state == "writing"
        sizes.append(len(opened.article.sections[0].text) if opened.article else 0)
    assert sizes == sorted(sizes)
    assert sizes[2] == len("Hens lay eggs.")
    article = farm_article(tmp_path)
    recorder.record(progress.after(ArticleSoFar(article)))
    drawn = shelf.open(recorder.draft.id).article
    assert drawn is not None
    assert dump(drawn) == dump(article)
    recorder.finish(progress.after(ArticleSoFar(article)).after(StageFinished("write", 1.0)))
    assert shelf.open(recorder.draft.id).state == "standing"
    assert len(shelf.drafts()) == 1


def test_nothing_is_saved_while_nothing_new_stands(shelf: Shelf) -> None:
    recorder = Recorder(shelf, shelf.new(), clock=(clock := StageTimer()))
    progress = Progress().after(TextDelta("# Hens\n\nHens lay eggs."))
    recorder.record(progress)
    revision = recorder.draft.revision
    for _ in range(5):
        clock.now_s += 10
        recorder.record(progress.after(StageStarted("place")))
    assert recorder.draft.revision == revision


def test_what_stands_when_a_job_fails_is_saved_for_editing(shelf: Shelf) -> None:
    def job() -> list[Progress]:
        yield Progress().after(TextDelta("# Hens\n\nHens lay "))  # type: ignore[misc]
        raise ZeroDivisionError

    recorder = Recorder(shelf, shelf.new())
    with pytest.raises(ZeroDivisionError):
        list(record_progress(recorder, job()))
    opened = shelf.open(recorder.draft.id)
    assert opened.state == "standing"
    assert opened.article is not None
    assert (opened.article.title, opened.article.sections[0].text) == ("Hens", "Hens lay")


WRITER = """
import sys, time
from pathlib import Path
from composer.studio.draft_store import Shelf
from composer.studio.autosave import Recorder
from composer.pipeline.progress import Progress
from composer.request import ComposeRequest
from tests.composer.fake_pipeline import FakePipeline

shelf = Shelf(Path(sys.argv[1]))
recorder = Recorder(shelf, shelf.open(sys.argv[2]))
progress = Progress()
for event in FakePipeline((), step=lambda: time.sleep(0.02)).events(ComposeRequest(instruction="old walls")):
    progress = progress.after(event)
    recorder.record(progress)
    print(len(progress.text), flush=True)
"""


def test_a_server_killed_in_the_middle_of_an_article_leaves_the_article_so_far(shelf: Shelf) -> None:
    draft = shelf.new(info={"instruction": "old walls"})
    command = [sys.executable, "-c", WRITER, str(shelf.folder), draft.id]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    written, began = 0, 0.0
    while time.monotonic() - began < 2 * INTERVAL_S or not began:
        written = int(child.stdout.readline())
        began = began or (time.monotonic() if written else 0.0)
    child.kill()
    child.wait()
    child.stdout.close()
    opened = shelf.open(draft.id)
    assert opened.state == "writing"
    assert dict(opened.info) == {"instruction": "old walls"}
    assert opened.article is not None
    saved = len(opened.article.title) + sum(len(section.text) for section in opened.article.sections)
    assert 0 < saved <= written
    edited = shelf.save(opened, edit_text(opened.article, 0, "I go on from here."))
    assert held(shelf, edited) == "I go on from here."
