"""What the writer makes of a model's answers: a title, headings, whole sentences, and turns to ask about."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest

from composer.errors import WritingFailed
from composer.pipeline.events import TextDelta
from composer.pipeline.prompts import load_prompts
from composer.pipeline.writing.encyclopedia import Entry
from composer.pipeline.writing.facts import Fact
from composer.pipeline.writing.planning import Plan
from composer.pipeline.writing.seeds import derive_seed
from composer.pipeline.writing.writer import Writer, Written, level
from composer.settings import WritingSettings
from tests.composer.scripted_model import ScriptedModel, question
from vision.interfaces import Chunk, Prompt, Sampling

PLAN = " A Day on the Farm\n1. Hens at Dawn\n2. The Red Barn\n3. The Red Barn\n4. Evening: the cows come home slowly"
TEXTS = {
    "Introduction": "The farm wakes early. It smells of hay.\n\nA second paragraph is not wanted.",
    "Hens at Dawn": "Hens leave the coop. " + "They scratch in the wet grass and look for worms between stones. " * 2,
    "The Red Barn": "Sure, here is the section. The barn is red and holds hay for the long winter months ahead of us",
}


def answer(prompt: Prompt, sampling: Sampling) -> str:
    told = prompt[-1].text
    if "##" not in told and "Plan an illustrated" in question(prompt):
        return PLAN
    heading = told.rpartition("## ")[2].split("\n")[0]
    return "" if told.rstrip().endswith(".") else TEXTS.get(heading, "")


def written(model: ScriptedModel, plan: Plan | None = None) -> tuple[str, Written]:
    writer = Writer(model, load_prompts("en"), WritingSettings())
    plan = plan or writer.plan("a day on the farm", 300, seed=0)
    return returned(writer.write("a day on the farm", plan, 300, "en", seed=0))


def returned(writing: Generator[TextDelta, None, Written]) -> tuple[str, Written]:
    """What was streamed, and what came of it."""
    streamed = ""
    while True:
        try:
            streamed += next(writing).text
        except StopIteration as end:
            return streamed, end.value


def test_without_a_usable_title_the_users_own_words_are_the_title() -> None:
    model = ScriptedModel(lambda p, s: "")
    plan = Writer(model, load_prompts("en"), WritingSettings()).plan('"Cats"', 300, seed=0)
    assert plan == Plan("Cats", ())


def test_a_heading_cut_at_the_length_limit_is_left_out() -> None:
    model = ScriptedModel(lambda p, s: " Farm\n1. Hens at Dawn\n2. The Rise of " + "very " * 500)
    plan = Writer(model, load_prompts("en"), WritingSettings()).plan("farm", 200, seed=0)
    assert plan.headings == ("Hens at Dawn",)


def test_what_streams_is_what_the_article_holds() -> None:
    streamed, result = written(ScriptedModel(answer), Plan("Farm", ("Hens at Dawn", "The Red Barn")))
    sections = "\n\n".join(section.text for section in result.sections)
    assert streamed == f"# Farm\n\n{sections}\n\n"


def test_the_introduction_has_no_printed_heading_and_one_paragraph() -> None:
    _, result = written(ScriptedModel(answer), Plan("Farm", ("Hens at Dawn", "The Red Barn")))
    assert result.sections[0].text == "The farm wakes early. It smells of hay."


def test_repeated_unfinished_and_chatty_sentences_do_not_stand() -> None:
    _, result = written(ScriptedModel(answer), Plan("Farm", ("Hens at Dawn", "The Red Barn")))
    text = "\n".join(section.text for section in result.sections)
    assert text.count("They scratch in the wet grass") == 1
    assert "Sure" not in text
    assert "The barn is red" not in text  # it never ended


def test_a_section_without_text_takes_its_heading_along() -> None:
    _, result = written(ScriptedModel(answer), Plan("Farm", ("Hens at Dawn", "Unknown Things")))
    assert [section.heading for section in result.sections] == ["", "Hens at Dawn"]


def test_sections_that_explain_do_not_see_each_other_and_a_story_goes_on() -> None:
    plan = Plan("Farm", ("Hens at Dawn", "The Red Barn"))
    for kind, seen in (("explanation", False), ("story", True)):
        model = ScriptedModel(answer)
        returned(Writer(model, load_prompts("en"), WritingSettings()).write("farm", plan, 300, "en", 0, kind=kind))
        turns = [prompt[-1].text for prompt in model.asked if "## The Red Barn" in prompt[-1].text]
        assert ["They scratch in the wet grass" in turn for turn in turns] == [seen] * len(turns)


class Known:
    reads_language = True

    def subjects(self, subject: str) -> list[str]:
        return []

    def informed(self, headings: Sequence[str]) -> list[bool]:
        return [False] * len(headings)

    def continents(self, headings: Sequence[str]) -> list[frozenset[str]]:
        return [frozenset()] * len(headings)

    def alike_together(self, headings: Sequence[str]) -> list[str]:
        return sorted(headings, reverse=True)

    def relevance(self, subject: str, headings: Sequence[str]) -> np.ndarray:
        return np.zeros(len(headings))

    def facts(self, title: str, headings: Sequence[str]) -> list[list[Fact]]:
        return [[Fact(heading, f"what {heading} is", "a test")] for heading in headings]

    def likeness(self, one: Sequence[str], other: Sequence[str]) -> np.ndarray:
        return np.array([[float(a == b) for b in other] for a in one]).reshape(len(one), len(other))


def test_a_section_is_asked_for_with_what_is_known_of_its_own_heading() -> None:
    model = ScriptedModel(answer)
    plan = Plan("Farm", ("Hens at Dawn", "The Red Barn"))
    _, result = returned(
        Writer(model, load_prompts("en"), WritingSettings(), Known()).write("farm", plan, 300, "en", seed=0)
    )
    drafted = [prompt for prompt in model.asked if prompt[-1].text.endswith("## Hens at Dawn\n\n")]
    assert all("what Hens at Dawn is" in question(prompt) for prompt in drafted)
    assert not any("what The Red Barn is" in question(prompt) for prompt in drafted)
    assert [fact.text for fact in result.facts["Hens at Dawn"]] == ["what Hens at Dawn is"]


def test_what_an_encyclopedia_knows_is_said_in_other_words_and_cited() -> None:
    extract = (
        "Hens are adult female chickens which lay brown or white eggs in quiet nests of straw on most farms."
        " They scratch for seeds and worms in dry soil."
    )
    hen = Entry("Hen", "Bird", extract, extract)

    class Informed(Known):
        def facts(self, title: str, headings: Sequence[str]) -> list[list[Fact]]:
            return [[Fact("hen", extract, "Wikipedia Hen", hen)] if "Hens" in h else [] for h in headings]

    copied = extract.partition(". ")[0] + "."
    own = "Hens, which are adult female chickens, scratch for worms and seeds in dry soil."

    def drafted(prompt: Prompt, sampling: Sampling) -> str:
        return f"{copied} {own}" if prompt[-1].text.endswith("## Hens\n\n") else "Barns store hay."

    writer = Writer(ScriptedModel(drafted), load_prompts("en"), WritingSettings(), Informed())
    _, result = returned(writer.write("farm", Plan("Farm", ("Hens", "Barns")), 200, "en", seed=0))
    (hens,) = [section for section in result.sections if section.heading == "Hens"]
    assert hens.body == f"“{copied}” {own}"
    assert [(c.sentence, c.passages) for c in hens.citations] == [
        (f"“{copied}”", (hen.passage,)),
        (own, (hen.passage,)),
    ]
    assert result.sources == (hen.source,)
    assert not [c for section in result.sections if section is not hens for c in section.citations]


@pytest.mark.parametrize(
    ("wish", "together"), [("animals of the farm", True), ("a day on the farm", False), ("how hens are kept", False)]
)
def test_sections_on_things_alike_stand_together_where_no_course_of_things_is_told(wish: str, together: bool) -> None:
    plan = Writer(ScriptedModel(answer), load_prompts("en"), WritingSettings(), Known()).plan(wish, 300, seed=0)
    assert (plan.headings == tuple(sorted(plan.headings, reverse=True))) is together


def test_the_introduction_names_what_the_sections_treat() -> None:
    plan = Plan("Life on the Farm", ("Hens", "Barns", "Ponds", "Hedges"))
    lead = "Hens and ponds, barns and hedges belong to life on the farm."

    def told(prompt: Prompt, sampling: Sampling) -> str:
        return lead if "leads into this article" in question(prompt) else "Winters are quiet on a farm."

    for kind, leads in (("explanation", True), ("story", False)):
        writer = Writer(ScriptedModel(told), load_prompts("en"), WritingSettings())
        _, result = returned(writer.write("farm", plan, 300, "en", seed=0, kind=kind))
        assert result.sections[0].body.endswith(lead) is leads


@pytest.mark.parametrize(("headings", "quoted"), [(("Hens", "Hens at Dawn"), 2), (("Barns", "Ponds"), 3)])
def test_what_is_known_of_the_subject_alone_is_told_at_length(headings: tuple[str, ...], quoted: int) -> None:
    extract = (
        "Hens are adult female chickens which lay brown or white eggs in quiet nests of straw."
        " Grain and worms are what they scratch for in dry soil all day long."
        " A coop shelters the birds at night from foxes, martens and cold wind."
        " Farmers have bred many kinds, some for meat and some for show."
    )
    hen = Fact("hen", extract, "Wikipedia Hen", Entry("Hen", "Bird", extract, extract))

    class Informed(Known):
        def facts(self, title: str, headings: Sequence[str]) -> list[list[Fact]]:
            return [[hen] if "Hens" in heading else [] for heading in headings]

    model = ScriptedModel(lambda p, s: "")
    writer = Writer(model, load_prompts("en"), WritingSettings(), Informed())
    _, result = returned(writer.write("Hens", Plan("Hens", headings), 90, "en", seed=0))
    assert result.sections[0].body.count("“") == quoted


@pytest.mark.parametrize(
    ("words", "most", "room"),
    [
        (300, [100] * 5, 60),  # what each has of its share
        (300, [30, 50, 100, 100, 100], 73),  # the others have what two cannot fill
        (900, [30, 100], 100),  # more than there is
        (300, [80], 80),
    ],
)
def test_what_sections_of_little_knowledge_cannot_fill_the_others_do(words: int, most: list[int], room: int) -> None:
    assert level(words, most) == pytest.approx(room, abs=1)
    if sum(most) >= words:
        assert sum(min(room, one) for one in most) == pytest.approx(words, abs=2)


class Interleaved(ScriptedModel):
    """Answers of a batch grow side by side, the last prompt's first."""

    batches: tuple[int, ...] = ()

    def stream_batch(self, prompts: Sequence[Prompt], samplings: Sequence[Sampling]) -> Iterator[Chunk]:
        self.batches += (len(prompts),)
        streams = [
            (i, self.stream(prompt, sampling))
            for i, (prompt, sampling) in enumerate(zip(prompts, samplings, strict=True))
        ]
        while streams:
            for index, stream in reversed(list(streams)):
                chunk = next(stream)
                yield Chunk(chunk.text, index, chunk.finish)
                if chunk.finish:
                    streams.remove((index, stream))


def test_side_by_side_all_sections_are_drafted_as_one_batch_and_repeat_nothing() -> None:
    plan = Plan("Farm", ("Hens at Dawn", "Hens at Dusk"))
    texts = TEXTS | {"Hens at Dusk": TEXTS["Hens at Dawn"] + " Owls wake in the old barn."}

    def told(prompt: Prompt, sampling: Sampling) -> str:
        return texts.get(prompt[-1].text.rpartition("## ")[2].split("\n")[0], "")

    model = Interleaved(told)
    writer = Writer(model, load_prompts("en"), WritingSettings())
    streamed, result = returned(writer.write("a day on the farm", plan, 300, "en", seed=0, fast=True))
    assert streamed == "# Farm\n\n" + "\n\n".join(s.text for s in result.sections) + "\n\n"
    assert model.batches[0] == 3 * WritingSettings().drafts
    text = "\n".join(section.text for section in result.sections)
    assert text.count("They scratch in the wet grass") == 1
    assert "Owls wake in the old barn." in text


def test_a_silent_model_is_an_error_that_says_what_to_try() -> None:
    with pytest.raises(WritingFailed) as caught:
        written(ScriptedModel(lambda p, s: ""), Plan("Farm", ()))
    assert caught.value.key == "nothing_written"


def test_seeds_differ_by_purpose_and_by_seed_and_stay_the_same() -> None:
    seeds = {derive_seed(s, p) for s in range(3) for p in ("plan 0", "section 1 0")}
    assert len(seeds) == 6
    assert derive_seed(7, "plan 0") == derive_seed(7, "plan 0")
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_every_sampling_of_an_article_has_its_own_seed() -> None:
    model = ScriptedModel(answer)
    written(model)
    seeds = [sampling.seed for sampling in model.samplings]
    assert len(seeds) == len(set(seeds))


def test_a_model_that_copies_the_example_gets_the_users_title_and_what_must_be_shown() -> None:
    copied = f" {load_prompts('en').example_plan.strip().removeprefix('Title: ')}"
    writer = Writer(ScriptedModel(lambda p, s: copied), load_prompts("en"), WritingSettings())
    plan = writer.plan("A guide to tropical birds", 300, seed=0, required=["toucan", "scarlet macaw"])
    assert plan == Plan("A guide to tropical birds", ("Toucan", "Scarlet macaw"))


def test_the_plans_example_is_a_conversation_of_its_own_and_never_part_of_the_question() -> None:
    model = ScriptedModel(answer)
    Writer(model, load_prompts("en"), WritingSettings()).plan("cats", 300, seed=0)
    assert [m.role for m in model.asked[0]] == ["system", "user", "assistant", "user", "assistant"]
    assert "Harbour" not in question(model.asked[0])


def test_a_spare_heading_is_written_where_the_others_leave_the_article_short() -> None:
    texts = TEXTS | {"The Pond": "Ducks swim on the pond and dive for weeds in its clear water every day."}
    model = ScriptedModel(lambda p, s: texts.get(p[-1].text.rpartition("## ")[2].split("\n")[0], ""))
    writer = Writer(model, load_prompts("en"), WritingSettings())
    _, short = returned(
        writer.write("farm", Plan("Farm", ("Hens at Dawn", "The Red Barn"), ("The Pond",)), 300, "en", 0)
    )
    assert "The Pond" in [section.heading for section in short.sections]
    _, full = returned(writer.write("farm", Plan("Farm", ("Hens at Dawn", "The Red Barn"), ("The Pond",)), 20, "en", 0))
    assert "The Pond" not in [section.heading for section in full.sections]


def test_a_spare_heading_takes_the_place_of_one_of_which_there_is_next_to_nothing_to_say() -> None:
    texts = TEXTS | {
        "The Pump": "Pumps give clear water.",
        "The Pond": "Ducks swim on the pond and dive for weeds in its clear water every day of the long summer.",
    }
    model = ScriptedModel(lambda p, s: texts.get(p[-1].text.rpartition("## ")[2].split("\n")[0], ""))
    writer = Writer(model, load_prompts("en"), WritingSettings())
    plan = Plan("Farm", ("Hens at Dawn", "The Pump"), ("The Pond",))
    _, result = returned(writer.write("farm", plan, 40, "en", 0))
    assert [section.heading for section in result.sections if section.heading] == ["Hens at Dawn", "The Pond"]
    _, result = returned(writer.write("farm", replace(plan, spare=()), 40, "en", 0))
    assert "The Pump" in [section.heading for section in result.sections]


def test_an_article_without_headings_is_written_as_a_whole() -> None:
    text = "Hens lay eggs in nests of straw. Cows give milk to their calves."
    _, result = written(ScriptedModel(lambda p, s: text), Plan("Farm", ()))
    assert [s.text for s in result.sections] == [text]
