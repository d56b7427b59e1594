"""What is learned is what is asked: the questions of training are those of composing, to the letter."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from composer.article.markdown import make_sections
from composer.article.model import Slot
from composer.cli import main
from composer.errors import UsageError
from composer.pipeline import picture_words
from composer.pipeline.captions import propose_captions
from composer.pipeline.conversation import reading
from composer.pipeline.loading import load_language_model
from composer.pipeline.prompts import load_prompts
from composer.pipeline.reranking import judge_candidates
from composer.pipeline.selection import Considered
from composer.pipeline.writing.planning import Plan
from composer.pipeline.writing.writer import Writer
from composer.settings import IllustrationSettings, WritingSettings, load_settings
from composer.tuning.articles import OwnArticle, read_own_articles
from composer.tuning.tasks import _wanted, make_examples
from image_db.metadata.record import ImageRecord
from retrieval.candidates import Candidate
from tests.composer.tuning import own_articles as made
from tests.tiny_models import build_tiny_lm, build_tiny_vlm
from vision.errors import ModelError
from vision.huggingface.loading import load_hub_model
from vision.huggingface.model import HubModel
from vision.interfaces import Message, Prompt, Sampling
from vision.training.tuning.examples import TuningExample
from vision.training.tuning.recipe import TuningRecipe
from vision.training.tuning.train import ArticleSplit, split_articles

RECIPE = TuningRecipe("test", held_back=0.4, patience=0)
PROMPTS = load_prompts("en")


class Overheard(Exception):
    """What a model was asked, instead of an answer."""

    def __init__(self, prompts: Sequence[Prompt]) -> None:
        super().__init__()
        self.prompts = [tuple(prompt) for prompt in prompts]


class Listener:
    """A ``VisionLanguageModel`` that tells what it is asked."""

    context_tokens = 8192

    def __init__(self, sees_images: bool = False) -> None:
        self.sees_images = sees_images

    def count_tokens(self, prompt: Prompt) -> int:
        return sum(len(message.text.split()) for message in prompt)

    def stream_batch(self, prompts: Sequence[Prompt], samplings: Sequence[Sampling]) -> Any:
        raise Overheard(prompts)

    def score_batch(self, prompts: Sequence[Prompt], options: Any) -> Any:
        raise Overheard(prompts)


def heard(call: Any, *args: Any, **options: Any) -> tuple[Message, ...]:
    def run() -> None:
        result = call(*args, **options)
        if hasattr(result, "__next__"):
            list(result)

    with pytest.raises(Overheard) as caught:
        run()
    return caught.value.prompts[0]


@pytest.fixture(scope="module")
def articles(tmp_path_factory: pytest.TempPathFactory) -> list[OwnArticle]:
    return read_own_articles(made.write_data(tmp_path_factory.mktemp("mine") / "data"), Path("unused"))[0]


def examples_of(articles: Sequence[OwnArticle], model: Any, split: ArticleSplit) -> list[TuningExample]:
    return make_examples(articles, RECIPE, model, split)


@pytest.fixture(scope="module")
def examples(articles: list[OwnArticle]) -> list[TuningExample]:
    return examples_of(articles, Listener(), ArticleSplit(("0", "1", "2", "3"), (), ()))


def of(examples: Sequence[TuningExample], task: str, article: str = "0") -> list[TuningExample]:
    return [example for example in examples if (example.task, example.article) == (task, article)]


def test_writing_is_asked_as_the_writer_asks_and_answered_as_the_author_did(
    articles: list[OwnArticle], examples: list[TuningExample]
) -> None:
    (example,) = of(examples, "write")
    title, heading, _, text = made.ARTICLES[0]
    assert example.answer == f"{text} {made.MORE}"
    model: Any = Listener()
    writer = Writer(model, PROMPTS, WritingSettings(drafts=1))
    asked = heard(writer.write, title, Plan(title, (heading, "Nets")), 200, "en", 0)
    prompt = example.prompt()
    assert [message.role for message in prompt] == [message.role for message in asked]
    assert prompt[0] == asked[0]
    # The same words but for the headings, and how many words are wanted.
    said = prompt[1].text.replace(f"about {len(example.answer.split())} words", "about 100 words")
    assert said == asked[1].text.replace("\n## Nets", "")
    assert prompt[2].text == f"# {title}\n\n## {heading}\n\n"
    assert asked[2].text == f"# {title}\n\n## {PROMPTS.intro}\n\n"


def test_what_a_picture_should_show_is_asked_as_in_use(
    articles: list[OwnArticle], examples: list[TuningExample]
) -> None:
    (example,) = of(examples, "want")
    assert example.answer == " a red wall"
    model: Any = Listener()
    conversation, _ = reading(PROMPTS, model, articles[0].title, articles[0].sections)
    # A heading that names a thing would be taken as it is.
    asked = heard(propose_captions, model, PROMPTS, conversation, articles[0].sections, [0], avoid=["Boats"])
    assert asked == tuple(example.prompt())


@pytest.mark.parametrize("sees", [False, True])
def test_whether_a_picture_fits_is_asked_as_in_use_and_shown_to_a_model_that_sees(
    articles: list[OwnArticle], sees: bool
) -> None:
    examples = examples_of(articles, Listener(sees), ArticleSplit(("0", "1", "2", "3"), (), ()))
    fits, fits_not = of(examples, "choose")
    assert (fits.answer, fits_not.answer) == (" yes", " no")
    assert not fits.closed
    model: Any = Listener(sees)
    conversation, _ = reading(PROMPTS, model, articles[0].title, articles[0].sections)
    figure = articles[0].figures[0]
    candidate = Candidate(ImageRecord("0", figure.picture, 320, 240, figure.alt), 0.5, 0.5, 0.5)
    asked_for = "the red wall"
    slot = Slot(0, asked_for)
    asked = heard(
        judge_candidates, model, PROMPTS, IllustrationSettings(), "en", articles[0].sections, conversation,
        [Considered(slot, (candidate,))], lambda _: True,
    )  # fmt: skip
    prompt = fits.prompt()
    assert [[_comparable(part) for part in message.content] for message in prompt] == [
        [_comparable(part) for part in message.content] for message in asked
    ]
    assert made.alt_of("red") not in fits_not.prompt()[-2].text
    assert any(made.alt_of(other) in fits_not.prompt()[-2].text for other in ("green", "blue", "yellow"))


def _comparable(part: Any) -> Any:
    return part if isinstance(part, str) else (part.size, part.tobytes())


def test_captions_are_asked_as_in_use(articles: list[OwnArticle], examples: list[TuningExample]) -> None:
    (example,) = of(examples, "caption")
    assert example.answer == f" {made.caption_of('red')}"
    prompt = example.prompt()
    said = " ".join(made.ARTICLES[0][3:4])
    assert tuple(prompt) == picture_words.draft_prompt(PROMPTS, "a red wall", "", said)


def test_look_alikes_come_from_the_same_side_of_the_split(articles: list[OwnArticle]) -> None:
    split = ArticleSplit(("0", "1"), (), ("2", "3"))
    examples = examples_of(articles, Listener(), split)
    for article, other in (("0", "green"), ("1", "red"), ("2", "yellow"), ("3", "blue")):
        _, fits_not = of(examples, "choose", article)
        assert made.alt_of(other) in fits_not.prompt()[-2].text


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("A photograph of a red barn.", "a red barn"),
        ("This image shows two horses on a meadow in spring", "two horses on a meadow in spring"),
        ("Image A is of a person holding a sign. The sign reads", "a person holding a sign"),
        ("There are many cows that wait at the gate", "many cows"),
        ("Portrait of Charles Lindbergh (1902–1974)", "Portrait of Charles Lindbergh"),
        ("When the ligand binds, the channel opens", ""),
        ("一座红色的谷仓", ""),
        ("", ""),
    ],
)
def test_what_is_wanted_is_a_short_name(said: str, wanted: str) -> None:
    assert _wanted(said, "en") == wanted


def test_a_long_article_is_read_around_its_picture(articles: list[OwnArticle]) -> None:
    texts = [f"Paragraph {n} tells of the harbour and the boats that come in." for n in range(60)]
    figure = replace(articles[0].figures[0], after_section=40)
    long = replace(articles[0], sections=make_sections(texts), figures=(figure,))
    (example,) = of(examples_of([long], Listener(), ArticleSplit(("0",), (), ())), "want")
    assert "Paragraph 40 " in example.prompt()[1].text
    small = make_examples(
        [long],
        TuningRecipe("test", max_prompt_tokens=400),
        Listener(),
        ArticleSplit(("0",), (), ()),  # type: ignore[arg-type]
    )
    text = of(small, "want")[0].prompt()[1].text
    assert "Paragraph 40 " in text
    assert "Paragraph 0 " not in text


def test_the_command_leaves_a_profile_that_composes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = build_tiny_lm(tmp_path / "model")
    recipe = tmp_path / "quick.toml"
    recipe.write_text(
        'epochs = 2\nbatch = 4\nat_once = 4\nlearning_rate = 0.01\nwarmup = 1\nprecision = "float32"\ndevice = "cpu"\n'
        "rank = 2\nmax_prompt_tokens = 1500\nmax_text_tokens = 64\nwatch_every = 2\nsave_every = 2\n"
    )
    folder = made.write_folder(tmp_path / "mine")
    out = tmp_path / "tuned"
    arguments = ["train", "lora", "--data", str(folder), "--out", str(out), "--recipe", str(recipe)]
    assert main([*arguments, "--model", str(model)]) == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[-1] == str(out / "profile.toml")
    assert {line.split(":")[0] for line in lines[:-1]} == {"all", "write", "want", "caption", "choose"}
    report = json.loads((out / "tuning.json").read_text())
    assert report["after"]["all"] < report["before"]["all"]
    settings = load_settings(str(out / "profile.toml"))
    assert (settings.writer.kind, settings.writer.model) == ("hub", str(model))
    tuned = load_language_model(settings.writer)
    assert isinstance(tuned, HubModel)
    assert tuned.identity.name == f"{model} + tuned"
    prompt = (Message.of("user", "The boats"),)
    plain = load_hub_model(str(model), device="cpu")
    assert tuned.score(prompt, [" lie"]) != pytest.approx(plain.score(prompt, [" lie"]), abs=1e-4)
    assert main(arguments) == 2
    assert "--model" in capsys.readouterr().err
    assert main([*arguments, "--model", str(model), "--bridge", str(out)]) == 2


def test_a_split_is_of_whole_articles_and_a_seeing_model_is_shown_pictures(
    articles: list[OwnArticle], tmp_path: Path
) -> None:
    model = load_hub_model(str(build_tiny_vlm(tmp_path / "model")), device="cpu")
    split = split_articles([article.name for article in articles], RECIPE)
    examples = make_examples(articles, RECIPE, model, split)
    for example in examples:
        if example.task == "choose":
            assert model.encoder.encode(example.prompt()).spans
        else:
            assert not model.encoder.encode(example.prompt()).spans


def test_an_adapter_of_another_kind_of_model_is_refused(tmp_path: Path) -> None:
    profile = tmp_path / "mine.toml"
    profile.write_text('[writer]\nkind = "gguf"\nadapter = "tuned"\n')
    with pytest.raises(UsageError) as caught:
        load_settings(str(profile))
    assert getattr(caught.value.values["reason"], "key", "") == "adapter_needs_hub"
    profile.write_text(f'[writer]\nkind = "hub"\nmodel = "{build_tiny_lm(tmp_path / "m")}"\nadapter = "{tmp_path}"\n')
    with pytest.raises(ModelError, match="adapter_missing"):
        load_language_model(load_settings(str(profile)).writer)
