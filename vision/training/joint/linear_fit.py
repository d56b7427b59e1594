"""Two matrices that bring pictures and texts into one space: the fit in closed form, and what it is worth.

Both matrices leave out their side's mean direction instead of subtracting the mean. Nothing but that direction is
lost, and no bias is needed: open_clip's text projection has none, and without one on the picture side the unknown
length of a feature vector cannot matter. Knows no files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from vision.training.joint.features import ClassFeatures, PairFeatures
from vision.training.metrics import mrr_at, ranks_of_targets, recall_at
from vision.vectors import unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]


class Joint(Protocol):
    """Both sides of a trained encoder on top of its towers. Vectors are not normalised."""

    def told(self, pairs: PairFeatures) -> PairFeatures:
        """With the texts as the tower reads them whose vectors this one takes."""
        ...

    def look(self, images: Array) -> Array:
        """Pooled features (n, C) of all towers to the joint space."""
        ...

    def read(self, texts: Array) -> Array:
        """Sentence vectors of ``told`` texts to the joint space."""
        ...

    @property
    def vision_cfg(self) -> dict[str, object]:
        """What open_clip's ``vision_cfg`` says of the image head."""
        ...

    def tensors(self) -> dict[str, NDArray[np.generic]]:
        """By the names open_clip gives them, and beside them what open_clip does not know."""
        ...


@dataclass(frozen=True, slots=True)
class Projection:
    """``image`` (1280, D) and ``text`` (384, D), applied as vectors @ matrix. One tower's."""

    image: Array
    text: Array

    def told(self, pairs: PairFeatures) -> PairFeatures:
        return pairs

    def look(self, images: Array) -> Array:
        return images[:, : len(self.image)] @ self.image

    def read(self, texts: Array) -> Array:
        return texts @ self.text

    @property
    def vision_cfg(self) -> dict[str, object]:
        return {"timm_proj": "linear", "timm_proj_bias": False}

    def tensors(self) -> dict[str, NDArray[np.generic]]:
        return {"visual.head.proj.weight": self.image.T, "text.proj.weight": self.text.T}


def fit_ridge(
    pairs: PairFeatures,
    penalty: float,
    caption_share: float,
    classes: ClassFeatures | None = None,
    class_share: float = 0.0,
) -> Projection:
    """Ridge regression of texts on pictures (Hoerl and Kennard, 1970); the text side stays as it is.

    A picture's target is its alt text mixed with its caption; pictures without one have the alt text alone. Each of
    the ``classes`` counts ``class_share`` times as much as a picture.
    """
    no_image_mean = without_direction(pairs.directions.mean(0))
    no_text_mean = without_text_mean(pairs, caption_share)
    x, y = pairs.directions @ no_image_mean, targets(pairs, caption_share) @ no_text_mean
    covariance, cross = x.T @ x, x.T @ y
    if classes and class_share:
        x, y = classes.directions @ no_image_mean, class_targets(classes) @ no_text_mean
        covariance, cross = covariance + class_share * x.T @ x, cross + class_share * x.T @ y
    fitted = np.linalg.solve(covariance + penalty * np.eye(len(covariance)), cross)
    return Projection((no_image_mean @ fitted).astype(np.float32), no_text_mean.astype(np.float32))


def without_text_mean(pairs: PairFeatures, caption_share: float) -> NDArray[np.float64]:
    """The matrix that takes the texts' mean direction out."""
    return without_direction(targets(pairs, caption_share).mean(0))


def targets(pairs: PairFeatures, caption_share: float) -> NDArray[np.floating]:
    """What each picture's vector should say: its alt text mixed with its caption."""
    share = np.where(pairs.has_caption, caption_share, 0)[:, None]
    mixed: NDArray[np.floating] = pairs.alts * (1 - share) + pairs.captions * share
    return mixed


def class_targets(classes: ClassFeatures) -> NDArray[np.floating]:
    """Texts of classes without what all of them share, "a kind of thing", which photographs do not."""
    centred: NDArray[np.floating] = classes.texts - classes.texts.mean(0)
    return centred


def without_direction(mean: NDArray[np.floating]) -> NDArray[np.float64]:
    """The matrix that removes a vector's direction and keeps everything at right angles to it."""
    unit = mean.astype(np.float64) / np.linalg.norm(mean)
    out: NDArray[np.float64] = np.eye(len(unit)) - np.outer(unit, unit)
    return out


def recalls(joint: Joint, pairs: PairFeatures) -> dict[str, float]:
    """Recall of alt queries and, where there are any, of caption queries among these pairs' pictures."""
    return recalls_of(unit(joint.look(pairs.images)), pairs, joint)


def recalls_of(images: Array, pairs: PairFeatures, joint: Joint) -> dict[str, float]:
    """``recalls`` where the pictures' vectors (n, D) are known."""
    told = np.flatnonzero(pairs.has_caption)
    asked = joint.told(pairs)
    queries = {"alt": (asked.alts, np.arange(len(images)))}
    if len(told):
        queries["caption"] = (asked.captions[told], told)
    found: dict[str, float] = {}
    for kind, (texts, places) in queries.items():
        ranks = ranks_of_targets(unit(joint.read(texts)) @ images.T, places)
        found |= {f"{kind}_r{k}": recall_at(ranks, k) for k in (1, 10)}
    # Texts that find texts, without pixels: what tuning the text tower is for.
    if len(told):
        found["caption_text_r1"] = recall_at(ranks_of_targets(pairs.captions[told] @ pairs.alts.T, told), 1)
    if pairs.sections is not None:
        ranks = ranks_of_targets(pairs.sections @ pairs.alts.T, np.arange(len(images)))
        found["section_text_mrr10"] = mrr_at(ranks, 10)
    return found
