"""What every edit asks first: is there such a section or placement, and may it change. Knows no edits."""

from __future__ import annotations

from composer.article.model import Article, Placement, Section
from composer.errors import EditError


def section_at(article: Article, index: int) -> Section:
    if not 0 <= index < len(article.sections):
        raise EditError(f"there is no section {index}; the article has {len(article.sections)}", "gone")
    return article.sections[index]


def placement_at(article: Article, index: int) -> Placement:
    if not 0 <= index < len(article.placements):
        raise EditError(f"there is no placement {index}; the article has {len(article.placements)}", "gone")
    return article.placements[index]


def free_section(article: Article, index: int) -> Section:
    """The section, which may be changed."""
    section = section_at(article, index)
    if section.locked:
        raise EditError("this section is locked; unlock it first", "section_locked")
    return section


def free_placement(article: Article, index: int) -> Placement:
    """The placement, which may be changed."""
    placement = placement_at(article, index)
    if placement.locked:
        raise EditError("this picture is locked; unlock it first", "picture_locked")
    return placement
