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
from composer.sources.collection import CACHE_FOLDER
from composer.studio.autosave import INTERVAL_S, Autosave
from composer.studio.draft_store import KEPT_DAYS, KEPT_DRAFTS, Draft, DraftStore, OwnerDrafts
from tests.composer.article_samples import farm_article, picture

ROOT = Path(__file__).resolve().parents[3]
DAY_S = 86_400


@pytest.fixture
def store(tmp_path: Path) -> DraftStore:
    return DraftStore(tmp_path / "drafts")


@pytest.fixture
def drafts(store: DraftStore) -> OwnerDrafts:
    return store.drafts_of(store.new_owner())


def text_article(text: str) -> Article:
    return Article("Hens", "en", (Section(text, gap="\n"),))


def held(drafts: OwnerDrafts, draft: Draft) -> str:
    article = drafts.open(draft.id).article
    assert article is not None
    return article.sections[0].text


def test_a_draft_opens_as_it_was_saved_with_its_steps_back_and_forward(drafts: OwnerDrafts, tmp_path: Path) -> None:
    article = farm_article(tmp_path)
    history = EditHistory(article)
    history = history.do("edit_text", edit_text(article, 0, "Dawn."))
    history = history.do("remove_picture", remove_picture(history.article, 1))
    history = history.do(
        "replace_picture", replace_picture(history.article, 0, article.placements[0].candidates[2].record.id)
    ).undo()
    draft = drafts.save(drafts.new(article, {"instruction": "a farm"}), history)
    opened = drafts.open(draft.id)
    assert opened.history is not None
    assert dump(opened.history.article) == dump(history.article)
    assert dump(opened.history.undo().undo().article) == dump(article)
    assert dump(opened.history.redo().article) == dump(history.redo().article)
    assert (opened.history.undoable, opened.history.redoable) == ("remove_picture", "replace_picture")
    assert (opened.state, dict(opened.info)) == ("standing", {"instruction": "a farm"})


def test_steps_share_what_they_have_in_common_on_disk_too(drafts: OwnerDrafts, tmp_path: Path) -> None:
    article = farm_article(tmp_path)
    draft = drafts.new(article)
    alone = (drafts.folder / f"{draft.id}.draft").stat().st_size
    history = EditHistory(article)
    for number in range(20):
        history = history.do("edit_text", edit_text(history.article, 0, f"Sentence {number}."))
    draft = drafts.save(draft, history)
    assert (drafts.folder / f"{draft.id}.draft").stat().st_size < alone + 20 * 300


def test_drafts_are_listed_latest_first_with_title_and_size(drafts: OwnerDrafts, tmp_path: Path) -> None:
    first = drafts.new(text_article("Hens lay eggs."))
    second = drafts.new(farm_article(tmp_path))
    third = drafts.new(info={"instruction": "All about\nbees"})
    first = drafts.save(first, first.history)
    assert [(d.id, d.title, d.state) for d in drafts.drafts()] == [
        (first.id, "Hens", "standing"),
        (third.id, "All about bees", "writing"),
        (second.id, "A day on the farm", "standing"),
    ]
    assert [(d.words, d.pictures) for d in drafts.drafts()] == [(3, 0), (0, 0), (58, 2)]
    assert abs(drafts.drafts()[0].saved_s - time.time()) < 60
    drafts.delete(third.id)
    assert [d.id for d in drafts.drafts()] == [first.id, second.id]


def test_nobody_finds_the_drafts_of_others_and_tokens_are_not_on_disk(store: DraftStore) -> None:
    owners = [store.new_owner() for _ in range(50)]
    assert len(set(owners)) == 50
    drafts = [store.drafts_of(owner).new(text_article(f"of {number}")) for number, owner in enumerate(owners)]
    assert len({draft.id for draft in drafts}) == 50
    for number, owner in enumerate(owners):
        assert [d.id for d in store.drafts_of(owner).drafts()] == [drafts[number].id]
    with pytest.raises(DraftError, match=r"^draft_gone"):
        store.drafts_of(owners[0]).open(drafts[1].id)
    names = " ".join(str(path) for path in store.folder.rglob("*"))
    assert not any(owner in names for owner in owners)


@pytest.mark.parametrize("token", ["", "short", "../" * 14 + "a", "a" * 42 + "/", "a" * 44])
def test_what_is_no_token_opens_no_folder(store: DraftStore, token: str) -> None:
    with pytest.raises(DraftError, match=r"^owner_unknown"):
        store.drafts_of(token)


@pytest.mark.parametrize("draft_id", ["", "..", "../../etc/passwd", "0" * 31, "0" * 31 + "G", "0" * 32 + "\n"])
def test_what_is_no_id_reaches_no_file(drafts: OwnerDrafts, draft_id: str) -> None:
    for act in (drafts.open, drafts.delete):
        with pytest.raises(DraftError, match=r"^draft_unknown"):
            act(draft_id)


def test_two_sessions_that_open_one_draft_end_with_two_and_lose_nothing(drafts: OwnerDrafts) -> None:
    original = drafts.new(text_article("Common ground."))
    one, two = drafts.open(original.id), drafts.open(original.id)
    one = drafts.save(one, text_article("One's."))
    two = drafts.save(two, text_article("Two's."))
    assert one.id == original.id
    assert two.id != original.id
    one, two = drafts.save(one, text_article("One's again.")), drafts.save(two, text_article("Two's again."))
    assert (held(drafts, one), held(drafts, two)) == ("One's again.", "Two's again.")
    assert len(drafts.drafts()) == 2


def test_a_reloaded_page_goes_on_in_the_same_draft(drafts: OwnerDrafts) -> None:
    draft = drafts.new(text_article("Before."))
    for number in range(3):
        draft = drafts.save(drafts.open(draft.id), text_article(f"Reload {number}."))
    assert len(drafts.drafts()) == 1
    assert held(drafts, draft) == "Reload 2."


def test_a_session_that_saves_from_two_events_at_once_stays_in_its_draft(drafts: OwnerDrafts) -> None:
    draft = drafts.new(text_article("Before."))
    drafts.save(draft, text_article("First event."))
    late = drafts.save(draft, text_article("Second event."))
    assert late.id == draft.id
    assert held(drafts, late) == "Second event."


def test_a_draft_deleted_elsewhere_is_saved_anew(drafts: OwnerDrafts) -> None:
    draft = drafts.new(text_article("Before."))
    drafts.delete(draft.id)
    with pytest.raises(DraftError, match=r"^draft_gone"):
        drafts.open(draft.id)
    assert held(drafts, drafts.save(draft, text_article("After."))) == "After."


def test_ten_sessions_saving_at_once_keep_every_last_edit(store: DraftStore) -> None:
    shared = store.drafts_of(store.new_owner())
    original = shared.new(text_article("Common."))
    last: dict[int, Draft] = {}
    opened = threading.Barrier(10)  # one that opens after another's last save goes on with that state, rightly

    def session(number: int) -> None:
        draft = shared.open(original.id)
        opened.wait(60)
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
from composer.studio.draft_store import OwnerDrafts

drafts = OwnerDrafts(Path(sys.argv[1]))
draft = drafts.open(sys.argv[2])
for number in range(1_000_000):
    text = f"{number} " + "hens and more hens " * 4000
    draft = drafts.save(draft, Article("Hens", "en", (Section(text),)))
    print(number, flush=True)
"""


def test_a_process_killed_while_saving_never_loses_the_state_before(drafts: OwnerDrafts) -> None:
    draft = drafts.new(text_article("-1 "))
    chance = random.Random(3)
    for _ in range(4):
        before = int(held(drafts, draft).split()[0])
        command = [sys.executable, "-c", CHILD, str(drafts.folder), draft.id]
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
        text = held(drafts, draft)
        assert int(text.split()[0]) in (told, told + 1), f"{before=}"
        assert text.endswith("hens ")
    assert [d.id for d in drafts.drafts()] == [draft.id]
    left = list(drafts.folder.glob(".*partial*"))
    DraftStore(drafts.folder.parent).prune(time.time() + 2 * DAY_S)
    assert not list(drafts.folder.glob(".*partial*")), left


def test_two_processes_and_this_one_save_one_draft_into_three(drafts: OwnerDrafts) -> None:
    draft = drafts.new(text_article("start"))
    mine = drafts.open(draft.id)
    command = [sys.executable, "-c", CHILD.replace("1_000_000", "6"), str(drafts.folder), draft.id]
    children = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for child in children:
        assert child.stdout is not None
        child.stdout.readline()  # it has opened the draft and saved once
    mine = drafts.save(mine, text_article("mine"))
    for child in children:
        child.communicate()
        assert child.returncode == 0
    assert mine.id != draft.id
    assert held(drafts, mine) == "mine"
    others = [drafts.open(d.id).article for d in drafts.drafts() if d.id != mine.id]
    assert {article.sections[0].text[:2] for article in others if article} == {"5 "}


def test_a_disk_that_refuses_is_told_and_the_state_before_stays(
    drafts: OwnerDrafts, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft = drafts.new(text_article("Before."))

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DraftError, match=r"^draft_not_saved: .*reason=No space left on device"):
        drafts.save(draft, text_article("After."))
    monkeypatch.undo()
    assert held(drafts, draft) == "Before."
    assert not list(drafts.folder.glob(".*partial*"))


def test_a_damaged_draft_is_told_apart_and_left_out_of_the_list(drafts: OwnerDrafts) -> None:
    good, bad = drafts.new(text_article("Good.")), drafts.new(text_article("Bad."))
    path = drafts.folder / f"{bad.id}.draft"
    path.write_text("{ torn", encoding="utf-8")
    assert [d.id for d in drafts.drafts()] == [good.id]
    with pytest.raises(DraftError, match=rf"^draft_unreadable: path=.*{bad.id}\.draft"):
        drafts.open(bad.id)


def test_text_of_every_kind_survives(drafts: OwnerDrafts) -> None:
    text = '母鸡 \u2028 line \x00 </script> \U0001f414 "quoted"\\n'
    assert held(drafts, drafts.new(text_article(text))) == text
    assert held(drafts, drafts.new(text_article("half a pair \ud83d here"))) == "half a pair \ufffd here"


def test_an_upload_kept_beside_the_drafts_outlives_its_temporary_file(drafts: OwnerDrafts, tmp_path: Path) -> None:
    record = picture(tmp_path / "upload", "My Hen!.JPG")
    kept = drafts.keep_picture(record.path)
    again = drafts.keep_picture(record.path)
    record.path.unlink()
    assert kept == again
    assert kept.name == "my-hen.jpg"
    assert hashlib.sha256(kept.read_bytes()).hexdigest() == record.id
    with pytest.raises(DraftError, match=r"^picture_not_kept: name=My Hen!\.JPG, reason=No such file"):
        drafts.keep_picture(record.path)


def test_documents_and_what_was_read_of_them_stay_as_long_as_a_draft_needs_them(
    store: DraftStore, drafts: OwnerDrafts, tmp_path: Path
) -> None:
    for name in ("needed.md", "dropped.md"):
        (tmp_path / name).write_text(f"Some words of {name}.")
    needed, dropped = (drafts.keep_source(tmp_path / name) for name in ("needed.md", "dropped.md"))
    assert (needed.name, needed.read_text()) == ("needed.md", "Some words of needed.md.")
    assert drafts.keep_source(tmp_path / "needed.md") == needed
    read = [drafts.folder / CACHE_FOLDER / f"{path.parent.name}-1" for path in (needed, dropped)]
    for folder in read:
        folder.mkdir(parents=True)
    drafts.new(text_article("Written from one."), {"sources": [str(needed)]})
    store.prune(time.time() + 1.5 * DAY_S)
    assert [path.exists() for path in (needed, dropped, *read)] == [True, False, True, False]


def test_old_and_too_many_drafts_are_pruned_but_never_todays(
    store: DraftStore, drafts: OwnerDrafts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = picture(tmp_path, "shown.png", caption="Shown")
    unused = picture(tmp_path, "unused.png", "goldenrod", caption="Unused")
    kept, dropped = drafts.keep_picture(shown.path), drafts.keep_picture(unused.path)
    article = farm_article(tmp_path)
    first = article.placements[0]
    article = replace(article, placements=(replace(first, chosen=replace(shown, path=kept), candidates=()),))
    saved = [drafts.new(text_article(f"Number {n}.")) for n in range(KEPT_DRAFTS + 2)]
    newest = drafts.new(article)
    assert store.prune() == 0
    assert kept.exists()
    assert dropped.exists()
    day = time.time() + 1.5 * DAY_S
    assert store.prune(day) == 3
    left = [d.id for d in drafts.drafts()]
    assert left[0] == newest.id
    assert left[-1] == saved[3].id
    assert kept.exists()
    assert not dropped.exists()
    assert store.prune(time.time() + (KEPT_DAYS - 1) * DAY_S) == 0
    assert store.prune(time.time() + (KEPT_DAYS + 1) * DAY_S) == KEPT_DRAFTS
    assert not drafts.folder.exists()


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_an_article_that_is_being_written_is_on_disk_as_far_as_it_is(drafts: OwnerDrafts, tmp_path: Path) -> None:
    clock = Clock()
    autosave = Autosave(drafts, drafts.new(info={"instruction": "hens"}), clock=clock)
    progress = Progress().after(StageStarted("write"))
    autosave.record(progress)
    assert drafts.open(autosave.draft.id).article is None
    sizes = []
    for word in ["# Hens\n\n", "Hens lay ", "eggs. ", "They ", "scratch.\n\n", "At night ", "they sleep."]:
        progress = progress.after(TextDelta(word))
        clock.now_s += INTERVAL_S / 2.5
        autosave.record(progress)
        opened = drafts.open(autosave.draft.id)
        assert opened.state == "writing"
        sizes.append(len(opened.article.sections[0].text) if opened.article else 0)
    assert sizes == sorted(sizes)
    assert sizes[2] == len("Hens lay eggs.")
    article = farm_article(tmp_path)
    autosave.record(progress.after(ArticleSoFar(article)))
    drawn = drafts.open(autosave.draft.id).article
    assert drawn is not None
    assert dump(drawn) == dump(article)
    autosave.finish(progress.after(ArticleSoFar(article)).after(StageFinished("write", 1.0)))
    assert drafts.open(autosave.draft.id).state == "standing"
    assert len(drafts.drafts()) == 1


def test_nothing_is_saved_while_nothing_new_stands(drafts: OwnerDrafts) -> None:
    autosave = Autosave(drafts, drafts.new(), clock=(clock := Clock()))
    progress = Progress().after(TextDelta("# Hens\n\nHens lay eggs."))
    autosave.record(progress)
    revision = autosave.draft.revision
    for _ in range(5):
        clock.now_s += 10
        autosave.record(progress.after(StageStarted("place")))
    assert autosave.draft.revision == revision


WRITER = """
import sys, time
from pathlib import Path
from composer.studio.draft_store import OwnerDrafts
from composer.studio.autosave import Autosave
from composer.pipeline.progress import Progress
from composer.request import ComposeRequest
from tests.composer.fake_pipeline import FakePipeline

drafts = OwnerDrafts(Path(sys.argv[1]))
autosave = Autosave(drafts, drafts.open(sys.argv[2]))
progress = Progress()
for event in FakePipeline((), step=lambda: time.sleep(0.02)).events(ComposeRequest(instruction="old walls")):
    progress = progress.after(event)
    autosave.record(progress)
    print(len(progress.text), flush=True)
"""


def test_a_server_killed_in_the_middle_of_an_article_leaves_the_article_so_far(drafts: OwnerDrafts) -> None:
    draft = drafts.new(info={"instruction": "old walls"})
    command = [sys.executable, "-c", WRITER, str(drafts.folder), draft.id]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    written, began = 0, 0.0
    while time.monotonic() - began < 2 * INTERVAL_S or not began:
        written = int(child.stdout.readline())
        began = began or (time.monotonic() if written else 0.0)
    child.kill()
    child.wait()
    child.stdout.close()
    opened = drafts.open(draft.id)
    assert opened.state == "writing"
    assert opened.info["instruction"] == "old walls"
    assert set(opened.info.get("unwritten", ())) <= {"At noon"}
    assert opened.article is not None
    saved = len(opened.article.title) + sum(len(section.text) for section in opened.article.sections)
    assert 0 < saved <= written
    edited = drafts.save(opened, edit_text(opened.article, 0, "I go on from here."))
    assert held(drafts, edited) == "I go on from here."
