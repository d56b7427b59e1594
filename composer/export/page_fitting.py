"""How large each figure of a PDF stands, so that no page is left half empty.

A figure that does not fit below its text goes to the next page and leaves room behind. Where that room is worth it, the
figures of the page and the one that did not fit are made smaller by one factor, until they share the page. Pages are
set by Typst each time and asked where everything came to stand; what is fitted stays as it is when later pages change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

_PASSES = 60
_SLACK_PT = 2.0
# Half its natural size is as small as a figure gets, and it gets no smaller than what is saved is worth: a page that
# would be a tenth empty is filled with figures of three quarters at least.
_SMALLEST = 0.5
_WORTH = 2.5
_NATURAL = (1.0, 0.9, 0.8, 0.7, 0.6)
# Smaller sizes are tried for an article of so few pages, and while one of them is emptier than this.
_MOST_PAGES = 8
_FULL = 0.25
# In pages: what a figure at no size at all would cost, and one that a page's turn parts from its section.
_COST_OF_SIZE, _COST_OF_PARTING = 2.0, 0.1
# A last line alone on a page, which Typst's own rule does not prevent where notes take the room below.
_COST_OF_SINGLE_LINE = 0.5
_HIGHEST_LINE_PT = 16.0  # of a paragraph, from the top of a page to its foot


@dataclass(frozen=True, slots=True)
class PlacedFigure:
    """Where a figure begins, how high it is with its caption, and how high its picture alone, in points."""

    page: int
    top_pt: float
    height_pt: float
    picture_pt: float


@dataclass(frozen=True, slots=True)
class SetPages:
    """A set article: its figures in order, and the lines that end a paragraph as (page, height of their foot, page
    on which the paragraph begins).

    ``top_pt`` is where pages begin, ``bottoms_pt`` where the room for text ends on each, the first page first.
    """

    figures: Sequence[PlacedFigure]
    ends: Sequence[tuple[int, float, int]]
    top_pt: float
    bottoms_pt: Sequence[float]
    gap_pt: float

    def end_of(self, page: int) -> float:
        """Where the content of a page ends."""
        feet = [end for at, end, _ in self.ends if at == page]
        feet += [figure.top_pt + figure.height_pt for figure in self.figures if figure.page == page]
        return max(feet, default=self.top_pt)

    @property
    def single_lines(self) -> int:
        """How many paragraphs end with the first line of a page."""
        return sum(at > begun and end < self.top_pt + _HIGHEST_LINE_PT for at, end, begun in self.ends)

    def empty(self, page: int) -> float:
        """The share of a page's room below its content."""
        bottom = self.bottoms_pt[page - 1]
        return (bottom - self.end_of(page)) / (bottom - self.top_pt)


def fitted_scales(count: int, set_with: Callable[[Sequence[float]], SetPages]) -> list[float]:
    """The factor on each figure's natural size. ``set_with`` sets the article with such factors."""
    best: tuple[float, list[float]] | None = None
    for natural in _NATURAL:
        scales, setting = _filled(natural, count, set_with)
        pages = len(setting.bottoms_pt)
        # The share left empty on each page that a figure was too large for.
        left = [setting.empty(page) for page in range(1, pages) if _first_on(setting, page + 1) >= 0]
        size = sum(scales) / count
        single = _COST_OF_SINGLE_LINE * setting.single_lines
        cost = pages + sum(left) + _COST_OF_PARTING * len(left) + single + _COST_OF_SIZE * (1 - size)
        if best is None or cost < best[0]:
            best = cost, scales
        if pages == 1 or pages > _MOST_PAGES or (not single and max([*left, setting.empty(pages)]) < _FULL):
            break
    assert best is not None
    return best[1]


def _filled(
    natural: float, count: int, set_with: Callable[[Sequence[float]], SetPages]
) -> tuple[list[float], SetPages]:
    """Fill the pages one after another: with the figure that stands first on the next, else by growing their own."""
    scales = [natural] * count
    setting = set_with(scales)
    page = 1
    for _ in range(_PASSES):
        if page >= len(setting.bottoms_pt):
            break
        first = _first_on(setting, page + 1)
        if first >= 0 and (smaller := _squeezed(setting, page, first, scales, natural)):
            tried = set_with(smaller)
            if tried.figures[first].page <= page:
                scales, setting = smaller, tried
                continue
        if first >= 0 and (larger := _grown(setting, page, scales)):
            tried = set_with(larger)
            if tried.figures[first].page == page + 1 == tried.figures[first - 1].page + 1:
                scales, setting = larger, tried
        page += 1
    return scales, setting


def _first_on(setting: SetPages, page: int) -> int:
    """The number of the figure a page begins with, under its heading perhaps; -1 where text comes first."""
    number = next((n for n, figure in enumerate(setting.figures) if figure.page == page), -1)
    if number >= 0 and any(at == page and end < setting.figures[number].top_pt for at, end, _ in setting.ends):
        return -1
    return number


def _room(setting: SetPages, page: int) -> float:
    return setting.bottoms_pt[page - 1] - setting.end_of(page) - _SLACK_PT


def _squeezed(setting: SetPages, page: int, first: int, scales: Sequence[float], natural: float) -> list[float]:
    """The factors with which the next page's first figure fits on this one, or nothing where that is not worth it."""
    moved = setting.figures[first]
    sharing = [n for n, figure in enumerate(setting.figures) if figure.page == page] + [first]
    excess = moved.top_pt - setting.top_pt + moved.height_pt - _room(setting, page) + setting.gap_pt
    factor = min(1.0, 1 - excess / sum(setting.figures[n].picture_pt for n in sharing))
    least = max(_SMALLEST, natural * (1 - _WORTH * setting.empty(page)))
    smaller = [scale * factor if n in sharing else scale for n, scale in enumerate(scales)]
    return smaller if min(smaller[n] for n in sharing) >= least else []


def _grown(setting: SetPages, page: int, scales: Sequence[float]) -> list[float]:
    """The factors with which the figures of a page fill its room, nothing where they are at their natural sizes."""
    there = [n for n, figure in enumerate(setting.figures) if figure.page == page]
    if not there or (largest := max(scales[n] for n in there)) >= 1:
        return []
    factor = min(1 / largest, 1 + _room(setting, page) / sum(setting.figures[n].picture_pt for n in there))
    return [scale * factor if n in there else scale for n, scale in enumerate(scales)]
