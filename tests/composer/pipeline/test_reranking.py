"""A judge is shown the candidates it may choose from, as pictures where it sees, and the pictures chosen so far."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from composer.article.model import Section, Slot
from composer.pipeline.conversation import Conversation
from composer.pipeline.prompts import load_prompts
from composer.pipeline.reranking import JUDGE_PX, judge_candidates
from composer.pipeline.selection import Considered
from composer.settings import IllustrationSettings
from image_db.metadata.record import ImageRecord
from retrieval.candidates import Candidate
from tests.composer.scripted_model import ScriptedModel
from vision.interfaces import Message, Prompt

PROMPTS = load_prompts("en")
SECTIONS = [Section("Apples are red and round."), Section("Pears hang from the old tree."), Section("Plums fall.")]
DIALOGUE = Conversation((Message.of("user", "The article."), Message.of("assistant", "Read.")))


@pytest.fixture
def found(tmp_path: Path) -> list[Considered]:
    """Three slots with the same three candidates; the third candidate is one that retrieval has ruled out."""
    records = []
    for i, name in enumerate(["apple", "pear", "stone"]):
        path = tmp_path / f"{name}.png"
        Image.new("RGB", (32, 24), (80 * i, 10, 10)).save(path)
        records.append(ImageRecord(name, path, 32, 24, caption=f"The {name}"))
    candidates = tuple(Candidate(r, 0.1, 0.1, f) for r, f in zip(records, [0.6, 0.5, 0.01], strict=True))
    return [Considered(Slot(i, f"wish {i}"), candidates) for i in range(3)]


def colour(prompt: Prompt) -> int:
    """Red of the picture asked about."""
    pictures = [part for part in prompt[-2].content if not isinstance(part, str)]
    return pictures[0].getpixel((0, 0))[0] if pictures else -1


def judged(model: ScriptedModel, found: Sequence[Considered]) -> list[Considered]:
    return judge_candidates(
        model, PROMPTS, IllustrationSettings(), "en", SECTIONS, DIALOGUE, found, lambda candidate: candidate.fused > 0.3
    )


def seeing(liked: int) -> ScriptedModel:
    model = ScriptedModel(
        lambda *_: "", lambda prompt, options: [-0.1, -3.0] if colour(prompt) == liked else [-3.0, -0.1]
    )
    model.sees_images = True
    return model


def test_a_model_that_sees_is_shown_each_candidate_with_its_caption(found: list[Considered]) -> None:
    model = seeing(liked=0)
    judged(model, found[:1])
    shown = [(colour(prompt), prompt[-2].text) for prompt in model.asked]
    assert [red for red, _ in shown] == [0, 80]
    assert "The apple" in shown[0][1]
    assert "The pear" in shown[1][1]


def test_a_large_picture_is_judged_at_the_size_that_a_processor_can_afford(found: list[Considered]) -> None:
    record = found[0].candidates[0].record
    Image.new("RGB", (2 * JUDGE_PX - 4, 2 * JUDGE_PX - 9), (5, 10, 10)).save(record.path)
    model = seeing(liked=5)
    judged(model, found[:1])
    (picture,) = [part for part in model.asked[0][-2].content if not isinstance(part, str)]
    assert min(picture.size) == JUDGE_PX


def test_the_picture_it_sees_fit_wins_against_none_and_the_other_does_not(found: list[Considered]) -> None:
    (entry,) = judged(seeing(liked=80), found[:1])
    assert [c.record.id for c in entry.candidates] == ["apple", "pear", "stone"]
    assert entry.none_log_prob is not None
    assert entry.candidates[1].log_prob > entry.none_log_prob > entry.candidates[0].log_prob


def test_of_what_may_not_be_shown_nobody_is_asked(found: list[Considered]) -> None:
    model = seeing(liked=0)
    (entry,) = judged(model, found[:1])
    assert len(model.asked) == 2
    assert entry.candidates[-1].record.id == "stone"
    assert entry.candidates[-1].log_prob is None


@pytest.mark.parametrize("words", [{"caption": ""}, {"caption_origin": "generated"}])
def test_only_a_model_that_sees_is_asked_about_pictures_nobody_described(
    found: list[Considered], words: dict[str, str]
) -> None:
    entry = found[0]
    bare = replace(entry.candidates[0].record, guessed_tags=("stove", "apple"), **words)
    entry = replace(entry, candidates=(replace(entry.candidates[0], record=bare), *entry.candidates[1:]))
    reader = ScriptedModel(lambda *_: "", lambda prompt, options: [-0.1, -3.0])
    (judgement,) = judged(reader, [entry])
    assert ["The pear" in prompt[-2].text for prompt in reader.asked] == [True]
    assert {c.record.id: c.log_prob is None for c in judgement.candidates} == {
        "pear": False,
        "apple": True,
        "stone": True,
    }
    looker = seeing(liked=0)
    judged(looker, [entry])
    assert [colour(prompt) for prompt in looker.asked] == [0, 80]


def test_pictures_chosen_so_far_stand_in_their_places(found: list[Considered]) -> None:
    model = seeing(liked=0)
    judged(model, found)
    first, second, third = model.asked[0], model.asked[2], model.asked[4]
    assert len(first) == len(DIALOGUE.turns) + 2
    standing, answer = second[len(DIALOGUE.turns) : len(DIALOGUE.turns) + 2]
    assert "Apples are red" in standing.text
    assert "The apple" in standing.text
    assert [part.getpixel((0, 0))[0] for part in standing.content if not isinstance(part, str)] == [0]
    assert answer.text == PROMPTS.standing_answer
    # The apple is taken, and no other picture was liked: nothing more stands, and what stood is a prefix still.
    assert third[: len(second) - 2] == second[:-2]


def test_a_model_that_only_reads_is_asked_in_one_batch_and_shown_no_picture(found: list[Considered]) -> None:
    batches = []

    class Counting(ScriptedModel):
        def score_batch(self, prompts: Sequence[Prompt], options: Sequence[Sequence[str]]) -> list[list[float]]:
            batches.append(len(prompts))
            return super().score_batch(prompts, options)

    model = Counting(lambda *_: "", lambda prompt, options: [-1.0] * len(options))
    judged(model, found)
    assert batches == [6]
    assert all(isinstance(part, str) for prompt in model.asked for message in prompt for part in message.content)


def test_a_candidate_that_cannot_be_read_any_more_is_judged_by_its_words(found: list[Considered]) -> None:
    found[0].candidates[0].record.path.unlink()
    model = seeing(liked=80)
    judged(model, found[:1])
    assert colour(model.asked[0]) == -1
    assert "The apple" in model.asked[0][-2].text


def test_a_real_checkpoint_sees_the_candidates_and_the_picture_that_stands(
    found: list[Considered], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.tiny_models import build_tiny_vlm
    from vision.huggingface.loading import load_hub_model

    model = load_hub_model(str(build_tiny_vlm(tmp_path / "vlm")), device="cpu")
    pictures: list[int] = []
    score = type(model).score_batch

    def watched(self: object, prompts: Sequence[Prompt], options: Sequence[Sequence[str]]) -> list[list[float]]:
        pictures.extend(sum(not isinstance(p, str) for m in prompt for p in m.content) for prompt in prompts)
        return score(self, prompts, options)

    monkeypatch.setattr(type(model), "score_batch", watched)
    settings = IllustrationSettings(judge_weight=0.0)  # so that retrieval decides which picture stands
    entries = judge_candidates(
        model, PROMPTS, settings, "en", SECTIONS, DIALOGUE, found[:2], lambda candidate: candidate.fused > 0.3
    )
    assert pictures == [1, 1, 2, 2]
    for entry in entries:
        logs = [c.log_prob for c in entry.candidates if c.log_prob is not None]
        assert sum(np.exp([*logs, entry.none_log_prob])) == pytest.approx(1)
