"""The joint encoder's picture side as a function of many examples, and as the small network that open_clip can hold.

Kernel ridge regression compares a picture with every training picture, so what it says near an example follows that
example; a linear map has to be right everywhere at once. An open_clip checkpoint has no room for thousands of
examples, so Vignette keeps them beside it. What it has room for, timm's two-layer ``mlp`` projection, is fitted to the
regression's answers on pictures, on classes and on mixtures of them, of which there are as many as one likes.
Everything is in closed form.

Texts leave out their mean direction instead of having the mean subtracted: nothing but that direction is lost, and no
bias is needed, which open_clip's text projection has not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vision.joint_encoder.bert_numpy import gelu
from vision.joint_encoder.checkpoint import QUERY_PROJECTION
from vision.joint_encoder.kernel_regression import KernelRegression, directions, nearness
from vision.training import Progress
from vision.training.joint.features import ClassFeatures, PairFeatures
from vision.vectors import unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vision.training.joint.recipe import JointRecipe

    Array = NDArray[np.float32]

_BLOCK_ROWS, _CLUSTER_STEPS = 2_000, 3


@dataclass(frozen=True, slots=True)
class RegressionFit:
    """What Vignette finds pictures with. ``text`` (sentence dimensions, D) projects the texts it is asked with."""

    pictures: KernelRegression
    text: Array

    def select_texts(self, pairs: PairFeatures) -> PairFeatures:
        """The pairs with texts as the query tower reads them, where there is one."""
        return pairs.query_texts or pairs

    def embed_images(self, images: Array) -> Array:
        return self.pictures(images)

    def embed_texts(self, texts: Array) -> Array:
        return texts @ self.text

    def tensors(self) -> dict[str, NDArray[np.generic]]:
        """By the names under which they are stored beside open_clip's."""
        return {**self.pictures.tensors(), QUERY_PROJECTION: self.text.T}


@dataclass(frozen=True, slots=True)
class NetworkFit:
    """timm's ``Mlp`` on pictures: ``hidden`` (2 D, 1280) with bias, GELU, ``out`` (D, 2 D) with bias. Of several
    towers' features it reads the first's.
    """

    hidden: Array
    hidden_bias: Array
    out: Array
    out_bias: Array
    text: Array

    def select_texts(self, pairs: PairFeatures) -> PairFeatures:
        """The pairs as they are: open_clip has one text tower."""
        return pairs

    def embed_images(self, images: Array) -> Array:
        own = images[:, : self.hidden.shape[1]]
        return gelu(own @ self.hidden.T + self.hidden_bias) @ self.out.T + self.out_bias

    def embed_texts(self, texts: Array) -> Array:
        return texts @ self.text

    def tensors(self) -> dict[str, NDArray[np.generic]]:
        """By open_clip's names."""
        return {
            "visual.head.mlp.fc1.weight": self.hidden,
            "visual.head.mlp.fc1.bias": self.hidden_bias,
            "visual.head.mlp.fc2.weight": self.out,
            "visual.head.mlp.fc2.bias": self.out_bias,
            "text.proj.weight": self.text.T,
        }


@dataclass(frozen=True, slots=True)
class JointFit:
    """The regression for Vignette, and the network for whatever reads plain open_clip checkpoints."""

    regression: RegressionFit
    network: NetworkFit


def fit_joint(
    pairs: PairFeatures,
    recipe: JointRecipe,
    classes: ClassFeatures | None = None,
    progress: Progress = lambda *_: None,
) -> JointFit:
    """The recipe's fit to these pairs; the same seed gives the same bytes on the same machine.

    The network is fitted to a regression of its own, on the first image tower and the text tower alone.
    """
    first = pairs.of_first_tower
    first_classes = classes and classes.of_first_tower(first.images.shape[1])
    network = fit_network(fit_regression(first, recipe, first_classes), first, recipe, first_classes, progress)
    regression = fit_regression(pairs, recipe, classes)
    # As it is stored, so that what is measured is what is read.
    return JointFit(RegressionFit(regression.pictures.rounded(), regression.text), network)


def fit_regression(pairs: PairFeatures, recipe: JointRecipe, classes: ClassFeatures | None) -> RegressionFit:
    """Kernel ridge regression of texts on pictures (Saunders et al., 1998), classes as further examples.

    Texts of another tower are turned to as many of their principal directions as the text tower has dimensions.
    """
    dim = pairs.alts.shape[1]
    if pairs.query_texts is not None:
        pairs = pairs.query_texts
    mean = pairs.directions.mean(0)
    wanted_texts = targets(pairs, recipe.caption_share)
    no_text_mean = without_direction(wanted_texts.mean(0))
    examples = [directions(pairs.images, mean, pairs.towers)]
    wanted = [wanted_texts @ no_text_mean]
    counts = [np.ones(len(pairs.images))]
    if classes and recipe.class_share:
        # Without what all classes share, "a kind of thing", which photographs do not.
        texts = classes.texts if classes.query_texts is None else classes.query_texts
        examples.append(classes.directions)
        wanted.append((texts - texts.mean(0)) @ no_text_mean)
        counts.append(np.full(len(texts), recipe.class_share))
    among = np.concatenate(examples)
    near = nearness(among, among, recipe.sharpness, len(pairs.towers))
    near[np.diag_indices(len(near))] += (recipe.penalty / np.concatenate(counts)).astype(np.float32)
    said = np.concatenate(wanted).astype(np.float32)
    text = no_text_mean.astype(np.float32)
    if said.shape[1] > dim:
        principal = np.linalg.eigh(said.T @ said)[1][:, ::-1][:, :dim]
        said, text = said @ principal, text @ principal
    answers = np.linalg.solve(near, said)
    return RegressionFit(KernelRegression(recipe.sharpness, mean, among, answers, pairs.towers), text)


def targets(pairs: PairFeatures, caption_share: float) -> NDArray[np.floating]:
    """What each picture's vector should say: its alt text mixed with its caption where it has one."""
    share = np.where(pairs.has_caption, caption_share, 0)[:, None]
    mixed: NDArray[np.floating] = pairs.alts * (1 - share) + pairs.captions * share
    return mixed


def without_direction(mean: NDArray[np.floating]) -> NDArray[np.float64]:
    """The matrix that removes a vector's direction and keeps everything at right angles to it."""
    direction = mean.astype(np.float64) / np.linalg.norm(mean)
    out: NDArray[np.float64] = np.eye(len(direction)) - np.outer(direction, direction)
    return out


def fit_network(
    regression: RegressionFit,
    pairs: PairFeatures,
    recipe: JointRecipe,
    classes: ClassFeatures | None,
    progress: Progress = lambda *_: None,
) -> NetworkFit:
    """The network whose output layer is nearest to the regression's directions on pictures and on mixtures of
    two. All of it is of one tower.

    Hidden units stand at the centres of clusters of pictures, so that each answers to its kind. Seeded by the recipe.
    """
    generator = np.random.default_rng(recipe.seed)
    dim = regression.pictures.answers.shape[1]
    mean = pairs.images.mean(0)
    length = np.float32(np.linalg.norm(pairs.images - mean, axis=1).mean())
    base = pairs.images
    if classes and recipe.class_share:
        base = np.concatenate([base, mean + length * classes.directions])
    centres = cluster(unit(base - mean), 2 * dim, generator)
    hidden = (recipe.slope / length) * centres
    bias = -np.float32(recipe.slope * recipe.threshold) - hidden @ mean

    # Sums over blocks instead of all mixtures at once: memory stays small whatever their number.
    units = 2 * dim
    sums, wanted_sum = np.zeros(units), np.zeros(dim)
    squares, cross = np.zeros((units, units)), np.zeros((units, dim))
    total = len(base) + recipe.mixtures
    for start in range(0, total, _BLOCK_ROWS):
        rows = np.arange(start, min(start + _BLOCK_ROWS, total))
        seen = np.concatenate([base[rows[rows < len(base)]], _mixed(base, int((rows >= len(base)).sum()), generator)])
        wanted = unit(regression.embed_images(seen)).astype(np.float64)
        active = gelu(seen @ hidden.T + bias).astype(np.float64)
        sums, wanted_sum = sums + active.sum(0), wanted_sum + wanted.sum(0)
        squares, cross = squares + active.T @ active, cross + active.T @ wanted
        progress("mixtures", int(rows[-1]) + 1, total)
    middle, wanted_middle = sums / total, wanted_sum / total
    covariance = squares - total * np.outer(middle, middle)
    covariance += recipe.smoothing * np.trace(covariance) / units * np.eye(units)
    out = np.linalg.solve(covariance, cross - total * np.outer(middle, wanted_middle)).T
    return NetworkFit(
        hidden.astype(np.float32),
        bias.astype(np.float32),
        out.astype(np.float32),
        (wanted_middle - out @ middle).astype(np.float32),
        regression.text,
    )


def cluster(directions: Array, count: int, generator: np.random.Generator) -> Array:
    """Centres (count, C) of unit length by spherical k-means (Dhillon and Modha, 2001); an empty one starts
    again at a random row.
    """
    first = np.arange(count) % len(directions) if len(directions) < count else None
    chosen = generator.choice(len(directions), count, replace=False) if first is None else first
    centres = directions[chosen]
    for _ in range(_CLUSTER_STEPS):
        nearest = (directions @ centres.T).argmax(1)
        sums = np.zeros_like(centres)
        np.add.at(sums, nearest, directions)
        empty = ~sums.any(1)
        sums[empty] = directions[generator.integers(0, len(directions), int(empty.sum()))]
        centres = unit(sums)
    return centres


def _mixed(images: Array, count: int, generator: np.random.Generator) -> Array:
    """Random pairs, anywhere between their two pictures, the nearer one first (mixup, arXiv:1710.09412)."""
    first, second = generator.integers(0, len(images), (2, count))
    share = generator.random((count, 1)).astype(np.float32)
    share = np.maximum(share, 1 - share)
    mixed: Array = images[first] * share + images[second] * (1 - share)
    return mixed
