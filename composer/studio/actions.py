"""What a page may ask of a room, by name: edits, steps, questions to the model. Values come from a browser: untrusted.

Each action checks its own values and raises UsageError or EditError. Knows no HTML.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from composer.article.model import Article
from composer.editing import pictures, sections
from composer.editing.proposals import accept
from composer.errors import EditError, UsageError
from composer.pipeline.events import STAGES, Event
from composer.pipeline.uploads import check_upload
from composer.request import LANGUAGES, MAX_IMAGES, TONES
from composer.studio.action_values import Asked
from composer.studio.job_queue import Job
from composer.studio.session import Offer, Room, request_of
from composer.studio.studio_heed import heeded
from retrieval.candidates import Candidate

Edit = Callable[[Article, Asked], Article]

# Each is also the name of the step in the history.
EDITS: Mapping[str, Edit] = {
    "edit_text": lambda article, asked: sections.edit_text(article, asked.at, asked.text("text")),
    "set_title": lambda article, asked: sections.set_title(article, asked.text("text", 500)),
    "add_section": lambda article, asked: sections.add_section(article, asked.at, asked.text("text")),
    "delete_section": lambda article, asked: sections.delete_section(article, asked.at),
    "move_section": lambda article, asked: sections.move_section(article, asked.at, asked.number("to")),
    "split_section": lambda article, asked: sections.split_section(article, asked.at, _cut(article, asked)),
    "merge_sections": lambda article, asked: sections.merge_sections(article, asked.at),
    "lock_section": lambda article, asked: sections.lock_section(article, asked.at, asked.flag("locked")),
    "replace_picture": lambda article, asked: pictures.replace_picture(article, asked.at, asked.text("id", 100)),
    "show_picture": lambda article, asked: pictures.show_picture(article, asked.at, _found(asked)),
    "remove_picture": lambda article, asked: pictures.remove_picture(article, asked.at),
    "delete_picture": lambda article, asked: pictures.delete_picture(article, asked.at),
    "move_picture": lambda article, asked: pictures.move_picture(article, asked.at, asked.number("to")),
    "insert_picture": lambda article, asked: pictures.insert_picture(article, asked.at, _found(asked)),
    "add_place": lambda article, asked: pictures.add_place(article, asked.at, asked.text("text", 500)),
    "set_caption": lambda article, asked: pictures.set_caption(article, asked.at, asked.text("text", 2_000)),
    "set_alt": lambda article, asked: pictures.set_alt(article, asked.at, asked.text("text", 2_000)),
    "lock_placement": lambda article, asked: pictures.lock_placement(article, asked.at, asked.flag("locked")),
}


def perform(room: Room, name: str, values: Mapping[str, Any]) -> None:
    """Do it, or begin it where it takes a model. Raises what ``studio_trouble.EXPECTED`` names."""
    asked = Asked(values, room.found)
    with room.lock:
        lost = asked.meet(name, room.article)
        if lost and name == "edit_text":
            _keep_below(room, asked)
        if lost:
            raise EditError("it was changed in another window meanwhile; try again", "changed_elsewhere")
    if name in EDITS:
        room.change(name, lambda article: EDITS[name](article, asked), asked.text("typing", 100))
    elif name in COMMANDS:
        COMMANDS[name](room, asked)
    else:
        raise UsageError(f"there is no action {name[:40]!r}", "malformed")


def _keep_below(room: Room, asked: Asked) -> None:
    """What was typed into a paragraph that somebody else changed meanwhile: nothing of either is lost."""
    at = min(max(asked.at, 0), len(room.present().sections) - 1)
    text = asked.text("text")
    room.change("add_section", lambda article: sections.add_section(article, at, text), asked.text("typing", 100))
    raise EditError("this paragraph was changed in another window; what you typed here stands below it", "kept_below")


def _cut(article: Article, asked: Asked) -> int:
    """The offset asked for, or the middle-most point at which the section can be split."""
    if asked.text("offset", 20):
        return asked.number("offset")
    points = sections.split_points(article, asked.at)
    if not points:
        raise EditError("this paragraph has no place to split it at; edit it instead", "cannot_split")
    middle = len(article.sections[asked.at].text) / 2
    return min(points, key=lambda point: abs(point - middle))


def _found(asked: Asked) -> Candidate:
    candidate = asked.found.get(asked.text("id", 100))
    if candidate is None:
        raise EditError("that picture is not among those found; search again", "not_found")
    return candidate


# Pictures that are looked for


def find_pictures(room: Room, values: Mapping[str, Any]) -> list[Candidate]:
    """Library pictures for words, or like an example file that was uploaded. They may then be shown by id."""
    from composer.editing.picture_search import search, search_like

    asked = Asked(values)
    article = room.present()
    pipeline = room.studio.models().pipeline(room.library)
    section = min(max(asked.number("section"), 0), len(article.sections) - 1)
    words, example = asked.text("words", 500).strip(), asked.text("example", 1_000)
    if example:
        found = search_like(pipeline, article, section, check_upload(Path(example)))
    elif words:
        found = search(pipeline, article, section, words)
    else:
        raise UsageError("say in a few words what the picture should show", "search_empty")
    with room.lock:
        room.found.update({candidate.record.id: candidate for candidate in found})
    return found


def take_upload(room: Room, path: Path) -> Candidate:
    """A picture of the person's own, kept beside the draft. Raises UsageError for what is no picture or too large."""
    from composer.editing.picture_search import read_own_picture

    check_upload(path)
    kept = room.shelf.keep_picture(path)
    candidate = read_own_picture(room.studio.models().pipeline(room.library), kept)
    with room.lock:
        room.found[candidate.record.id] = candidate
    return candidate


# Questions to the model


def _propose(room: Room, asked: Asked) -> None:
    from composer.editing.lookup import unlocked_section
    from composer.editing.proposals import PROPOSAL_ACTIONS, Delta, Proposal, Restarted, propose

    action = asked.one_of("action", PROPOSAL_ACTIONS)
    tone = asked.one_of("tone", ("", *TONES))
    language = asked.one_of("language", ("", *LANGUAGES))
    with room.lock:
        article, section = room.present(), asked.at
        before = unlocked_section(article, section).text
        earlier = next((o for o in room.offers if o.before == before), None)
        seed = asked.number("seed") if asked.text("seed", 20) else 0
        offer = Offer(before, action)
        if earlier is not None:
            if earlier.job is not None:
                room.studio.stop(earlier.job)
            room.offers.remove(earlier)
        room.offers.append(offer)
        room.touch()

    def work(job: Job) -> None:
        pipeline = room.studio.models().pipeline(room.library)
        writing = pipeline.settings.writing
        proposing = propose(pipeline.model, writing, article, section, action, tone=tone, language=language, seed=seed)
        with closing(heeded(proposing, lambda: job.stopping)) as events:
            for event in events:
                with room.lock:
                    if isinstance(event, Delta):
                        offer.text += event.text
                    elif isinstance(event, Restarted):
                        offer.text = ""
                    elif isinstance(event, Proposal):
                        offer.proposal, offer.text = event, event.after
                    room.touch()

    def failed(trouble: Exception | None) -> None:
        offer.trouble = trouble
        if offer.proposal is None and not trouble and offer in room.offers:
            room.offers.remove(offer)  # stopped: the text stays as it was

    offer.job = room.ask(work, failed)


def _offer_at(room: Room, asked: Asked) -> Offer:
    article = room.present()
    at = asked.at
    if 0 <= at < len(article.sections):
        for offer in room.offers:
            if offer.before == article.sections[at].text:
                return offer
    raise EditError("there is no proposal for this paragraph any more", "proposal_gone")


def _accept(room: Room, asked: Asked) -> None:
    with room.lock:
        offer = _offer_at(room, asked)
        if offer.proposal is None:
            raise EditError("the proposal is not finished yet", "proposal_unfinished")
        proposal = replace(offer.proposal, section=asked.at)  # paragraphs before it may have come or gone
        room.change(offer.action, lambda article: accept(article, proposal))


def _reject(room: Room, asked: Asked) -> None:
    with room.lock:
        offer = _offer_at(room, asked)
        if offer.job is not None:
            room.studio.stop(offer.job)
        room.offers.remove(offer)
        room.touch()


def _suggest(room: Room, asked: Asked) -> None:
    """A caption and alt text of the model's for the picture shown there; they replace the present ones as a step."""
    from composer.editing.caption_suggestions import suggest_caption

    with room.lock:
        article, at = room.present(), asked.at
        shown = article.placements[at].chosen if 0 <= at < len(article.placements) else None
        if shown is None:
            raise EditError("there is no picture to describe", "no_picture")
        if shown.id in room.suggesting:
            return
        room.suggesting.add(shown.id)
        room.touch()

    def work(job: Job) -> None:
        model = room.studio.models().pipeline(room.library).model
        told = room.suggested.get(shown.id, ())
        suggestion = suggest_caption(model, article, at, earlier=(*told, article.placements[at].caption))
        room.suggested[shown.id] = (*told, suggestion.caption)

        def settle(now: Article) -> Article:
            place = pictures.picture_index(now, shown.id)
            if place is None:
                raise EditError("the picture is not shown any more", "picture_gone")
            return pictures.set_alt(
                pictures.set_caption(now, place, suggestion.caption), place, suggestion.alt or suggestion.caption
            )

        if not job.stopping:
            room.change("suggest", settle)

    def failed(trouble: Exception | None) -> None:
        room.suggesting.discard(shown.id)
        room.trouble = trouble

    room.ask(work, failed)


def _refit(room: Room, asked: Asked) -> None:
    from composer.editing.rerun import set_picture_count

    count = asked.number("count")
    if not 0 <= count <= MAX_IMAGES:
        raise UsageError(
            f"{count} pictures are out of range; ask for 0 to {MAX_IMAGES}", "count_wrong", most=MAX_IMAGES
        )

    def events(pipeline: Any, article: Article) -> Iterator[Event]:
        return set_picture_count(pipeline, article, count, request_of(room.draft.info, article))

    room.remake("refit", events, _words(room))


def _retry(room: Room, asked: Asked) -> None:
    from composer.editing.rerun import RERUN_STAGES, rerun_stage

    stage = asked.one_of("stage", ("rest", *STAGES))
    request = request_of(room.draft.info, room.present())

    def events(pipeline: Any, article: Article) -> Iterator[Event]:
        wanted = room.stage_after_stop() if stage == "rest" else stage
        for again in RERUN_STAGES:
            if again == wanted:
                return rerun_stage(pipeline, article, again, request)
        return iter(pipeline.events(request))

    room.remake("retry", events, _words(room))


def _words(room: Room) -> int:
    return int(room.draft.info.get("words") or 600)


COMMANDS: Mapping[str, Callable[[Room, Asked], None]] = {
    "undo": lambda room, _: room.step("undo"),
    "redo": lambda room, _: room.step("redo"),
    "stop": lambda room, _: room.stop(),
    "propose": _propose,
    "accept": _accept,
    "reject": _reject,
    "suggest": _suggest,
    "refit": _refit,
    "retry": _retry,
}
