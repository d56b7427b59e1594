"""Texts made at random, from fixed seeds: none ends a run, hangs or loses a byte or a word, all is printed as cut."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterator

import pytest

from composer.article.answers import unwrapped
from composer.article.front_matter import front_matter
from composer.article.markdown import block_kind, join_sections, parse_markdown, plain_text
from composer.article.model import Article
from composer.article.parser import parse
from composer.export.document_tree import to_document
from composer.export.markdown_html import sections_html
from composer.request import document_text

SMALL, LARGE = 150, 10_000
BUDGET_S = 5.0  # of the processor, for a text of some hundred characters: a loop that never ends takes longer

# @ stands for a word of its own.
SHOWN = (
    "@",
    "@ @ @.",
    "**@**@",
    "**“@”**是",
    "*@ **@***",
    "`@`",
    "# @",
    "## @ {#id .a}",
    "##标题@",
    "@\n===",
    "@\n---",
    "- @",
    "  - @",
    "- [ ] @",
    "1. @",
    "> @",
    "> > @",
    "> [!tip] @\n> @",
    "> [!note]\n> @",
    "| @ | @ |\n|---|---|\n| @ | @ |",
    "    @",
    "\t@",
    "```\n@\n```",
    "~~~py\n@",
    "---",
    "***",
    "@\n: @",
    '!!! note "@"\n    @',
    "!!! @",
    "::: @\n@\n:::",
    "::: {.a}\n@",
    ":::",
    "$@$",
    "$$\n@\n$$",
    "\\(@_1\\)",
    "costs $5 @ $6",
    "==@==",
    "H~@~O",
    "x^@^",
    "~~@~~",
    "[[@]]",
    "[@][@]",
    "![@](a.png)",
    "[@](http://a.b)",
    "<b>@</b>",
    "<i>@",
    "@</i>",
    "<div>\n@\n</div>",
    "<div>",
    "</div>",
    "<table><tr><td>@</td></tr></table>",
    "<pre>@</pre>",
    "<script>@</script>",
    "<p>@",
    "<br>@",
    "<@>",
    "List<@>",
    "@<br>@",
    "&amp;@&lt;",
    "\\*@\\*",
    "@\\\n@",
    "@  \n@",
    "第@段。",
    "早上@好。\n晚上@好。",
    "　　@",
    "@。",
    "[^n]@",
    "www.@.org",
    "https://a.org/@_b @",
    "见https://a.org/@，@",
    "@@a.org",
    "5%% @ 7%%",
    "{@}",
    "{{@}}",
    "\u200f@ \u0627",
    "\u2028@",
    "\x0c@",
    "\ufeff@",
    "\x00@",
    "_@_@",
    "***@*",
    "[@",
    "](@",
    "![[@",
    "\\[@\\]",
)
HIDING = (
    "<!-- @ -->",
    "<!-- @",
    "@ -->",
    "<!--",
    "-->",
    "%%@%%",
    "%%\n@",
    "{>>@<<}",
    "{>>",
    "<<}",
    "{/* @ */}",
    "{% comment %}",
    "{% endcomment %}",
    "<think>",
    "</think>",
    "---\ntitle: @\n---",
    "+++\nt = 1\n+++",
    "[@]: http://x",
    "[^n]: @",
    "[^@]: @",
    "```markdown",
    "import @ from '@'",
    "{#@}",
    "[[@|@]]",
    "{.a}",
    "^@",
    "^[@]",
    "\\begin{align}\n@\n\\end{align}",
    "<@",
    "<![CDATA[@",
    "<?@",
    "![[@.png|3]]",
)
GAPS = ("\n\n", "\n\n", "\n", "", " ", "\r\n\r\n", "\r", "\n \n", "\n\n\n")


def texts(count: int, seed: int, pieces: tuple[str, ...]) -> Iterator[str]:
    """Pieces one after another, every word with a number of its own, some of them then damaged."""
    chance = random.Random(seed)
    for _ in range(count):
        made = "".join(chance.choice(pieces) + chance.choice(GAPS) for _ in range(chance.randint(1, 12)))
        first, *rest = made.split("@")
        yield first + "".join(f"word{number}x{piece}" for number, piece in enumerate(rest))


def damaged(text: str, chance: random.Random) -> str:
    """The text with a few of its signs lost, doubled, swapped or repeated a thousand times."""
    for _ in range(chance.randint(0, 3)):
        at = chance.randrange(len(text) + 1)
        end = min(len(text), at + chance.randint(0, 9))
        text = chance.choice(
            (
                text[:at] + text[end:],
                text[:end] + text[at:],
                text[end:] + text[:end],
                text[:at] + text[at:end] * 99 + text[end:],
            )
        )
    return text


def check(text: str, *, every_word: bool) -> None:
    started = time.thread_time()
    parsed = parse_markdown(text)
    assert parsed.preamble + join_sections(parsed.sections) == unwrapped(text)
    article = Article(
        parsed.title or "Named", "en", parsed.sections, title_in_text=parsed.title_in_text, preamble=parsed.preamble
    )
    pieces = [section.text for section in parsed.sections]
    kinds = [block_kind(piece) for piece in pieces]
    assert len(kinds) == len(pieces)
    html = "".join(sections_html(pieces, unwrapped(text)))
    to_document(article)
    front = front_matter(text)
    body = unwrapped(text)[front.end :] if front else unwrapped(text).removeprefix("\ufeff")
    whole = "".join(sections_html([body], unwrapped(text)))
    # What stands before the sections is the title alone, which is printed above them.
    assert squeezed(whole).endswith(squeezed(html)), "blocks are not printed the way they were cut"
    assert time.thread_time() - started < BUDGET_S
    if every_word:
        # What follows the marks of a fence says what the code is. Of that only the first word is printed, as a class.
        said = " ".join(token.info for token in parse(unwrapped(text)) if token.type == "fence")
        seen = f"{html} {plain_text(parsed.title)} {said}".lower()
        assert [word for word in re.findall(r"word\d+x", text) if word not in seen] == []


def squeezed(html: str) -> str:
    return re.sub(r"\s+", "", html)


def test_no_text_of_words_loses_one() -> None:
    for text in texts(SMALL, 1, SHOWN):
        check(text, every_word=True)


def test_no_text_of_any_signs_ends_a_run() -> None:
    chance = random.Random(2)
    for text in texts(SMALL, 3, (*SHOWN, *HIDING, *HIDING)):
        check(damaged(text, chance), every_word=False)


def test_no_bytes_end_a_run() -> None:
    chance = random.Random(4)
    for text in texts(SMALL, 5, SHOWN):
        data = bytearray(text.encode(chance.choice(("utf-8", "gb18030", "utf-16", "cp1252")), "replace"))
        for _ in range(chance.randint(0, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        try:
            read = document_text(bytes(data))
        except ValueError:
            continue
        check(read, every_word=False)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_no_text_of_thousands_does_either(seed: int) -> None:
    chance = random.Random(100 + seed)
    for text in texts(LARGE // 20, 200 + seed, SHOWN):
        check(text, every_word=True)
    for text in texts(LARGE // 20, 300 + seed, (*SHOWN, *HIDING, *HIDING)):
        check(damaged(text, chance), every_word=False)


@pytest.mark.parametrize(
    "piece",
    [
        "<!--",
        "<!-- ",
        "%%",
        "%%a\n\n",
        "{>>",
        "[[",
        "![[",
        "==a",
        "==a ",
        "$a ",
        "$$",
        "\\(",
        "\\[",
        "**",
        "*a_",
        "[",
        "](",
        "<think>\n",
        "</think>\n",
        "<div>\n",
        "::: a\n",
        ":::\n",
        "a^",
        "~a",
        "www.",
        "https://",
        "a@",
        ")",
        "{.a ",
        "{#",
        "- ",
        "> ",
        "| a ",
        "a\n: b\n",
        "[^a]",
        "[^a]: b\n",
        "^[",
        "!!! a\n    ",
        "\t",
        " ",
        "#",
        "　　a\n",
        "好。\n",
        "<b>",
        "</b>",
        "<a href=",
        "&",
        "`",
        "```\n",
        "\\begin{a}",
        "---\n",
        "import ",
    ],
)
def test_what_is_repeated_ten_thousand_times_takes_no_longer_than_its_length(piece: str) -> None:
    started = time.process_time()
    text = piece * (20_000 // len(piece)) + "end"
    parsed = parse_markdown(text)
    sections_html([section.text for section in parsed.sections][:50], text)
    assert time.process_time() - started < BUDGET_S * 3
