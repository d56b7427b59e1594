"""A vision tower, a bridge and a causal language model as one ``VisionLanguageModel``.

The three are given the faces of a transformers vision-language checkpoint (a model with a ``forward``, a processor
with a chat template), so that everything ``vision.huggingface.model`` does for published checkpoints holds for them
too: shared prefixes, several pictures in a text, scoring, cancellation. Import it lazily.
"""

from __future__ import annotations

import hashlib
import inspect
import warnings
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from vision.bridge.projector import Bridge, read_config
from vision.errors import ModelError
from vision.interfaces import ModelIdentity, VisionLanguageModel

if TYPE_CHECKING:
    from PIL.Image import Image

    from vision.bridge.grid_tower import VisionTower
    from vision.bridge.language_model import CausalModel

PICTURE = "<|picture|>"
LORA_FOLDER = "lora"
_REMEMBERED_GRIDS = 64


class BridgedCausalLM(nn.Module):
    """The language model with pictures among its words.

    Where ``input_ids`` hold ``picture_id``, ``picture_tokens`` times for each picture, the bridge's vectors of
    ``picture_grids`` (P, N, D) stand instead of word embeddings, in order.
    """

    def __init__(self, language_model: Any, bridge: Bridge, picture_id: int) -> None:
        super().__init__()
        self.language_model = language_model
        self.bridge = bridge
        self.picture_id = picture_id
        self.partial: PicturesOnly | None = None

    @property
    def config(self) -> Any:
        return self.language_model.config

    @property
    def generation_config(self) -> Any:
        return self.language_model.generation_config

    @property
    def device(self) -> torch.device:
        return next(self.language_model.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return next(self.language_model.parameters()).dtype

    @property
    def takes_positions(self) -> bool:
        """Models with ALiBi (BLOOM, MPT) count for themselves."""
        tuned = getattr(self.language_model, "get_base_model", None)
        return "position_ids" in inspect.signature((tuned() if tuned else self.language_model).forward).parameters

    def embed(self, input_ids: torch.Tensor, picture_grids: torch.Tensor | None = None) -> torch.Tensor:
        """(B, n) ids → (B, n, width). Raises ModelError where pictures and their places do not match."""
        here = input_ids == self.picture_id
        words = self.language_model.get_input_embeddings()
        out: torch.Tensor = words(input_ids.masked_fill(here, 0))
        places = int(here.sum())
        given = 0 if picture_grids is None else len(picture_grids)
        if places != given * self.bridge.config.picture_tokens:
            raise ModelError("picture_places", pictures=given, places=places, each=self.bridge.config.picture_tokens)
        if picture_grids is None or not given:
            return out
        seen = self.bridge(picture_grids.to(self.bridge.start.dtype)).to(out.dtype)
        return out.masked_scatter(here[..., None], seen)

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        cache: Any = None,
        position_ids: torch.Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        picture_grids: torch.Tensor | None = None,
    ) -> Any:
        here = input_ids == self.picture_id
        if self.partial is not None:
            self.partial.here = here
        return self.language_model(
            inputs_embeds=self.embed(input_ids, picture_grids),
            attention_mask=attention_mask,
            cache=cache,
            use_cache=use_cache,
            logits_to_keep=logits_to_keep,
            **({"position_ids": position_ids} if self.takes_positions else {}),
            **self._per_layer_inputs(input_ids, here),
        )

    def _per_layer_inputs(self, input_ids: torch.Tensor, here: torch.Tensor) -> dict[str, torch.Tensor]:
        """Gemma 3n and 4 embed words once more for each layer; a picture counts as padding there, as in their own."""
        settings = self.config.get_text_config()
        if not getattr(settings, "hidden_size_per_layer_input", None):
            return {}
        words = input_ids.masked_fill(here, settings.pad_token_id or 0)
        return {"per_layer_inputs": self.language_model.get_decoder().get_per_layer_inputs(words)}


class PicturesOnly:
    """Keeps a LoRA to the places of pictures (Partial LoRA, InternLM-XComposer2, arXiv:2401.16420).

    Words then pass through exactly the original weights. ``here`` (B, n) is set before each pass.
    """

    def __init__(self, language_model: Any) -> None:
        self.here: torch.Tensor | None = None
        self._hooks = [
            module.register_forward_hook(self._mask)
            for name, module in language_model.named_modules()
            if ".lora_B." in name
        ]
        if not self._hooks:
            raise ModelError("partial_lora_without_layers")

    def _mask(self, _module: nn.Module, _inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
        assert self.here is not None
        return output * self.here[..., None].to(output.dtype)


class BridgedProcessor:
    """What ``PromptEncoder`` asks of a transformers processor: text and pictures → ids and grids of features."""

    image_token = PICTURE

    def __init__(self, tower: VisionTower, tokenizer: Any, picture_tokens: int) -> None:
        if PICTURE not in tokenizer.get_vocab():
            tokenizer.add_tokens([PICTURE], special_tokens=True)
            tokenizer.add_special_tokens({"extra_special_tokens": [PICTURE]})
        self.tokenizer = tokenizer
        self.picture_id: int = tokenizer.convert_tokens_to_ids(PICTURE)
        self._tower = tower
        self.picture_tokens = picture_tokens
        self._grids: OrderedDict[bytes, torch.Tensor] = OrderedDict()

    @property
    def chat_template(self) -> str | None:
        template: str | None = self.tokenizer.chat_template
        return template

    def flat_turns(self, conversation: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """What the language model's own template takes; a picture is its placeholder in the text."""
        return [{"role": turn["role"], "content": _flat(turn["content"])} for turn in conversation]

    def __call__(
        self, text: list[str], images: list[list[Image]], return_tensors: str = "pt", add_special_tokens: bool = False
    ) -> dict[str, torch.Tensor]:
        if return_tensors != "pt":
            raise ValueError(f"return_tensors is {return_tensors!r}; only pt is made")
        pieces = text[0].split(PICTURE)
        if len(pieces) != len(images[0]) + 1:
            raise ValueError(f"the text has {len(pieces) - 1} places for {len(images[0])} pictures")
        ids: list[int] = []
        for number, piece in enumerate(pieces):
            ids += [self.picture_id] * self.picture_tokens if number else []
            ids += self.tokenizer(piece, add_special_tokens=add_special_tokens and not number)["input_ids"]
        return {"input_ids": torch.tensor([ids]), "picture_grids": torch.stack([self._grid(i) for i in images[0]])}

    def _grid(self, image: Image) -> torch.Tensor:
        """The tower is the dear part, and the same picture comes with many questions."""
        key = hashlib.blake2b(f"{image.size}".encode() + image.tobytes(), digest_size=16).digest()
        if key not in self._grids:
            self._grids[key] = torch.from_numpy(np.array(self._tower.features([image])[0]))
            if len(self._grids) > _REMEMBERED_GRIDS:
                self._grids.popitem(last=False)
        self._grids.move_to_end(key)
        return self._grids[key]


def load_bridged_model(folder: Path, *, device: str = "cpu", context_tokens: int | None = None) -> VisionLanguageModel:
    """The tower, bridge and language model that ``folder`` names, with its LoRA where it has one.

    Raises ModelError where the folder holds no bridge, or the tower or model here is not the one it was trained for;
    WeightsError where one of them is not on this machine.
    """
    from vision.bridge.grid_tower import load_tower
    from vision.bridge.language_model import load_causal

    config = read_config(folder)
    bridge = Bridge.from_pretrained(folder)
    tower = load_tower(config.tower, device)
    language = load_causal(config.language_model, device=device)
    for found, wanted in ((tower.identity, config.tower_sha256), (language.identity, config.language_sha256)):
        if found.sha256 != wanted:
            raise ModelError(
                "bridge_of_other_weights",
                folder=str(folder),
                model=found.name,
                wanted=wanted[:12],
                found=found.sha256[:12],
            )
    return bridged_model(tower, bridge, language, lora=folder / LORA_FOLDER, context_tokens=context_tokens, name=folder)


def bridged_model(
    tower: VisionTower,
    bridge: Bridge,
    language: CausalModel,
    *,
    lora: Path | None = None,
    context_tokens: int | None = None,
    name: Path | str = "bridged",
) -> VisionLanguageModel:
    """The same of parts in memory. ``lora`` is a folder of PEFT; one that does not exist counts as none."""
    from vision.huggingface.chat_template import ChatTemplate
    from vision.huggingface.model import HubModel
    from vision.huggingface.prompt_encoding import PromptEncoder

    processor = BridgedProcessor(tower, language.tokenizer, bridge.config.picture_tokens)
    inner, partial = _with_lora(language.model, lora)
    model = BridgedCausalLM(inner, bridge.to(language.model.device), processor.picture_id).eval()
    model.partial = partial
    shown = f"{tower.identity.name} + bridge + {language.identity.name}"
    chat = ChatTemplate(processor, language.tokenizer, pictures=True, name=shown)
    closing = language.tokenizer(chat.end_of_turn(), add_special_tokens=False)["input_ids"][:1]
    ends = {language.tokenizer.eos_token_id, *(i for i in closing if i in language.tokenizer.all_special_ids)}
    made_for = language.context_tokens
    return HubModel(
        identity=ModelIdentity(f"{shown} ({name})", _sha256(tower, bridge, language, lora)),
        model=model,
        tokenizer=language.tokenizer,
        encoder=PromptEncoder(processor, language.tokenizer, model, chat, shown),
        sees_images=True,
        context_tokens=made_for if context_tokens is None else min(context_tokens, made_for),
        ends=frozenset(end for end in ends if end is not None),
        never=[processor.picture_id] if processor.picture_id < len(language.embeddings) else [],
    )


def _with_lora(model: Any, lora: Path | None) -> tuple[Any, PicturesOnly | None]:
    if lora is None or not lora.is_dir():
        return model, None
    try:
        from peft import PeftModel
    except ImportError as error:
        raise ModelError("lora_needs_peft") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers for a property by its old name
        tuned = PeftModel.from_pretrained(model, lora)
    if (lora / "pictures_only").is_file():
        return tuned.eval(), PicturesOnly(tuned)
    return tuned.merge_and_unload().eval(), None


def _sha256(tower: VisionTower, bridge: Bridge, language: CausalModel, lora: Path | None) -> str:
    seal = hashlib.sha256(f"{tower.identity.sha256}\n{language.identity.sha256}\n".encode())
    for name, value in bridge.state_dict().items():
        seal.update(name.encode() + value.detach().cpu().float().numpy().tobytes())
    for file in sorted(lora.glob("*.safetensors")) if lora is not None and lora.is_dir() else []:
        seal.update(file.read_bytes())
    return seal.hexdigest()


def _flat(content: str | Sequence[dict[str, str]]) -> str:
    if isinstance(content, str):
        return content
    return "".join(part["text"] if part["type"] == "text" else PICTURE for part in content)
