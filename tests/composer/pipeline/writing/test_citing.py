"""Text from sources: its plan is what they have, its sentences are supported, in other words, and cited."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from composer.article.citation import Passage
from composer.article.language import count_words
from composer.article.markdown import plain_text
from composer.errors import UsageError
from composer.export.article_folder import load_article, save_article
from composer.pipeline.events import Notice
from composer.pipeline.writing import retelling
from composer.request import ComposeRequest
from composer.sources.fragments import Fragment
from composer.sources.support import keeps_relations
from tests.composer.pipeline.test_pipeline import compose
from tests.composer.small_pipeline import make_pipeline
from vision.interfaces import Prompt, Sampling

TOPICS = ("kingfisher", "otter", "heron", "salmon", "willow", "mayfly")
_WORDS_TEXT = """
gravel pebble rapids meadow thicket orchard harbour cellar attic lantern barrel basket blanket pillow kettle ladder
hammer needle thimble ribbon saddle bridle stirrup anvil furnace bellows chisel mallet sickle shovel bucket trough
fence gate hinge latch window curtain carpet mirror candle matches chimney gutter shingle rafter beam plank nail
pulley anchor rudder canvas rigging compass sextant telescope barometer thermometer hourglass sundial pendulum spring
cog piston valve boiler turbine propeller axle spoke pedal handle buckle button zipper thread fabric leather velvet
"""
_WORDS = _WORDS_TEXT.split()


def _told(number: int) -> tuple[str, str, str, str]:
    return tuple(_WORDS[(4 * number + i) % len(_WORDS)] for i in range(4))  # type: ignore[return-value]


def _original(number: int) -> str:
    first, second, third, fourth = _told(number)
    kept = f"keeps {first} and {second} near {third} until {fourth} is found there by somebody who looks well"
    return f"Every {TOPICS[number // 4]} {kept}."


NOTES = "\n\n".join(
    f"## The {name}\n\n" + " ".join(_original(4 * topic + i) for i in range(4)) for topic, name in enumerate(TOPICS)
)


def retold(part: str) -> str:
    """What a model that does as it is asked makes of a part: other words in another order."""
    number = next((n for n in range(4 * len(TOPICS)) if _original(n) in part), None)
    if number is None:
        return "No words of these notes."
    first, second, third, fourth = _told(number)
    return (
        f"Near {third}, every {TOPICS[number // 4]} keeps {second} and {first}"
        f" until somebody looks for {fourth} found there."
    )


def part_of(prompt: Prompt) -> str:
    return prompt[-1].text.partition("Part: ")[2].partition("\n")[0]


def answer(prompt: Prompt, sampling: Sampling) -> str:
    asked = next(message.text for message in reversed(prompt) if message.role == "user")
    if "Part: " in asked:
        return " " + retold(part_of(prompt))
    if prompt[-1].text == "Heading:":
        return " " + next(f"the {name}" for name in TOPICS if name in asked)
    if prompt[-1].text == "Title:":
        return " Life on the river"
    return " something"


def request(folder: Path, **fields: object) -> dict[str, object]:
    (folder / "notes.md").write_text(NOTES)
    given = {
        "instruction": "The kingfisher, otter, heron, salmon, willow and mayfly",
        "sources": (folder / "notes.md",),
        "project": folder,
        "images": 0,
    }
    return {**given, "words": 100, **fields}


def outside_quotations(text: str) -> str:
    return re.sub("“[^”]*”", "", text)


def test_every_sentence_is_cited_from_the_passage_that_says_it(tmp_path: Path) -> None:
    _, article = compose(make_pipeline(tmp_path, answer), **request(tmp_path))
    assert article.title == "Life on the river"
    assert [source.file for source in article.sources] == ["notes.md"]
    sentences = 0
    for section in article.sections:
        bodies = [c.sentence for c in section.citations]
        assert " ".join(bodies) == section.body
        sentences += len(bodies)
        for citation in section.citations:
            name = next(name for name in TOPICS if name in citation.sentence)
            assert name in citation.passages[0].text
            assert citation.support > 0.5
    assert sentences == len({c.sentence for s in article.sections for c in s.citations}) > 5
    assert 85 <= sum(count_words(plain_text(s.text)) for s in article.sections) <= 115
    assert {s.heading for s in article.sections} - {""} <= {f"The {name}" for name in TOPICS} | {
        f"the {name}" for name in TOPICS
    }
    save_article(article, tmp_path / "out", formats=("md", "html"))
    assert load_article(tmp_path / "out").sections == article.sections
    assert "[^1]" in (tmp_path / "out" / "article.md").read_text()


@pytest.mark.parametrize(
    "spoilt",
    [
        lambda part: part,  # word for word
        lambda part: retold(part).replace("found", "found by 40 fishers"),
        lambda part: retold(part).replace("found", "found at Loch Ness"),
        lambda part: retold(part).replace("found", "found in June"),
        lambda part: f"The text says that {retold(part)}",
        lambda part: retold(part).removesuffix("."),
        lambda part: "Volcanoes erupt when molten rock rises through cracks.",
        lambda part: "它在河边被人看见，那里的水流很慢，光线很低。",
    ],
)
def test_what_is_copied_unsupported_or_no_sentence_never_stands(spoilt, tmp_path: Path) -> None:
    calls = {"n": 0}

    def sometimes(prompt: Prompt, sampling: Sampling) -> str:
        if not (part := part_of(prompt)):
            return answer(prompt, sampling)
        calls["n"] += 1
        return " " + (retold(part) if calls["n"] % 4 == 0 else spoilt(part))

    _, article = compose(make_pipeline(tmp_path, sometimes), **request(tmp_path))
    text = outside_quotations(" ".join(section.body for section in article.sections))
    assert "Life" not in text
    for unwanted in ("40", "Loch", "June", "The text", "Volcanoes", "河", "Every"):
        assert unwanted not in text


def test_what_says_more_than_the_part_is_drafted_again_then_dropped(tmp_path: Path) -> None:
    def inventing(prompt: Prompt, sampling: Sampling) -> str:
        told = answer(prompt, sampling)
        return (
            told.replace(".", ", gravely burning bright green fires to warm tired travellers.")
            if "gravel" in told
            else told
        )

    pipeline = make_pipeline(tmp_path, inventing)
    _, article = compose(pipeline, **request(tmp_path, words=600))
    assert article.sections
    assert "gravel" not in outside_quotations(" ".join(section.body for section in article.sections))


def test_what_cannot_be_retold_is_quoted_with_its_citation_and_never_the_whole_text(tmp_path: Path) -> None:
    def copying(prompt: Prompt, sampling: Sampling) -> str:
        part = part_of(prompt)
        return f" {part}" if "Every heron" in part or "Every otter" in part else answer(prompt, sampling)

    _, article = compose(make_pipeline(tmp_path, copying), **request(tmp_path, words=300))
    quoted = [c for s in article.sections for c in s.citations if c.sentence.startswith("“")]
    assert quoted
    for citation in quoted:
        assert citation.sentence[1:-1] in citation.passages[0].text
        assert citation.support == 1
    words = sum(count_words(s.body) for s in article.sections)
    assert sum(count_words(c.sentence) for c in quoted) < words / 2
    places = [NOTES.index(c.sentence[1:-1]) for c in quoted]
    assert len(set(places)) == len(places)


@pytest.mark.parametrize(
    "text",
    [
        "It keeps its young in a den that nobody else knows of.",  # leans on what is not quoted
        "Otters keep their young in a den, as I have seen myself.",
        "Otters call the den their *holt* in the old books of the mill.",
        "Otters “whistle” to their young from the bank of the river.",
        "otters keep their young in a den of willow roots.",
        "Otters live in rivers of these kinds and others.",
        "The rivers described above are home to many otters.",
        "Otters swim at night.",  # too short to be worth it
        "Where do otters keep their young when the river rises?",
    ],
)
def test_what_cannot_stand_alone_is_not_quoted(text: str) -> None:
    good = "Otters keep their young in a den of willow roots."
    passage = Passage("id", "", f"{text} {good}")
    assert not retelling.may_be_quoted(text, passage, "en")
    assert retelling.may_be_quoted(good, passage, "en")
    assert not retelling.may_be_quoted(good.replace("young", "cubs"), passage, "en")


@pytest.mark.parametrize(
    ("sentence", "kept"),
    [
        ("To the young, otters do not seem to be cruel.", True),
        ("To the young, otters are not cruel.", False),  # "seem" is lost
        ("Otters are cruel, because they seem not to want young.", False),  # a reason nobody gave
        ("Otters always seem not to be cruel to young.", True),
        ("Many otters do not seem to be cruel to young.", False),
    ],
)
def test_a_retelling_neither_loses_nor_adds_what_qualifies_and_joins(sentence: str, kept: bool) -> None:
    assert keeps_relations(sentence, "Otters do not seem to be cruel to the young.") is kept


def test_a_text_that_falls_short_says_so(tmp_path: Path) -> None:
    events, article = compose(make_pipeline(tmp_path, answer), **request(tmp_path, words=3000))
    (thin,) = [event for event in events if isinstance(event, Notice) and event.key == "sources_thin"]
    written = sum(count_words(plain_text(section.text)) for section in article.sections)
    assert thin.values == {"words": written, "asked": 3000}


def test_sources_on_something_else_are_an_error_that_names_what_they_treat(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        compose(make_pipeline(tmp_path, answer), **request(tmp_path, instruction="quantum chromodynamics"))
    assert caught.value.key == "sources_off_subject"
    assert "The otter" in caught.value.values["topics"]


def test_an_instruction_without_a_subject_takes_all_that_the_sources_have(tmp_path: Path) -> None:
    _, article = compose(
        make_pipeline(tmp_path, answer), **request(tmp_path, instruction="Summarize my notes", words=300)
    )
    assert len(article.sections) > 2


def test_the_same_seed_gives_the_same_text_and_the_cache_stands_beside_the_project(tmp_path: Path) -> None:
    texts = [
        [s.text for s in compose(make_pipeline(tmp_path / n, answer), **request(tmp_path))[1].sections]
        for n in ("a", "b")
    ]
    assert texts[0] == texts[1]
    assert (tmp_path / ".vignette-sources").is_dir()


def test_a_story_is_not_written_from_sources_and_a_text_does_not_take_them(tmp_path: Path) -> None:
    here = (tmp_path,)
    with pytest.raises(UsageError, match="sources_and_story"):
        ComposeRequest("x", sources=here, kind="story")
    with pytest.raises(UsageError, match="sources_with_text"):
        ComposeRequest(text="x", sources=here)
    assert ComposeRequest("The story of bees", sources=here).kind_of_text == "explanation"


def test_the_pictures_of_the_sources_are_candidates_with_their_captions(tmp_path: Path) -> None:
    from tests.composer.sources import document_files as made

    pictured = tmp_path / "pictured"
    pictured.mkdir()
    made.docx(pictured)
    given = request(tmp_path, images=1)
    given["sources"] = (*given["sources"], pictured)
    _, article = compose(make_pipeline(tmp_path, answer), **given)
    captions = {c.record.caption for p in article.placements for c in p.candidates}
    assert made.CAPTION in captions


def test_sentences_that_lean_on_one_that_is_gone_go_too() -> None:
    passage = Passage("s", "", "x")
    fragment = Fragment("x", "", passage, (0, 0))
    other = replace(fragment, passage=Passage("s", "", "y"), place=(1, 0))
    first, leaning = (retelling.Retold(text, fragment, 0.9, 0) for text in ("Otters swim.", "They dive, too."))
    alone = retelling.Retold("They dive, too.", other, 0.9, 0)
    assert retelling.readable([first, leaning, alone]) == [first, leaning]


def test_sentences_that_copy_a_long_run_only_together_do_not_both_stand(tmp_path: Path) -> None:
    """Each of the two has nine words of the source in a row, both have eighteen."""
    notes = "The otter keeps its young in a den of willow roots, where the river bends and slows below the old mill."
    passage = Passage("id", "", notes)
    fragment = Fragment(notes, "", passage, (0, 0))
    texts = ("The otter keeps its young in a den", "Of willow roots, where the river bends and slows.")
    first, second = (retelling.Retold(text, fragment, 1.0, 9) for text in texts)
    assert retelling.readable([first, second]) == [first]
    assert retelling.readable([second]) == [second]
