"""Boundary scores: learned from examples, the same for the same text, of use in Chinese, and whole in a file."""

import numpy as np
import pytest

from composer.article.model import Section
from composer.errors import ComposerError
from composer.evaluation.fit_placement import Illustrated, fit_boundaries
from composer.pipeline.placement_model import (
    FEATURES,
    REFERENCE,
    HeadedText,
    PlacementModel,
    features,
    passages_of,
    shipped_placement_model,
    without_references,
)
from vision.errors import DataError

PLAIN = "Some thirty plain words would stand here in a real text, and these few stand for them."


@pytest.mark.parametrize(
    "text", ["As Figure 3 shows.", "An old tower ().", "see Fig. 2", "如图所示，塔很高。", "见图3。", "figures above"]
)
def test_references_to_figures_are_known(text: str) -> None:
    assert REFERENCE.search(text)
    assert not REFERENCE.search(without_references(HeadedText(text)).text)


@pytest.mark.parametrize("text", ["He figured it out.", "The figure of a man", "f(x) is a function", "地图上"])
def test_other_words_are_no_references(text: str) -> None:
    assert not REFERENCE.search(text)


def test_features_tell_what_they_name() -> None:
    rows = features(
        [
            HeadedText(PLAIN),
            HeadedText("Born in 1879 in Ulm, Einstein (Figure 1) said:", headed=True),
            HeadedText("E = mc2"),
        ]
    )
    assert rows.shape == (3, len(FEATURES))
    of = {name: rows[:, i].tolist() for i, name in enumerate(FEATURES)}
    assert of["first"] == [1, 0, 0]
    assert of["last"] == [0, 0, 1]
    assert of["headed"] == [0, 1, 0]
    assert of["next_headed"] == [1, 0, 0]
    assert of["reference"] == [0, 1, 0]
    assert of["next_reference"] == [1, 0, 0]
    assert of["earlier_reference"] == [0, 0, 1]
    assert of["first_without_references"] == [0, 0, 0]
    assert of["lead_in"] == [0, 1, 0]
    assert of["years"] == [0, 1, 0]
    assert of["symbols"] == [0, 0, 1]
    assert np.isfinite(rows).all()


def test_sections_become_passages_without_their_headings() -> None:
    assert passages_of([Section("## Head\n\nA *word*."), Section("More.")]) == [
        HeadedText("A word.", True),
        HeadedText("More."),
    ]


def test_what_decides_the_examples_is_learned() -> None:
    """Pictures stand wherever a paragraph is long; position and everything else is noise."""
    generator = np.random.default_rng(0)
    articles = []
    for _ in range(60):
        long = int(generator.integers(8))
        passages = [
            HeadedText(" ".join(["word"] * (120 if i == long else int(generator.integers(10, 40))))) for i in range(8)
        ]
        articles.append(Illustrated(tuple(passages), (long,)))
    scorer = fit_boundaries(articles[:40], ridge=0.1)
    assert all(int(scorer.scores(a.passages).argmax()) == a.places[0] for a in articles[40:])


def test_no_examples_are_an_error() -> None:
    with pytest.raises(DataError, match="no_illustrated_articles"):
        fit_boundaries([Illustrated((HeadedText("x"),), ())])


def test_weights_survive_the_file_and_others_are_refused() -> None:
    scorer = shipped_placement_model()
    again = PlacementModel.from_json(scorer.as_json())
    passages = [HeadedText(PLAIN), HeadedText(PLAIN * 3), HeadedText("Short.")]
    assert again.scores(passages).tolist() == scorer.scores(passages).tolist()
    with pytest.raises(ComposerError) as caught:
        PlacementModel.from_json('{"first": {"centre": 0, "scale": 1, "weight": 1}}')
    assert caught.value.key == "placement_weights_old"


@pytest.mark.parametrize(
    ("plain", "referring"),
    [
        (PLAIN * 3, PLAIN * 3 + " It is old (Figure 2)."),
        ("这座塔很古老，很多人来看。" * 6, "这座塔很古老，很多人来看。" * 6 + "如图2所示。"),
    ],
)
def test_the_shipped_weights_follow_references_in_both_languages(plain: str, referring: str) -> None:
    scores = shipped_placement_model().scores(
        [HeadedText(plain), HeadedText(plain), HeadedText(referring), HeadedText(plain)]
    )
    assert int(scores.argmax()) == 2


def test_an_empty_text_has_no_scores() -> None:
    assert shipped_placement_model().scores([]).tolist() == []
