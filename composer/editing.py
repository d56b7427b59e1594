"""What a person does to an article: functions from one ``Article`` to the next, nothing kept.

Knows no page, no model and no library. A reason it writes is in the article's language.
"""

from __future__ import annotations

from dataclasses import replace

from composer.article import Article, Placement
from composer.credit import credit_line
from composer.errors import ComposerError
from composer.strings import strings
from image_db.records import ImageRecord


def replace_picture(article: Article, placement: int, record_id: str) -> Article:
    """Show another of the placement's candidates. A picture shown elsewhere moves here: none appears twice.

    Raises ComposerError for a placement or candidate that the article does not have.
    """
    target = _placement(article, placement)
    record = next((c.record for c in target.candidates if c.record.id == record_id), None)
    if record is None:
        raise ComposerError(f"picture {record_id[:12]} is not among the candidates of placement {placement}")
    if target.chosen is not None and target.chosen.id == record_id:
        return article
    words = strings(article.language)
    placements = [
        _emptied(p, words["moved_by_you"]) if p.chosen is not None and p.chosen.id == record_id else p
        for p in article.placements
    ]
    placements[placement] = _showing(target, record, article.language, words["chosen_by_you"])
    return article.with_placements(tuple(placements))


def remove_picture(article: Article, placement: int) -> Article:
    """Leave the place empty. Its candidates stay, so that any of them can be put back."""
    target = _placement(article, placement)
    if target.chosen is None:
        return article
    placements = list(article.placements)
    placements[placement] = _emptied(target, strings(article.language)["removed_by_you"])
    return article.with_placements(tuple(placements))


def _placement(article: Article, index: int) -> Placement:
    if not 0 <= index < len(article.placements):
        raise ComposerError(f"there is no placement {index}; the article has {len(article.placements)}")
    return article.placements[index]


def _showing(placement: Placement, record: ImageRecord, language: str, reason: str) -> Placement:
    caption = record.caption_in(language) or placement.slot.caption
    return replace(
        placement,
        chosen=record,
        reason=reason,
        caption=caption[:1].upper() + caption[1:],
        alt=record.alt or caption,
        credit=credit_line(record, language),
    )


def _emptied(placement: Placement, reason: str) -> Placement:
    return replace(placement, chosen=None, reason=reason, caption="", alt="", credit="")
