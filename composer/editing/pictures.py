"""Edits of the pictures: functions from one ``Article`` to the next, nothing kept.

No edit shows a picture twice: one that is shown elsewhere moves. Captions are the library's own words, so that
nothing here waits for a model.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from composer.article.model import WIDEST_BESIDE, WIDTH_SHARES, Article, Placement, Side, Slot
from composer.editing.lookup import placement_at, section_at, shown_picture, unlocked_placement
from composer.errors import EditError
from composer.pipeline.picture_words import library_words, worded
from image_db.metadata.record import ImageRecord
from retrieval.candidates import Candidate
from vision.errors import Phrase


@dataclass(frozen=True, slots=True)
class Alternative:
    """A picture that could stand in a place. ``score`` in [0, 1] is how well it fits, ``why`` what speaks for it.

    ``shown_at`` is the placement that shows it now, if any; ``shown`` tells that it is this one.
    """

    record: ImageRecord
    score: float
    why: tuple[Phrase, ...]
    shown: bool
    shown_at: int | None


def alternatives(article: Article, placement: int) -> tuple[Alternative, ...]:
    """The pictures that were considered for the place, best first."""
    target = placement_at(article, placement)
    shown = {p.chosen.id: i for i, p in enumerate(article.placements) if p.chosen is not None}
    return tuple(
        Alternative(c.record, c.fused, c.why, shown.get(c.record.id) == placement, shown.get(c.record.id))
        for c in target.candidates
    )


def replace_picture(article: Article, placement: int, record_id: str) -> Article:
    """Show another of the placement's candidates."""
    target = placement_at(article, placement)
    found = next((c for c in target.candidates if c.record.id == record_id), None)
    if found is None:
        raise EditError("not_found")
    return show_picture(article, placement, found)


def show_picture(article: Article, placement: int, found: Candidate) -> Article:
    """Show any picture in the place; it joins the candidates if it is none of them yet."""
    target = unlocked_placement(article, placement)
    if target.chosen is not None and target.chosen.id == found.record.id:
        return article
    known = any(c.record.id == found.record.id for c in target.candidates)
    candidates = target.candidates if known else (found, *target.candidates)
    placements = _cleared(article, found.record.id, but=placement)
    placements[placement] = replace(_showing(target, found.record, article.writing_language), candidates=candidates)
    return article.with_placements(tuple(placements))


def remove_picture(article: Article, placement: int) -> Article:
    """Leave the place empty. Its candidates stay, so that any of them can be put back."""
    target = unlocked_placement(article, placement)
    if target.chosen is None:
        return article
    placements = list(article.placements)
    placements[placement] = replace(_emptied(target, (Phrase("you_removed"),)), edited=True)
    return article.with_placements(tuple(placements))


def delete_picture(article: Article, placement: int) -> Article:
    """Remove the picture and its place."""
    unlocked_placement(article, placement)
    return replace(article, placements=(*article.placements[:placement], *article.placements[placement + 1 :]))


def move_picture(article: Article, placement: int, to_section: int) -> Article:
    """Move the picture and its place after another section, below the pictures that stand there."""
    target = unlocked_placement(article, placement)
    section_at(article, to_section)
    if target.slot.after_section == to_section:
        return article
    others = [p for i, p in enumerate(article.placements) if i != placement]
    moved = replace(target, slot=replace(target.slot, after_section=to_section), edited=True)
    return article.with_placements((*others, moved))


def insert_picture(article: Article, after_section: int, found: Candidate) -> Article:
    """Show a picture in a new place after a section, below the pictures that stand there."""
    section_at(article, after_section)
    slot = Slot(after_section, found.record.caption_in(article.writing_language))
    shown = _showing(Placement(slot, (found,), None, ()), found.record, article.writing_language)
    return article.with_placements((*_cleared(article, found.record.id, but=None), shown))


def add_place(article: Article, after_section: int, wish: str = "") -> Article:
    """An empty place after a section, to be filled from a search. ``wish`` says what it should show."""
    section_at(article, after_section)
    slot = Slot(after_section, " ".join(wish.split()))
    new = Placement(slot, (), None, (Phrase("you_added"),), edited=True)
    return article.with_placements((*article.placements, new))


def set_caption(article: Article, placement: int, caption: str) -> Article:
    """Print other words under the picture; none where they are empty."""
    return _with_words(article, placement, caption=caption)


def set_alt(article: Article, placement: int, alt: str) -> Article:
    """Tell those who cannot see the picture something else; the caption where it is empty."""
    return _with_words(article, placement, alt=alt)


def set_size(article: Article, placement: int, width_share: float, side: Side) -> Article:
    """Let the picture take that share of the column at most, and its section's text run beside it where it is to stand
    at a side. Raises EditError for a share that is none of WIDTH_SHARES."""
    target = shown_picture(article, placement)
    if width_share not in WIDTH_SHARES:
        raise EditError("width_unknown", given=width_share, known=WIDTH_SHARES)
    if side:
        width_share = min(width_share, WIDEST_BESIDE)
    changed = replace(target, width_share=width_share, side=side)
    return article if changed == target else _with(article, placement, replace(changed, edited=True))


def confirm_words(article: Article, placement: int) -> Article:
    """Take caption and alternative text as they stand: whoever read them answers for them from now on."""
    target = shown_picture(article, placement)
    return _with_words(article, placement, caption=target.caption, alt=target.alt)


def lock_placement(article: Article, placement: int, locked: bool = True) -> Article:
    """Keep a place and its picture as they are, or let them be changed again."""
    target = placement_at(article, placement)
    return article if target.locked == locked else _with(article, placement, replace(target, locked=locked))


def picture_index(article: Article, record_id: str) -> int | None:
    """The placement that shows the picture."""
    return next(
        (i for i, p in enumerate(article.placements) if p.chosen is not None and p.chosen.id == record_id), None
    )


def _with_words(article: Article, index: int, **words: str) -> Article:
    target = shown_picture(article, index)
    clean: dict[str, Any] = {name: " ".join(text.split()) for name, text in words.items()}
    # What a person writes is a person's, and what is left as it is has been read.
    clean |= {f"{name}_origin": "person" if text else "" for name, text in clean.items()}
    changed = replace(target, **clean)
    return article if changed == target else _with(article, index, replace(changed, edited=True))


def _with(article: Article, index: int, placement: Placement) -> Article:
    return replace(article, placements=(*article.placements[:index], placement, *article.placements[index + 1 :]))


def _cleared(article: Article, record_id: str, *, but: int | None) -> list[Placement]:
    """The placements, none of which but one shows the picture."""
    placements = list(article.placements)
    for index, placement in enumerate(placements):
        if index == but or placement.chosen is None or placement.chosen.id != record_id:
            continue
        if placement.locked:
            raise EditError("locked_elsewhere")
        placements[index] = _emptied(placement, (Phrase("you_moved"),))
    return placements


def _showing(placement: Placement, record: ImageRecord, language: str) -> Placement:
    shown = replace(placement, chosen=record, reason=(Phrase("you_chose"),), edited=True)
    return worded(shown, library_words(record, language), language)


def _emptied(placement: Placement, reason: tuple[Phrase, ...]) -> Placement:
    return replace(
        placement, chosen=None, reason=reason, caption="", alt="", credit="", caption_origin="", alt_origin=""
    )
