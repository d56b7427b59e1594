"""A driver that is killed with the first shard it hears of, for ``test_ray_index``.

python -m tests.image_db.cluster.killed_driver RAY_ADDRESS PICTURES SHARDS SHARD_FILES
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any

from image_db.cluster.ray_index import RayOptions, index_on_ray
from image_db.cluster.shards import ShardFolder
from image_db.cluster.sources import list_sources
from tests.fakes import ColourEncoder

_ENCODED = 64  # pictures, then it waits to be killed with its driver


class WaitingEncoder(ColourEncoder):
    def encode_images(self, images: Sequence[Any]) -> Any:
        if self.seen["images"] >= _ENCODED:
            threading.Event().wait()
        return super().encode_images(images)


def die(done: int, total: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    address, pictures, shards, shard_files = sys.argv[1:]
    index_on_ray(
        list_sources([pictures]),
        ShardFolder(shards),
        ColourEncoder().identity,
        WaitingEncoder,
        RayOptions(address=address, shard_files=int(shard_files)),
        die,
    )
