"""A request from start to end: real library, search, placement and assignment, with a scripted model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from composer.article.markdown import make_sections
from composer.article.serialization import dump, from_json, to_json
from composer.errors import UsageError
from composer.i18n import localize
from composer.pipeline import events
from composer.pipeline.model_pool import ExclusiveView, FairLock
from composer.pipeline.pipeline import Pipeline
from composer.pipeline.prompts import load_prompts
from composer.request import ComposeRequest
from composer.settings import IllustrationSettings, Settings
from retrieval.filters import Filters
from tests.composer.scripted_model import ScriptedModel, question
from tests.composer.small_pipeline import make_pipeline, paint
from vision.errors import Phrase
from vision.interfaces import Prompt, Sampling

EASY = Settings("test", pictures=IllustrationSettings(min_fused=0.0001, judge_weight=0.0))
TEXT = "\n\n".join(
    f"The {colour} wall was painted long ago by people who liked the {colour} light of the evening sun very much."
    for colour in ("red", "green", "blue", "yellow")
)
DRAFT = f"---\ntags: [walls]\n---\n\n# Walls\n\n{TEXT}\n\n\nThe end, which is kept with its   spaces.  \n"


TOLD = {
    "grey": "Old walls tell of the people who built them with their bare hands, stone upon stone, in every season.",
    "red": "The red wall glows when evening comes, and children lean against its warm bricks after a day of play.",
    "blue": "The blue wall keeps the colour of the sea when evening comes, and sailors lean against it at night.",
}


def answer(prompt: Prompt, sampling: Sampling) -> str:
    asked, told = question(prompt), prompt[-1].text
    if "Plan an illustrated" in asked:
        return f" Walls {sampling.seed}\n1. The Red Wall\n2. The Blue Wall"
    if "What does it show" in asked:
        for colour in ("red", "green", "blue", "yellow"):
            if f"The {colour} wall" in asked:
                return f" a {colour} wall in the old town"
        return " something else entirely"
    if "译成自然" in asked:
        return "这面旧墙很高，也很安静。"
    if told.startswith("#"):
        heading = told.rpartition("## ")[2].split("\n")[0]
        colour = heading.split()[1].lower() if "Wall" in heading else "grey"
        return "" if told.rstrip().endswith(".") else TOLD[colour]
    return ""


def compose(pipeline: Pipeline, **fields) -> tuple[list[events.Event], events.Article]:
    seen = list(pipeline.events(ComposeRequest(**fields)))
    done = seen[-1]
    assert isinstance(done, events.Done)
    return seen, done.article


def test_an_illustrated_text_comes_back_to_the_byte(tmp_path: Path) -> None:
    pipeline = make_pipeline(tmp_path, answer, settings=EASY)
    _, article = compose(pipeline, text=DRAFT, images=3)
    assert article.preamble + "".join(s.text + s.gap for s in article.sections) == DRAFT
    assert article.title == "Walls"


def test_each_paragraph_gets_the_picture_it_speaks_of(tmp_path: Path) -> None:
    pipeline = make_pipeline(tmp_path, answer, settings=EASY)
    _, article = compose(pipeline, text=DRAFT, images=4)
    shown = {p.slot.after_section: p.chosen.path.stem for p in article.placements if p.chosen}
    assert shown == {0: "red", 1: "green", 2: "blue", 3: "yellow"}


@pytest.mark.parametrize("block", ["![](boats.jpg)", "<!-- note -->", "<div>", "```\n```", "- ", "***"])
def test_a_block_without_words_ends_nothing(block: str, tmp_path: Path) -> None:
    pipeline = make_pipeline(tmp_path, answer, settings=EASY)
    text = f"Red walls are old.\n\n{block}\n\nBlue walls as well."
    _, article = compose(pipeline, text=text, images=3)
    assert {p.slot.after_section for p in article.placements} == {0, len(article.sections) - 1}
    with pytest.raises(UsageError, match=r"^no_paragraph"):
        compose(pipeline, text=block)


@pytest.mark.parametrize("count", [0, 1, 2, 4])
def test_exactly_as_many_slots_as_asked(tmp_path: Path, count: int) -> None:
    pipeline = make_pipeline(tmp_path, answer, settings=EASY)
    _, article = compose(pipeline, text=DRAFT, images=count)
    assert len(article.placements) == count
    assert len({p.id for p in article.pictures}) == len(article.pictures)


def test_a_given_outline_is_kept_to_even_with_one_heading(tmp_path: Path) -> None:
    pipeline = make_pipeline(tmp_path, answer, settings=EASY)
    *_, planned = pipeline.outline(ComposeRequest("old walls", words=200))
    assert isinstance(planned, events.Planned)
    assert planned.headings == ("The Red Wall", "The Blue Wall")
    for given in (("The Blue Wall", "The Red Wall"), ("The Red Wall",)):
        _, article = compose(pipeline, instruction="old walls", title="Two walls", headings=given, words=200)
        assert tuple(section.heading for section in article.sections if section.heading) == given
        assert article.title == "Two walls"


def test_headings_that_nothing_was_written_under_are_named(tmp_path: Path) -> None:
    def silent(prompt: Prompt, sampling: Sampling) -> str:
        return "" if prompt[-1].text.rstrip().endswith("## The Red Wall") else answer(prompt, sampling)

    pipeline = make_pipeline(tmp_path, silent, settings=EASY)
    seen, _ = compose(pipeline, instruction="old walls", headings=("The Red Wall", "The Blue Wall"), words=200)
    (told,) = [e for e in seen if isinstance(e, events.Notice) and e.key == "headings_left"]
    assert told.values["headings"] == ["The Red Wall"]


def test_stages_come_in_order_and_each_ends(tmp_path: Path) -> None:
    pipeline = make_pipeline(tmp_path, answer, settings=EASY)
    seen, _ = compose(pipeline, instruction="old walls", words=200)
    started = [e.stage for e in seen if isinstance(e, events.StageStarted)]
    finished = [e.stage for e in seen if isinstance(e, events.StageFinished)]
    assert started == finished == ["write", "place", "caption", "find", "choose", "finish"]


def test_the_streamed_text_is_the_articles_text(tmp_path: Path) -> None:
    pipeline = make_pipeline(tmp_path, answer, settings=EASY)
    seen, article = compose(pipeline, instruction="old walls", words=200)
    streamed = "".join(e.text for e in seen if isinstance(e, events.TextDelta))
    assert streamed == f"# {article.title}\n\n" + "\n\n".join(s.text for s in article.sections) + "\n\n"


def test_the_same_seed_gives_the_same_file_and_another_seed_another(tmp_path: Path) -> None:
    pipeline = make_pipeline(tmp_path, answer, settings=EASY)
    one, two, other = (compose(pipeline, instruction="old walls", seed=s, words=200)[1] for s in (5, 5, 6))
    assert dump(one) == dump(two)
    assert dump(one) != dump(other)
    assert one.title != other.title


def test_an_article_survives_its_json_form(tmp_path: Path) -> None:
    pipeline = make_pipeline(tmp_path, answer, settings=EASY)
    _, article = compose(pipeline, text=DRAFT, images=2)
    assert dump(from_json(to_json(article))) == dump(article)


def test_a_picture_that_must_appear_does_so_in_its_place(tmp_path: Path) -> None:
    pipeline = make_pipeline(tmp_path, answer, settings=EASY, colours=("red", "green"))
    own = paint(tmp_path / "own" / "mine.png", "blue", "a blue wall in the old town")
    _, article = compose(pipeline, text=DRAFT, images=2, use_images=(own,))
    mine = [p for p in article.placements if p.chosen and p.chosen.path == own.resolve()]
    assert len(mine) == 1
    assert mine[0].reason[0].key == "required"


def test_required_pictures_alone_serve_where_the_library_is_empty(tmp_path: Path) -> None:
    pipeline = make_pipeline(tmp_path, answer, settings=EASY, colours=())
    own = paint(tmp_path / "own" / "mine.png", "blue")
    _, article = compose(pipeline, text=DRAFT, use_images=(own,), images=1)
    assert [p.path for p in article.pictures] == [own.resolve()]


def test_an_empty_library_is_an_error_that_names_the_command(tmp_path: Path) -> None:
    pipeline = make_pipeline(tmp_path, answer, settings=EASY, colours=())
    with pytest.raises(UsageError) as caught:
        compose(pipeline, text=DRAFT)
    assert "vignette index PATH… --library DIR" in localize(caught.value, "en", terminal=True)


def test_filters_that_leave_no_picture_are_an_error_before_anything_is_written(tmp_path: Path) -> None:
    pipeline = make_pipeline(tmp_path, answer, settings=EASY)
    none = Filters(licenses=("GPL",))
    with pytest.raises(UsageError, match=r"^filters_leave_nothing"):
        compose(pipeline, text=DRAFT, filters=none)
    _, article = compose(pipeline, text=DRAFT, filters=none, images=0)
    assert article.placements == ()
    own = paint(tmp_path / "own" / "mine.png", "blue")
    _, article = compose(pipeline, text=DRAFT, filters=none, use_images=(own,), images=1)
    assert [p.path for p in article.pictures] == [own.resolve()], "one's own pictures pass every filter"


def test_a_text_alone_needs_no_pictures(tmp_path: Path) -> None:
    pipeline = make_pipeline(tmp_path, answer, settings=EASY, colours=())
    _, article = compose(pipeline, text=DRAFT, images=0)
    assert article.placements == ()


def test_a_use_image_that_is_no_picture_is_named(tmp_path: Path) -> None:
    pipeline = make_pipeline(tmp_path, answer, settings=EASY)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    with pytest.raises(UsageError) as caught:
        compose(pipeline, text=DRAFT, use_images=(broken,))
    assert (caught.value.key, caught.value.values["name"]) == ("picture_unusable", "broken.png")


def test_more_required_pictures_than_paragraphs_are_refused(tmp_path: Path) -> None:
    pipeline = make_pipeline(tmp_path, answer, settings=EASY)
    own = tuple(paint(tmp_path / "own" / f"{c}.png", c) for c in ("red", "blue"))
    with pytest.raises(UsageError) as caught:
        compose(pipeline, text="Only one paragraph.", use_images=own)
    assert (caught.value.key, caught.value.values) == ("few_places", {"used": 2, "places": 1})


def test_filters_keep_pictures_of_other_licences_out(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "red.json").write_text('{"caption": "a red wall", "license": "CC BY 4.0"}')
    pipeline = make_pipeline(tmp_path, answer, settings=EASY)
    _, article = compose(pipeline, text=DRAFT, images=2, filters=Filters(licenses=("CC BY",)))
    assert [picture.path.name for picture in article.pictures] == ["red.png"]
    assert {p.chosen is None for p in article.placements} == {True, False}


def test_the_model_is_not_asked_about_pictures_that_retrieval_has_ruled_out(tmp_path: Path) -> None:
    asked: list[str] = []

    def scores(prompt: Prompt, options) -> list[float]:
        if "Does the following one fit there" in question(prompt):
            asked.append(question(prompt))
        return [-1.0] * len(options)

    def judged(least: float) -> tuple[int, int]:
        asked.clear()
        judging = Settings("test", pictures=IllustrationSettings(min_fused=least, judge_weight=0.3))
        _, article = compose(
            make_pipeline(tmp_path / str(least), answer, scores, settings=judging), text=DRAFT, images=1
        )
        (placement,) = article.placements
        assert len(asked) == sum(c.fused >= least for c in placement.candidates)
        assert all((c.log_prob is None) == (c.fused < least) for c in placement.candidates)
        return len(asked), len(placement.candidates)

    everyone, shown = judged(0.0001)
    assert everyone == shown
    nobody, still_shown = judged(0.9999)
    assert (nobody, still_shown) == (0, shown)


def test_the_judge_decides_between_pictures_retrieval_cannot_tell_apart(tmp_path: Path) -> None:
    def scores(prompt: Prompt, options) -> list[float]:
        asked = question(prompt)
        if "Does the following one fit there" not in asked:
            return [-1.0] * len(options)
        return [0.0, -8.0] if "purple wall" in asked.split("Does the following", 1)[1] else [-8.0, 0.0]

    judging = Settings("test", pictures=IllustrationSettings(min_fused=0.0001, judge_weight=1.0))
    pipeline = make_pipeline(tmp_path, answer, scores, settings=judging)
    _, article = compose(pipeline, text=DRAFT, images=1)
    assert article.pictures[0].path.stem == "purple"
    assert article.placements[0].candidates[0].log_prob == pytest.approx(0.0, abs=0.01)


def test_closing_the_stream_cancels_the_model(tmp_path: Path) -> None:
    pipeline = make_pipeline(tmp_path, answer, settings=EASY)
    running = pipeline.events(ComposeRequest(instruction="old walls"))
    while not isinstance(next(running), events.TextDelta):
        pass
    assert isinstance(pipeline.model, ScriptedModel)
    asked = len(pipeline.model.asked)
    running.close()
    assert len(pipeline.model.asked) == asked


def test_a_text_longer_than_the_window_is_placed_by_its_openings_and_kept_whole(tmp_path: Path) -> None:
    pipeline = make_pipeline(tmp_path, answer, settings=EASY)
    assert isinstance(pipeline.model, ScriptedModel)
    pipeline.model.context_tokens = 1600
    long = "\n\n".join([TEXT] * 6) + "\n"
    seen, article = compose(pipeline, text=long, images=2)
    assert [e for e in seen if isinstance(e, events.Notice)] == [events.Notice("read_beginnings", {"tokens": 1600})]
    assert "".join(s.text + s.gap for s in article.sections) == long


def test_chinese_captions_are_searched_in_english_too(tmp_path: Path) -> None:
    def chinese(prompt: Prompt, sampling: Sampling) -> str:
        asked = question(prompt)
        if "Translate into English" in asked:
            return " a red wall"
        return "老城里的红墙" if "照片上是什么" in asked else ""

    pipeline = make_pipeline(tmp_path, chinese, settings=EASY)
    _, article = compose(
        pipeline, text="老城里有一面红色的墙，很多年前由喜欢红色的人们刷成，每天都有人来看它，在墙下拍照。\n", images=1
    )
    assert article.language == "zh"
    assert article.placements[0].slot.query == "a red wall"
    assert article.pictures[0].path.stem == "red"


def test_provenance_names_models_seed_and_library_but_no_time_or_path(tmp_path: Path) -> None:
    pipeline = make_pipeline(tmp_path, answer, settings=EASY)
    _, article = compose(pipeline, text=DRAFT, images=1, seed=9)
    assert article.provenance["seed"] == 9
    assert article.provenance["models"]["language"]["sha256"] == "0" * 64
    assert str(tmp_path) not in str(article.provenance)


def test_in_an_article_of_our_own_the_introduction_leaves_pictures_to_the_sections(tmp_path: Path) -> None:
    pipeline = make_pipeline(tmp_path, answer, settings=EASY)
    _, article = compose(pipeline, instruction="old walls", words=200, images=2)
    assert [s.heading for s in article.sections] == ["", "The Red Wall", "The Blue Wall"]
    assert {p.slot.after_section: p.chosen.path.stem for p in article.placements if p.chosen} == {1: "red", 2: "blue"}


@pytest.mark.parametrize("shared", [False, True])
def test_what_a_model_has_to_say_of_how_it_runs_reaches_the_reader(tmp_path: Path, shared: bool) -> None:
    pipeline = make_pipeline(tmp_path, answer, settings=EASY)
    pipeline.model.notice = Phrase("slow_without_kernels", {"reason": "no compiler"})  # type: ignore[attr-defined]
    if shared:
        pipeline.model = ExclusiveView(pipeline.model, FairLock())
    seen, _ = compose(pipeline, text=DRAFT, images=0)
    assert [e for e in seen if isinstance(e, events.Notice)] == [
        events.Notice("slow_without_kernels", {"reason": "no compiler"})
    ]


def test_left_to_us_a_section_whose_subject_the_library_lacks_gets_no_picture(tmp_path: Path) -> None:
    pipeline = make_pipeline(tmp_path, answer, settings=EASY)
    context = pipeline.context(ComposeRequest(instruction="old walls", words=400), "en")
    sections = make_sections(
        [
            "Old walls keep the wind from the town, and the boats of the harbour are never far from them at night.",
            f"## A Red Wall\n\n{TOLD['red']}",
            f"## Boats\n\nBoats lie in the harbour, and some of them lean against a wall. {TOLD['grey'] * 3}",
            f"## Nets\n\nNets are hung up to dry in the evening, beside the wall of the harbour. {TOLD['grey'] * 3}",
        ]
    )
    assert pipeline.place(context, sections) == [1]


def test_a_chinese_question_is_answered_in_chinese(tmp_path: Path) -> None:
    asked: list[tuple[str, str, tuple[str, ...]]] = []

    def scores(prompt: Prompt, options: Sequence[str]) -> list[float]:
        asked.append((question(prompt), prompt[-1].text, tuple(options)))
        return [0.0] * len(options)

    def planned(prompt: Prompt, sampling: Sampling) -> str:
        if "拟定提纲" in question(prompt):
            return "城墙\n1. 红墙\n2. 蓝墙"
        if "into English" in question(prompt):
            return "Old walls"
        return "城墙很高，用红色的砖砌成，已经有许多人看过它。"

    pipeline = make_pipeline(tmp_path, planned, scores, settings=EASY)
    compose(pipeline, instruction="古老的城墙", words=200, images=0)
    chinese = load_prompts("zh")
    belongs = [entry for entry in asked if "必须写到" in entry[0]]
    assert belongs
    assert {entry[1:] for entry in belongs} == {(chinese.odds_prefix, (chinese.odds_yes, chinese.odds_no))}


def test_an_article_shorter_than_asked_says_so(tmp_path: Path) -> None:
    more = {
        "grey": " Every town keeps a few of them, and nobody would want to miss them in the evening light of autumn.",
        "red": " Its bricks come from the clay pits by the river, where two brothers burned them in a round kiln.",
        "blue": " Salt and wind have worn the paint away in places, so that the older white shows through below it.",
    }

    def longer(prompt: Prompt, sampling: Sampling) -> str:
        said = answer(prompt, sampling)
        return said + next((text for colour, text in more.items() if said and said == TOLD[colour]), "")

    pipeline = make_pipeline(tmp_path, longer, settings=EASY)
    told = {}
    for words in (600, 100):
        seen, _ = compose(pipeline, instruction="old walls", words=words, images=0)
        notices = [event for event in seen if isinstance(event, events.Notice) and event.key == "text_shorter"]
        told[words] = [notice.values["asked"] for notice in notices]
    assert told == {600: [600], 100: []}


@pytest.mark.parametrize(
    ("front", "asked", "language"),
    [("", "auto", "de"), ("---\nlang: nds\n---\n\n", "auto", "nds"), ("---\nlang: nds\n---\n\n", "de-AT", "de-AT")],
)
def test_a_text_in_another_language_says_so_and_its_captions_are_english(
    front: str, asked: str, language: str, tmp_path: Path
) -> None:
    text = "\n\n".join(
        f"Die {colour} Mauer wurde vor langer Zeit gestrichen, von Leuten, die das Abendlicht sehr gern hatten."
        for colour in ("rote", "blaue")
    )
    pipeline = make_pipeline(tmp_path, answer, settings=EASY)
    _, article = compose(pipeline, text=front + text, images=1, language=asked)
    assert (article.language, article.writing_language) == (language, "en")
    assert from_json(to_json(article)).language == language


def test_only_a_text_may_be_in_a_language_that_is_not_written_here() -> None:
    with pytest.raises(UsageError, match=r"^language_unknown: "):
        ComposeRequest(instruction="Über Mauern", language="de")
    with pytest.raises(UsageError, match=r"^language_unknown: "):
        ComposeRequest(text="Mauern", language="de_AT; rm")


def test_a_picture_of_ones_own_is_placed_and_captioned_by_what_it_is_called(tmp_path: Path) -> None:
    pipeline = make_pipeline(tmp_path, answer, settings=EASY)
    text = "\n\n".join(
        (
            "Mornings in our house are loud, and nobody finds the key that he had in his hand just now.",
            "Then there is breakfast, with bread, and with coffee that is drunk standing by the window in a hurry.",
            "The bicycle leans on the wall of the shed, and its chain wants oil before it is ridden to the station.",
        )
    )
    own = [
        paint(tmp_path / name, colour) for name, colour in (("my old-bicycle.png", "pink"), ("DSC_0042.png", "brown"))
    ]
    _, article = compose(pipeline, text=text, images=2, use_images=own)
    placed = {p.chosen.path.name: p for p in article.placements if p.chosen}
    bicycle, nameless = placed["my old-bicycle.png"], placed["DSC_0042.png"]
    assert bicycle.slot.after_section == 2
    assert bicycle.caption.startswith("My old bicycle")
    assert bicycle.alt == "My old bicycle"
    assert (nameless.caption, nameless.alt, nameless.caption_origin) == ("", "", "")


def test_a_text_is_illustrated_where_the_library_has_its_subjects(tmp_path: Path) -> None:
    pipeline = make_pipeline(tmp_path, answer, settings=EASY)
    walls = [
        f"The {colour} wall stands behind the church, and children play ball against it." for colour in ("red", "blue")
    ]
    other = "Nobody knows how long the town has been here, or who was the first to build a house in it."
    code = "```\nfor wall in town: paint(wall, colours=('red', 'blue'), coats=2, brush='a wide one')\n```"
    _, article = compose(pipeline, text="\n\n".join((other, walls[0], code, other, walls[1], other)))
    shown = {p.slot.after_section: p.chosen.path.stem for p in article.placements if p.chosen}
    assert shown == {1: "red", 4: "blue"}
    assert len({p.slot.caption for p in article.placements}) == len(article.placements)


def test_provenance_has_the_facts_that_the_writer_was_given(tmp_path: Path) -> None:
    pipeline = make_pipeline(tmp_path, answer, settings=EASY)
    own = paint(tmp_path / "a rusty gate.png", "pink")
    _, article = compose(pipeline, instruction="Walls of a town", images=1, use_images=[own])
    facts = article.provenance["facts"]
    assert {"section": "", "name": "rusty gate", "text": "A rusty gate", "source": article.pictures[0].id} in facts
    assert all(set(fact) == {"section", "name", "text", "source"} for fact in facts)


def test_a_judge_of_its_own_reads_the_article_and_chooses(tmp_path: Path) -> None:
    def prefers(colour: str):
        return lambda prompt, options: [-0.1 if colour in question(prompt) else -4.0, -2.0][: len(options)]

    settings = Settings("apart", pictures=IllustrationSettings(judge_weight=1.0, min_fused=0.0))
    pipeline = make_pipeline(tmp_path, lambda *_: "an old wall", prefers("red"), settings, ("red", "blue"))
    pipeline.own_judge = judge = ScriptedModel(lambda *_: pytest.fail("the judge wrote"), prefers("blue"))
    text = "The old town has many walls, and each of them was painted by somebody who liked its colour."
    seen: list = []
    article = pipeline.compose(ComposeRequest(text=text, images=1), seen.append)
    assert article.pictures[0].path.stem == "blue"
    assert all(text in prompt[1].text for prompt in judge.asked)
    assert article.provenance["models"]["judge"] == {"name": "scripted", "sha256": "0" * 64}
    (judging,) = [event for event in seen if isinstance(event, events.StageFinished) and event.stage == "choose"]
    assert judging.tokens == judge.usage.prompt_tokens > 0
