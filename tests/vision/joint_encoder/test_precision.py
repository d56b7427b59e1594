"""The environment chooses what the towers multiply in, and says so where it cannot."""

import pytest
import torch

from tests.tower_dtypes import DTYPES, choose_dtype
from vision.errors import ModelError
from vision.joint_encoder import precision
from vision.joint_encoder.open_clip import ImageTower
from vision.joint_encoder.precision import DTYPE_VARIABLE, autocast, tower_dtype

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", DTYPES)
def test_a_tower_multiplies_in_what_the_environment_names(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    choose_dtype(monkeypatch, name)
    with autocast(tower_dtype(CPU), CPU):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == getattr(torch, name)


@pytest.mark.parametrize(("has", "expected"), [(True, torch.bfloat16), (False, torch.float32)])
def test_by_itself_a_tower_takes_what_the_processor_computes_in(
    has: bool, expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "computes_bfloat16", lambda kind: has)
    for value in ("", "auto"):
        monkeypatch.setenv(DTYPE_VARIABLE, value)
        assert tower_dtype(CPU) == expected
    monkeypatch.delenv(DTYPE_VARIABLE)
    assert tower_dtype(CPU) == expected


def test_an_unknown_type_and_one_this_processor_lacks_are_refused_before_any_picture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(precision, "computes_bfloat16", lambda kind: False)
    for value, key in [("fp8", "variable_unknown"), ("bfloat16", "no_bfloat16")]:
        monkeypatch.setenv(DTYPE_VARIABLE, value)
        with pytest.raises(ModelError) as caught:
            ImageTower(torch.nn.Identity(), lambda image: torch.zeros(1), "cpu")
        assert (caught.value.key, caught.value.values["variable"]) == (key, DTYPE_VARIABLE)
