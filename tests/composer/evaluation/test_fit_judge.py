"""What a judge adds to the search: one that knows keeps a weight, one that guesses or misleads gets none."""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from composer.commands import eval as eval_command
from composer.errors import UsageError
from composer.evaluation.choices import COUNT, sample_rows
from composer.evaluation.fit_judge import JudgedSlots, certainty, fit_judge, share, with_judge
from composer.evaluation.slot_filling import judge_random, judge_wanted, measure_wanted, wanted_pictures
from composer.pipeline.judge_fits import with_judge_fit
from composer.pipeline.prompts import load_prompts
from composer.settings import IllustrationSettings, Settings
from tests.composer.evaluation.test_selection import looking, number
from tests.composer.knowing import KnowingEncoder, gallery
from tests.composer.scripted_model import ScriptedModel
from vision.errors import DataError
from vision.interfaces import Prompt

SETTINGS = IllustrationSettings(judge_weight=0.5, min_fused=0.0)  # a blind search finds nothing fit
Scores = Callable[[Prompt, Sequence[str]], list[float]]


def judged(data: Path, scores: Scores, *, sees: bool = False) -> JudgedSlots:
    encoder = KnowingEncoder(sees=False, reads=False)
    images = gallery(data, encoder)
    library = images.without_texts() if sees else images
    wanted = wanted_pictures(library, encoder, sample_rows(images, 0, 0), random=3)
    model, prompts = ScriptedModel(lambda *_: "", scores), load_prompts("en")
    model.sees_images = sees
    seen = library if sees else None
    return JudgedSlots(
        wanted, judge_wanted(model, prompts, wanted, gallery=seen), judge_random(model, prompts, wanted, gallery=seen)
    )


def reading(prompt: Prompt, options: Sequence[str]) -> list[float]:
    """Says yes where the section's number is the candidate's, which stands behind the question."""
    wanted, told = number(prompt[1].text), number(prompt[-2].text.split("\n\n")[-1].replace("m", "n"))
    return [-0.1, -2.0] if wanted == told else [-2.0, -0.1]


@pytest.fixture
def data(data: Path) -> Path:
    """The articles with alt texts that share no word with the captions: only who reads them knows."""
    articles = data / "dev.jsonl"
    articles.write_text(articles.read_text().replace("Shows n", "Shows m"))
    return data


def lying(prompt: Prompt, options: Sequence[str]) -> list[float]:
    return reading(prompt, options)[::-1]


def agreeable(prompt: Prompt, options: Sequence[str]) -> list[float]:
    """Knows, and says yes to whatever it is shown."""
    yes, no = reading(prompt, options)
    return [yes + 5, no]


def test_the_fitted_share_goes_to_what_tells() -> None:
    generator = np.random.default_rng(0)
    truth = generator.integers(8, size=200)
    noise, signal = generator.normal(size=(200, 8)), generator.normal(size=(200, 8))
    signal[np.arange(200), truth] += 2
    assert share(np.stack([noise, signal], axis=2), truth) > 0.9
    assert share(np.stack([signal, noise], axis=2), truth) < 0.1


def test_random_pictures_are_none_of_the_slots_candidates(data: Path) -> None:
    for slot in judged(data, reading).wanted:
        assert len({candidate.record.id for candidate in (*slot.candidates, *slot.random)}) == COUNT + 4
        assert slot.figure.alt not in {candidate.record.alt for candidate in slot.random}


@pytest.mark.parametrize(("scores", "sees"), [(reading, False), (looking, True)])
def test_a_judge_that_knows_keeps_a_weight_and_its_gain_is_surely_above_0(
    data: Path, scores: Scores, sees: bool
) -> None:
    fit, measures = fit_judge(judged(data, scores, sees=sees), SETTINGS)
    assert fit.weight > 0.3
    assert fit.gain == measures["slot_first_gain"].value > 0
    assert fit.low > 0
    assert measures["slot_gain"].value > 0
    assert measures["judge_true_over_random"].value == 1
    assert measures["judge_weight"].reference == SETTINGS.judge_weight


@pytest.mark.parametrize("seed", range(3))
def test_a_judge_that_guesses_or_lies_is_given_no_weight(data: Path, seed: int) -> None:
    generator = np.random.default_rng(seed)
    guessing, _ = fit_judge(judged(data, lambda *_: generator.normal(size=2).tolist()), SETTINGS)
    assert guessing.weight < 0.1
    assert guessing.low <= 0
    false, _ = fit_judge(judged(data, lying), SETTINGS)
    assert false.weight == 0
    same, _ = fit_judge(judged(data, lambda *_: [-0.3, -1.3]), SETTINGS)
    assert same.weight == 0


def test_a_judge_that_says_yes_to_everything_is_calibrated_by_what_it_says_of_random_pictures(data: Path) -> None:
    slots = judged(data, agreeable)
    raw = replace(SETTINGS, judge_weight=1.0, min_fused=0.0001)
    fitted = replace(with_judge(slots, raw), judge_weight=1.0)
    before, after = (measure_wanted(slots.wanted, slots.verdicts, settings) for settings in (raw, fitted))
    assert before["slot_shown_though_removed"].value == 1
    assert after["slot_shown_though_removed"].value == 0
    assert after["slot_right_shown"].value == before["slot_right_shown"].value
    _, measures = fit_judge(slots, raw)
    assert measures["judge_yes_to_random"].reference == 1
    assert measures["judge_yes_to_random"].value == 0


def test_a_weight_is_shrunk_by_how_unsure_its_gain_is() -> None:
    sure, unsure = np.tile([0.4, 0.6], 50), np.tile([2.0, -1.8], 50)
    assert certainty(sure) > 0.99
    assert certainty(unsure) == 0
    assert 0 < certainty(np.tile([1.0, -0.5], 20)) < certainty(np.tile([1.0, -0.5], 200)) < 1
    assert certainty(-sure) == 0


def test_without_a_true_picture_nothing_can_be_fitted(data: Path) -> None:
    slots = judged(data, reading)
    lost = JudgedSlots([replace(slot, truth=None) for slot in slots.wanted], slots.verdicts, slots.random)
    with pytest.raises(DataError, match="none_found_to_fit"):
        fit_judge(lost, SETTINGS)


@pytest.mark.parametrize("scores", [reading, lying])
def test_the_command_keeps_what_it_fitted_for_the_profiles_models(
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    scores: Scores,
) -> None:
    monkeypatch.setenv("VIGNETTE_HOME", str(tmp_path))
    encoder, model = KnowingEncoder(sees=False, reads=False), ScriptedModel(lambda *_: "", scores)
    monkeypatch.setattr("composer.pipeline.loading.load_encoder", lambda settings: encoder)
    monkeypatch.setattr("composer.pipeline.loading.load_language_model", lambda settings: model)
    parser = argparse.ArgumentParser()
    eval_command.register(parser.add_subparsers())
    command = ["eval", "slots", "--data", str(data), "--limit", "0", "--json"]
    plain = Settings("test")

    args = parser.parse_args([*command, "--dry-run"])
    assert args.run(args) == 0
    capsys.readouterr()
    assert with_judge_fit(plain, model.identity, encoder.identity) == plain

    args = parser.parse_args(command)
    assert args.run(args) == 0
    printed = json.loads(capsys.readouterr().out)
    settings = with_judge_fit(plain, model.identity, encoder.identity)
    assert settings.pictures.judge_weight == pytest.approx(printed["judge_weight"]["value"], abs=1e-6)
    assert (settings.pictures.judge_weight > 0) is (scores is reading)
    assert settings.judge_fit is not None
    assert settings.judge_fit.gain == pytest.approx(printed["slot_first_gain"]["value"], abs=1e-6)

    own = replace(plain, pictures=replace(plain.pictures, fitted_judge=False))
    assert with_judge_fit(own, model.identity, encoder.identity) == own
    other = replace(model.identity, sha256="f" * 64)
    assert with_judge_fit(plain, other, encoder.identity) == plain
    (file,) = (tmp_path / "judges").iterdir()
    file.write_text('{"weight": "much"}')
    with pytest.raises(UsageError, match="judge_fit_unreadable"):
        with_judge_fit(plain, model.identity, encoder.identity)


def test_a_judge_that_is_asked_in_another_way_is_refused(data: Path, tmp_path: Path) -> None:
    profile = tmp_path / "own.toml"
    profile.write_text('[writer]\nkind = "xcomposer"\nmodel = "none"\n')
    parser = argparse.ArgumentParser()
    eval_command.register(parser.add_subparsers())
    args = parser.parse_args(["eval", "slots", "--data", str(data), "--profile", str(profile)])
    with pytest.raises(UsageError, match="judge_asked_otherwise"):
        args.run(args)
