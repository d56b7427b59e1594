"""How large a picture stands in the column of text, the same in every format.

A picture fills the column if that enlarges it at most MAX_ENLARGEMENT times, and keeps its own size otherwise; a tall
one is held to a height that leaves room for text. Paged formats scale the whole column, so that no picture is ever
enlarged more than on the screen.
"""

from __future__ import annotations

COLUMN_PX = 720
MAX_HEIGHT_PX = 860
MAX_ENLARGEMENT = 1.3


def shown_width_px(width_px: int, height_px: int, max_height_px: int = MAX_HEIGHT_PX, most_share: float = 1.0) -> int:
    """How wide a picture of that size stands in a column of COLUMN_PX; 0 where its size is unknown.

    ``most_share`` of the column's width, up to 1, is what a person gave it.
    """
    if width_px < 1 or height_px < 1:
        return 0
    room_px = COLUMN_PX * most_share
    shown_px = room_px if width_px * MAX_ENLARGEMENT >= room_px else width_px
    return max(1, int(min(shown_px, max_height_px * width_px / height_px)))


def shown_share(width_px: int, height_px: int, tallest: float, most_share: float = 1.0) -> float:
    """The part of the column's width, up to ``most_share``, that a picture takes where it may be ``tallest`` columns
    high."""
    return max(shown_width_px(width_px, height_px, int(tallest * COLUMN_PX), most_share), 1) / COLUMN_PX
