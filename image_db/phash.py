"""A 64-bit fingerprint by which near-duplicates of a picture are recognised: scaled, recompressed, slightly recoloured.

Difference hash after Neal Krawetz (https://www.hackerfactor.com/blog/index.php?/archives/529-Kind-of-Like-That.html).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image


def difference_hash(image: Image) -> int:
    """Bit 63 - (8 row + column) says whether a cell of a 9 × 8 grid is brighter than its right neighbour."""
    from PIL.Image import Resampling

    # Scaled before it is turned gray, since that touches every pixel once instead of twice.
    gray = image.resize((9, 8), Resampling.BOX).convert("L").tobytes()
    bits = 0
    for row in range(8):
        for column in range(8):
            bits = bits << 1 | (gray[9 * row + column] > gray[9 * row + column + 1])
    return bits


def hash_distance(one: int, other: int) -> int:
    """How many of the 64 bits differ; negative hashes are read as SQLite stores them, in two's complement."""
    return ((one ^ other) & 0xFFFF_FFFF_FFFF_FFFF).bit_count()
