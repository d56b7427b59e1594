"""Every family of language models, on tiny random weights: composes, is saved and loaded, stands behind a bridge."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from composer.article.model import Article
from composer.article.serialization import to_json
from composer.pipeline.pipeline import Pipeline
from composer.request import ComposeRequest
from composer.settings import IllustrationSettings, Settings, WritingSettings
from image_db.library import Library
from retrieval.search import Searcher
from tests.composer.small_pipeline import make_library
from tests.fakes import ColourEncoder
from tests.model_families import FAMILIES, OTHERS, Family, families_table
from tests.seeing_families import SEEING_FAMILIES, SeeingFamily, seeing_table
from tests.vision.tiny_bridge import picture, tiny_bridge, tiny_tower, write_articles
from vision.bridge.bridged_model import bridged_model
from vision.huggingface.loading import load_hub_model
from vision.huggingface.model import HubModel
from vision.interfaces import Message, VisionLanguageModel
from vision.training.bridge import train as runs
from vision.training.bridge.losses import AnswerLoss
from vision.training.bridge.recipe import BridgeRecipe
from vision.training.bridge.samples import descriptions

TEXT = "\n\n".join(f"The {c} wall stands in the old town where it was painted many years ago." for c in ("red", "blue"))
SETTINGS = Settings(
    "test",
    writing=WritingSettings(drafts=1, plan_from_library=0),
    pictures=IllustrationSettings(min_fused=0.0, judge_weight=1.0, candidates=2),
)
OPTIONS = ["the", "in her house by the river"]
QUESTIONS = [
    (Message.of("user", f"It is {what}"),)
    for what in ("a boat", "the red parrot that sits in the old tree by the river", "cows")
]
ALL = (*FAMILIES, *OTHERS)


@dataclass(frozen=True, slots=True)
class Workplace:
    encoder: ColourEncoder
    library: Library
    articles: Path
    cache: Path

    def compose(self, model: VisionLanguageModel, request: ComposeRequest) -> Any:
        pipeline = Pipeline(SETTINGS, model, self.encoder, self.library, Searcher(self.library, self.encoder))
        return pipeline.compose(request)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    folder, encoder = tmp_path_factory.mktemp("families"), ColourEncoder()
    with make_library(folder, encoder, ("red", "blue", "green")) as library:
        yield Workplace(encoder, library, write_articles(folder / "articles"), folder / "cache")


@pytest.fixture(scope="module", params=ALL, ids=lambda family: family.kind)
def family(request: pytest.FixtureRequest) -> Family:
    assert isinstance(request.param, Family)
    return request.param


@pytest.fixture(scope="module")
def folder(family: Family, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return family.build(tmp_path_factory.mktemp(family.kind))


def load(folder: Path) -> HubModel:
    model = load_hub_model(str(folder), device="cpu")
    assert isinstance(model, HubModel)
    return model


def test_it_composes_and_after_saving_and_loading_composes_the_same(
    family: Family, folder: Path, workplace: Workplace, tmp_path: Path
) -> None:
    model = load(folder)
    request = ComposeRequest(text=TEXT, images=2, seed=3)
    article = workplace.compose(model, request)
    judged = [c.log_prob for placement in article.placements for c in placement.candidates]
    assert len(judged) == 4
    assert all(value is not None and value < 0 for value in judged)

    model._forward.model.save_pretrained(tmp_path)
    model._tokenizer.save_pretrained(tmp_path)
    again = workplace.compose(load(tmp_path), request)
    assert _made(article) == _made(again)


def test_several_prompts_are_read_as_the_table_says_and_score_as_each_alone(family: Family, folder: Path) -> None:
    model = load(folder)
    ways = {(True, True): "side by side", (True, False): "of one length", (False, False): "from copies"}
    assert ways[model._forward.cuts, model._forward.pads] == family.reading
    _score_alike(model)


def test_behind_a_bridge_one_step_changes_the_bridge_alone_and_words_score_as_without_it(
    family: Family, folder: Path, workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "load_tower", lambda name, device: tiny_tower())
    recipe = BridgeRecipe(
        "test", language_model=str(folder), tower="tiny", batch=4, at_once=4, precision="float32",
        max_text_tokens=12, queries=4, layers=1, heads=2, width=32,
    )  # fmt: skip
    parts = runs.prepare(workplace.articles, workplace.cache, "tiny", recipe, lambda *_: None)
    bridge = tiny_bridge(parts.tower, parts.language)
    model, maker = runs.assemble(parts, bridge)
    samples = descriptions(parts.figures, maker, recipe.max_text_tokens, 0.0, 0)
    shared, whole = (AnswerLoss(model, samples, parts.grids, share_prefix=share) for share in (True, False))
    rows, before = [0, 1, 2, 3], {name: value.clone() for name, value in parts.language.model.state_dict().items()}
    loss, tokens = shared(rows)
    with torch.no_grad():
        assert float(whole(rows)[0]) / tokens == pytest.approx(float(loss.detach()) / tokens, abs=1e-3)
    loss.backward()
    step = torch.cat([parameter.grad.flatten() for parameter in bridge.parameters() if parameter.grad is not None])
    assert float(step.norm()) > 0
    with torch.no_grad():
        for parameter in bridge.parameters():
            if parameter.grad is not None:
                parameter -= 0.02 / float(step.norm()) * parameter.grad
        assert float(shared(rows)[0]) < float(loss.detach())  # a small step against the gradient
    after = parts.language.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)

    seeing, plain = bridged_model(parts.tower, bridge, parts.language), load(folder)
    red, blue = (seeing.score((Message("user", ("It is ", picture(c))),), OPTIONS) for c in ("red", "blue"))
    assert red != pytest.approx(blue, abs=1e-5)
    assert isinstance(seeing, HubModel)
    _score_alike(seeing)
    for prompt in QUESTIONS:
        assert seeing.score(prompt, OPTIONS) == pytest.approx(plain.score(prompt, OPTIONS), abs=1e-3)


def _made(article: Article) -> dict[str, Any]:
    """All of it but where it comes from: the folder's name, and the hash, which is also of how settings are written."""
    return {name: value for name, value in to_json(article).items() if name != "provenance"}


def _score_alike(model: HubModel) -> None:
    together = model.score_batch(QUESTIONS, [OPTIONS] * len(QUESTIONS))
    for prompt, scores in zip(QUESTIONS, together, strict=True):
        model._reader.forget()
        assert model.score(prompt, OPTIONS) == pytest.approx(scores, abs=1e-3)


@pytest.fixture(scope="module", params=SEEING_FAMILIES, ids=lambda family: family.kind)
def seeing_folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    assert isinstance(request.param, SeeingFamily)
    return request.param.build(tmp_path_factory.mktemp(request.param.kind))


def test_a_model_that_sees_composes_and_after_saving_and_loading_composes_the_same(
    seeing_folder: Path, workplace: Workplace, tmp_path: Path
) -> None:
    model = load(seeing_folder)
    assert model.sees_images
    request = ComposeRequest(text=TEXT, images=2, seed=3)
    article = workplace.compose(model, request)
    judged = [c.log_prob for placement in article.placements for c in placement.candidates]
    assert len(judged) == 4
    assert all(value is not None and value < 0 for value in judged)

    model._forward.model.save_pretrained(tmp_path)
    model._encoder._processor.save_pretrained(tmp_path)
    again = workplace.compose(load(tmp_path), request)
    assert _made(article) == _made(again)


def test_a_model_that_sees_scores_by_its_pictures_alone_and_among_others_alike(seeing_folder: Path) -> None:
    model = load(seeing_folder)
    prompts = [(Message("user", ("It is ", picture(colour))),) for colour in ("red", "blue", "green")]
    together = model.score_batch(prompts, [OPTIONS] * 3)
    assert together[0] != pytest.approx(together[1], abs=1e-4)
    for prompt, scores in zip(prompts, together, strict=True):
        model._reader.forget()
        assert model.score(prompt, OPTIONS) == pytest.approx(scores, abs=2e-3)


def test_the_table_of_the_documentation_is_what_is_tested_here() -> None:
    docs = Path(__file__).parents[3] / "docs" / "models.md"
    assert families_table() in docs.read_text(encoding="utf-8")
    assert seeing_table() in docs.read_text(encoding="utf-8")
