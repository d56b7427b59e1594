"""Placement, order and leaving places empty: measures worked out by hand, and systems whose worth is known."""

import argparse
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from composer.commands import eval as eval_command
from composer.evaluation.abstention import Asked, ask_with_and_without, auc, fit_min_fused, measure_abstention
from composer.evaluation.dataset import EvaluationGallery
from composer.evaluation.placement import Task, learned_placer, measure_placement, ruled_placer, tasks_of
from composer.evaluation.placement_baselines import RULES, at_references, evenly_spaced, every_third, from_the_start
from composer.evaluation.sequence_metrics import edit_similarity, f1_within, kendall_agreement
from composer.evaluation.whole_article import measure_illustration
from composer.pipeline.placement_model import HeadedText, PlacementModel
from composer.settings import IllustrationSettings
from tests.composer.knowing import COUNT, KnowingEncoder, write_articles
from vision.training.dataset import TrainingArticle, TrainingBlock, figures_of, read_articles

TEN = tuple(HeadedText(f"HeadedText {i} says something.") for i in range(10))


@pytest.mark.parametrize(
    ("answer", "reference", "edit", "kendall"),
    [
        ("abcd", "abcd", 1, 1),
        ("", "", 1, 1),  # nothing to show, nothing shown: the published code divides by zero
        ("a", "", 0, 0),  # and here too
        ("", "ab", 0, 0),
        ("dcba", "abcd", 0, 0),
        ("acbd", "abcd", 0.5, 5 / 6),
        ("ab", "abcd", 0.5, 1 / 6),  # published: Kendall 1, though half is missing
        ("abcd", "ab", 0.5, 1 / 6),
        ("aaa", "a", 1 / 3, 0),  # published: Kendall 1
        ("a", "a", 1, 1),
        ("b", "a", 0, 0),
        ("abab", "ab", 0.5, 1 / 6),
        ("xaby", "ab", 0.5, 1 / 6),
    ],
)
def test_edit_and_kendall_by_hand(answer: str, reference: str, edit: float, kendall: float) -> None:
    assert edit_similarity(answer, reference) == pytest.approx(edit)
    assert kendall_agreement(answer, reference) == pytest.approx(kendall)


@given(st.lists(st.integers(0, 5), max_size=7), st.lists(st.integers(0, 5), unique=True, max_size=7))
def test_order_measures_stay_in_their_range_and_are_full_for_the_truth_alone(
    answer: list[int], true: list[int]
) -> None:
    for measure in (edit_similarity, kendall_agreement):
        assert 0 <= measure(answer, true) <= 1
        assert measure(true, true) == 1
    assert (edit_similarity(answer, true) == 1) == (answer == true)


@pytest.mark.parametrize(
    ("predicted", "true", "exact", "within1"),
    [
        ([1, 5], [1, 5], 1, 1),
        ([2, 6], [1, 5], 0, 1),
        ([1, 2], [1, 1], 0.5, 1),  # two pictures at one place want two answers
        ([0, 1, 2], [1], 0.5, 0.5),
        ([4], [1, 3], 0, 2 / 3),
        ([], [], 1, 1),
        ([], [3], 0, 0),
        ([1, 2], [0, 1], 0.5, 1),  # the earliest match must not take what a later position needs
    ],
)
def test_f1_of_positions_by_hand(predicted: list[int], true: list[int], exact: float, within1: float) -> None:
    assert f1_within(predicted, true, 0) == pytest.approx(exact)
    assert f1_within(predicted, true, 1) == pytest.approx(within1)


@given(st.integers(1, 30), st.integers(1, 12))
def test_rules_give_as_many_distinct_places_as_there_are(n: int, count: int) -> None:
    passages = [HeadedText("word " * (i % 5 + 1)) for i in range(n)]
    for rule in RULES.values():
        places = rule(passages, count)
        assert places == sorted(set(places))
        assert set(places) <= set(range(n))
        assert len(places) == min(n, count)


def test_rules_place_where_they_say() -> None:
    assert evenly_spaced(TEN, 2) == [1, 7]
    assert from_the_start(TEN, 2) == [0, 5]
    assert every_third(TEN, 3) == [0, 3, 6]
    referring = (*TEN[:4], HeadedText("As Figure 2 shows."), *TEN[5:8], HeadedText("An old tower ()."), TEN[9])
    assert at_references(referring, 1) == [4]
    assert at_references(referring, 3) == [0, 4, 8]


def task(*before: int, passages: tuple[HeadedText, ...] = TEN) -> Task:
    return Task("Title", passages, before)


def test_a_perfect_placer_scores_one_and_is_judged_against_the_best_rule() -> None:
    tasks = [task(3, 8), task(5)]
    truth = {len(t.before): [b - 1 for b in t.before] for t in tasks}
    found = measure_placement(tasks, lambda _, passages, n: truth[n])
    assert found["placement_f1"].value == found["placement_f1_within1"].value == 1
    assert found["placement_f1_within1"].reference == found["placement_references_f1_within1"].value
    assert (
        found["placement_unreferenced_f1_within1"].reference
        == found["placement_unreferenced_every_third_f1_within1"].value
    )
    # Both of the first article's are one off (2 and 8 for 3 and 8: one exact), the second's 5 is met.
    assert found["placement_evenly_f1"].value == pytest.approx((0.5 + 1) / 2)
    assert found["placement_evenly_f1_within1"].value == 1


def test_a_picture_before_the_text_is_met_within_one_only() -> None:
    found = measure_placement([task(0)], lambda *_: [0])
    assert (found["placement_f1"].value, found["placement_f1_within1"].value) == (0, 1)
    assert task(0).illustrated.places == (0,)


def test_the_learned_placer_keeps_count_and_room() -> None:
    scorer = PlacementModel(np.zeros(31), np.ones(31), np.zeros(31))
    places = learned_placer(scorer)("", [HeadedText("x")] * 40, 4)
    assert len(places) == 4
    assert min(b - a for a, b in itertools.pairwise(places)) >= 2


def test_articles_become_tasks_with_headings_and_true_positions() -> None:
    picture = TrainingBlock("figure", image=Path("x.png"))
    words = [TrainingBlock("paragraph", text=f"p{i}") for i in range(3)]
    blocks = (picture, words[0], TrainingBlock("heading", text="H"), picture, words[1], words[2], picture)
    tasks = tasks_of([TrainingArticle("a", "b", "T", blocks), TrainingArticle("c", "b", "T", tuple(words))])
    assert [t.before for t in tasks] == [(0, 1, 3)]
    assert [passage.headed for passage in tasks[0].passages] == [False, True, False]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_articles(folder)
    rows = []
    for i in range(0, COUNT, 4):  # four pictures an article, each after its own paragraph
        blocks = []
        for j in range(i, i + 4):
            blocks += [{"type": "paragraph", "text": f"All about n{j}"}]
            blocks += [{"type": "figure", "image": f"{j}.png", "alt": f"Shows n{j}", "caption": f"Said of n{j}"}]
        rows.append({"id": str(i), "book": "b", "title": "Title", "blocks": blocks})
    (folder / "four.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


def test_who_knows_every_picture_shows_all_in_the_author_s_order(data: Path) -> None:
    encoder = KnowingEncoder()
    articles = read_articles(data, "four")
    images = EvaluationGallery.encode(figures_of(articles), encoder)
    found = measure_illustration(
        articles, images, encoder, ruled_placer(evenly_spaced), IllustrationSettings(min_fused=0.01)
    )
    assert {name: m.value for name, m in found.items()} == {
        "placement_edit": 1, "placement_kendall": 1, "placement_own_edit": 1, "placement_own_kendall": 1,
    }  # fmt: skip
    empty = measure_illustration(
        articles, images, encoder, ruled_placer(evenly_spaced), IllustrationSettings(min_fused=1.0)
    )
    assert empty["placement_edit"].value == 0  # nothing passes the threshold ...
    assert empty["placement_own_edit"].value == 1  # ... but what must appear does


def test_who_knows_every_picture_tells_present_from_removed(data: Path) -> None:
    encoder = KnowingEncoder()
    images = EvaluationGallery.encode(figures_of(read_articles(data, "four")), encoder)
    asked = ask_with_and_without(images, encoder)
    assert asked.right.all()
    assert asked.present.min() > asked.removed.max()
    threshold = fit_min_fused(asked)
    found = measure_abstention(asked, threshold)
    assert (
        found["none_auc"].value == found["none_empty_when_removed"].value == found["none_right_when_present"].value == 1
    )
    assert found["none_empty_when_present"].value == found["none_wrong_when_present"].value == 0


def test_who_sees_and_reads_nothing_is_at_chance_about_none() -> None:
    generator = np.random.default_rng(0)
    asked = Asked(generator.random(400), generator.random(400) < 0.1, generator.random(400))
    assert measure_abstention(asked, 0.5)["none_auc"].value == pytest.approx(0.5, abs=0.06)
    assert fit_min_fused(asked) > 0.9  # showing costs more than it brings
    assert auc([1, 2], [1, 0]) == pytest.approx(0.875)


def test_the_command_fits_weights_and_measures_with_them(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VIGNETTE_HOME", str(tmp_path))
    monkeypatch.setattr("composer.pipeline.loading.load_encoder", lambda settings: KnowingEncoder())
    parser = argparse.ArgumentParser()
    eval_command.register(parser.add_subparsers())
    shared = ["eval", "placement", "--data", str(data), "--split", "four", "--json"]
    args = parser.parse_args([*shared, "--fit", str(tmp_path / "b.json")])
    assert args.run(args) == 0
    assert set(json.loads(capsys.readouterr().out)) == {"min_fused"}
    args = parser.parse_args([*shared, "--boundaries", str(tmp_path / "b.json")])
    assert args.run(args) == 0
    out = json.loads(capsys.readouterr().out)
    assert out["placement_f1"]["value"] == 1  # a picture after every paragraph
    assert {"placement_f1_within1", "placement_edit", "placement_kendall", "none_auc"} <= set(out)


def test_the_pictures_are_of_the_small_world(data: Path) -> None:
    """The fixture's own ground truth: a colour a number."""
    assert Image.open(data / "3.png").getpixel((0, 0)) == (35, 0, 0)
