"""Cutting Markdown into sections loses nothing and finds what a reader calls a paragraph."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from composer.article.markdown import join_sections, make_sections, parse_markdown, plain_text

MARKS = [
    "# A\n",
    "## B\n",
    "words here\n",
    "\n",
    "- x\n",
    "  - y\n",
    "```\ncode\n```\n",
    "> quote\n",
    "| a |\n|---|\n| b |\n",
]
ODD = [
    "Title\n===\n",
    "***\n",
    "<div>\n",
    "[r]: http://x\n",
    "\ttab\n",
    "a\r\nb\r\n",
    "中文。\n",
    "end",
    "\u2028",
    "---\n",
]
PIECES = st.sampled_from(MARKS + ODD)


@given(st.lists(PIECES, max_size=12).map("".join))
@settings(max_examples=300)
def test_preamble_and_sections_join_to_the_source_again(source: str) -> None:
    parsed = parse_markdown(source)
    assert parsed.preamble + join_sections(parsed.sections) == source


def test_a_leading_level_one_heading_is_the_title_and_no_section() -> None:
    parsed = parse_markdown("# On *Hens*\n\nThey lay eggs.\n")
    assert parsed.title == "On Hens"
    assert parsed.preamble == "# On *Hens*\n\n"
    assert [s.text for s in parsed.sections] == ["They lay eggs."]


def test_front_matter_names_the_title_and_stays_out_of_the_sections() -> None:
    parsed = parse_markdown("---\ntitle: 'Hens'\ntags: [a]\n---\n\nThey lay eggs.\n")
    assert (parsed.title, parsed.preamble) == ("Hens", "---\ntitle: 'Hens'\ntags: [a]\n---\n\n")


def test_a_heading_belongs_to_the_block_under_it() -> None:
    sections = parse_markdown("One.\n\n## Hens\n\n### White\n\nTwo.\n\nThree.\n").sections
    assert [s.text for s in sections] == ["One.", "## Hens\n\n### White\n\nTwo.", "Three."]
    assert sections[1].heading == "Hens"


def test_a_list_a_table_and_a_code_block_are_one_section_each() -> None:
    sections = parse_markdown("- a\n\n- b\n\n| x |\n|---|\n| y |\n\n```\n# no heading\n\ncode\n```\n").sections
    assert [s.text.split("\n")[0] for s in sections] == ["- a", "| x |", "```"]


def test_a_comment_is_one_section_so_that_no_picture_stands_inside() -> None:
    sections = parse_markdown("One.\n\n<!-- not\n\nshown -->\n\nTwo.\n").sections
    assert [s.text for s in sections] == ["One.", "<!-- not\n\nshown -->", "Two."]


@pytest.mark.parametrize("source", ["", "\n\n", "# Only a title\n"])
def test_a_text_without_a_block_has_no_sections(source: str) -> None:
    assert parse_markdown(source).sections == ()


def test_plain_text_keeps_words_and_drops_marks_and_targets() -> None:
    shown = plain_text("## Hens\n\nSee [*their* ~~eggs~~](http://x.y) `now`\nand ![alt words](p.png).\n\n> q <i>")
    assert shown == "Hens See their eggs now and alt words. q <i>"


def test_our_own_sections_print_a_blank_line_apart() -> None:
    assert join_sections(make_sections(["a", "b"])) == "a\n\nb\n"
