from __future__ import annotations

import numpy as np
from PIL import Image

from image_db.phash import difference_hash, hash_distance


def picture(seed: int) -> Image.Image:
    """A smooth random scene, as photographs are at this scale."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return Image.fromarray(coarse).resize((600, 400), Image.Resampling.BICUBIC)


def test_scaling_and_brightening_leave_the_hash_nearly_as_it_is() -> None:
    for seed in range(20):
        image = picture(seed)
        same = difference_hash(image)
        assert hash_distance(same, difference_hash(image.resize((150, 100), Image.Resampling.LANCZOS))) <= 4
        assert hash_distance(same, difference_hash(image.point([round(v * 0.8 + 20) for v in range(256)] * 3))) <= 4


def test_different_pictures_have_distant_hashes() -> None:
    hashes = [difference_hash(picture(seed)) for seed in range(20)]
    distances = [hash_distance(a, b) for i, a in enumerate(hashes) for b in hashes[:i]]
    assert min(distances) > 8


def test_bits_follow_the_definition() -> None:
    falling = Image.linear_gradient("L").rotate(-90).convert("RGB")
    assert {difference_hash(falling), difference_hash(falling.transpose(Image.Transpose.FLIP_LEFT_RIGHT))} == {
        (1 << 64) - 1,
        0,
    }


def test_hashes_compare_whether_signed_or_not() -> None:
    assert hash_distance(-1, (1 << 64) - 1) == 0
    assert hash_distance(-1, 0) == 64
    assert hash_distance(0b1010, 0b0101) == 4
