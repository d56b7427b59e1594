"""The vision tower's grids of a set of pictures, computed once and kept on disk as half floats.

The file is written in place and mapped, so that a large set needs no memory; beside it stands how much of it is done.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vision.downloads.files import write_atomic
from vision.images import load_image
from vision.training import Progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vision.bridge.grid_tower import VisionTower

    Grids = NDArray[np.float16]

_BATCH, _TARGET_PX = 16, 300


def cached_grids(
    images: Sequence[Path], tower: VisionTower, cache: Path, progress: Progress = lambda *_: None
) -> Grids:
    """(n, N, D), read-only. A run that was cut off goes on where it was. Raises ImageError as ``load_image``."""
    cache.mkdir(parents=True, exist_ok=True)
    shape = (len(images), tower.tokens, tower.width)
    pictures = [[path.name, path.stat().st_size] for path in images]
    key = hashlib.sha256(json.dumps([tower.identity.sha256, shape, pictures]).encode()).hexdigest()[:20]
    file, done_file = cache / f"grids-{key}.npy", cache / f"grids-{key}.done"
    done = int(done_file.read_text()) if done_file.is_file() and file.is_file() else 0
    if done < len(images):
        out = np.lib.format.open_memmap(file, "r+" if done else "w+", np.float16, shape)
        for start in range(done, len(images), _BATCH):
            chunk = images[start : start + _BATCH]
            found = tower.features([load_image(path, target_px=_TARGET_PX) for path in chunk])
            out[start : start + len(chunk)] = found
            out.flush()
            write_atomic(done_file, str(start + len(chunk)))
            progress("pictures", start + len(chunk), len(images))
    grids: Grids = np.load(file, mmap_mode="r")
    return grids
