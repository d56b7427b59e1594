"""What a run of joint training does, as a frozen value read from TOML."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from vision.errors import DataError
from vision.joint_encoder.checkpoint import IMAGE_TOWER
from vision.joint_encoder.efficientnet import TOWERS
from vision.training.recipe_loading import check_bounds, check_choice, load_recipe

ResizeMode = Literal["squash", "shortest", "longest"]
QUERY_TOWERS = ("all-mpnet-base-v2",)


@dataclass(frozen=True, slots=True)
class JointRecipe:
    """How the joint encoder is fitted on top of its towers.

    ``image_towers`` are the fetched towers that look at pictures, open_clip's first. ``query_tower`` is the fetched
    sentence encoder that reads what a picture should show ("": the text tower).

    ``penalty`` is the ridge parameter, on unit-length image features; ``caption_share`` how much of a picture's target
    is its caption rather than its alt text; ``class_share`` how much a class of the towers' own classifiers counts
    beside a picture (0 leaves classes out); ``sharpness`` how fast the regression forgets an example with the angle.

    Of the network that open_clip reads: ``mixtures`` of pictures the regression answers for it, ``slope`` and
    ``threshold`` of hidden units, ``smoothing`` of the output layer, relative to the hidden units' mean variance.

    First the last ``tuned_layers`` of the text tower are tuned (``vision.training.joint.text_tower``; 0 leaves it
    frozen): for ``tuned_epochs``, in batches of ``tuned_batch``. ``tuned_to_pixels`` is what a description owes to what
    pixels say of its picture, beside what it owes to the texts around it.
    """

    name: str
    seed: int = 0
    image_towers: tuple[str, ...] = (IMAGE_TOWER,)
    query_tower: str = ""
    resize_mode: ResizeMode = "squash"
    penalty: float = 0.5
    caption_share: float = 0.3
    class_share: float = 0.0
    sharpness: float = 4.0
    mixtures: int = 15_000
    slope: float = 3.0
    threshold: float = 0.1
    smoothing: float = 0.01
    tuned_layers: int = 0
    tuned_epochs: float = 1.0
    tuned_batch: int = 64
    tuned_learning_rate: float = 5e-5
    tuned_to_pixels: float = 0.0

    def __post_init__(self) -> None:
        check_choice(self, "resize_mode", get_args(ResizeMode))
        check_choice(self, "query_tower", ("", *QUERY_TOWERS))
        if self.image_towers[:1] != (IMAGE_TOWER,) or len(set(self.image_towers)) < len(self.image_towers):
            raise DataError("recipe_towers", recipe=self.name, image_towers=list(self.image_towers), first=IMAGE_TOWER)
        for tower in self.image_towers:
            if tower not in TOWERS:
                raise DataError("recipe_choice", recipe=self.name, setting="image_towers", value=tower, known=[*TOWERS])
        check_bounds(self, "penalty sharpness slope smoothing tuned_epochs tuned_learning_rate", above=0)
        check_bounds(self, "class_share mixtures tuned_layers tuned_to_pixels", at_least=0)
        check_bounds(self, "caption_share", at_least=0, below=1)
        check_bounds(self, "tuned_batch", at_least=2)


def load_joint_recipe(name_or_file: str) -> JointRecipe:
    """A shipped recipe by name, or a .toml file. Raises DataError naming what to change."""
    return load_recipe(name_or_file, JointRecipe, "joint-")
