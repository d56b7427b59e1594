"""Pictures for InternLM-XComposer: how one is scaled and cut, and the tower that turns it into vectors like words'.

The rules are those of the original code: 2.5 in ixc_utils.py and build_mlp.py of InternLM-XComposer-2.5-OmniLive,
``base``; 2-4KHD pads on both sides and enlarges small pictures; 2 squashes a picture to one square.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

from vision.xcomposer.config import TowerConfig, XComposerConfig

MOST_TILES_ALONE, MOST_TILES_AMONG_OTHERS = 24, 6
MOST_TILES_ALONE_4KHD = 25
_MEAN, _STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
_SQUARES_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class PictureLayout:
    """How the pictures of one checkpoint are scaled and cut."""

    config: XComposerConfig

    def most_tiles(self, pictures: int) -> int:
        """Of one picture in a prompt with ``pictures`` of them."""
        if self.config.of_4khd:
            return MOST_TILES_ALONE_4KHD
        return MOST_TILES_ALONE if pictures == 1 else MOST_TILES_AMONG_OTHERS

    def tiles(self, size: tuple[int, int], most: int) -> tuple[int, int]:
        """Rows and columns of tiles of a picture (width, height)."""
        px, (width, height) = self.config.tower.square_px, self._scaled(size, most)
        return math.ceil(height / px), math.ceil(width / px)

    def tokens(self, size: tuple[int, int], most: int) -> int:
        """Places of a picture in a text. Each row of merged patches ends in a separator; one more parts the views."""
        grid = self.config.tower.grid
        if not self.config.tiles:
            return grid * grid
        side, (rows, columns) = grid // 2, self.tiles(size, most)
        return side * (side + 1) + 1 + rows * side * (columns * side + 1)

    def pixels(self, picture: Image.Image, most: int) -> torch.Tensor:
        """(1, 3, height, width) float32, normalised as CLIP's; whole tiles, or the one square."""
        px = self.config.tower.square_px
        picture = picture if picture.mode == "RGB" else picture.convert("RGB")
        if self.config.tiles:
            picture = self._padded(picture, most)
        else:
            picture = picture.resize((px, px), Image.Resampling.BICUBIC)
        values = torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255
        mean, std = (torch.tensor(values_)[:, None, None] for values_ in (_MEAN, _STD))
        return ((values - mean) / std)[None]

    def _scaled(self, size: tuple[int, int], most: int) -> tuple[int, int]:
        """Width and height before padding. The longer side takes as many whole tiles as ``most`` in all allow."""
        px, (long, short) = self.config.tower.square_px, (max(size), min(size))
        ratio = long / short
        scale = 1
        while scale * math.ceil(scale / ratio) <= most:
            scale += 1
        scale -= 1
        if not self.config.of_4khd:
            scale = min(math.ceil(long / px), scale)
        scaled = (scale * px, max(1, int(scale * px / ratio)))
        return scaled if size[0] >= size[1] else (scaled[1], scaled[0])

    def _padded(self, picture: Image.Image, most: int) -> Image.Image:
        """Scaled, with white after it (on both sides for 4KHD) up to whole tiles."""
        upright = picture.width < picture.height
        px, (width, height) = self.config.tower.square_px, self._scaled(picture.size, most)
        if upright:  # turned before it is scaled, as the original does: filters along the two axes run in an order
            picture, width, height = picture.transpose(Image.Transpose.TRANSPOSE), height, width
        canvas = Image.new("RGB", (width, math.ceil(height / px) * px), (255, 255, 255))
        top = (canvas.height - height) // 2 if self.config.of_4khd else 0
        canvas.paste(picture.resize((width, height), Image.Resampling.BILINEAR), (0, top))
        return canvas.transpose(Image.Transpose.TRANSPOSE) if upright else canvas


class ClipTower(nn.Module):
    """A CLIP vision transformer without its last norm. ``vision_tower.vision_model`` as in the published names."""

    def __init__(self, config: TowerConfig) -> None:
        from transformers import CLIPVisionConfig, CLIPVisionModel

        super().__init__()
        self.settings = config
        self.vision_tower: Any = nn.Module()
        self.vision_tower.vision_model = CLIPVisionModel(
            CLIPVisionConfig(
                hidden_size=config.width,
                intermediate_size=config.mlp_width,
                num_hidden_layers=config.layers,
                num_attention_heads=config.heads,
                image_size=config.square_px,
                patch_size=config.patch_px,
            )
        )

    def forward(self, squares: torch.Tensor) -> torch.Tensor:
        """(S, 3, px, px) → (S, grid, grid, width), without the class token."""
        seen = [
            self.vision_tower.vision_model(part).last_hidden_state[:, 1:] for part in squares.split(_SQUARES_AT_ONCE)
        ]
        grid = self.settings.grid
        return torch.cat(seen).unflatten(1, (grid, grid))


def cut(pixels: torch.Tensor, px: int) -> torch.Tensor:
    """(1, 3, H, W) of whole tiles → (1 + tiles, 3, px, px): the whole picture made small, then tiles row by row."""
    small = functional.interpolate(pixels.float(), size=(px, px), mode="bicubic").to(pixels.dtype)
    tiles = pixels[0].unflatten(1, (-1, px)).unflatten(3, (-1, px)).permute(1, 3, 0, 2, 4).flatten(0, 1)
    return torch.cat([small, tiles])


def arrange(
    seen: torch.Tensor, rows: int, columns: int, between_views: torch.Tensor, end_of_row: torch.Tensor
) -> torch.Tensor:
    """(1 + rows · columns, grid, grid, C) → (N, 4 C): the small view, a separator, the tiles joined to one view.

    Two by two neighbouring patches become one vector; each row of a view ends in ``end_of_row``.
    """
    merged = seen.unflatten(2, (-1, 2)).unflatten(1, (-1, 2)).permute(0, 1, 3, 2, 4, 5).flatten(3)
    joined = merged[1:].unflatten(0, (rows, columns)).permute(0, 2, 1, 3, 4).flatten(0, 1).flatten(1, 2)
    small, large = (
        torch.cat([view, end_of_row.view(1, 1, -1).expand(len(view), 1, -1)], dim=1).flatten(0, 1)
        for view in (merged[0], joined)
    )
    return torch.cat([small, between_views.view(1, -1), large])
