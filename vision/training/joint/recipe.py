"""What a run of joint training does, as a frozen value read from TOML. Knows no data and no models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from vision.errors import DataError
from vision.joint_encoder.checkpoint import IMAGE_TOWER
from vision.joint_encoder.efficientnet import TOWERS
from vision.training.recipe_loading import demand_0_or_more, demand_a_share, demand_above_0, demand_one_of, load_recipe

ResizeMode = Literal["squash", "shortest", "longest"]
Head = Literal["linear", "mlp"]
QUERY_TOWERS = ("all-mpnet-base-v2",)


@dataclass(frozen=True, slots=True)
class JointRecipe:
    """How the joint encoder's projections are fitted.

    ``image_towers`` are the fetched towers that look at pictures, open_clip's first; several need ``keep_kernel``.
    ``query_tower`` is the fetched sentence encoder that reads what a picture should show ("": the text tower); it
    needs ``keep_kernel`` too.

    ``head`` is what pictures go through in open_clip: "linear" by ridge regression, "mlp" by a kernel and a network
    fitted to it; with ``keep_kernel`` Vignette itself goes through the kernel, and the network is for export alone.
    ``penalty`` is the ridge parameter of either, on unit-length image features; ``caption_share`` how much of a
    picture's target is its caption rather than its alt text; ``class_share`` how much a class of the tower's own
    classifier counts beside a picture (0 leaves classes out).

    Of "mlp" alone: ``sharpness`` of the kernel, ``mixtures`` of pictures it answers for the network, ``slope`` and
    ``threshold`` of hidden units, ``smoothing`` of the output layer, relative to the hidden units' mean variance.

    Of "linear" alone: the contrastive stage, which starts from the ridge solution; ``steps`` 0 leaves it out.
    ``feature_dropout`` and ``text_dropout`` are the parts of a feature vector that a step does not see; ``average``
    is the decay of the moving average of weights that is kept.

    Before either head the last ``tuned_layers`` of the text tower are tuned (``vision.training.joint.text_tower``; 0
    leaves it frozen): for ``tuned_epochs``, in batches of ``tuned_batch``. ``tuned_to_pixels`` is what a description
    owes to what pixels say of its picture, beside what it owes to the texts around it.
    """

    name: str
    seed: int = 0
    image_towers: tuple[str, ...] = (IMAGE_TOWER,)
    query_tower: str = ""
    resize_mode: ResizeMode = "squash"
    penalty: float = 3.0
    caption_share: float = 0.3
    class_share: float = 0.0
    head: Head = "linear"
    keep_kernel: bool = False
    sharpness: float = 4.0
    mixtures: int = 30_000
    slope: float = 3.0
    threshold: float = 0.1
    smoothing: float = 0.01
    steps: int = 0
    batch: int = 768
    accumulate: int = 1
    learning_rate: float = 3e-3
    text_learning_rate: float = 1e-4
    temperature: float = 0.05
    feature_dropout: float = 0.3
    text_dropout: float = 0.1
    caption_chance: float = 0.4
    average: float = 0.98
    tuned_layers: int = 0
    tuned_epochs: float = 1.0
    tuned_batch: int = 64
    tuned_learning_rate: float = 5e-5
    tuned_to_pixels: float = 0.0

    def __post_init__(self) -> None:
        demand_one_of(self, "resize_mode", get_args(ResizeMode))
        demand_one_of(self, "head", get_args(Head))
        if self.head == "mlp" and self.steps:
            raise DataError(f"recipe {self.name}: steps is {self.steps}; only a linear head has the contrastive stage")
        if self.keep_kernel and self.head != "mlp":
            raise DataError(f"recipe {self.name}: keep_kernel needs head = 'mlp', which is fitted through a kernel")
        if self.image_towers[:1] != (IMAGE_TOWER,) or len(set(self.image_towers)) < len(self.image_towers):
            raise DataError(
                f"recipe {self.name}: image_towers is {list(self.image_towers)}; "
                f"name {IMAGE_TOWER} first and each tower once"
            )
        for tower in self.image_towers:
            if tower not in TOWERS:
                raise DataError(f"recipe {self.name}: there is no image tower {tower!r}; known: {', '.join(TOWERS)}")
        demand_one_of(self, "query_tower", ("", *QUERY_TOWERS))
        if self.query_tower and not self.keep_kernel:
            raise DataError(f"recipe {self.name}: query_tower needs keep_kernel; open_clip has one text tower")
        if len(self.image_towers) > 1 and not self.keep_kernel:
            raise DataError(f"recipe {self.name}: several image_towers need keep_kernel; open_clip has one tower")
        demand_above_0(self, "penalty", "learning_rate", "temperature", "sharpness", "slope", "smoothing")
        demand_above_0(self, "tuned_epochs", "tuned_learning_rate")
        demand_a_share(self, "caption_share", "feature_dropout", "text_dropout", "caption_chance", "average")
        demand_0_or_more(self, "class_share", "mixtures", "steps", "text_learning_rate")
        demand_0_or_more(self, "tuned_layers", "tuned_to_pixels")
        if self.tuned_batch < 2:
            raise DataError(f"recipe {self.name}: tuned_batch is {self.tuned_batch}; a batch of texts needs at least 2")
        if self.accumulate < 1 or self.batch < 2 or self.batch % self.accumulate:
            raise DataError(
                f"recipe {self.name}: batch is {self.batch} and accumulate {self.accumulate}; "
                "the batch must be at least 2 and divide evenly"
            )


def load_joint_recipe(name_or_file: str) -> JointRecipe:
    """A shipped recipe by name, or a .toml file. Raises DataError naming what to change."""
    return load_recipe(name_or_file, JointRecipe, "joint-")
