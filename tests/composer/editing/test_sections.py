"""Whatever is done to the sections, no word, no picture and no place is lost, and the way back leads back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from composer.article.markdown import join_sections, parse_markdown
from composer.article.model import Article, Placement, Section, Slot
from composer.article.serialization import dump, from_json, to_json
from composer.editing.sections import (
    add_section,
    delete_section,
    edit_text,
    lock_section,
    merge_sections,
    move_section,
    set_title,
    split_points,
    split_section,
)
from composer.errors import EditError
from composer.export.markdown import to_markdown
from image_db.metadata.record import ImageRecord
from retrieval.candidates import Candidate
from vision.errors import Phrase

WORDS = st.lists(st.sampled_from(["hens", "barn", "gate", "母鸡", "谷仓", "dawn"]), min_size=1, max_size=6).map(
    " ".join
)
SENTENCES = st.lists(WORDS.map(lambda words: words + "."), min_size=1, max_size=4).map(" ".join)
BLOCKS = st.one_of(
    SENTENCES,
    SENTENCES.map("## Heading\n\n{}".format),
    WORDS.map("- {}\n- more".format),
    st.tuples(SENTENCES, SENTENCES).map("\n\n".join),
)


def record(name: str) -> ImageRecord:
    return ImageRecord(name * 64, Path(f"/pictures/{name}.jpg"), 640, 480, caption=f"picture {name}")


@st.composite
def articles(draw: st.DrawFn) -> Article:
    texts = draw(st.lists(BLOCKS, min_size=1, max_size=6))
    sections = [Section(text, edited=draw(st.booleans())) for text in texts]
    sections[-1] = replace(sections[-1], gap="\n")
    places = draw(st.lists(st.integers(0, len(texts) - 1), max_size=5))
    placements = []
    for name, after in zip("abcdef", sorted(places), strict=False):
        shown = record(name)
        chosen = draw(st.sampled_from([shown, None]))
        placements.append(
            Placement(Slot(after, f"wish {name}"), (Candidate(shown, 0.1, 0.2, 0.3),), chosen, (Phrase("you_chose"),))
        )
    return Article("Title", "en", tuple(sections), tuple(placements))


QUICK = settings(max_examples=50)
Operation = Callable[[Article], Article]


@st.composite
def operations(draw: st.DrawFn) -> Operation:
    one, other = draw(st.integers(0, 30)), draw(st.integers(0, 30))

    def apply(article: Article) -> Article:
        n = len(article.sections)
        section = one % n
        points = split_points(article, section)
        done: list[Operation] = [
            lambda a: edit_text(a, section, "Written anew."),
            lambda a: add_section(a, other % (n + 1) - 1, "Added."),
            lambda a: move_section(a, section, other % n),
        ]
        if n > 1:
            done.append(lambda a: delete_section(a, section))
            done.append(lambda a: merge_sections(a, section % (n - 1)))
        if points:
            done.append(lambda a: split_section(a, section, points[other % len(points)]))
        return done[(one + other) % len(done)](article)

    return apply


def identity(placement: Placement) -> tuple[str, ImageRecord | None, tuple[Candidate, ...]]:
    return placement.slot.caption, placement.chosen, placement.candidates


def squeezed(article: Article) -> str:
    return "".join(join_sections(article.sections).split())


@QUICK
@given(articles(), st.lists(operations(), max_size=8))
def test_no_sequence_of_edits_loses_a_picture_or_leaves_it_nowhere(article: Article, steps: list[Operation]) -> None:
    held = sorted(map(str, map(identity, article.placements)))
    for step in steps:
        article = step(article)
        assert sorted(map(str, map(identity, article.placements))) == held
        after = [p.slot.after_section for p in article.placements]
        assert after == sorted(after)
        assert all(0 <= place < len(article.sections) for place in after)
        assert dump(from_json(to_json(article))) == dump(article)


@QUICK
@given(articles(), st.lists(operations(), max_size=8))
def test_after_any_edits_the_markdown_still_has_every_section_as_blocks_of_its_own(
    article: Article, steps: list[Operation]
) -> None:
    for step in steps:
        article = step(article)
    whole = [block.text for block in parse_markdown(join_sections(article.sections)).sections]
    apart = [block.text for s in article.sections for block in parse_markdown(s.text).sections]
    # Two lists side by side are one list to Markdown; nothing else may run together.
    if not any(s.text.startswith("- ") for s in article.sections):
        assert whole == apart
    assert [line for text in whole for line in text.splitlines() if line.strip()] == [
        line for s in article.sections for line in s.text.splitlines() if line.strip()
    ]


@QUICK
@given(articles(), st.data())
def test_deleting_what_was_added_restores_the_article(article: Article, data: st.DataObject) -> None:
    after = data.draw(st.integers(-1, len(article.sections) - 1))
    assert delete_section(add_section(article, after, "Something new."), after + 1) == article


@QUICK
@given(articles(), st.data())
def test_moving_back_restores_the_article(article: Article, data: st.DataObject) -> None:
    positions = st.integers(0, len(article.sections) - 1)
    section, to = data.draw(positions), data.draw(positions)
    moved = move_section(article, section, to)
    assert moved.sections[to].text == article.sections[section].text
    assert [identity(p) for p in moved.placements_after(to)] == [identity(p) for p in article.placements_after(section)]
    back = move_section(moved, to, section)
    assert back == article


@QUICK
@given(articles(), st.data())
def test_merging_what_was_split_restores_the_article(article: Article, data: st.DataObject) -> None:
    section = data.draw(st.integers(0, len(article.sections) - 1))
    points = split_points(article, section)
    for at in points:
        halves = split_section(article, section, at)
        assert len(halves.sections) == len(article.sections) + 1
        assert squeezed(halves) == squeezed(article)
        merged = merge_sections(halves, section)
        assert squeezed(merged) == squeezed(article)
        assert merged.placements == article.placements
        if "\n\n" not in article.sections[section].body:
            assert merged == article


def farm() -> Article:
    hens, cows = record("a"), record("b")
    return Article(
        "A farm",
        "en",
        (
            Section("The day begins. The cock crows."),
            Section("## Hens\n\nHens leave. They scratch."),
            Section("- hay\n- straw"),
            Section("Night falls.", gap="\n"),
        ),
        (
            Placement(Slot(1, "hens"), (), hens, (Phrase("you_chose"),)),
            Placement(Slot(3, "cows"), (), cows, (Phrase("you_chose"),)),
        ),
    )


def places(article: Article) -> dict[str, int]:
    return {p.chosen.id[0]: p.slot.after_section for p in article.placements if p.chosen}


def test_a_section_added_stands_between_its_neighbours_and_pictures_stay_with_theirs() -> None:
    edited = add_section(farm(), 1, "\n\nThe gate opens.\n")
    assert [s.text for s in edited.sections][1:3] == ["## Hens\n\nHens leave. They scratch.", "The gate opens."]
    assert places(edited) == {"a": 1, "b": 4}
    assert edited.sections[2].edited
    assert places(add_section(farm(), -1, "First of all.")) == {"a": 2, "b": 4}


def test_a_section_added_at_the_end_takes_over_the_documents_last_line_end() -> None:
    edited = add_section(farm(), 3, "Good night.")
    assert [s.gap for s in edited.sections] == ["\n\n", "\n\n", "\n\n", "\n\n", "\n"]


def test_the_pictures_of_a_deleted_section_move_to_the_one_before() -> None:
    assert places(delete_section(farm(), 1)) == {"a": 0, "b": 2}
    assert places(delete_section(farm(), 3)) == {"a": 1, "b": 2}
    first = replace(farm(), placements=(Placement(Slot(0, "x"), (), record("c"), ()), *farm().placements))
    assert places(delete_section(first, 0)) == {"c": 0, "a": 0, "b": 2}


def test_pictures_go_along_with_a_section_that_moves() -> None:
    edited = move_section(farm(), 3, 0)
    assert edited.sections[0].text == "Night falls."
    assert places(edited) == {"b": 0, "a": 2}
    assert [p.chosen.id[0] for p in edited.placements if p.chosen] == ["b", "a"]


def test_a_section_splits_at_ends_of_sentences_and_keeps_its_picture_below_the_second_half() -> None:
    article = farm()
    assert [article.sections[0].text[:at] for at in split_points(article, 0)] == ["The day begins. "]
    assert [article.sections[1].text[:at] for at in split_points(article, 1)] == ["## Hens\n\nHens leave. "]
    assert split_points(article, 2) == ()
    edited = split_section(article, 1, split_points(article, 1)[0])
    assert [s.text for s in edited.sections][1:3] == ["## Hens\n\nHens leave.", "They scratch."]
    assert places(edited) == {"a": 2, "b": 4}


def test_chinese_sentences_split_and_merge_without_spaces() -> None:
    article = Article("农场", "zh", (Section("天亮了。“公鸡叫了。”母鸡出门。", gap="\n"),))
    points = split_points(article, 0)
    assert [article.sections[0].text[:at] for at in points] == ["天亮了。", "天亮了。“公鸡叫了。”"]
    halves = split_section(article, 0, points[0])
    assert [s.text for s in halves.sections] == ["天亮了。", "“公鸡叫了。”母鸡出门。"]
    assert merge_sections(halves, 0) == article


def test_merged_paragraphs_become_one_and_other_blocks_stay_apart() -> None:
    assert (
        merge_sections(farm(), 0).sections[0].text
        == "The day begins. The cock crows.\n\n## Hens\n\nHens leave. They scratch."
    )
    assert merge_sections(farm(), 1).sections[1].text == "## Hens\n\nHens leave. They scratch.\n\n- hay\n- straw"
    plain = delete_section(farm(), 2)
    merged = merge_sections(plain, 1)
    assert merged.sections[1].text == "## Hens\n\nHens leave. They scratch. Night falls."
    assert places(merged) == {"a": 1, "b": 1}


def test_edited_text_loses_blank_lines_around_it_and_is_marked_as_a_persons() -> None:
    edited = edit_text(farm(), 0, "\n \nDawn.\n\nBreakfast.  \n\n")
    assert edited.sections[0] == Section("Dawn.\n\nBreakfast.", edited=True)
    assert edit_text(edited, 0, "Dawn.\n\nBreakfast.") is edited


def test_a_code_blocks_indent_survives() -> None:
    assert edit_text(farm(), 0, "\n    print(1)\n").sections[0].text == "    print(1)"


@pytest.mark.parametrize(
    ("edit", "key"),
    [
        (lambda a: edit_text(a, 4, "x"), "gone"),
        (lambda a: edit_text(a, -1, "x"), "gone"),
        (lambda a: edit_text(a, 0, " \n"), "section_empty"),
        (lambda a: add_section(a, 4, "x"), "gone"),
        (lambda a: add_section(a, 0, ""), "section_empty"),
        (lambda a: move_section(a, 0, 4), "cannot_move"),
        (lambda a: split_section(a, 0, 0), "cannot_split"),
        (lambda a: split_section(a, 0, 31), "cannot_split"),
        (lambda a: merge_sections(a, 3), "nothing_to_merge"),
        (lambda a: set_title(a, " \n"), "title_empty"),
        (
            lambda a: delete_section(Article("x", "en", a.sections[:1]), 0),
            "only_section",
        ),
    ],
)
def test_an_edit_that_does_not_fit_is_refused_with_its_reason(edit: Operation, key: str) -> None:
    with pytest.raises(EditError) as refused:
        edit(farm())
    assert refused.value.key == key


@pytest.mark.parametrize(
    "edit",
    [
        lambda a: edit_text(a, 1, "x"),
        lambda a: delete_section(a, 1),
        lambda a: move_section(a, 1, 0),
        lambda a: split_section(a, 1, 12),
    ],
)
def test_a_locked_section_stays_until_it_is_unlocked(edit: Operation) -> None:
    locked = lock_section(farm(), 1)
    with pytest.raises(EditError) as refused:
        edit(locked)
    assert refused.value.key == "section_locked"
    for first in (0, 1):
        with pytest.raises(EditError) as refused:
            merge_sections(locked, first)
        assert refused.value.key == "section_locked"
    assert edit(lock_section(locked, 1, False)) == edit(farm())


def test_locks_and_edits_are_kept_in_article_json_and_old_files_have_none() -> None:
    article = lock_section(edit_text(farm(), 0, "Mine."), 1)
    read = from_json(to_json(article))
    assert [(s.locked, s.edited) for s in read.sections] == [
        (False, True),
        (True, False),
        (False, False),
        (False, False),
    ]
    assert "locked" not in dump(farm())
    assert "edited" not in dump(farm())


@pytest.mark.parametrize(
    "source",
    [
        "# Old\n\nBody.\n",
        "\n\nOld\n===\n\nBody.\n",
        "---\ntitle: Old\ntags: [a]\n---\n\nBody.\n",
        "---\ntitle: 'Old'\n---\n\n# Old\n\nBody.\n",
        "---\ntags: [a]\n---\nBody.\n",
        "Body.\n",
        "\n\nBody.\n",
    ],
)
@pytest.mark.parametrize("title", ["New: “one”", 'A "quoted" #1', "新标题"])
def test_a_new_title_stands_in_the_markdown_of_every_kind_of_text(source: str, title: str) -> None:
    parsed = parse_markdown(source)
    article = Article(
        parsed.title or "Old", "en", parsed.sections, preamble=parsed.preamble, title_in_text=not parsed.title
    )
    renamed = set_title(article, title)
    written = to_markdown(renamed, lambda record: "")
    again = parse_markdown(written)
    shown = again.title.replace("\\", "")
    assert shown == title
    assert not renamed.title_in_text
    assert [s.text for s in again.sections] == ["Body."]
    assert "Old" not in written
    assert ("tags: [a]" in written) == ("tags: [a]" in source)
    assert set_title(renamed, title) is renamed
