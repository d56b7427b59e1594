"""What `vignette bench judge` measures, on a model so small that it says nothing of speed."""

import pytest

from composer.benchmarks import judge, random_model
from composer.benchmarks.judge import bench_judge
from composer.benchmarks.random_model import Shape
from vision.huggingface.cache import CheckpointReader


def test_a_call_is_measured_with_and_without_reuse_and_beside_generate(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = Shape(hidden_size=32, intermediate_size=32, tower_depth=1, tower_width=64, layers=4)
    monkeypatch.setitem(random_model.SHAPES, "0.8B", tiny)
    monkeypatch.setattr(judge, "JUDGE_PX", 64)
    told: list[str] = []
    found = bench_judge("0.8B", threads=1, rounds=1, progress=told.append)
    assert 0 < found["judge_over_fresh"].value < 1  # read once instead of eight times, whatever the machine does beside
    assert found["judge_s"].value == pytest.approx(found["judge_over_fresh"].value * (found["judge_s"].reference or 0))
    for name in ("prefill_tokens_per_s", "decode_tokens_per_s"):
        assert found[name].value > 0
    assert len(told) == 8


def test_the_random_model_is_a_hybrid_that_goes_on_from_copies() -> None:
    model = random_model.random_model(
        Shape(hidden_size=32, intermediate_size=32, tower_depth=1, tower_width=64, layers=4), "A day on the farm."
    )
    assert isinstance(model.hub._reader, CheckpointReader)
    assert model.inner.config.text_config.layer_types.count("full_attention") == 1
