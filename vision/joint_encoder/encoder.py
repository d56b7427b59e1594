"""Texts and pictures in one space: any open_clip model behind the ``JointEncoder`` protocol.

The encoder that ships with Vignette and any other open_clip checkpoint are one class with the same parts. Each side
is loaded when it is first used: composing reads texts only, and never imports torch for it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import numpy as np

from vision.interfaces import EncoderIdentity
from vision.vectors import unit

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

    from vision.joint_encoder.checkpoint import Checkpoint

    Array = NDArray[np.float32]

_LOCAL_DIR = "local-dir:"


class ImageSide(Protocol):
    def encode(self, images: Sequence[Image]) -> Array: ...


class QuerySide(Protocol):
    def encode(self, texts: Sequence[str]) -> Array: ...


class TextSide(QuerySide, Protocol):
    def sentences(self, texts: Sequence[str]) -> Array: ...


Side = TypeVar("Side", covariant=True)


class LoadedOnce(Generic[Side]):
    """A side of the encoder, loaded by whichever thread needs it first while the others wait."""

    def __init__(self, load: Callable[[], Side]) -> None:
        self._load = load
        self._loaded: Side | None = None
        self._loading = threading.Lock()

    def __call__(self) -> Side:
        with self._loading:
            if self._loaded is None:
                self._loaded = self._load()
            return self._loaded


class OpenClipEncoder:
    """A ``JointEncoder``. May be shared by threads."""

    def __init__(
        self,
        identity: EncoderIdentity,
        languages: frozenset[str] | None,
        load_images: Callable[[], ImageSide],
        load_texts: Callable[[], TextSide],
        load_queries: Callable[[], QuerySide] | None = None,
    ) -> None:
        """``load_queries`` where another tower than that of sentences reads what a picture should show."""
        self.identity = identity
        self.languages = languages
        self._images, self._texts = LoadedOnce(load_images), LoadedOnce(load_texts)
        self._queries: LoadedOnce[QuerySide] = LoadedOnce(load_queries) if load_queries else self._texts

    def encode_images(self, images: Sequence[Image]) -> Array:
        if not images:
            return np.empty((0, self.identity.visual_dim), np.float32)
        return _rows(self._images().encode(images))

    def encode_texts(self, texts: Sequence[str]) -> Array:
        if not texts:
            return np.empty((0, self.identity.visual_dim), np.float32)
        return _rows(self._queries().encode(texts))

    def encode_sentences(self, texts: Sequence[str]) -> Array:
        if not texts:
            return np.empty((0, self.identity.textual_dim), np.float32)
        return _rows(self._texts().sentences(texts))


def load_embedded_encoder(*, device: str = "cpu") -> OpenClipEncoder:
    """The encoder that ships with Vignette: three EfficientNets, MPNet for what pictures should show, MiniLM for words.

    Raises WeightsError where its towers are not on this machine.
    """
    from vision.joint_encoder.checkpoint import ShippedCheckpoint

    return _encoder_of(ShippedCheckpoint(), device)


def load_open_clip_encoder(name_or_path: str, pretrained: str | None = None, device: str = "cpu") -> OpenClipEncoder:
    """Any open_clip model: a checkpoint folder, ``hf-hub:OWNER/NAME``, or a built-in name with a ``pretrained`` tag.

    A folder that ``vignette train joint`` wrote is read too: trained parts on top of the fetched towers.

    Raises ModelError where open_clip does not know it, or its weights are missing or do not fit.
    """
    from vision.errors import ModelError

    folder = Path(name_or_path.removeprefix(_LOCAL_DIR)).expanduser()
    if folder.is_dir():
        from vision.joint_encoder.checkpoint import TRAINED_FILE, FolderCheckpoint, ShippedCheckpoint
        from vision.joint_encoder.text_tower import reads_natively

        if (folder / TRAINED_FILE).is_file():
            return _encoder_of(ShippedCheckpoint(folder, name=str(folder)), device)
        checkpoint = FolderCheckpoint(folder)
        if checkpoint.weights_file and reads_natively(checkpoint.text_cfg, checkpoint.text_tower_config()):
            return _encoder_of(checkpoint, device)
        name_or_path = _LOCAL_DIR + str(folder.resolve())
    elif name_or_path.startswith(_LOCAL_DIR) or Path(name_or_path).is_absolute():
        raise ModelError("not_open_clip_folder", folder=str(folder))

    from vision.joint_encoder.checkpoint import languages_of
    from vision.joint_encoder.open_clip import whole_model

    # Nothing tells the weights of such a model apart before they are loaded, so both sides come at once.
    images, texts, config, sha256 = whole_model(name_or_path, pretrained, device)
    name = f"{name_or_path}:{pretrained}" if pretrained else name_or_path
    identity = EncoderIdentity(name, sha256, config["embed_dim"], config["embed_dim"])
    return OpenClipEncoder(identity, languages_of(config), lambda: images, lambda: texts)


def _encoder_of(checkpoint: Checkpoint, device: str) -> OpenClipEncoder:
    def load_images() -> ImageSide:
        from vision.joint_encoder.open_clip import image_tower

        return image_tower(checkpoint, device)

    def load_texts() -> TextSide:
        from vision.joint_encoder.text_tower import BertTextTower

        return BertTextTower(checkpoint)

    tower = checkpoint.text_tower_config()
    textual_dim = tower["hidden_size"] if checkpoint.pooled_sentences and tower else checkpoint.embed_dim
    identity = EncoderIdentity(checkpoint.name, checkpoint.sha256, checkpoint.embed_dim, textual_dim)

    def load_queries() -> QuerySide:
        from vision.joint_encoder.text_tower import QueryTower

        return QueryTower(checkpoint)

    queries = load_queries if checkpoint.query_tower else None
    return OpenClipEncoder(identity, checkpoint.languages, load_images, load_texts, queries)


def _rows(vectors: Array) -> Array:
    return np.ascontiguousarray(unit(vectors), dtype=np.float32)
