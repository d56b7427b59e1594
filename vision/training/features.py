"""Vectors of frozen towers for a set of figures, computed once and kept.

The cache is keyed by tower, preprocessing and pictures, so a changed one is never mistaken for another. Knows no fit.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vision.images import load_image
from vision.joint_checkpoint import IMAGE_TOWER, Checkpoint, ShippedCheckpoint
from vision.training.data import Figure
from vision.unit import unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

Progress = Callable[[str, int, int], None]
_BATCH, _SAVE_EVERY, _TARGET_PX = 16, 320, 300


@dataclass(frozen=True, slots=True)
class PairFeatures:
    """Rows belong to figures. ``images`` (n, 1280) pooled features as the tower gives them; ``alts`` and ``captions``
    (n, 384) sentence vectors of unit length; the caption of a figure without one is zeros. ``sections`` (n, 384), the
    words around the figure, where they were asked for.
    """

    images: Array
    alts: Array
    captions: Array
    sections: Array | None = None

    @property
    def directions(self) -> Array:
        """``images`` at unit length."""
        return unit(self.images)

    @property
    def has_caption(self) -> NDArray[np.bool_]:
        return np.asarray(self.captions.any(1))

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> PairFeatures:
        sections = None if self.sections is None else self.sections[rows]
        return PairFeatures(self.images[rows], self.alts[rows], self.captions[rows], sections)


@dataclass(frozen=True, slots=True)
class ClassFeatures:
    """What 1.28 million labelled photographs taught the tower's classifier, as pairs like those of figures: row i of
    ``directions`` (1000, 1280) is how pictures of a class differ from others, row i of ``texts`` (1000, 384) what
    the class is. ``directions`` have unit length and leave out what all classes share.
    """

    directions: Array
    texts: Array


def class_features(checkpoint: ShippedCheckpoint, cache: Path, progress: Progress = lambda *_: None) -> ClassFeatures:
    """The classes of ImageNet-1k, each described by WordNet's names and gloss (as timm lists them)."""
    from timm.data import ImageNetInfo

    from vision.efficientnet import read_trunk
    from vision.weights import locate

    weights = read_trunk(locate(IMAGE_TOWER))["classifier.weight"]
    info = ImageNetInfo()
    told = [info.index_to_description(index, detailed=True) for index in range(len(weights))]
    return ClassFeatures(unit(weights - weights.mean(0)), sentence_features(told, checkpoint, cache, progress))


def pair_features(
    figures: Sequence[Figure], checkpoint: ShippedCheckpoint, cache: Path, progress: Progress = lambda *_: None
) -> PairFeatures:
    """Raises ImageError as ``load_image``. ``cache`` is a folder; a run that was cut off goes on where it was."""
    cache.mkdir(parents=True, exist_ok=True)
    images = image_features([figure.image for figure in figures], checkpoint, cache, progress)
    return read_pairs(images, figures, checkpoint, cache, progress)


def read_pairs(
    images: Array,
    figures: Sequence[Figure],
    checkpoint: ShippedCheckpoint,
    cache: Path,
    progress: Progress = lambda *_: None,
    asked: NDArray[np.integer] | None = None,
) -> PairFeatures:
    """Pictures' features with their texts as this checkpoint's text tower reads them. Sections are long and only
    measured with: they are read for the rows ``asked``, and are zeros in the others.
    """
    alts = sentence_features([figure.alt for figure in figures], checkpoint, cache, progress)
    captions = sentence_features([figure.caption for figure in figures], checkpoint, cache, progress)
    captions[[not figure.caption for figure in figures]] = 0
    sections = None
    if asked is not None and len(asked):
        sections = np.zeros_like(alts)
        told = [figures[row].section for row in asked]
        sections[asked] = sentence_features(told, checkpoint, cache, progress)
    return PairFeatures(images, alts, captions, sections)


def image_features(images: Sequence[Path], checkpoint: Checkpoint, cache: Path, progress: Progress) -> Array:
    """Pooled features of the frozen image tower, before any projection. Not normalised."""
    from vision.weights import manifest

    tower = [file.sha256 for file in manifest()[IMAGE_TOWER].files]
    pictures = [[path.name, path.stat().st_size] for path in images]
    key = _key("pooled", tower, checkpoint.preprocess_cfg, checkpoint.model_cfg["vision_cfg"]["image_size"], pictures)
    file = cache / f"images-{key}.npy"
    done = np.load(file) if file.is_file() else np.empty((0, 0), np.float32)
    if len(done) == len(images):
        return done
    from vision.open_clip_towers import pooled_image_tower

    encode = pooled_image_tower(checkpoint).encode
    parts = [done] if len(done) else []
    for start in range(len(done), len(images), _BATCH):
        chunk = images[start : start + _BATCH]
        parts.append(encode([load_image(path, target_px=_TARGET_PX) for path in chunk]))
        end = start + len(chunk)
        progress("pictures", end, len(images))
        if end == len(images) or (end // _BATCH) % (_SAVE_EVERY // _BATCH) == 0:
            parts = [np.concatenate(parts)]
            _save(file, parts[0])
    return np.concatenate(parts)


def sentence_features(texts: Sequence[str], checkpoint: ShippedCheckpoint, cache: Path, progress: Progress) -> Array:
    """Sentence vectors of the text tower, tuned where the checkpoint's is."""
    from vision.text_tower import BertTextTower
    from vision.weights import manifest

    tower = [file.sha256 for file in manifest()["minilm-l6-v2"].files]
    for name, value in sorted(checkpoint.tuned.items()):
        tower.append(hashlib.sha256(name.encode() + value.tobytes()).hexdigest())
    file = cache / f"texts-{_key('texts', tower, checkpoint.text_cfg['context_length'], list(texts))}.npy"
    if file.is_file():
        found: Array = np.load(file)
        return found
    encode = BertTextTower(checkpoint).pooled
    parts = []
    for start in range(0, len(texts), 256):
        parts.append(unit(encode(texts[start : start + 256])))
        progress("texts", min(start + 256, len(texts)), len(texts))
    _save(file, np.concatenate(parts))
    return np.concatenate(parts)


def _key(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:20]


def _save(file: Path, values: Array) -> None:
    """Whole or not at all: a run may be killed at any moment."""
    partial = file.with_suffix(".partial")
    with partial.open("wb") as opened:
        np.save(opened, values)
    partial.replace(file)
