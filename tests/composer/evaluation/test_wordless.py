"""Pictures of a library without its words are told right or wrong by these words, which the search does not see."""

import json
from importlib import resources
from pathlib import Path

import pytest

from composer.evaluation.library.wordless import (
    KindRequest,
    illustrated,
    is_of_kind,
    measure_shown,
    own_requests,
    searched,
    without_words,
)
from composer.pipeline.pipeline import Pipeline
from composer.settings import Settings
from image_db.library import Library
from image_db.metadata.record import ImageRecord
from retrieval.search import Searcher
from tests.composer.scripted_model import ScriptedModel
from tests.composer.small_pipeline import make_library
from tests.fakes import ColourEncoder

TEXT = "# Walls\n\n## Red\n\nA red wall keeps warm.\n\n## Blue\n\nA blue wall keeps cool.\n"


@pytest.fixture
def told(tmp_path: Path):
    with make_library(tmp_path, ColourEncoder()) as library:
        yield library


def test_the_copy_has_the_looks_and_no_word(told: Library, tmp_path: Path) -> None:
    with without_words(told, tmp_path / "bare") as bare:
        assert bare.with_text == 0
        assert not any(record.text for record in bare.records())
        assert bare.matrix().ids == told.matrix().ids
        assert (bare.matrix().visual == told.matrix().visual).all()
        assert all(record.path.is_file() and "wall" not in record.path.name for record in bare.records())


def test_what_is_shown_is_told_by_the_words_that_were_hidden(told: Library, tmp_path: Path) -> None:
    encoder = ColourEncoder()
    requests = [KindRequest(TEXT, {"Red": "red", "Blue": "green"})]
    with without_words(told, tmp_path / "bare") as bare:
        searcher = Searcher(bare, encoder)
        found = list(searched(searcher, bare, told, requests))
        assert [each.right for each in found if each.wanted == "Red"][:1] == [True]
        blue = [each for each in found if each.wanted == "Blue"]
        assert [each.right for each in blue[:1]] == [False], "it is blue, and green was meant"
        model = ScriptedModel(lambda prompt, sampling: "a red wall")
        pipeline = Pipeline(Settings("test"), model, encoder, bare, searcher)
        placed = list(illustrated(pipeline, told, requests))
    assert [each.wanted for each in placed] == ["Red", "Blue"]
    measures = measure_shown("x", placed)
    assert measures["x_shown"].value + measures["x_empty"].value == 2
    assert measures["x_wrong"].value == sum(each.record is not None and not each.right for each in placed)


def test_kinds_are_whole_words() -> None:
    record = ImageRecord("0" * 64, Path("a.png"), 1, 1, caption="A sea lion", tags=("animal",))
    assert is_of_kind(record, "(?<!sea )lions?") is False
    assert is_of_kind(record, "sea lion") is True
    assert is_of_kind(record, "anim") is False


def test_twelve_texts_ask_for_what_the_sample_has_and_thrice_for_what_it_has_not() -> None:
    lines = resources.files("image_db.sample").joinpath("metadata.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    records = [
        ImageRecord("0" * 64, Path("a"), 1, 1, caption=row["caption"], alt=row["alt"], tags=tuple(row["tags"]))
        for row in rows
    ]
    requests = own_requests()
    assert len(requests) == 12
    missing = []
    for request in requests:
        headings = [line.removeprefix("## ") for line in request.text.splitlines() if line.startswith("## ")]
        assert headings == list(request.kinds)
        missing += [h for h, kind in request.kinds.items() if not any(is_of_kind(each, kind) for each in records)]
    assert missing == ["Snowboards", "Sushi", "Traffic lights"]
