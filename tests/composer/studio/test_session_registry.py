"""Open drafts: articles made in them, edits as steps, stopping, what two windows do to one, talk that lasts."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from composer.article.model import Article
from composer.errors import ComposerError, DraftError, EditError, UsageError, WritingFailed
from composer.pipeline import events
from composer.pipeline.events import Done
from composer.request import ComposeRequest
from composer.studio.actions import perform
from composer.studio.chat import ask, stop_answers
from composer.studio.draft_store import Draft, OwnerDrafts
from composer.studio.job_queue import JobQueue, stoppable
from composer.studio.session import ChatTurn, DraftSession, chat_from_json, chat_to_json
from composer.studio.session_registry import SessionRegistry
from tests.composer.article_samples import farm_article
from tests.composer.quick_sessions import Models, adopted, fake_of, finished, heard
from vision.errors import ModelError


def test_an_article_is_made_saved_and_found_again_by_its_owner_alone(sessions: SessionRegistry, tmp_path: Path) -> None:
    owner = sessions.store.new_owner()
    session = finished(sessions.begin(owner, ComposeRequest("farm"), tmp_path))
    assert session.article is not None
    assert session.article.title == "farm"
    assert not session.error
    assert sessions.open(owner, session.draft.id) is session
    assert [info.title for info in sessions.drafts(owner)] == ["farm"]
    with pytest.raises(DraftError):
        sessions.open(sessions.store.new_owner(), session.draft.id)
    other = SessionRegistry(sessions.models, sessions.store)
    again = other.open(owner, session.draft.id).article
    assert again is not None
    assert again.sections == session.article.sections, "a server started again finds it"


def test_a_failure_is_kept_to_be_shown_and_a_bug_does_not_block_the_draft(
    sessions: SessionRegistry, tmp_path: Path
) -> None:
    owner = sessions.store.new_owner()
    error = finished(sessions.begin(owner, ComposeRequest("fail"), tmp_path)).error
    assert isinstance(error, WritingFailed)


def test_a_bug_is_told_and_frees_the_models(sessions: SessionRegistry, tmp_path: Path, bugs: SimpleQueue[Any]) -> None:
    owner = sessions.store.new_owner()
    crashed = finished(sessions.begin(owner, ComposeRequest("crash"), tmp_path))
    assert isinstance(crashed.error, ComposerError)
    assert crashed.error.key == "inside"
    assert finished(sessions.begin(owner, ComposeRequest("farm"), tmp_path)).article is not None
    assert heard(bugs) == [ZeroDivisionError]


def test_stopping_closes_the_composer_and_keeps_what_was_written(sessions: SessionRegistry, tmp_path: Path) -> None:
    fake, here, go = fake_of(sessions), threading.Event(), threading.Event()
    words = [0]

    def step() -> None:
        words[0] += 1
        if words[0] == 40:
            here.set()
            go.wait(10)

    fake.step = step
    session = sessions.begin(sessions.store.new_owner(), ComposeRequest("farm"), tmp_path)
    assert here.wait(10)
    session.stop()
    go.set()
    finished(session)
    assert (session.note, fake.closed, fake.running) == ("stopped", 1, 0)
    assert session.article is not None
    assert session.article.sections[0].text.startswith("This is about farm.")


def test_what_stands_when_a_job_fails_is_saved_for_editing(
    sessions: SessionRegistry, tmp_path: Path, bugs: SimpleQueue[Any]
) -> None:
    words = iter(range(30))

    def step() -> None:
        if next(words, None) is None:
            raise ZeroDivisionError

    fake_of(sessions).step = step
    session = finished(sessions.begin(sessions.store.new_owner(), ComposeRequest("farm"), tmp_path))
    on_disk = session.drafts.open(session.draft.id)
    assert on_disk.state == "standing"
    assert on_disk.article is not None
    assert on_disk.article.sections == session.present().sections
    assert on_disk.article.sections[0].text.startswith("This is about farm.")
    assert heard(bugs) == [ZeroDivisionError]


def test_sessions_take_turns_and_get_their_own_articles(sessions: SessionRegistry, tmp_path: Path) -> None:
    opened = [sessions.begin(sessions.store.new_owner(), ComposeRequest(f"Topic {n}"), tmp_path) for n in range(10)]
    titles = [session.article.title for session in map(finished, opened) if session.article is not None]
    assert titles == [f"Topic {n}" for n in range(10)]
    assert fake_of(sessions).most_running == 1


def test_edits_are_steps_and_typing_on_is_one_step(sessions: SessionRegistry, tmp_path: Path) -> None:
    session = adopted(sessions, tmp_path)
    first = session.present().sections[0].text
    for text in ("T", "Ty", "Typed"):
        perform(session, "edit_text", {"at": 0, "text": text, "typing": "one"})
    perform(session, "edit_text", {"at": 0, "text": "Again", "typing": "two"})
    perform(session, "undo", {})
    assert session.present().sections[0].text == "Typed"
    perform(session, "undo", {})
    assert session.present().sections[0].text == first
    perform(session, "redo", {})
    assert session.present().sections[0].text == "Typed"
    on_disk = session.drafts.open(session.draft.id).article
    assert on_disk is not None
    assert on_disk.sections == session.present().sections, "every step is on disk"


def test_threads_that_edit_at_once_lose_nothing(sessions: SessionRegistry, tmp_path: Path) -> None:
    session = adopted(sessions, tmp_path)
    count = len(session.present().sections)
    threads = [
        threading.Thread(target=perform, args=(session, "add_section", {"at": -1, "text": f"New {n}."}))
        for n in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    added = {section.text for section in session.present().sections} & {f"New {n}." for n in range(12)}
    assert len(added) == 12
    assert len(session.present().sections) == count + 12


def test_an_article_being_made_is_not_edited(sessions: SessionRegistry, tmp_path: Path) -> None:
    gate = threading.Event()
    fake_of(sessions).step = lambda: gate.wait(10) and None
    session = sessions.begin(sessions.store.new_owner(), ComposeRequest("farm"), tmp_path)
    with pytest.raises(EditError):
        perform(session, "undo", {})
    with pytest.raises(EditError) as refused:
        session.compose(ComposeRequest("farm"))
    assert refused.value.key == "being_made"
    gate.set()
    finished(session)


@pytest.mark.parametrize(
    ("action", "values", "key"),
    [
        ("fly", {}, "action_unknown"),
        ("edit_text", {"at": "x", "text": "a"}, "not_a_number"),
        ("edit_text", {"at": True, "text": "a"}, "not_a_number"),
        ("edit_text", {"at": 2**70, "text": "a"}, "not_a_number"),
        ("edit_text", {"at": "9" * 10_000, "text": "a"}, "not_a_number"),
        ("edit_text", {"at": 0, "text": ["a"]}, "field_wrong_kind"),
        ("edit_text", {"at": 0, "text": "a" * 60_001}, "text_long"),
        ("set_caption", {"at": 0, "text": "a" * 2_001}, "text_long"),
        ("propose", {"at": 0, "action": "rm -rf"}, "field_choice"),
        ("show_picture", {"at": 0, "id": "../../etc/passwd"}, "not_found"),
        ("refit", {"count": 51}, "count_wrong"),
        ("retry", {"stage": "all"}, "field_choice"),
    ],
)
def test_what_a_browser_sends_is_read_strictly(
    sessions: SessionRegistry, tmp_path: Path, action: str, values: dict[str, Any], key: str
) -> None:
    session = adopted(sessions, tmp_path)
    before = session.article
    with pytest.raises((UsageError, EditError)) as refused:
        perform(session, action, values)
    assert refused.value.key == key
    assert session.article is before


# Which sessions stay


def ids_of(sessions: SessionRegistry, owner: str, tmp_path: Path, count: int) -> list[str]:
    article = farm_article(tmp_path / "farm")
    return [sessions.store.drafts_of(owner).new(article, {"library": str(tmp_path)}).id for _ in range(count)]


def test_the_sessions_used_last_stay_open(sessions: SessionRegistry, tmp_path: Path) -> None:
    sessions = SessionRegistry(sessions.models, sessions.store, most_kept=2)
    owner = sessions.store.new_owner()
    ids = ids_of(sessions, owner, tmp_path, 3)
    opened = [weakref.ref(sessions.open(owner, draft)) for draft in ids[:2]]
    sessions.open(owner, ids[0])
    sessions.open(owner, ids[2])  # the second was used longest ago
    gc.collect()
    assert [session() is not None for session in opened] == [True, False]
    assert sessions.open(owner, ids[0]) is opened[0]()


def test_a_session_in_which_something_runs_is_found_again_however_many_are_opened(
    sessions: SessionRegistry, tmp_path: Path
) -> None:
    sessions = SessionRegistry(sessions.models, sessions.store, most_kept=1)
    gate = threading.Event()
    fake_of(sessions).step = lambda: gate.wait(10) and None
    owner = sessions.store.new_owner()
    running, waiting = (weakref.ref(sessions.begin(owner, ComposeRequest("farm"), tmp_path)) for _ in range(2))
    for draft in ids_of(sessions, owner, tmp_path, 3):
        sessions.open(owner, draft)
    gc.collect()
    for begun in (running, waiting):
        session = begun()
        assert session is not None
        assert sessions.open(owner, session.draft.id) is session
    gate.set()
    for begun in (running, waiting):
        session = begun()
        assert session is not None
        finished(session)


def test_a_slow_disk_holds_up_nobody_else_and_a_draft_is_read_once(
    sessions: SessionRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = sessions.store.new_owner()
    slow, quick = ids_of(sessions, owner, tmp_path, 2)
    reading, go_on, reads = threading.Event(), threading.Event(), []
    read = OwnerDrafts.open

    def opened(drafts: OwnerDrafts, draft_id: str) -> Draft:
        reads.append(draft_id)
        if draft_id == slow:
            reading.set()
            assert go_on.wait(10)
        return read(drafts, draft_id)

    monkeypatch.setattr(OwnerDrafts, "open", opened)
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(sessions.open, owner, slow) for _ in range(2)]
        assert reading.wait(10)
        assert sessions.open(owner, quick).draft.id == quick, "while the other is still being read"
        go_on.set()
        assert both[0].result(10) is both[1].result(10)
    assert sorted(reads) == sorted([slow, quick])


def test_a_draft_that_is_deleted_while_it_is_written_stays_away(sessions: SessionRegistry, tmp_path: Path) -> None:
    here, gate = threading.Event(), threading.Event()

    def step() -> None:
        here.set()
        gate.wait(10)

    fake_of(sessions).step = step
    owner = sessions.store.new_owner()
    session = sessions.begin(owner, ComposeRequest("farm"), tmp_path)
    assert here.wait(10)
    sessions.delete(owner, session.draft.id)
    gate.set()
    assert session.running is None
    assert sessions.drafts(owner) == ()
    with pytest.raises(DraftError, match=r"^draft_gone"):
        sessions.open(owner, session.draft.id)


# Waiting for a change


def test_whoever_waits_for_a_change_is_woken_by_it(sessions: SessionRegistry, tmp_path: Path) -> None:
    session = adopted(sessions, tmp_path)

    async def wait() -> list[int]:
        version = session.changes.version
        waiting = [asyncio.create_task(session.changes.wait(version, 30)) for _ in range(3)]
        await asyncio.sleep(0)  # let them begin
        assert not any(task.done() for task in waiting)
        await asyncio.to_thread(perform, session, "set_title", {"text": "Hens"})
        await asyncio.wait_for(asyncio.gather(*waiting), 10)
        await session.changes.wait(version, 30)  # it has changed already
        await session.changes.wait(session.changes.version, 0.01)  # nothing does: the time is up
        return [version, session.changes.version]

    before, after = asyncio.run(wait())
    assert after > before
    assert session.changes._waiting == set()


def test_a_page_that_waits_its_turn_is_told_when_it_comes_nearer(sessions: SessionRegistry, tmp_path: Path) -> None:
    gate = threading.Event()
    fake_of(sessions).step = lambda: gate.wait(10) and None
    first, second = (sessions.begin(sessions.store.new_owner(), ComposeRequest("farm"), tmp_path) for _ in range(2))
    assert second.running is not None
    assert second.running.job is not None
    assert second.running.job.before == 1
    version = second.changes.version
    first.stop()
    asyncio.run(asyncio.wait_for(second.changes.wait(version, 30), 10))
    gate.set()
    finished(second)


# Stopping


def test_a_stop_is_heard_while_a_stage_asks_the_model_in_one_batch(sessions: SessionRegistry, tmp_path: Path) -> None:
    fake, judging, answered, closed = fake_of(sessions), threading.Event(), threading.Event(), threading.Event()
    write = fake._events

    def slow(request: ComposeRequest) -> Any:
        try:
            for event in write(request):
                yield event
                if isinstance(event, events.StageStarted) and event.stage == "choose":
                    judging.set()
                    assert answered.wait(20)
        finally:
            closed.set()

    fake._events = slow  # type: ignore[method-assign]
    session = sessions.begin(sessions.store.new_owner(), ComposeRequest("farm"), tmp_path)
    assert session.running is not None
    job = session.running.job
    assert job is not None
    assert judging.wait(10)
    session.stop()
    assert job.wait(10), "though the model has not answered yet"
    assert not answered.is_set()
    assert (session.note, session.running) == ("stopped", None)
    assert session.article is not None
    assert len(session.article.sections) == 3, "what stands stays"
    answered.set()
    assert closed.wait(10), "what was left ends after its step"


def test_steps_pass_through_unchanged_and_so_do_their_exceptions() -> None:
    job = JobQueue().submit(lambda job: None)
    assert list(stoppable((letter for letter in "abc"), job)) == ["a", "b", "c"]

    def failing() -> Any:
        yield 1
        raise EditError("no_article")

    with pytest.raises(EditError):
        list(stoppable(failing(), job))
    job.stop()
    assert list(stoppable((letter for letter in "abc"), job)) == [], "nothing is begun for a job that was stopped"


def test_stopped_answers_keep_what_was_said_and_free_the_line(sessions: SessionRegistry, tmp_path: Path) -> None:
    session = adopted(sessions, tmp_path)
    begun, stopped = threading.Event(), threading.Event()

    class Endless(Speaker):
        def stream(self, prompt: Any, sampling: Any) -> Any:
            from vision.interfaces import Chunk

            yield Chunk("well, ")
            begun.set()
            assert stopped.wait(10)
            yield Chunk("never mind")

    models = sessions.models.loaded()
    assert isinstance(models, Models)
    models.fake.model = Endless()  # type: ignore[attr-defined]
    for question in ("Why?", "And then?"):
        ask(session, {"question": question})
    assert begun.wait(10)
    stop_answers(session)
    for turn in session.chat:
        assert turn.job is not None
        assert turn.job.wait(10)
    stopped.set()
    assert [(turn.over, turn.note, turn.error) for turn in session.chat] == [(True, "answer_stopped", None)] * 2
    assert session.chat[0].answer == "well, "
    assert not session.chat[1].answer
    models.fake.model = Speaker()  # type: ignore[attr-defined]
    ask(session, {"question": "Who lives here?"})
    job = session.chat[-1].job
    assert job is not None
    assert job.wait(10)
    assert (session.chat[-1].answer, session.chat[-1].note) == ("Hens mostly.", "")


# Two windows


def texts(session: Any) -> list[str]:
    return [section.text for section in session.present().sections]


def test_an_action_of_a_window_that_is_behind_meets_the_paragraph_it_meant(
    sessions: SessionRegistry, tmp_path: Path
) -> None:
    session = adopted(sessions, tmp_path)
    before = texts(session)
    perform(session, "delete_section", {"at": 0, "was": before[0]})
    perform(session, "lock_section", {"at": 1, "was": before[1], "locked": True})
    assert [section.locked for section in session.present().sections] == [True] + [False] * (len(before) - 2)
    perform(session, "lock_section", {"at": 0, "was": before[1], "locked": False})
    perform(session, "move_section", {"at": 1, "to": 2, "was": before[1]})
    assert texts(session)[:2] == [before[2], before[1]], "it moved one down from where it is, not from where it was"


def test_a_paragraph_or_picture_that_is_gone_is_not_mistaken_for_the_one_in_its_place(
    sessions: SessionRegistry, tmp_path: Path
) -> None:
    session = adopted(sessions, tmp_path)
    before = texts(session)
    perform(session, "delete_section", {"at": 1})
    with pytest.raises(EditError, match="changed_elsewhere"):
        perform(session, "delete_section", {"at": 1, "was": before[1]})
    assert texts(session) == [before[0], *before[2:]]
    shown = [p.chosen.id for p in session.present().placements if p.chosen is not None]
    with pytest.raises(EditError, match="changed_elsewhere"):
        perform(session, "set_caption", {"at": 0, "was": "0" * 64, "text": "A cat"})
    places = [p.chosen.id if p.chosen is not None else "" for p in session.present().placements]
    perform(session, "set_caption", {"at": places.index(shown[0]) + 1, "was": shown[0], "text": "Hens again"})
    assert session.present().placements[places.index(shown[0])].caption == "Hens again"


def test_two_windows_that_type_into_one_paragraph_lose_nothing(sessions: SessionRegistry, tmp_path: Path) -> None:
    session = adopted(sessions, tmp_path)
    before = texts(session)
    perform(session, "edit_text", {"at": 0, "was": before[0], "text": "One window.", "typing": "a"})
    with pytest.raises(EditError, match="kept_below"):
        perform(session, "edit_text", {"at": 0, "was": before[0], "text": "Another", "typing": "b"})
    perform(session, "edit_text", {"at": 0, "was": "Another", "text": "Another window.\n", "typing": "b"})
    assert texts(session)[:3] == ["One window.", "Another window.", before[1]]


# Talk


class Speaker:
    """Answers every question in two words."""

    sees_images = False
    context_tokens = 4_000

    def count_tokens(self, prompt: Any) -> int:
        return 10

    def stream(self, prompt: Any, sampling: Any) -> Any:
        from vision.interfaces import Chunk

        yield Chunk("Hens ")
        yield Chunk("mostly.", finish="stop")


def test_what_was_said_is_there_after_a_restart(sessions: SessionRegistry, tmp_path: Path) -> None:
    session = adopted(sessions, tmp_path)
    models = sessions.models.loaded()
    assert isinstance(models, Models)
    models.fake.model = Speaker()  # type: ignore[attr-defined]
    shown = session.present().pictures[0]
    for question, picture in (("Who lives here?", ""), ("What is this?", shown.id)):
        ask(session, {"question": question, "picture": picture})
        job = session.chat[-1].job
        assert job is not None
        assert job.wait(10)
    perform(session, "set_title", {"text": "Hens"})
    again = DraftSession(sessions.models, session.drafts, session.drafts.open(session.draft.id))
    assert [(turn.question, turn.answer, turn.note, turn.over) for turn in again.chat] == [
        ("Who lives here?", "Hens mostly.", "", True),
        ("What is this?", "Hens mostly.", "reads_words", True),
    ]
    assert again.chat[1].picture == shown
    assert again.present().title == "Hens", "an edit keeps the talk, and the talk the edit"


def test_an_answer_that_a_restart_cut_off_says_so(sessions: SessionRegistry, tmp_path: Path) -> None:
    cut = chat_from_json(chat_to_json([ChatTurn("Why?", answer="Because")]))
    assert [(turn.answer, turn.note, turn.over) for turn in cut] == [("Because", "answer_cut", True)]


# Going on


def stopped_while_writing(sessions: SessionRegistry, tmp_path: Path, words: int) -> Any:
    """A session stopped after so many words."""
    fake, reached, wait = fake_of(sessions), threading.Event(), threading.Event()
    written = iter(range(words))

    def step() -> None:
        if next(written, None) is None:
            reached.set()
            assert wait.wait(10)

    fake.step = step
    session = sessions.begin(sessions.store.new_owner(), ComposeRequest("the farm"), tmp_path)
    assert reached.wait(10)
    session.stop()
    wait.set()
    fake.step = lambda: None
    return finished(session)


def test_what_was_not_written_yet_is_known_and_kept_over_a_restart(sessions: SessionRegistry, tmp_path: Path) -> None:
    session = stopped_while_writing(sessions, tmp_path, 20)
    assert (session.note, session.unfinished, session.unwritten) == ("stopped", "compose", ("At noon",))
    perform(session, "edit_text", {"at": 0, "text": "My own beginning."})
    opened = DraftSession(sessions.models, session.drafts, session.drafts.open(session.draft.id))
    assert opened.unwritten == ("At noon",), "an edit changes nothing of it, nor does a restart"
    perform(opened, "leave_unwritten", {})
    assert opened.unwritten == ()
    assert session.drafts.open(session.draft.id).info["unwritten"] == []


def test_a_text_that_is_whole_has_nothing_left_to_write(sessions: SessionRegistry, tmp_path: Path) -> None:
    whole = finished(sessions.begin(sessions.store.new_owner(), ComposeRequest("the farm"), tmp_path))
    reached = stopped_while_writing(sessions, tmp_path, 70)
    assert whole.unwritten == reached.unwritten == ()
    for session in (whole, reached):
        with pytest.raises(EditError) as refused:
            perform(session, "retry", {"stage": "text"})
        assert refused.value.key == "nothing_left"


def test_what_was_stopped_before_it_wrote_or_failed_is_begun_again(sessions: SessionRegistry, tmp_path: Path) -> None:
    fake = fake_of(sessions)
    early = stopped_while_writing(sessions, tmp_path, 0)
    assert (early.note, early.unfinished) == ("stopped_early", "compose")
    again = DraftSession(sessions.models, early.drafts, early.drafts.open(early.draft.id))
    perform(again, "retry", {"stage": "again"})
    assert finished(again).present().title == "the farm"

    def refuses() -> Any:
        raise ModelError("server_unreachable")

    works, fake.events = fake.events, lambda request: refuses()  # type: ignore[method-assign]
    asked = ComposeRequest(text="# Mine\n\nEvery word of it.", images=1)
    failed = finished(sessions.begin(sessions.store.new_owner(), asked, tmp_path))
    assert failed.error is not None
    fake.events = works  # type: ignore[method-assign]
    perform(failed, "retry", {"stage": "again"})
    assert finished(failed).present().title == "Mine"
    assert fake.requests[-1].text == asked.text
    assert failed.draft.info["text"] == "", "the article has it"
    assert (failed.error, failed.unfinished) == (None, None)
    with pytest.raises(EditError) as refused:
        perform(failed, "retry", {"stage": "again"})
    assert refused.value.key == "nothing_left"


def test_a_stage_that_failed_is_tried_again_as_it_was_asked_for(sessions: SessionRegistry, tmp_path: Path) -> None:
    session, tried = adopted(sessions, tmp_path), []

    def better(_: Any, article: Article) -> Iterator[Any]:
        tried.append(article)
        if len(tried) == 1:
            raise ModelError("server_unreachable")
        yield Done(replace(article, title="Better"))

    session.remake("refit", ComposeRequest("a farm"), better)
    assert finished(session).unfinished == "refit"
    perform(session, "retry", {"stage": "again"})
    assert finished(session).present().title == "Better"
    assert session.unfinished is None
