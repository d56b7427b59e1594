"""The evaluation tells good encoders from bad ones, judges against the right baseline, and prints what it promises."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL.Image import Image

from composer.commands import eval as eval_command
from composer.commands.terminal import measure_table
from composer.evaluation.dataset import EvaluationGallery
from composer.evaluation.drafts import measure_drafts
from composer.evaluation.report import Measure, as_json
from composer.evaluation.retrieval import REFERENCE_DATA, measure_retrieval, measure_sections
from tests.composer.knowing import COUNT, KnowingEncoder, gallery
from vision.bridge.drafting import CaptionDraft
from vision.errors import DataError
from vision.images import load_image
from vision.interfaces import JointEncoder
from vision.training.dataset import figures_of, read_articles


def test_an_encoder_that_knows_everything_finds_everything(data: Path) -> None:
    encoder = KnowingEncoder()
    assert isinstance(encoder, JointEncoder)
    found = measure_retrieval(gallery(data, encoder), encoder, "") | measure_sections(
        gallery(data, encoder), encoder, ""
    )
    for name, measure in found.items():
        assert measure.value == 1, name


def test_an_encoder_that_sees_nothing_is_worth_nothing_by_pixels(data: Path) -> None:
    encoder = KnowingEncoder(sees=False)
    found = measure_retrieval(gallery(data, encoder), encoder, "")
    assert found["joint_alt_r10"].value == 0  # equal pictures rank last, not first
    assert found["joint_alt_median_rank"].value == COUNT
    assert found["text_caption_r1"].value == 1


def test_fused_search_is_judged_against_texts_alone(data: Path) -> None:
    encoder = KnowingEncoder(reads=False)
    images = gallery(data, encoder)
    retrieval, sections = measure_retrieval(images, encoder, ""), measure_sections(images, encoder, "")
    for figure in ("r1", "r5", "r10", "median_rank"):
        assert retrieval[f"fused_caption_{figure}"].reference == retrieval[f"text_caption_{figure}"].value
        assert retrieval[f"text_caption_{figure}"].reference is None
    for figure in ("mrr10", "r1", "r10"):
        assert sections[f"section_{figure}"].reference == sections[f"section_texts_{figure}"].value
    assert retrieval["fused_caption_r1"].value > retrieval["text_caption_r1"].value


def test_published_references_belong_to_their_data_only(data: Path) -> None:
    encoder = KnowingEncoder()
    assert measure_retrieval(gallery(data, encoder), encoder, "")["joint_alt_r1"].reference is None
    measure = measure_retrieval(gallery(data, encoder), encoder, REFERENCE_DATA)["joint_alt_r1"]
    assert (measure.reference, measure.ratio) == (0.257, pytest.approx(1 / 0.257))


def test_json_is_one_object_of_value_unit_reference_and_ratio() -> None:
    text = as_json({"a": Measure(0.5, "fraction", 0.25, 0.4, 0.6), "b": Measure(2.0, "rank")})
    assert json.loads(text) == {
        "a": {"value": 0.5, "unit": "fraction", "reference": 0.25, "ratio": 2.0, "interval": [0.4, 0.6]},
        "b": {"value": 2.0, "unit": "rank"},
    }
    assert "\n" not in text
    assert measure_table({"a": Measure(0.5, "fraction", 0.25, 0.4, 0.6)}).splitlines()[1].split() == [
        "a", "0.500", "fraction", "0.400", "to", "0.600", "0.250", "2.00",
    ]  # fmt: skip
    assert len(measure_table({"b": Measure(2.0, "rank")}).splitlines()[0].split()) == 2, "empty columns are left out"


def test_the_command_prints_the_result_alone_on_stdout(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VIGNETTE_HOME", str(tmp_path))
    monkeypatch.setattr("composer.pipeline.loading.load_encoder", lambda settings: KnowingEncoder())
    parser = argparse.ArgumentParser()
    eval_command.register(parser.add_subparsers())
    args = parser.parse_args(["eval", "retrieval", "--data", str(data), "--json"])
    assert args.run(args) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["joint_alt_r1"]["value"] == 1
    assert f"pictures: {COUNT}/{COUNT}" in captured.err
    missing = parser.parse_args(["eval", "sections", "--data", str(data / "none")])
    with pytest.raises(DataError) as caught:
        missing.run(missing)
    assert caught.value.key == "data_folder_missing"


def test_vectors_are_kept_for_the_next_measurement_of_the_same_pictures(data: Path, tmp_path: Path) -> None:
    figures = figures_of(read_articles(data, "dev"))
    first = EvaluationGallery.encode(figures, KnowingEncoder(), cache=tmp_path)
    told: list[int] = []
    again = EvaluationGallery.encode(figures, KnowingEncoder(sees=False), lambda done, _: told.append(done), tmp_path)
    assert not told
    assert (again.visual == first.visual).all()
    assert (again.textual == first.textual).all()
    fewer = EvaluationGallery.encode(figures[1:], KnowingEncoder(), lambda done, _: told.append(done), tmp_path)
    assert told[-1] == COUNT - 1 == len(fewer.ids)


def test_words_made_from_pixels_are_all_that_a_described_gallery_says(data: Path) -> None:
    encoder = KnowingEncoder()
    images = gallery(data, encoder)
    told: list[int] = []

    def labels(pictures: Sequence[Image]) -> list[tuple[str, ...]]:
        return [("a guess",) if picture.getpixel((0, 0)) == images_first else () for picture in pictures]

    images_first = load_image(images.figures[0].image).getpixel((0, 0))
    described = images.described(encoder, labeller=labels, progress=lambda done, _: told.append(done))
    assert told[-1] == COUNT
    (record,) = [record for record in described.records() if record.text]
    assert record.guessed_tags == ("a guess",)
    assert not record.alt
    assert described.has_text.sum() == 1
    assert not described.textual[~described.has_text].any()
    assert images.has_text.all()  # the gallery with people's words stays as it was


def test_captions_that_say_what_the_alt_text_says_find_as_much(data: Path) -> None:
    encoder = KnowingEncoder()
    images = gallery(data, encoder)
    alts = iter([figure.alt for figure in images.figures])
    described = images.described(encoder, captioner=lambda pictures: [next(alts) for _ in pictures])
    assert {record.caption_origin for record in described.records()} == {"generated"}
    assert measure_retrieval(described, encoder, "")["text_caption_r1"].value == 1


def test_drafts_are_measured_beside_labels_and_watched_for_names(data: Path) -> None:
    encoder = KnowingEncoder()
    images = gallery(data, encoder)
    alts = [figure.alt for figure in images.figures]
    drafted = images.drafted(encoder, lambda vectors: [CaptionDraft(alt, ()) for alt in alts])
    labelled = images.described(encoder, labeller=lambda pictures: [("thing",) for _ in pictures])
    found = measure_drafts(drafted, labelled, encoder)
    assert (found["draft_alt_r1"].value, found["draft_alt_r1"].reference) == (1, 0)
    assert found["draft_caption_r10"].value == 1
    assert found["drafts_silent"].value == 0
    assert found["drafts_not_plain"].value == 1  # "Shows n0"
    hens = [CaptionDraft("A hen.", () if number else ("Rome",)) for number in range(len(alts))]
    tagged = images.drafted(encoder, lambda vectors: hens)
    assert measure_drafts(tagged, labelled, encoder)["drafts_not_plain"].value == pytest.approx(1 / len(alts))
    silent = measure_drafts(images.drafted(encoder, lambda v: [CaptionDraft("", ()) for _ in v]), labelled, encoder)
    assert (silent["drafts_silent"].value, silent["draft_alt_r10"].value) == (1, 0)


def test_the_command_says_whose_words_it_measured(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VIGNETTE_HOME", str(tmp_path))
    monkeypatch.setattr("composer.pipeline.loading.load_encoder", lambda settings: KnowingEncoder())
    monkeypatch.setattr(
        "composer.pipeline.loading.load_describer", lambda how, settings: (lambda p: [()] * len(p), None)
    )
    parser = argparse.ArgumentParser()
    eval_command.register(parser.add_subparsers())
    args = parser.parse_args(["eval", "retrieval", "--data", str(data), "--describe", "labels"])
    assert args.run(args) == 0
    assert "; 0 have words, by labels" in capsys.readouterr().out
