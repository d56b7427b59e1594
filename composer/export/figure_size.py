"""How large a picture stands in the column of text, the same in every format.

A picture fills the column if that enlarges it at most MAX_ENLARGEMENT times, and keeps its own size otherwise; a tall
one is held to a height that leaves room for text. Paged formats scale the whole column, so that no picture is ever
enlarged more than on the screen.
"""

from __future__ import annotations

COLUMN_PX = 720
MAX_HEIGHT_PX = 860
MAX_ENLARGEMENT = 1.3


def shown_width_px(width_px: int, height_px: int, max_height_px: int = MAX_HEIGHT_PX) -> int:
    """How wide a picture of that size stands in a column of COLUMN_PX; 0 where its size is unknown."""
    if width_px < 1 or height_px < 1:
        return 0
    shown_px = COLUMN_PX if width_px * MAX_ENLARGEMENT >= COLUMN_PX else width_px
    return max(1, int(min(shown_px, max_height_px * width_px / height_px)))


def shown_share(width_px: int, height_px: int, tallest: float) -> float:
    """The part of the column's width, up to 1, that a picture takes where it may be ``tallest`` columns high."""
    return max(shown_width_px(width_px, height_px, int(tallest * COLUMN_PX)), 1) / COLUMN_PX
