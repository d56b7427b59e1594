"""What a run of caption training does, as a frozen value read from TOML."""

from __future__ import annotations

from dataclasses import dataclass

from vision.training.recipe_loading import StepsRecipe, check_bounds, load_recipe


@dataclass(frozen=True, slots=True)
class CaptionRecipe(StepsRecipe):
    """``lead`` is what the language model reads before the first word; ``width`` and ``dropout`` are of the bridge's
    hidden layer. ``text_epochs`` go over texts' own vectors with noise, the ``epochs`` after them over pictures'
    vectors, to which ``jitter`` a number is added. A token counts as a word of drafts, and a word as a tag, where
    ``token_texts`` and ``tag_pictures`` of them have it; ``tag_penalty`` is the ridge parameter of tags, ``tag_rarity``
    how much rare ones are favoured, 0 to 1.
    """

    lead: str = "A photograph of:"
    width: int = 1024
    dropout: float = 0.3
    text_epochs: float = 3.0
    jitter: float = 0.015
    token_texts: int = 2
    tag_pictures: int = 5
    tag_penalty: float = 30.0
    tag_rarity: float = 0.4

    def __post_init__(self) -> None:
        super(CaptionRecipe, self).__post_init__()  # slots make a new class, which super() alone misses
        check_bounds(self, "width token_texts tag_pictures", at_least=1)
        check_bounds(self, "text_epochs jitter tag_rarity", at_least=0)
        check_bounds(self, "dropout", at_least=0, below=1)
        check_bounds(self, "tag_penalty", above=0)


def load_caption_recipe(name_or_file: str) -> CaptionRecipe:
    """A shipped recipe by name, or a .toml file. Raises DataError naming what to change."""
    return load_recipe(name_or_file, CaptionRecipe, "captions-")
