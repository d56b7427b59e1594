"""Where a joint encoder's weights are, as open_clip names them, side by side readable.

Two kinds give the same view: a self-contained open_clip folder (``open_clip_config.json``, one safetensors file,
tokenizer), and the encoder that ships with Vignette, whose towers are fetched and whose trained parts lie in
``vision/joint_encoder/shipped``. Imports torch only to read a tower that is stored as a .pth.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vision.downloads.files import file_sha256, read_json
from vision.errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

CONFIG_FILE = "open_clip_config.json"
WEIGHTS_FILE = "open_clip_model.safetensors"
TRAINED_FILE = "trained.safetensors"
SHIPPED = Path(__file__).parent / "shipped"
SHIPPED_NAME = "vignette-joint"

# The fetched towers under the encoder's own names. Of several image towers this is open_clip's, and the first.
IMAGE_TOWER, TEXT_TOWER = "efficientnet-lite2", "minilm-l6-v2"
IMAGE_PREFIX, TEXT_PREFIX = "visual.trunk.", "text.transformer."
QUERY_PROJECTION = "query.proj.weight"

# Text towers and tokenizers, by part of their name, that read more than English.
_MULTILINGUAL = (
    "xlm",
    "mt5",
    "mc4",
    "nllb",
    "multilingual",
    "i18n",
    "siglip2",
    "gemma",
    "worldwide",
    "qwen",
    "chinese",
)


class Checkpoint(ABC):
    """One open_clip model on disk. ``tensors`` reads a part of it; everything else is known without reading weights.

    ``config`` is the content of ``open_clip_config.json``: ``model_cfg`` and ``preprocess_cfg`` as open_clip
    defines them and, optionally, ``vignette``: ``languages`` (ISO 639-1 codes), ``sentences`` ("pooled" where
    the text tower before its projection is a sentence encoder of its own), ``image_towers`` (names of the fetched
    towers whose features the regression reads side by side) and ``query_tower`` (the fetched sentence encoder that
    reads what a picture should show, where that is not the text tower).
    """

    def __init__(self, name: str, config: Mapping[str, Any], text_folder: Path) -> None:
        self.name = name
        self.config = config
        self.text_folder = text_folder
        try:
            self.model_cfg: dict[str, Any] = config["model_cfg"]
            self.embed_dim = int(self.model_cfg["embed_dim"])
            self.text_cfg: dict[str, Any] = self.model_cfg["text_cfg"]
        except (KeyError, TypeError) as error:
            raise ModelError("not_open_clip_config", name=name, reason=str(error)) from error
        self.preprocess_cfg: dict[str, Any] = config.get("preprocess_cfg", {})
        own = config.get("vignette", {})
        self.pooled_sentences: bool = own.get("sentences") == "pooled"
        self.resize_mode: str = self.preprocess_cfg.get("resize_mode", "shortest")
        self.image_towers: tuple[str, ...] = tuple(own.get("image_towers", (IMAGE_TOWER,)))
        self.query_tower: str = own.get("query_tower", "")
        self.languages = frozenset(own["languages"]) if "languages" in own else languages_of(self.model_cfg)

    @property
    @abstractmethod
    def sha256(self) -> str:
        """Hash of all weights that matter and of the configuration."""

    @abstractmethod
    def tensors(self, prefix: str) -> dict[str, Array]:
        """All tensors under a prefix such as "text.", named without it, in float32."""

    def text_tower_config(self) -> dict[str, Any] | None:
        """The transformers config of the text tower; None where it is one of open_clip's own."""
        file = self.text_folder / "config.json"
        return read_json(file) if file.is_file() else None


class FolderCheckpoint(Checkpoint):
    """A self-contained open_clip folder with safetensors weights."""

    weights_name = WEIGHTS_FILE

    def __init__(self, folder: Path) -> None:
        """Raises ModelError where the folder is not an open_clip checkpoint."""
        config_file = folder / CONFIG_FILE
        if not config_file.is_file():
            raise ModelError("not_open_clip_folder", folder=str(folder))
        super().__init__(str(folder), read_json(config_file), folder)
        self.folder = folder

    @property
    def weights_file(self) -> Path | None:
        """The safetensors file open_clip itself would take; None where the weights are stored otherwise."""
        preferred = (WEIGHTS_FILE, "open_clip_pytorch_model.safetensors", "model.safetensors")
        found = [self.folder / name for name in preferred if (self.folder / name).is_file()]
        return found[0] if found else next(iter(sorted(self.folder.glob("*.safetensors"))), None)

    @property
    def sha256(self) -> str:
        return _combined(_config_hash(self.config), file_sha256(self._weights()))

    def tensors(self, prefix: str) -> dict[str, Array]:
        return read_tensors(self._weights(), prefix)

    def _weights(self) -> Path:
        if self.weights_file is None:
            raise ModelError("no_safetensors", folder=str(self.folder), file=WEIGHTS_FILE)
        return self.weights_file


class ShippedCheckpoint(Checkpoint):
    """The encoder Vignette brings: fetched towers, and what was trained on top of or inside them.

    ``trained.safetensors`` names tensors as open_clip does; where it holds one that a tower has too, it wins.
    """

    def __init__(
        self,
        folder: Path = SHIPPED,
        *,
        name: str = SHIPPED_NAME,
        towers_only: str = "",
        image_towers: Sequence[str] = (),
        query_tower: str = "",
        tuned: Mapping[str, Array] | None = None,
    ) -> None:
        """Raises WeightsError where a tower is not on this machine.

        ``towers_only`` leaves out everything trained, for a training run: the resize mode for pictures; the towers to
        train with are then ``image_towers`` and ``query_tower``. ``tuned`` are tensors that training has at hand and no
        file yet.
        """
        from vision.downloads.store import locate

        self.folder = folder
        self._trained = not towers_only
        self.tuned = dict(tuned or {})
        config = read_json(folder / CONFIG_FILE)
        if towers_only:
            config["preprocess_cfg"]["resize_mode"] = towers_only
            config["vignette"] |= {"image_towers": list(image_towers or (IMAGE_TOWER,)), "query_tower": query_tower}
        super().__init__(name, config, locate(TEXT_TOWER))
        for tower in towers_of(self.config):
            locate(tower)

    @property
    def sha256(self) -> str:
        from vision.downloads.store import manifest

        # The manifest's hashes were checked when the towers were fetched: no need to read 115 MB at every start.
        towers = [file.sha256 for name in towers_of(self.config) for file in manifest()[name].files]
        return _combined(_config_hash(self.config), *towers, file_sha256(self.folder / TRAINED_FILE))

    def tensors(self, prefix: str) -> dict[str, Array]:
        merged: dict[str, Array] = {}
        if TEXT_PREFIX.startswith(prefix):
            base = read_tensors(self.text_folder / "model.safetensors", "")
            # A pooler and position numbers that sentence vectors do not use, and open_clip does not keep.
            unused = ("pooler.", "embeddings.position_ids")
            merged |= {TEXT_PREFIX + key: value for key, value in base.items() if not key.startswith(unused)}
        if IMAGE_PREFIX.startswith(prefix):
            from vision.joint_encoder.efficientnet import read_trunk

            trunk = read_trunk(IMAGE_TOWER)
            merged |= {IMAGE_PREFIX + key: value for key, value in trunk.items() if not key.startswith("classifier.")}
        if self._trained:
            trained = read_tensors(self.folder / TRAINED_FILE, prefix)
            merged |= {prefix + key: value for key, value in trained.items()}
        merged |= self.tuned
        return {key.removeprefix(prefix): value for key, value in merged.items() if key.startswith(prefix)}


def shipped_towers() -> list[str]:
    """The models that the encoder Vignette brings stands on, by their names in the manifest."""
    return towers_of(read_json(SHIPPED / CONFIG_FILE))


def towers_of(config: Mapping[str, Any]) -> list[str]:
    """The fetched models behind a configuration of the shipped kind."""
    own = config.get("vignette", {})
    asked = own.get("query_tower")
    return [*own.get("image_towers", (IMAGE_TOWER,)), TEXT_TOWER, *([asked] if asked else [])]


def languages_of(model_cfg: Mapping[str, Any]) -> frozenset[str] | None:
    """English, or None for a multilingual text tower, by the names of its tower and tokenizer.

    CLIP's own byte-pair vocabulary, RoBERTa and BERT are English; XLM-R, mT5, NLLB, Gemma (SigLIP 2) and their like
    are not. A configuration overrides this with ``vignette.languages``.
    """
    text_cfg = model_cfg.get("text_cfg", {})
    names = f"{text_cfg.get('hf_model_name') or ''} {text_cfg.get('hf_tokenizer_name') or ''}".lower()
    return None if any(part in names for part in _MULTILINGUAL) else frozenset({"en"})


def read_tensors(file: Path, prefix: str) -> dict[str, Array]:
    """Floating-point tensors of a safetensors file under a prefix, as float32. Raises ModelError where unreadable."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="np") as opened:
            names = [name for name in opened.keys() if name.startswith(prefix)]  # noqa: SIM118 - not a mapping
            found = {name.removeprefix(prefix): opened.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        raise ModelError("weights_unreadable", file=str(file), reason=str(error)) from error
    return {name: value.astype(np.float32) if value.dtype == np.float16 else value for name, value in found.items()}


def _config_hash(config: Mapping[str, Any]) -> str:
    """Of what changes vectors: paths inside the configuration differ from place to place and do not."""
    model_cfg = {**config["model_cfg"], "text_cfg": {**config["model_cfg"]["text_cfg"]}}
    for key in ("hf_model_name", "hf_tokenizer_name"):
        model_cfg["text_cfg"].pop(key, None)
    matters = [model_cfg, config.get("preprocess_cfg", {}), config.get("vignette", {}).get("sentences")]
    return hashlib.sha256(json.dumps(matters, sort_keys=True).encode()).hexdigest()


def _combined(*hashes: str) -> str:
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()
