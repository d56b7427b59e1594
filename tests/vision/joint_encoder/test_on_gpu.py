"""Pictures a second by batch of the shipped towers on a card, against the CPU in the same run: ``pytest -m gpu``."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from PIL import Image

from vision.joint_encoder import open_clip

BATCHES = (16, 64, 128, 256)


@pytest.mark.gpu
def test_pictures_a_second_by_batch(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    rng = np.random.default_rng(0)
    pictures = [Image.fromarray(rng.integers(0, 255, (300, 400, 3), np.uint8)) for _ in range(512)]
    vectors = {}
    for device, batches in (("cpu", (open_clip.IMAGE_BATCH,)), ("cuda", BATCHES)):
        tower = open_clip.pooled_tower("efficientnet-lite2", "squash", device)
        some = pictures if device == "cuda" else pictures[:64]
        for batch in batches:
            monkeypatch.setattr(open_clip, "GPU_IMAGE_BATCH", batch)
            tower.encode(some[:batch])
            began = time.perf_counter()
            vectors[device] = tower.encode(some)
            rate = len(some) / (time.perf_counter() - began)
            with capsys.disabled():
                line = f"\n{device}: {rate:,.0f} pictures/s with resizing, batches of {batch}, {str(tower._dtype)[6:]}"
                request.config.get_terminal_writer().line(line)
    cosines = (vectors["cuda"][:64] * vectors["cpu"]).sum(1)
    cosines /= np.linalg.norm(vectors["cuda"][:64], axis=1) * np.linalg.norm(vectors["cpu"], axis=1)
    assert cosines.min() > 0.99
