"""What a model's vision tower makes of pictures, kept from one prompt to the next: looking is the dear part."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import torch

_REMEMBERED_VECTORS = 16384  # of all pictures: 128 MB at 2,048 float32 values each
# Their language models read more of a tower's output than the vectors that stand in the text.
_READ_MORE = ("blip-2", "fuyu", "instructblip", "llama4", "ovis2")


class PictureFeatures:
    """Encodes each picture by itself, once, through the ``get_image_features`` that ``generate`` calls as well."""

    @classmethod
    def of_model(cls, model: Any) -> PictureFeatures | None:
        """None where the model takes no encoded pictures."""
        takes_them = "mm_encoder_outputs" in inspect.signature(model.forward).parameters
        encode = getattr(getattr(model, "base_model", None), "get_image_features", None)
        if not takes_them or encode is None or model.config.model_type in _READ_MORE:
            return None
        return cls(model, encode)

    def __init__(self, model: Any, encode: Callable[..., Any]) -> None:
        self._model, self._encode = model, encode
        self._names = frozenset(inspect.signature(encode).parameters)
        self._seen: OrderedDict[bytes, Any] = OrderedDict()

    def forget(self) -> None:
        self._seen.clear()

    def of(self, pictures: Sequence[tuple[bytes, Callable[[], dict[str, torch.Tensor]]]]) -> dict[str, Any]:
        """The model's inputs for pictures, each a fingerprint and what gives its pixels, in their order."""
        outputs = [self._look(fingerprint, pixels) for fingerprint, pixels in pictures]
        joined = {"pooler_output": _joined([output.pooler_output for output in outputs])}
        if outputs[0].get("deepstack_features") is not None:
            layers = zip(*(output.deepstack_features for output in outputs), strict=True)
            joined["deepstack_features"] = [_joined(layer) for layer in layers]
        return {"mm_encoder_outputs": {"image": type(outputs[0])(**joined)}}

    @torch.inference_mode()
    def _look(self, fingerprint: bytes, pixels: Callable[[], dict[str, torch.Tensor]]) -> Any:
        if fingerprint not in self._seen:
            inputs = {name: self._placed(value) for name, value in pixels().items() if name in self._names}
            output = self._encode(**inputs, return_dict=True)
            kept = {"pooler_output": output.pooler_output, "deepstack_features": output.get("deepstack_features")}
            self._seen[fingerprint] = type(output)(**{name: value for name, value in kept.items() if value is not None})
            while len(self._seen) > 1 and sum(map(_vectors, self._seen.values())) > _REMEMBERED_VECTORS:
                self._seen.popitem(last=False)
        self._seen.move_to_end(fingerprint)
        return self._seen[fingerprint]

    def _placed(self, value: torch.Tensor) -> torch.Tensor:
        return value.to(self._model.device, self._model.dtype if value.is_floating_point() else None)


def _joined(pictures: Sequence[Any]) -> Any:
    """Several pictures' tensors or lists of tensors as one would be given for all of them."""
    first = pictures[0]
    return torch.cat(list(pictures)) if isinstance(first, torch.Tensor) else [t for one in pictures for t in one]


def _vectors(output: Any) -> int:
    return sum(part.numel() // part.shape[-1] for part in output.pooler_output)
