"""What a training run of the joint encoder reports, and the model card written from it."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from vision.training.joint.recipe import JointRecipe


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """``unseen_books`` is the mean over folds of books in galleries of about 245 pictures, ``development`` among all
    pictures of the dev split, empty where the data have none. ``exported`` are the same two of the network that
    open_clip reads.
    """

    recipe: JointRecipe
    figures: int
    books: int
    unseen_books: dict[str, float]
    development_figures: int
    development: dict[str, float]
    exported: dict[str, dict[str, float]]
    feature_seconds: float
    fit_seconds: float


_CARD = """\
# vignette-joint

Texts and pictures in one space of 384 dimensions. Pictures are seen by {image_towers};
what they should show is read by {query_tower}; sentences are compared by all-MiniLM-L6-v2.
`trained.safetensors` holds the trained parts alone: a kernel regression over the training pictures (for each the
towers' features in bytes and what it answers in half precision), a projection of queries, a two-layer network fitted to
it for programs that read open_clip, a text projection{tuned}.
The towers are fetched by `vignette models pull`. `vignette train joint --export DIR` writes one plain open_clip
checkpoint, a `CustomTextCLIP` of timm's `tf_efficientnet_lite2` and all-MiniLM-L6-v2, with the network
instead of the regression.

- **Data:** {figures} captioned photographs from {books} OpenStax books, CC BY 4.0 (openstax.org), alt texts and
  captions with credit lines removed{classes}. Pictures and texts are not part of these
  weights' files.
- **Licence:** of the trained parts Apache-2.0, as the project; of all towers Apache-2.0.
- **Recipe:** `{name}`: {settings}.
  {frozen} {feature_seconds:.0f} s of features
  (little where they were cached) and {fit_seconds:.0f} s of fitting, folds included.
- **Use:** finding photographs by English descriptions, fused with the texts a library has.

## Figures

Query to picture; in the last two columns query to alt text, without pixels. Unseen books: mean of {folds} folds cut
between books, each measured by a fit without it, galleries of about 245 pictures. Settings were chosen by folds. Dev:
all {development_figures} photographs of two further books.

| set | alt R@1 | alt R@10 | caption R@1 | caption R@10 | caption → alt text R@1 | section → alt text MRR@10 |
|---|---|---|---|---|---|---|
{rows}

What limits these figures, with learning curves: docs/research/joint-encoder.md.

## Limits

- Sees what an ImageNet classifier sees: animals, tools, food, vehicles, places. People's identities, written
  words, counts and relations between things ("the dog behind the fence") are mostly beyond it.
- Reads English only. Similarities are small numbers; compare them with each other, not with those of another CLIP.
- {figures} textbook pictures lean towards the United States, science, history and politics.
- A few photographs appear in several books; about 1 in 20 training pictures has a near twin in another book.
"""

_COLUMNS = ("alt_r1", "alt_r10", "caption_r1", "caption_r10", "caption_text_r1", "section_text_mrr10")


def model_card(report: TrainingReport) -> str:
    recipe = report.recipe
    settings = {key: value for key, value in asdict(recipe).items() if key != "name"}
    if not recipe.tuned_layers:
        settings = {key: value for key, value in settings.items() if not key.startswith("tuned_")}
    rows = _rows(report.unseen_books, report.development, report.development_figures)
    exported = report.exported
    rows += _rows(
        exported["unseen_books"], exported.get("development", {}), report.development_figures, ", the network"
    )
    return _CARD.format(
        image_towers=", ".join(recipe.image_towers),
        query_tower=recipe.query_tower or "the text tower",
        tuned=f", and the last {recipe.tuned_layers} layers of the text tower" if recipe.tuned_layers else "",
        frozen="Image towers frozen." if recipe.tuned_layers else "Towers frozen.",
        folds="two" if recipe.tuned_layers else "five",
        figures=f"{report.figures:,}",
        books=report.books,
        classes="; the tower's 1,000 ImageNet\n  classes with WordNet's descriptions" if recipe.class_share else "",
        name=recipe.name,
        settings=", ".join(f"{key} {_plain(value)}" for key, value in settings.items()),
        feature_seconds=report.feature_seconds,
        fit_seconds=report.fit_seconds,
        development_figures=report.development_figures,
        rows="\n".join(rows),
    )


def _plain(value: object) -> str:
    return " + ".join(map(str, value)) if isinstance(value, tuple) else str("none" if value == "" else value)


def _rows(unseen: dict[str, float], development: dict[str, float], figures: int, which: str = "") -> list[str]:
    rows = [_row(f"unseen books{which}", unseen)]
    if development:
        rows.append(_row(f"dev ({figures}){which}", development))
    return rows


def _row(name: str, figures: dict[str, float]) -> str:
    return f"| {name} | " + " | ".join(f"{figures[key]:.3f}" if key in figures else "–" for key in _COLUMNS) + " |"
