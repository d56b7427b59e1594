"""Selection among eight: a judge that knows scores 1, one that does not stays near chance, and gains are real."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from composer.commands import eval as eval_command
from composer.evaluation.cached_model import ScoreCache
from composer.evaluation.choices import COUNT, NEGATIVES, make_choices, sample_rows, search_sections
from composer.evaluation.dataset import EvaluationGallery
from composer.evaluation.judges import Verdict
from composer.evaluation.selection import hits, judge_selection, measure_selection
from composer.evaluation.slot_filling import WantedPicture, judge_wanted, measure_wanted, wanted_pictures
from composer.pipeline.prompts import load_prompts
from composer.settings import IllustrationSettings
from tests.composer.knowing import KnowingEncoder, gallery
from tests.composer.scripted_model import ScriptedModel
from vision.errors import DataError
from vision.interfaces import Prompt
from vision.training.dataset import figures_of, read_articles

SETTINGS = IllustrationSettings(judge_weight=0.5)


def slots(data: Path, *, sees: bool) -> tuple[list[WantedPicture], list[Verdict]]:
    """The captions of all pictures as slots, and what a model that knows says of them.

    Either it reads what the search found by words, or it looks at what a blind search found in a library without any.
    """
    encoder = KnowingEncoder(sees=False, reads=False)
    images = gallery(data, encoder)
    library = images.without_texts() if sees else images
    wanted = wanted_pictures(library, encoder, sample_rows(images, 0, 0))
    model = ScriptedModel(lambda *_: "", looking if sees else reading)
    model.sees_images = sees
    return wanted, judge_wanted(model, load_prompts("en"), wanted, gallery=library if sees else None)


def number(text: str) -> str:
    return next((word.strip(".,") for word in text.split() if word[0] == "n" and word[1:].strip(".,").isdigit()), "")


def reading(prompt: Prompt, options: Sequence[str]) -> list[float]:
    """Says yes where section and candidate name the same number."""
    return [-0.1, -2.0] if number(prompt[1].text) == number(prompt[-2].text) else [-2.0, -0.1]


def looking(prompt: Prompt, options: Sequence[str]) -> list[float]:
    pictures = [part for part in prompt[-2].content if not isinstance(part, str)]
    seen = f"n{pictures[0].getpixel((0, 0))[0] // 10}" if pictures else "nothing"
    return [-0.1, -2.0] if number(prompt[1].text) == seen else [-2.0, -0.1]


def test_a_choice_holds_the_right_picture_once_and_seven_wrong_ones(data: Path) -> None:
    encoder = KnowingEncoder()
    images = gallery(data, encoder)
    rows = sample_rows(images, 10, seed=3)
    found = search_sections(images, encoder, [images.figures[row] for row in rows])
    for kind in NEGATIVES:
        choices = make_choices(images, rows, found, kind, seed=0)
        assert choices == make_choices(images, rows, found, kind, seed=0)
        for row, choice in zip(rows, choices, strict=True):
            assert len(set(choice.rows)) == COUNT
            assert choice.rows[choice.truth] == row
        assert len({choice.truth for choice in choices}) > 1


def test_look_alikes_are_the_nearest_in_the_joint_space(data: Path) -> None:
    encoder = KnowingEncoder()
    images = gallery(data, encoder)
    found = search_sections(images, encoder, [images.figures[0]])
    (choice,) = make_choices(images, [0], found, "look_alikes", seed=0)
    near = np.argsort(-(images.visual @ images.visual[0]))[:COUNT]
    assert set(choice.rows) == set(near.tolist())


def test_a_smaller_sample_begins_a_larger_one(data: Path) -> None:
    images = gallery(data, KnowingEncoder())
    assert sample_rows(images, 5, seed=1) == sample_rows(images, 9, seed=1)[:5]
    assert sorted(sample_rows(images, 0, seed=1)) == list(range(len(images.figures)))


def test_too_few_photographs_are_an_error(data: Path) -> None:
    encoder = KnowingEncoder()
    few = EvaluationGallery.encode(figures_of(read_articles(data, "dev"))[:5], encoder)
    with pytest.raises(DataError, match=r"^too_few_photographs: least=8, count=5$"):
        make_choices(few, [0], search_sections(few, encoder, few.figures[:1]), "random", 0)


def test_a_judge_that_reads_lifts_blind_retrieval_and_is_the_reference(data: Path) -> None:
    encoder = KnowingEncoder(sees=False, reads=False)
    images = gallery(data, encoder)
    rows = sample_rows(images, 0, seed=0)
    model = ScriptedModel(lambda *_: "", reading)
    judged, retrieval = judge_selection(images, encoder, rows, model=model)
    found = measure_selection(judged, SETTINGS)
    assert found["selection_texts_model"].value == found["selection_texts"].value == 1
    assert found["selection_texts"].reference == 1
    assert found["selection_texts_gain"].value == 0
    assert "selection_looking_model" not in found
    # What a classifier guesses is no ground for a judgement of the composer's: it goes by looks alone there.
    assert found["selection_pixels"].value == retrieval["selection_pixels_retrieval"].value == 0


def test_a_judge_that_sees_is_shown_pictures_alone_and_pictures_with_words(data: Path) -> None:
    encoder = KnowingEncoder(sees=False, reads=False)
    images = gallery(data, encoder)
    rows = sample_rows(images, 12, seed=0)
    model = ScriptedModel(lambda *_: "", looking)
    model.sees_images = True
    judged, _ = judge_selection(images, encoder, rows, model=model)
    found = measure_selection(judged, SETTINGS)
    assert found["selection_looking_model"].value == found["selection_pixels"].value == 1
    assert found["selection_texts_model"].value == 0  # by words it cannot tell, and ties count against it
    assert found["selection_texts"].value == found["selection_texts_gain"].value == 1
    pixels_only = model.asked[12 * COUNT]
    assert [part for part in pixels_only[-2].content if not isinstance(part, str)]
    assert "Shows" not in pixels_only[-2].text


def test_a_judge_that_guesses_stays_near_chance(data: Path) -> None:
    encoder = KnowingEncoder(sees=False, reads=False)
    images = gallery(data, encoder)
    generator = np.random.default_rng(0)
    model = ScriptedModel(lambda *_: "", lambda prompt, options: generator.normal(size=2).tolist())
    judged, _ = judge_selection(images, encoder, sample_rows(images, 0, 0), model=model)
    chance = measure_selection(judged, SETTINGS)["selection_texts_model"]
    assert chance.low <= 1 / COUNT <= chance.high


def test_ties_count_against_the_right_picture(data: Path) -> None:
    images = gallery(data, KnowingEncoder())
    found = search_sections(images, KnowingEncoder(), [images.figures[0]])
    choices = make_choices(images, [0], found, "random", 0)
    assert hits(choices, [np.ones(COUNT)]).tolist() == [0.0]


def test_a_slot_is_what_a_caption_wants_and_its_candidates_are_the_searchs_best(data: Path) -> None:
    wanted, _ = slots(data, sees=False)
    told = [figure for figure in figures_of(read_articles(data, "dev")) if figure.caption]
    assert {slot.figure.image for slot in wanted} == {figure.image for figure in told}
    for slot in wanted:
        assert len({candidate.record.id for candidate in slot.candidates}) == COUNT + 1
        assert [c.fused for c in slot.candidates] == sorted((c.fused for c in slot.candidates), reverse=True)
        assert slot.candidates[slot.truth].record.alt == f"Shows {number(slot.figure.caption)}"


def test_a_judge_that_knows_puts_the_right_picture_first_and_leaves_slots_empty_without_it(data: Path) -> None:
    wanted, verdicts = slots(data, sees=True)
    within = np.mean([slot.truth is not None and slot.truth < COUNT for slot in wanted])
    assert 0.2 < within < 0.9  # a search that is blind finds eight of 24
    found = measure_wanted(wanted, verdicts, replace(SETTINGS, min_fused=0.0))
    assert found["slot_first"].value == pytest.approx(within)
    assert found["slot_first"].reference < within
    assert found["slot_first_gain"].value == pytest.approx(found["slot_first"].value - found["slot_first"].reference)
    assert found["slot_none_auc"].value > found["slot_none_auc"].reference == pytest.approx(0.5, abs=0.05)
    assert found["slot_right_shown"].value == pytest.approx(within)


def test_what_the_search_finds_unfit_is_never_shown_whatever_the_judge_says(data: Path) -> None:
    wanted, verdicts = slots(data, sees=False)
    found = measure_wanted(wanted, verdicts, replace(SETTINGS, min_fused=1.0))
    assert found["slot_right_shown"].value == found["slot_wrong_shown"].value == 0
    assert found["slot_shown_though_removed"].value == 0
    assert found["slot_first"].value == 1


def test_the_command_measures_slots_as_well(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VIGNETTE_HOME", str(tmp_path))
    monkeypatch.setattr("composer.pipeline.loading.load_encoder", lambda settings: KnowingEncoder())
    monkeypatch.setattr(
        "composer.pipeline.loading.load_language_model", lambda settings: ScriptedModel(lambda *_: "", reading)
    )
    parser = argparse.ArgumentParser()
    eval_command.register(parser.add_subparsers())
    args = parser.parse_args(["eval", "selection", "--data", str(data), "--limit", "0", "--json"])
    assert args.run(args) == 0
    measured = json.loads(capsys.readouterr().out)
    assert measured["slot_first"]["value"] == measured["selection_texts_model"]["value"] == 1


def test_remembered_scores_ask_only_what_is_new_and_survive_a_kill(tmp_path: Path) -> None:
    from vision.interfaces import Message

    file = tmp_path / "scores.jsonl"
    model = ScriptedModel(lambda *_: "", lambda prompt, options: [float(len(o)) for o in options])
    prompts = [(Message.of("user", "a"),), (Message.of("user", "b"),)]
    first = ScoreCache(model, file).score_batch(prompts, [["x", "yy"]] * 2)
    assert first == [[1.0, 2.0]] * 2
    assert len(model.asked) == 2
    file.write_text(file.read_text() + '\n{"key": "cut o')
    again = ScoreCache(model, file)
    assert again.score_batch([*prompts, (Message.of("user", "c"),)], [["x", "yy"]] * 3) == [[1.0, 2.0]] * 3
    assert len(model.asked) == 3
    assert ScoreCache(model, file).score(prompts[0], ["x", "z"]) == [1.0, 1.0]  # other options are asked
    assert len(model.asked) == 4


def test_the_command_measures_without_a_judge(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VIGNETTE_HOME", str(tmp_path))
    monkeypatch.setattr("composer.pipeline.loading.load_encoder", lambda settings: KnowingEncoder())
    parser = argparse.ArgumentParser()
    eval_command.register(parser.add_subparsers())
    args = parser.parse_args(["eval", "selection", "--data", str(data), "--no-judge", "--limit", "6", "--json"])
    assert args.run(args) == 0
    out = json.loads(capsys.readouterr().out)
    assert out["selection_texts"]["value"] == 1
    assert "reference" not in out["selection_texts"]
    assert out["selection_random_pixels_retrieval"] == {
        "value": 1.0, "unit": "fraction", "reference": 0.125, "ratio": 8.0, "interval": [1.0, 1.0],
    }  # fmt: skip
