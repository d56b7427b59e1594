"""Vectors of frozen towers for a set of figures, computed once and kept.

The cache is keyed by tower, preprocessing and pictures, so a changed one is never mistaken for another.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

import numpy as np

from vision.images import load_image
from vision.joint_encoder.checkpoint import ShippedCheckpoint
from vision.training import Progress
from vision.training.dataset import Figure
from vision.vectors import columns, unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

Item = TypeVar("Item")
_PICTURES, _TEXTS, _SAVE_EVERY, _TARGET_PX = 16, 256, 256, 300


@dataclass(frozen=True, slots=True)
class PairFeatures:
    """Rows belong to figures. ``images`` (n, C) pooled features as the towers give them, side by side, ``widths``
    columns each (empty: one tower); ``alts`` and ``captions`` (n, 384) sentence vectors of unit length; the caption of
    a figure without one is zeros. ``sections`` (n, 384), the words around the figure, where they were asked for.
    ``query_texts``: the same with texts as the query tower reads them, where there is one.
    """

    images: Array
    alts: Array
    captions: Array
    sections: Array | None = None
    widths: tuple[int, ...] = ()
    query_texts: PairFeatures | None = None

    @property
    def directions(self) -> Array:
        """``images`` at unit length, tower by tower."""
        return np.concatenate([unit(block) for block in columns(self.images, self.towers)], 1)

    @property
    def towers(self) -> tuple[int, ...]:
        """``widths``, of one tower too."""
        return self.widths or (self.images.shape[1],)

    @property
    def of_first_tower(self) -> PairFeatures:
        return replace(self, images=next(columns(self.images, self.towers)), widths=(), query_texts=None)

    @property
    def has_caption(self) -> NDArray[np.bool_]:
        return np.asarray(self.captions.any(1))

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> PairFeatures:
        sections = None if self.sections is None else self.sections[rows]
        images = self.images[rows]
        query_texts = self.query_texts and replace(self.query_texts.take(rows), images=images)
        return PairFeatures(images, self.alts[rows], self.captions[rows], sections, self.widths, query_texts)


@dataclass(frozen=True, slots=True)
class ClassFeatures:
    """What 1.28 million labelled photographs taught the towers' classifiers, as pairs like those of figures: row i of
    ``directions`` (1000, C) is how pictures of a class differ from others, row i of ``texts`` (1000, 384) what
    the class is. In each tower's columns ``directions`` have unit length and leave out what all classes share.
    ``query_texts``: ``texts`` as the query tower reads them, where there is one.
    """

    directions: Array
    texts: Array
    query_texts: Array | None = None

    def of_first_tower(self, width: int) -> ClassFeatures:
        return ClassFeatures(self.directions[:, :width], self.texts)


def class_features(checkpoint: ShippedCheckpoint, cache: Path, progress: Progress = lambda *_: None) -> ClassFeatures:
    """The classes of ImageNet-1k, each described by WordNet's names and gloss (as timm lists them)."""
    from timm.data import ImageNetInfo

    from vision.joint_encoder.efficientnet import read_trunk

    directions = []
    for name in checkpoint.image_towers:
        weights = read_trunk(name)["classifier.weight"]
        directions.append(unit(weights - weights.mean(0)))
    info = ImageNetInfo()
    glosses = [info.index_to_description(index, detailed=True) for index in range(len(directions[0]))]
    query_texts = query_features(glosses, checkpoint.query_tower, cache, progress) if checkpoint.query_tower else None
    texts = sentence_features(glosses, checkpoint, cache, progress)
    return ClassFeatures(np.concatenate(directions, 1), texts, query_texts)


def pair_features(
    figures: Sequence[Figure], checkpoint: ShippedCheckpoint, cache: Path, progress: Progress = lambda *_: None
) -> PairFeatures:
    """Raises ImageError as ``load_image``. ``cache`` is a folder; a run that was cut off goes on where it was."""
    cache.mkdir(parents=True, exist_ok=True)
    pictures = [figure.image for figure in figures]
    images = [
        image_features(pictures, name, checkpoint.resize_mode, cache, progress) for name in checkpoint.image_towers
    ]
    widths = tuple(block.shape[1] for block in images)
    return read_pairs((np.concatenate(images, 1), widths), figures, checkpoint, cache, progress)


def read_pairs(
    images: tuple[Array, tuple[int, ...]],
    figures: Sequence[Figure],
    checkpoint: ShippedCheckpoint,
    cache: Path,
    progress: Progress = lambda *_: None,
    section_rows: NDArray[np.integer] | None = None,
) -> PairFeatures:
    """Pictures' features (and their widths) with texts as this checkpoint's text tower reads them. Sections are long
    and only measured with: they are read for ``section_rows``, and are zeros in the others.
    """

    def read(texts: Sequence[str]) -> Array:
        return sentence_features(texts, checkpoint, cache, progress)

    def read_as_queries(texts: Sequence[str]) -> Array:
        return query_features(texts, checkpoint.query_tower, cache, progress)

    pairs = _read_texts(images, figures, read, section_rows)
    if not checkpoint.query_tower:
        return pairs
    return replace(pairs, query_texts=_read_texts(images, figures, read_as_queries, section_rows))


def _read_texts(
    images: tuple[Array, tuple[int, ...]],
    figures: Sequence[Figure],
    read: Callable[[Sequence[str]], Array],
    section_rows: NDArray[np.integer] | None,
) -> PairFeatures:
    alts = read([figure.alt for figure in figures])
    captions = read([figure.caption for figure in figures])
    captions[[not figure.caption for figure in figures]] = 0
    sections = None
    if section_rows is not None and len(section_rows):
        sections = np.zeros_like(alts)
        sections[section_rows] = read([figures[row].section for row in section_rows])
    return PairFeatures(images[0], alts, captions, sections, images[1])


def image_features(images: Sequence[Path], tower: str, resize_mode: str, cache: Path, progress: Progress) -> Array:
    """Pooled features of a frozen image tower, before any projection. Not normalised."""
    from vision.downloads.store import manifest
    from vision.joint_encoder.efficientnet import TOWERS

    weights = [file.sha256 for file in manifest()[tower].files]
    pictures = [[path.name, path.stat().st_size] for path in images]
    key = _key("pooled", weights, TOWERS[tower].preprocess_cfg(resize_mode), pictures)
    file = cache / f"images-{key}.npy"

    def tower_of_it() -> Callable[[Sequence[Path]], Array]:
        from vision.joint_encoder.open_clip import pooled_tower

        encode = pooled_tower(tower, resize_mode).encode
        return lambda paths: encode([load_image(path, target_px=_TARGET_PX) for path in paths])

    return _kept(file, images, tower_of_it, _PICTURES, lambda done: progress(f"pictures, {tower}", done, len(images)))


def sentence_features(texts: Sequence[str], checkpoint: ShippedCheckpoint, cache: Path, progress: Progress) -> Array:
    """Sentence vectors of the text tower, tuned where the checkpoint's is."""
    from vision.downloads.store import manifest

    tower = [file.sha256 for file in manifest()["minilm-l6-v2"].files]
    for name, value in sorted(checkpoint.tuned.items()):
        tower.append(hashlib.sha256(name.encode() + value.tobytes()).hexdigest())
    file = cache / f"texts-{_key('texts', tower, checkpoint.text_cfg['context_length'], list(texts))}.npy"

    def tower_of_it() -> Callable[[Sequence[str]], Array]:
        from vision.joint_encoder.text_tower import BertTextTower

        read = BertTextTower(checkpoint).pooled
        return lambda some: unit(read(some))

    return _kept(file, texts, tower_of_it, _TEXTS, lambda done: progress("texts", done, len(texts)))


def query_features(texts: Sequence[str], name: str, cache: Path, progress: Progress) -> Array:
    """Sentence vectors of a fetched sentence encoder, as it was fetched. Every text is read once and kept."""
    from vision.downloads.store import manifest
    from vision.joint_encoder.text_tower import QUERY_TOKENS

    tower = [file.sha256 for file in manifest()[name].files]
    file = cache / f"queries-{_key('queries', tower, QUERY_TOKENS)}.npz"
    vectors: dict[str, Array] = {}
    if file.is_file():
        with np.load(file) as kept:
            vectors = dict(zip(kept["keys"].tolist(), kept["vectors"], strict=True))
    keys = [_key(text) for text in texts]
    missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in vectors}
    if missing:
        from vision.joint_encoder.text_tower import fetched_sentence_tower

        read = fetched_sentence_tower(name).pooled
        unread = list(missing)
        for start in range(0, len(unread), _TEXTS):
            chunk = unread[start : start + _TEXTS]
            vectors |= zip(chunk, unit(read([missing[key] for key in chunk])), strict=True)
            _save(file, partial(np.savez, keys=np.array(list(vectors)), vectors=np.stack(list(vectors.values()))))
            progress(f"texts, {name}", start + len(chunk), len(unread))
    return np.stack([vectors[key] for key in keys])


def _kept(
    file: Path, items: Sequence[Item], load: Callable[[], Callable[[Sequence[Item]], Array]], batch: int,
    report: Callable[[int], None],
) -> Array:  # fmt: skip
    """Vectors of all items, those in ``file`` as they are and the rest by what ``load`` gives, saved now and then."""
    done: Array = np.load(file) if file.is_file() else np.empty((0, 0), np.float32)
    if len(done) == len(items):
        return done
    encode = load()
    parts = [done] if len(done) else []
    for start in range(len(done), len(items), batch):
        end = min(start + batch, len(items))
        parts.append(encode(items[start:end]))
        report(end)
        if end == len(items) or end % _SAVE_EVERY == 0:
            parts = [np.concatenate(parts)]
            _save(file, partial(np.save, arr=parts[0]))
    return parts[0]


def _key(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:20]


def _save(file: Path, write: Callable[[BinaryIO], None]) -> None:
    """Whole or not at all: a run may be killed at any moment."""
    draft = file.with_suffix(".partial")
    with draft.open("wb") as opened:
        write(opened)
    draft.replace(file)
