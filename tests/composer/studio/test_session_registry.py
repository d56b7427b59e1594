"""Open drafts: articles made in them, edits as steps, stopping, what two windows do to one, talk that lasts."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from composer.errors import DraftError, EditError, UsageError, WritingFailed
from composer.pipeline import events
from composer.request import ComposeRequest
from composer.studio.actions import perform
from composer.studio.chat import ask, stop_answers
from composer.studio.session_registry import Rooms
from composer.studio.studio_heed import heeded
from tests.composer.quick_rooms import Models, adopted, fake_of, finished, heard


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
    trouble = finished(rooms.begin(owner, ComposeRequest("fail"), tmp_path)).trouble
    assert isinstance(trouble, WritingFailed)


def test_a_bug_is_told_and_frees_the_models(rooms: Rooms, tmp_path: Path, bugs: list[Any]) -> None:
    owner = rooms.new_owner()
    crashed = finished(rooms.begin(owner, ComposeRequest("crash"), tmp_path))
    assert "the log of the server says what" in str(crashed.trouble)
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


# Stopping


def test_a_stop_is_heeded_while_a_stage_asks_the_model_in_one_batch(rooms: Rooms, tmp_path: Path) -> None:
    fake, judging, answered = fake_of(rooms), threading.Event(), threading.Event()
    write = fake._events

    def slow(request: ComposeRequest) -> Any:
        for event in write(request):
            if isinstance(event, events.StageStarted) and event.stage == "choose":
                yield event
                judging.set()
                answered.wait(20)
            else:
                yield event

    fake._events = slow  # type: ignore[method-assign]
    room = rooms.begin(rooms.new_owner(), ComposeRequest("farm"), tmp_path)
    assert room.work is not None
    job = room.work.job
    assert job is not None
    assert judging.wait(10)
    begun_s = time.monotonic()
    room.stop()
    assert job.wait(10)
    assert time.monotonic() - begun_s < 1.0
    assert (room.note, room.work) == ("stopped", None)
    assert room.article is not None
    assert len(room.article.sections) == 3, "what stands stays"
    answered.set()
    for _ in range(100):
        if fake.closed:
            break
        time.sleep(0.02)
    assert (fake.closed, fake.running) == (1, 0), "what was left ends after its step"


def test_steps_pass_through_unchanged_and_so_do_their_exceptions() -> None:
    assert list(heeded((letter for letter in "abc"), lambda: False)) == ["a", "b", "c"]

    def failing() -> Any:
        yield 1
        raise EditError("no")

    with pytest.raises(EditError, match=r"^no$"):
        list(heeded(failing(), lambda: False))


def test_stopped_answers_keep_what_was_said_and_free_the_line(rooms: Rooms, tmp_path: Path) -> None:
    room = adopted(rooms, tmp_path)
    begun = threading.Event()

    class Endless(Speaker):
        def stream(self, prompt: Any, sampling: Any) -> Any:
            from vision.interfaces import Chunk

            for _ in range(1_000):
                yield Chunk("well, ")
                begun.set()
                time.sleep(0.02)

    models = rooms.studio.models()
    assert isinstance(models, Models)
    models.fake.model = Endless()  # type: ignore[attr-defined]
    for question in ("Why?", "And then?"):
        ask(room, {"question": question})
    assert begun.wait(10)
    begun_s = time.monotonic()
    stop_answers(room)
    for said in room.said:
        assert said.job is not None
        assert said.job.wait(10)
    assert time.monotonic() - begun_s < 2
    assert [(said.over, said.note, said.trouble) for said in room.said] == [(True, "answer_stopped", None)] * 2
    assert room.said[0].answer.startswith("well, ")
    assert not room.said[1].answer
    models.fake.model = Speaker()  # type: ignore[attr-defined]
    ask(room, {"question": "Who lives here?"})
    job = room.said[-1].job
    assert job is not None
    assert job.wait(10)
    assert (room.said[-1].answer, room.said[-1].note) == ("Hens mostly.", "")


# Two windows


def texts(room: Any) -> list[str]:
    return [section.text for section in room.present().sections]


def test_an_action_of_a_window_that_is_behind_meets_the_paragraph_it_meant(rooms: Rooms, tmp_path: Path) -> None:
    room = adopted(rooms, tmp_path)
    before = texts(room)
    perform(room, "delete_section", {"at": 0, "was": before[0]})
    perform(room, "lock_section", {"at": 1, "was": before[1], "locked": True})
    assert [section.locked for section in room.present().sections] == [True] + [False] * (len(before) - 2)
    perform(room, "lock_section", {"at": 0, "was": before[1], "locked": False})
    perform(room, "move_section", {"at": 1, "to": 2, "was": before[1]})
    assert texts(room)[:2] == [before[2], before[1]], "it moved one down from where it is, not from where it was"


def test_a_paragraph_or_picture_that_is_gone_is_not_mistaken_for_the_one_in_its_place(
    rooms: Rooms, tmp_path: Path
) -> None:
    room = adopted(rooms, tmp_path)
    before = texts(room)
    perform(room, "delete_section", {"at": 1})
    with pytest.raises(EditError, match="changed in another window"):
        perform(room, "delete_section", {"at": 1, "was": before[1]})
    assert texts(room) == [before[0], *before[2:]]
    shown = [p.chosen.id for p in room.present().placements if p.chosen is not None]
    with pytest.raises(EditError, match="changed in another window"):
        perform(room, "set_caption", {"at": 0, "was": "0" * 64, "text": "A cat"})
    places = [p.chosen.id if p.chosen is not None else "" for p in room.present().placements]
    perform(room, "set_caption", {"at": places.index(shown[0]) + 1, "was": shown[0], "text": "Hens again"})
    assert room.present().placements[places.index(shown[0])].caption == "Hens again"


def test_two_windows_that_type_into_one_paragraph_lose_nothing(rooms: Rooms, tmp_path: Path) -> None:
    room = adopted(rooms, tmp_path)
    before = texts(room)
    perform(room, "edit_text", {"at": 0, "was": before[0], "text": "One window.", "typing": "a"})
    with pytest.raises(EditError, match="stands below it"):
        perform(room, "edit_text", {"at": 0, "was": before[0], "text": "Another", "typing": "b"})
    perform(room, "edit_text", {"at": 0, "was": "Another", "text": "Another window.\n", "typing": "b"})
    assert texts(room)[:3] == ["One window.", "Another window.", before[1]]


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


def test_what_was_said_is_there_after_a_restart(rooms: Rooms, tmp_path: Path) -> None:
    room = adopted(rooms, tmp_path)
    models = rooms.studio.models()
    assert isinstance(models, Models)
    models.fake.model = Speaker()  # type: ignore[attr-defined]
    shown = room.present().pictures[0]
    for question, picture in (("Who lives here?", ""), ("What is this?", shown.id)):
        ask(room, {"question": question, "picture": picture})
        job = room.said[-1].job
        assert job is not None
        assert job.wait(10)
    perform(room, "set_title", {"text": "Hens"})
    owner = next(key for key, value in rooms._open.items() if value is room)[0]
    again = Rooms(rooms.studio, rooms.store).open(owner, room.draft.id)
    told = [(said.question, said.answer, said.note, said.over) for said in again.said]
    assert told == [
        ("Who lives here?", "Hens mostly.", "", True),
        ("What is this?", "Hens mostly.", "reads_words", True),
    ]
    assert again.said[1].picture == shown
    assert again.present().title == "Hens", "an edit keeps the talk, and the talk the edit"


def test_an_answer_that_a_restart_cut_off_says_so(rooms: Rooms, tmp_path: Path) -> None:
    from composer.studio.studio_talk import Said, talk_from_json, talk_to_json

    cut = talk_from_json(talk_to_json([Said("Why?", answer="Because")]))
    assert [(said.answer, said.note, said.over) for said in cut] == [("Because", "answer_cut", True)]
