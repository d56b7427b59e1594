"""What a page may ask of a session, by name: edits, steps back, questions to the model.

Values come from a browser and are not trusted: each action checks its own and raises UsageError or EditError.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from composer.article.model import SIDES, Article
from composer.editing import pictures, sections
from composer.editing.caption_suggestions import suggest_caption, take
from composer.editing.lookup import unlocked_section
from composer.editing.picture_search import read_own_picture, search, search_like
from composer.editing.proposals import PROPOSAL_ACTIONS, Delta, Proposal, Restarted, accept, propose
from composer.editing.rerun import RERUN_STAGES, rerun_stage, set_picture_count, write_rest
from composer.errors import EditError, UsageError
from composer.pipeline.events import STAGES, Event
from composer.pipeline.uploads import check_upload
from composer.request import LANGUAGES, MAX_IMAGES, MOST_HEADINGS, TONES
from composer.studio.action_values import ActionValues
from composer.studio.job_queue import Job, stoppable
from composer.studio.session import DraftSession, PendingProposal, request_of
from retrieval.candidates import Candidate

MAX_TITLE_CHARS, MAX_HEADING_CHARS = 200, 120
MOST_FOUND = 1_000  # pictures that a session remembers to show by id

# Each is also the name of the step in the history.
EDITS: Mapping[str, Callable[[Article, ActionValues], Article]] = {
    "edit_text": lambda article, given: sections.edit_text(article, given.at, given.text("text")),
    "set_title": lambda article, given: sections.set_title(article, given.text("text", 500)),
    "add_section": lambda article, given: sections.add_section(article, given.at, given.text("text")),
    "delete_section": lambda article, given: sections.delete_section(article, given.at),
    "move_section": lambda article, given: sections.move_section(article, given.at, given.number("to")),
    "split_section": lambda article, given: sections.split_section(article, given.at, _cut(article, given)),
    "merge_sections": lambda article, given: sections.merge_sections(article, given.at),
    "lock_section": lambda article, given: sections.lock_section(article, given.at, given.flag("locked")),
    "replace_picture": lambda article, given: pictures.replace_picture(article, given.at, given.text("id", 100)),
    "show_picture": lambda article, given: pictures.show_picture(article, given.at, given.candidate()),
    "remove_picture": lambda article, given: pictures.remove_picture(article, given.at),
    "delete_picture": lambda article, given: pictures.delete_picture(article, given.at),
    "move_picture": lambda article, given: pictures.move_picture(article, given.at, given.number("to")),
    "insert_picture": lambda article, given: pictures.insert_picture(article, given.at, given.candidate()),
    "add_place": lambda article, given: pictures.add_place(article, given.at, given.text("text", 500)),
    "set_caption": lambda article, given: pictures.set_caption(article, given.at, given.text("text", 2_000)),
    "set_alt": lambda article, given: pictures.set_alt(article, given.at, given.text("text", 2_000)),
    "confirm_words": lambda article, given: pictures.confirm_words(article, given.at),
    "check_claim": lambda article, given: sections.confirm_claim(article, given.at, given.text("claim", 500)),
    "set_size": lambda article, given: pictures.set_size(
        article, given.at, given.share("width"), given.one_of("side", SIDES)
    ),
    "lock_placement": lambda article, given: pictures.lock_placement(article, given.at, given.flag("locked")),
}


def perform(session: DraftSession, name: str, values: Mapping[str, Any]) -> None:
    """Do it, or begin it where it takes a model. Raises KeyedError where it cannot be done."""
    given = ActionValues(values, session.found)
    with session.lock:
        if not given.resolve_target(name, session.article):
            if name == "edit_text":
                _keep_below(session, given)
            raise EditError("changed_elsewhere")
    if name in EDITS:
        session.change(name, lambda article: EDITS[name](article, given), given.text("typing", 100))
    elif name in COMMANDS:
        COMMANDS[name](session, given)
    else:
        raise UsageError("action_unknown", name=name[:40])


def _keep_below(session: DraftSession, given: ActionValues) -> None:
    """What was typed into a paragraph that somebody else changed meanwhile: nothing of either is lost."""
    at = min(max(given.at, 0), len(session.present().sections) - 1)
    text = given.text("text")
    session.change("add_section", lambda article: sections.add_section(article, at, text), given.text("typing", 100))
    raise EditError("kept_below")


def _cut(article: Article, given: ActionValues) -> int:
    """The offset asked for, or the middle-most point at which the section can be split."""
    if given.text("offset", 20):
        return given.number("offset")
    points = sections.split_points(article, given.at)
    if not points:
        raise EditError("cannot_split")
    middle = len(article.sections[given.at].text) / 2
    return min(points, key=lambda point: abs(point - middle))


# Pictures that are looked for


def find_pictures(session: DraftSession, values: Mapping[str, Any]) -> list[Candidate]:
    """Library pictures for words, or like an example file that was uploaded. They may then be shown by id."""
    given = ActionValues(values)
    article = session.present()
    section = min(max(given.number("section"), 0), len(article.sections) - 1)
    words, example = given.text("words", 500).strip(), given.text("example", 1_000)
    if example:
        picture = check_upload(Path(example))
        found = search_like(session.models.pipeline(session.library), article, section, picture)
    elif words:
        found = search(session.models.pipeline(session.library), article, section, words)
    else:
        raise UsageError("search_empty")
    remember(session, found)
    return found


def take_upload(session: DraftSession, path: Path) -> Candidate:
    """A picture of the person's own, kept beside the draft. Raises UsageError for what is no picture or too large."""
    check_upload(path)
    kept = session.drafts.keep_picture(path)
    candidate = read_own_picture(session.models.pipeline(session.library), kept)
    remember(session, [candidate])
    return candidate


def remember(session: DraftSession, found: list[Candidate]) -> None:
    """Let the pictures be shown by their ids; the latest found are kept."""
    with session.lock:
        for candidate in found:
            session.found.pop(candidate.record.id, None)
            session.found[candidate.record.id] = candidate
        for old in list(session.found)[:-MOST_FOUND]:
            del session.found[old]


# Questions to the model


def _propose(session: DraftSession, given: ActionValues) -> None:
    action = given.one_of("action", PROPOSAL_ACTIONS)
    tone = given.one_of("tone", ("", *TONES))
    language = given.one_of("language", ("", *LANGUAGES))
    seed = given.number("seed") if given.text("seed", 20) else 0
    wish = given.text("wish", 1_000)
    if action == "revise" and not wish.strip():
        raise UsageError("question_empty")
    with session.lock:
        article, section = session.present(), given.at
        pending = PendingProposal(unlocked_section(article, section).text, action, wish=wish)
        for earlier in [p for p in session.proposals if p.before == pending.before]:
            if earlier.job is not None:
                earlier.job.stop()
            session.proposals.remove(earlier)
        session.proposals.append(pending)
        session.touch()

    def work(job: Job) -> None:
        pipeline = session.models.pipeline(session.library)
        writing = pipeline.settings.writing
        asked: dict[str, Any] = {"tone": tone, "language": language, "seed": seed, "wish": wish}
        proposing = propose(pipeline.model, writing, article, section, action, **asked)
        with closing(stoppable(proposing, job)) as events:
            for event in events:
                with session.lock:
                    match event:
                        case Delta():
                            pending.text += event.text
                        case Restarted():
                            pending.text = ""
                        case Proposal():
                            pending.proposal, pending.text = event, event.after
                    session.touch()

    def ended(error: Exception | None) -> None:
        pending.error = error
        if pending.proposal is None and not error and pending in session.proposals:
            session.proposals.remove(pending)  # stopped: the text stays as it was

    pending.job = session.ask(work, ended)


def _pending_at(session: DraftSession, at: int) -> PendingProposal:
    present = session.present().sections
    for pending in session.proposals:
        if 0 <= at < len(present) and pending.before == present[at].text:
            return pending
    raise EditError("proposal_gone")


def _accept(session: DraftSession, given: ActionValues) -> None:
    with session.lock:
        pending = _pending_at(session, given.at)
        if pending.proposal is None:
            raise EditError("proposal_unfinished")
        proposal = replace(pending.proposal, section=given.at)  # paragraphs before it may have come or gone
        session.change(pending.action, lambda article: accept(article, proposal))


def _reject(session: DraftSession, given: ActionValues) -> None:
    with session.lock:
        pending = _pending_at(session, given.at)
        if pending.job is not None:
            pending.job.stop()
        session.proposals.remove(pending)
        session.touch()


def _suggest(session: DraftSession, given: ActionValues) -> None:
    """A caption of the model's for the picture shown there, to be taken or dismissed."""
    with session.lock:
        article, at = session.present(), given.at
        id_ = _picture_at(session, at)
        if id_ in session.suggesting:
            return
        session.suggestions.pop(id_, None)
        session.suggesting.add(id_)
        session.touch()

    def work(job: Job) -> None:
        model = session.models.pipeline(session.library).model
        earlier = session.suggested.get(id_, ())
        suggestion = suggest_caption(model, article, at, earlier=(*earlier, article.placements[at].caption))
        session.suggested[id_] = (*earlier, suggestion.caption)

        with session.lock:
            if not job.stopping:
                session.suggestions[id_] = suggestion

    def ended(error: Exception | None) -> None:
        session.suggesting.discard(id_)
        session.error = error

    session.ask(work, ended)


def _take_suggestion(session: DraftSession, given: ActionValues) -> None:
    with session.lock:
        id_ = _picture_at(session, given.at)
        suggestion = session.suggestions.get(id_)
        if suggestion is None:
            raise EditError("suggestion_gone")
        session.change("suggest", lambda article: take(article, given.at, suggestion))
        del session.suggestions[id_]


def _drop_suggestion(session: DraftSession, given: ActionValues) -> None:
    with session.lock:
        session.suggestions.pop(_picture_at(session, given.at), None)
        session.touch()


def _picture_at(session: DraftSession, at: int) -> str:
    placements = session.present().placements
    shown = placements[at].chosen if 0 <= at < len(placements) else None
    if shown is None:
        raise EditError("no_picture")
    return shown.id


def _refit(session: DraftSession, given: ActionValues) -> None:
    count = given.number("count")
    if not 0 <= count <= MAX_IMAGES:
        raise UsageError("count_wrong", count=count, most=MAX_IMAGES)
    request = request_of(session.draft.info, session.present())
    session.remake("refit", request, lambda pipeline, article: set_picture_count(pipeline, article, count, request))


def _retry(session: DraftSession, given: ActionValues) -> None:
    """One stage and those that follow; "rest" adds pictures to a text that was cut short, "text" writes on, "again" is
    whatever was stopped or failed."""
    asked = given.one_of("stage", ("rest", "text", "again", *STAGES))
    if asked == "again":
        session.begin_again()
        return
    stage = session.stage_after_stop() if asked == "rest" else asked
    request = request_of(session.draft.info, session.present())
    if asked == "text":
        if not (headings := session.unwritten):
            raise EditError("nothing_left")
        session.remake(
            "write_rest", request, lambda pipeline, article: write_rest(pipeline, article, headings, request)
        )
        return

    def events(pipeline: Any, article: Article) -> Iterator[Event]:
        if stage in RERUN_STAGES:
            return rerun_stage(pipeline, article, stage, request)
        return iter(pipeline.events(request))

    session.remake("retry", request, events)


def _outline(given: ActionValues) -> tuple[str, list[str]]:
    headings = given.texts("headings", MAX_HEADING_CHARS)
    if len(headings) > MOST_HEADINGS:
        raise UsageError("outline_long", count=len(headings), most=MOST_HEADINGS)
    return given.text("title", MAX_TITLE_CHARS), headings


def _write_outline(session: DraftSession, given: ActionValues) -> None:
    session.set_outline(*_outline(given))
    session.write_outline()


COMMANDS: Mapping[str, Callable[[DraftSession, ActionValues], object]] = {
    "undo": lambda session, _: session.step("undo"),
    "redo": lambda session, _: session.step("redo"),
    "stop": lambda session, _: session.stop(),
    "propose": _propose,
    "accept": _accept,
    "reject": _reject,
    "suggest": _suggest,
    "take_suggestion": _take_suggestion,
    "drop_suggestion": _drop_suggestion,
    "refit": _refit,
    "retry": _retry,
    "leave_unwritten": lambda session, _: session.leave_unwritten(),
    "set_outline": lambda session, given: session.set_outline(*_outline(given)),
    "write_outline": _write_outline,
}
