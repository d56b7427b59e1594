"""What every edit begins with: is there such a section or placement, and may it change."""

from __future__ import annotations

from composer.article.model import Article, Placement, Section
from composer.errors import EditError


def section_at(article: Article, index: int) -> Section:
    if not 0 <= index < len(article.sections):
        raise EditError("gone")
    return article.sections[index]


def placement_at(article: Article, index: int) -> Placement:
    if not 0 <= index < len(article.placements):
        raise EditError("gone")
    return article.placements[index]


def unlocked_section(article: Article, index: int) -> Section:
    section = section_at(article, index)
    if section.locked:
        raise EditError("section_locked")
    return section


def unlocked_placement(article: Article, index: int) -> Placement:
    placement = placement_at(article, index)
    if placement.locked:
        raise EditError("picture_locked")
    return placement


def shown_picture(article: Article, index: int) -> Placement:
    """An unlocked placement that shows a picture."""
    placement = unlocked_placement(article, index)
    if placement.chosen is None:
        raise EditError("no_picture")
    return placement
