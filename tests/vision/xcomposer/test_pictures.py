"""How pictures are scaled, padded and cut, and in which order their vectors stand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from vision.xcomposer.config import TowerConfig, XComposerConfig
from vision.xcomposer.pictures import PictureLayout, arrange, cut

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def layout(square_px: int, *, tiles: bool = True) -> PictureLayout:
    tower = TowerConfig(width=64, mlp_width=64, layers=1, patch_px=14, grid=square_px // 14)
    return PictureLayout(
        XComposerConfig(600, 64, 64, 1, 4, 2, 4096, 1e-5, 1e6, "plain", 1.0, False, tower, tiles, torch.float32)
    )


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def unnormalised(pixels: torch.Tensor) -> np.ndarray:
    values = pixels[0].permute(1, 2, 0).numpy() * np.array(STD) + np.array(MEAN)
    return np.rint(values * 255).astype(np.int64)


@pytest.mark.parametrize(
    ("size", "most", "tiles"),  # width and height; rows and columns
    [
        ((560, 560), 24, (1, 1)),
        ((561, 560), 24, (2, 2)),
        ((100, 100), 24, (1, 1)),
        ((1120, 560), 24, (1, 2)),
        ((560, 1120), 24, (2, 1)),
        ((448, 672), 24, (2, 2)),
        ((672, 448), 6, (2, 2)),
        ((4000, 3000), 24, (4, 5)),
        ((3000, 4000), 24, (5, 4)),
        ((4000, 3000), 6, (2, 2)),
        ((4000, 4000), 24, (4, 4)),
        ((3000, 1000), 6, (1, 3)),
        ((9000, 1000), 24, (2, 12)),
        ((9000, 300), 24, (1, 17)),
        ((20000, 500), 24, (1, 24)),
        ((3000, 1), 24, (1, 6)),
    ],
)
def test_a_picture_takes_as_many_tiles_as_its_longer_side_fills_within_the_limit(
    size: tuple[int, int], most: int, tiles: tuple[int, int]
) -> None:
    rows, columns = layout(560).tiles(size, most)
    assert (rows, columns) == tiles
    assert rows * columns <= most
    tokens = layout(560).tokens(size, most)
    assert tokens == (rows * columns + 1) * 400 + 1 + (rows + 1) * 20


def test_alone_a_picture_may_take_24_tiles_and_among_others_6() -> None:
    assert [layout(560).most_tiles(count) for count in (1, 2, 5)] == [24, 6, 6]


def test_generation_2_has_1225_places_a_picture_whatever_its_size() -> None:
    assert {layout(490, tiles=False).tokens(size, 24) for size in ((490, 490), (3000, 10))} == {1225}


@pytest.mark.parametrize("size", [(60, 40), (40, 60), (150, 100), (100, 150)])
def test_the_rest_of_the_last_tiles_is_white_after_the_picture(size: tuple[int, int]) -> None:
    picture = Image.new("RGB", size, (10, 200, 30))
    shown = unnormalised(layout(56).pixels(picture, 24))
    rows, columns = layout(56).tiles(size, 24)
    assert shown.shape == (rows * 56, columns * 56, 3)
    long = 56 * max(rows, columns)
    short = int(long / (max(size) / min(size)))
    height, width = (short, long) if size[0] >= size[1] else (long, short)
    assert (shown[:height, :width] == (10, 200, 30)).all()
    assert (shown[height:] == 255).all()
    assert (shown[:, width:] == 255).all()


def test_a_tall_picture_is_scaled_as_its_mirror_image_across_the_diagonal() -> None:
    wide = noise(150, 90)
    tall = wide.transpose(Image.Transpose.TRANSPOSE)
    pixels = layout(56).pixels(wide, 24)
    assert torch.equal(layout(56).pixels(tall, 24), pixels.transpose(2, 3))
    scaled = np.array(wide.resize((168, int(168 / (150 / 90))), Image.Resampling.BILINEAR)).astype(np.int64)
    assert np.array_equal(unnormalised(pixels)[: len(scaled)], scaled)


def test_4khd_pads_on_both_sides_and_enlarges_small_pictures() -> None:
    shown = unnormalised(layout(336).pixels(Image.new("RGB", (60, 40), "black"), 25))
    assert shown.shape == (4 * 336, 6 * 336, 3)
    assert (shown == 0).all()  # 6 × 4 tiles at a ratio of 3 : 2 fit without a rest
    shown = unnormalised(layout(336).pixels(Image.new("RGB", (100, 30), "black"), 25))
    dark = (shown == 0).all(axis=(1, 2))
    assert not dark[0]
    assert not dark[-1]
    assert dark.sum() == int(shown.shape[1] / (100 / 30))
    assert layout(336).most_tiles(3) == 25


def test_generation_2_squashes_a_picture_to_its_square() -> None:
    picture = noise(120, 30)
    shown = unnormalised(layout(70, tiles=False).pixels(picture, 24))
    assert np.array_equal(shown, np.array(picture.resize((70, 70), Image.Resampling.BICUBIC)).astype(np.int64))


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK"])
def test_a_picture_of_any_mode_is_shown_in_colour(mode: str) -> None:
    assert layout(56).pixels(noise(60, 60).convert(mode), 6).shape == (1, 3, 112, 112)


def test_tiles_are_cut_row_by_row_after_the_small_view() -> None:
    pixels = torch.arange(2 * 3, dtype=torch.float32).view(1, 1, 2, 3)  # one value a tile
    whole = pixels.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3).expand(1, 3, 8, 12)
    squares = cut(whole, 4)
    assert squares.shape == (7, 3, 4, 4)
    assert [float(square.unique()) for square in squares[1:]] == [0, 1, 2, 3, 4, 5]


def test_vectors_stand_row_by_row_across_tiles_with_their_separators() -> None:
    """2 tiles side by side of 4 × 4 patches: the value of a patch tells view, row and column."""
    seen = torch.stack(
        [
            torch.tensor([[100.0 * view + 10 * row + column for column in range(4)] for row in range(4)])
            for view in range(3)
        ]
    )[..., None]
    between, end = torch.full((1, 1, 4), -1.0), torch.full((1, 1, 1, 4), -2.0)
    found = arrange(seen, 1, 2, between, end).tolist()

    def merged(view: int, row: int, column: int) -> list[float]:
        corner = 100.0 * view + 10 * row + column
        return [corner, corner + 1, corner + 10, corner + 11]

    small = [[merged(0, row, 0), merged(0, row, 2), [-2.0] * 4] for row in (0, 2)]
    large = [[merged(1, r, 0), merged(1, r, 2), merged(2, r, 0), merged(2, r, 2), [-2.0] * 4] for r in (0, 2)]
    assert found == [*small[0], *small[1], [-1.0] * 4, *large[0], *large[1]]
