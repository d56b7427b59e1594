"""What people write is read as they mean it: front matter, titles, remarks, dialects of Markdown, Chinese, HTML."""

from __future__ import annotations

from pathlib import Path

import pytest

from composer.article.front_matter import front_matter, with_title
from composer.article.markdown import block_kind, join_sections, parse_markdown, plain_text
from composer.article.model import Article
from composer.export.document_tree import to_document
from composer.export.markdown_html import sections_html
from composer.request import document_text, read_text_file

PROSE = "Bread rises overnight in a cool kitchen, and the baker lights the oven long before dawn."
CHINESE = "面包在凉爽的厨房里过夜发酵。"


def shown(source: str) -> str:
    """The whole text as HTML."""
    parsed = parse_markdown(source)
    return "".join(sections_html([s.text for s in parsed.sections], parsed.preamble + join_sections(parsed.sections)))


# Encodings


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("面包要发酵一夜，烤炉在天亮前点燃。", "gb18030"),
        ("麵包要發酵一夜，烤爐在天亮前點燃，麵包師傅很早就起床。", "big5"),
        ("パンは一晩かけて膨らみます。", "shift_jis"),
        ("빵은 밤새 부풀어 오릅니다.", "euc-kr"),
        ("Хлеб поднимается всю ночь.", "cp1251"),
        ("Der Bäcker heizt früh – „schön warm“.", "cp1252"),
        ("Chléb kyne přes noc, pekař vstává brzy.", "cp1250"),
        (PROSE, "utf-16"),
        (PROSE, "utf-16-le"),
        (PROSE, "utf-32"),
    ],
)
def test_a_text_is_read_in_the_encoding_it_was_saved_in(text: str, encoding: str, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_bytes(f"# A\r\n\r\n{text}\r\n".encode(encoding))
    assert read_text_file(tmp_path / "a.md") == f"# A\r\n\r\n{text}\r\n"


def test_a_byte_order_mark_stays_and_hides_no_heading_and_no_front_matter() -> None:
    text = document_text(b"\xef\xbb\xbf# Bread\r\n\r\nIt rises.\r\n")
    parsed = parse_markdown(text)
    assert (parsed.title, parsed.preamble) == ("Bread", "\ufeff# Bread\r\n\r\n")
    assert parse_markdown("\ufeff---\ntitle: Bread\n---\nIt rises.\n").title == "Bread"
    assert parse_markdown("\ufeffIt rises.\n").sections[0].text == "It rises."


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_kind_of_line_end_stays(end: str) -> None:
    source = end.join(["---", "title: Bread", "---", "", "One.", "", "## Two", "", "- a", "- b", "", "Three.", ""])
    parsed = parse_markdown(source)
    assert parsed.title == "Bread"
    assert parsed.preamble + join_sections(parsed.sections) == source
    assert [s.text.split(end)[0] for s in parsed.sections] == ["One.", "## Two", "Three."]


# Front matter


@pytest.mark.parametrize(
    ("block", "title"),
    [
        ("---\ntitle: >-\n  Bread\n  at dawn\ntags: [a, b]\n---", "Bread at dawn"),
        ("---\ntitle: |\n  Bread at dawn\n---", "Bread at dawn"),
        ("---\ntitle: 'The baker''s oven'\n---", "The baker's oven"),
        ('---\ntitle: "Say \\"bread\\"" # for now\n---', 'Say "bread"'),
        ("---\ntitle: Bread: at dawn\nauthor: A\n---", "Bread: at dawn"),
        ("---\ntitle: 2024-13-45\ndate: 2024-13-45\n---", "2024-13-45"),
        ("---\nTitle: Bread\n---", "Bread"),
        ("---\ntitle: Bread\n...", "Bread"),
        ("---\ntitle:\n  en: Bread\n---", ""),
        ("---\ntitle: null\ntags: x\n---", ""),
        ("---\n标题: 面包\n---", "面包"),
        ('+++\ntitle = "Bread"\ndate = 2024-05-01\n[extra]\na = 1\n+++', "Bread"),
    ],
)
def test_front_matter_is_read_by_its_own_rules(block: str, title: str) -> None:
    parsed = parse_markdown(f"{block}\n\n{PROSE}\n")
    assert (parsed.title, parsed.title_in_text) == (title, not title)
    assert [s.text for s in parsed.sections] == [PROSE]
    assert parse_markdown(block).sections == ()


@pytest.mark.parametrize(
    "block",
    [
        "---\n\nThe first scene is the kitchen.\n\n---",
        "---\nThe first scene is the kitchen.\n---",
        "---\nAnna: Is the bread ready?\nBert: Not yet.\n---",
        "---\nNote to all: bring flour\n---",
        "---\n- a\n- b\n---",
        "+++\nwords = of no table\n+++",
        "---\ntitle: never closed",
    ],
)
def test_prose_between_rules_is_no_front_matter(block: str) -> None:
    assert front_matter(block) is None
    words = "".join(plain_text(s.text) for s in parse_markdown(f"{block}\n\n{PROSE}\n").sections)
    assert all(word in words for word in ("kitchen", "bread", "flour", "words", "closed") if word in block)


@pytest.mark.parametrize(
    "source",
    [
        "---\ntitle: >-\n  Old\n  words\ntags: [a]\n---\n\nBody.\n",
        "---\ntags: [a]\ntitle: Old: words\n---\nBody.\n",
        '+++\ntitle = "Old words" # kept\ntags = ["a"]\n+++\n\nBody.\n',
    ],
)
def test_a_title_changes_in_the_front_matter_and_nothing_else_does(source: str) -> None:
    changed = with_title(source, 'A "new" one: here')
    read = front_matter(changed)
    assert read is not None
    assert read.title == 'A "new" one: here'
    assert "Old" not in changed
    assert changed.endswith("Body.\n")
    assert "tags" in changed
    assert with_title("Body.\n", "x") == "Body.\n"


# Titles


def test_the_only_heading_of_level_one_is_the_title_wherever_it_stands() -> None:
    parsed = parse_markdown(f"[![built](https://x.y/b.svg)](https://x.y)\n\nBread\n=====\n\n{PROSE}\n")
    assert (parsed.title, parsed.title_in_text) == ("Bread", True)
    assert parsed.sections[1].text.startswith("Bread\n=====")
    assert parse_markdown("Words.\n\n# One\n\nWords.\n\n# Two\n\nWords.\n").title == ""


def test_what_nobody_is_shown_may_stand_before_the_title() -> None:
    parsed = parse_markdown(f"<!-- draft 3 -->\n\n# Bread {{#bread .unnumbered}}\n\n{PROSE}\n")
    assert (parsed.title, parsed.title_in_text) == ("Bread", False)
    assert parsed.preamble == "<!-- draft 3 -->\n\n# Bread {#bread .unnumbered}\n\n"


def test_an_answer_that_stands_in_a_fence_is_taken_out_of_it() -> None:
    inner = f"# Bread\n\n{PROSE}\n\n```sh\nbake\n```\n\n{PROSE}\n"
    for before, after in (("", ""), ("Here is your article:\n\n", "\n\nLet me know if you want more!\n")):
        parsed = parse_markdown(f"{before}```markdown\n{inner}```{after}")
        assert (parsed.title, parsed.notices) == ("Bread", ("text_unwrapped",))
        assert parsed.preamble + join_sections(parsed.sections) == inner
    code = f"{PROSE}\n\n```markdown\n# Bread\n```\n\n{PROSE}\n"
    assert parse_markdown(code).notices == ()
    assert block_kind(parse_markdown(code).sections[1].text) == "code"


def test_thinking_is_printed_nowhere_and_a_greeting_is_pointed_out() -> None:
    source = f"<think>\nThey want bread.\n\nBe vivid.\n</think>\n\nSure! Here is the article:\n\n# Bread\n\n{PROSE}\n"
    parsed = parse_markdown(source)
    assert (parsed.title, parsed.notices) == ("Bread", ("text_thoughts", "text_chatter"))
    assert "vivid" not in shown(source)
    assert parsed.preamble + join_sections(parsed.sections) == source
    assert "vivid" not in shown(f"They want bread.\n\nBe vivid.\n</think>\n\n# Bread\n\n{PROSE}\n")


@pytest.mark.parametrize(
    "source",
    [
        f"    bake()\n\nThe mark itself:\n</think>\n\n{PROSE}\n",
        f"\n\n```html\n<b>\n</think>\n```\n\n{PROSE}\n",
        f"{PROSE}\n\n- one\n\n  <!-- two\n\n{PROSE}\n\n--> three\n",
        f"{PROSE}\n\n+++\na = 1\n+++\n\n{PROSE}\n",
        f"{PROSE}\n\n<div>\n\n<!-- one -->\nTwo. <!-- never closed",
        "<!-- one\n\ntwo --><!-- never closed",
        f"## Flour\n\n{{% comment %}}\n\n{PROSE}\n",
    ],
)
def test_a_part_says_by_itself_what_it_says_within_the_whole(source: str) -> None:
    parsed = parse_markdown(source)
    assert parsed.preamble + join_sections(parsed.sections) == source
    assert "".join(shown(source).split()) == "".join(sections_html([source], source)[0].split())


def test_thinking_that_was_never_begun_ends_behind_blank_lines_too() -> None:
    assert "bread" not in shown(f"\n \nThey want bread.\n\n</think>\n\n{PROSE}\n")


def test_a_remark_that_begins_in_the_title_takes_the_words_after_it_along() -> None:
    source = f"# Bread {{>> or rolls?\n\n{CHINESE} <<}} {PROSE}\n"
    parsed = parse_markdown(source)
    assert parsed.preamble + join_sections(parsed.sections) == source
    assert shown(source).strip().removeprefix("<h1>Bread </h1>").strip() == f"<p> {PROSE}</p>"


def test_a_note_may_be_defined_within_a_note() -> None:
    source = "Rye.[^a] Oats.[^b]\n\n[^a]: Grown up north.\n\n    [^b]: Fed to horses.\n\nLast.\n"
    to_document(Article("Bread", "en", parse_markdown(source).sections))
    html = shown(source)
    assert html.index("Last.") < html.index("<li>Grown up north.") < html.index("<li>Fed to horses.")


@pytest.mark.parametrize("mark", ["[^n]: ", "[^n]:", "> ", "- ", "1. ", ">", "[^n]: - > "])
def test_no_depth_of_marks_ends_a_run_or_takes_words(mark: str) -> None:
    source = f"{mark * 180}deep\n\n{PROSE}\n"
    to_document(Article("Bread", "en", parse_markdown(source).sections))
    assert "deep" in shown(source)


# Remarks

SECRET = "names must change"


@pytest.mark.parametrize(
    "remark",
    [
        f"<!--\n{SECRET}\n\n## Call her\n\n- {SECRET}\n-->",
        f"Words <!-- {SECRET} --> more words.",
        f"{PROSE}\n[//]: # ({SECRET})\n{PROSE}",
        f"{{::comment}}\n{SECRET}\n\n{SECRET}\n{{:/comment}}",
        f"Words {{::comment}}{SECRET}{{:/}} more words.",
        f"{{{{!-- {SECRET} --}}}}",
        f"{{{{- /* {SECRET} */ -}}}}",
        f"{{{{< comment >}}}}\n\n{SECRET}\n\n{{{{< /comment >}}}}",
        f"{{{{% comment %}}}}{SECRET}{{{{% /comment %}}}}",
        f"{{#- {SECRET} -#}}",
        f"{{% # {SECRET} %}}",
        f"<%-- {SECRET}\n\n{SECRET} --%>",
        f"Words <%# {SECRET} %> more words.",
        f"\\begin{{comment}}\n{SECRET}\n\n{SECRET}\n\\end{{comment}}",
        f"[THINK]\n{SECRET}\n\n{SECRET}\n[/THINK]",
        f"◁think▷{SECRET}◁/think▷",
        f"<seed:think>\n{SECRET}\n</seed:think>",
        f"Words <!-- {SECRET}\n\n{SECRET}\n\n```\n{SECRET}\n```\n\n{SECRET} --> more words.",
        f"- one <!-- {SECRET}\n- {SECRET} -->\n- three",
        f"- <!-- {SECRET}\n- {SECRET} -->\n- three",
        f"> quoted <!-- {SECRET} -->",
        f"| a | b |\n|---|---|\n| 1 <!-- {SECRET} --> | 2 |",
        f"## Head <!-- {SECRET} -->\n\nwords",
        f"<!-- {SECRET}",
        f"<div>\n<!-- {SECRET} -->\nwords\n</div>",
        f"Words %%{SECRET}%% more.",
        f"%%\n{SECRET}\n\n{SECRET}\n%%",
        f"Words {{>>{SECRET}<<}} more.",
        f"{{/* {SECRET} */}}",
        f"Words {{/* {SECRET} */}} more.",
        f"{{% comment %}}\n{SECRET}\n\n{SECRET}\n{{% endcomment %}}",
        f"[//]: # ({SECRET})",
        f"[comment]: <> ({SECRET})",
        f"**bold <!-- {SECRET} --> words**",
        f"<b>Words</b> <!-- {SECRET}\n{SECRET} -->",
    ],
)
def test_a_remark_is_printed_nowhere_and_stays_in_the_source(remark: str) -> None:
    source = f"{PROSE}\n\n{remark}\n\nThe end.\n"
    parsed = parse_markdown(source)
    assert parsed.preamble + join_sections(parsed.sections) == source
    html = shown(source)
    assert SECRET not in html
    assert "--&gt;" not in html
    assert ("The end." in html) == (not remark.endswith(SECRET)), "one that is never closed hides all after it"
    for word in ("more", "three", "quoted", "Head", "bold"):
        assert (word in html) == (word in remark.replace(SECRET, ""))
    assert SECRET not in " ".join(plain_text(s.text) for s in parsed.sections)


@pytest.mark.parametrize(
    "source", ["Prices rose 5%% and 7%% here.", "`<!-- shown -->` as code", "```\n<!-- shown -->\n```"]
)
def test_what_only_looks_like_a_remark_is_printed(source: str) -> None:
    assert "shown" in shown(source) or "and 7" in shown(source)


def test_no_place_lies_within_a_remark_that_goes_over_several_blocks() -> None:
    source = f"{PROSE}\n\nOne <!-- a\n\nb\n\nc --> two.\n\n{PROSE}\n"
    assert [s.text for s in parse_markdown(source).sections] == [PROSE, "One <!-- a\n\nb\n\nc --> two.", PROSE]


# Beyond CommonMark


@pytest.mark.parametrize(
    ("source", "html"),
    [
        ("See www.example.org, https://example.org/a_b_c. (http://x.org/a) me@example.org!", 4),
        ("见https://example.org/a，更多", 1),
        ("[x](https://a.org) and <https://b.org> and `https://c.org`", 2),
        ("javascript://www 3:14 a@b @me", 0),
    ],
)
def test_bare_addresses_are_links(source: str, html: int) -> None:
    rendered = sections_html([source], source)[0]
    assert rendered.count("<a href=") == html
    assert ">https://example.org/a</a>，更多" in rendered or "更多" not in source


@pytest.mark.parametrize(
    ("source", "html"),
    [
        ("See [[Ovens|the ovens]] and [[Bread]].", "<p>See the ovens and Bread.</p>\n"),
        ("![[loaf.png|300]]", '<p><img src="loaf.png" alt="loaf"></p>\n'.replace('">', '" />')),
        ("==marked== words ^note1", "<p><mark>marked</mark> words</p>\n"),
        ("H~2~O, x^2^ ~~gone~~", "<p>H<sub>2</sub>O, x<sup>2</sup> <s>gone</s></p>\n"),
        ("The `oven`{.cls} and ![a](a.png){width=50%}", '<p>The <code>oven</code> and <img src="a.png" alt="a" /></p>'),
        ("$x^*(b) = a^*$ for $5 or $6", "<p><code>x^*(b) = a^*</code> for $5 or $6</p>\n"),
        ("\\(a_1 * b_1 * c\\) and \\[plain\\]", "<p><code>a_1 * b_1 * c</code> and [plain]</p>\n"),
        ("> [!tip] Heat\n> Wait.", "<blockquote>\n<p><strong>Heat</strong></p>\n<p>Wait.</p>\n</blockquote>\n"),
        ("> [!NOTE]\n> Wait.", "<blockquote>\n<p><strong>Note</strong></p>\n<p>Wait.</p>\n</blockquote>\n"),
        ("!!! note \"Heat\"\n    Wait.", "<blockquote>\n<p><strong>Heat</strong></p>\n<p>Wait.</p>\n</blockquote>\n"),
        ("::: warning\nHot.\n:::", "<blockquote>\n<p><strong>warning</strong></p>\n<p>Hot.</p>\n</blockquote>\n"),
        ("::: {.col}\nHot.\n:::", "<p>Hot.</p>\n"),
        ("::: never closed\n\nHot.", "<p>::: never closed</p>\n<p>Hot.</p>\n"),
        ("!!! Stop at once", "<p>!!! Stop at once</p>\n"),
        ("- [ ] flour\n- [x] salt", "<ul>\n<li>☐ flour</li>\n<li>☑ salt</li>\n</ul>\n"),
        ("Dough\n: what rises", "<dl>\n<dt>Dough</dt>\n<dd>what rises</dd>\n</dl>\n"),
        ("import Oven from './oven'\n\nWords.\n\n<Oven heat=\"9\">\n\nHot.\n\n</Oven>", "<p>Words.</p>\n<p>Hot.</p>\n"),
        ("A<br>b <b>c</b> <i>d</i> H<sub>2</sub>O <kbd>e</kbd>", None),
        ("<div align=\"center\">\n<img src=\"a.png\" alt=\"Loaf\">\n</div>", '<p><img src="a.png" alt="Loaf" /></p>\n'),
        ("<details>\n<summary>More</summary>\n\nInside.\n\n</details>", "<p>More</p>\n<p>Inside.</p>\n"),
        ("<pre><code>a &lt; b</code></pre>", "<pre><code>a &lt; b</code></pre>\n"),
        ("List<String> and <your name>", "<p>List&lt;String&gt; and &lt;your name&gt;</p>\n"),
    ],
)  # fmt: skip
def test_what_people_write_reads_as_they_mean_it(source: str, html: str | None) -> None:
    br = "<p>A<br />\nb <strong>c</strong> <em>d</em> H<sub>2</sub>O e</p>\n"
    assert shown(source).strip() == (br if html is None else html).strip()


def test_notes_are_numbered_linked_and_at_the_end_and_no_place() -> None:
    source = (
        f"Salt[^a] was money[^b].\n\n[^b]: In Rome.\n\n{PROSE} Again[^a] and inline^[quite *so*].\n\n"
        "[^a]: White.\n\n[^z]: Lost."
    )
    html = shown(source)
    assert html.startswith("<p>Salt<sup>1</sup> was money<sup>2</sup>.</p>")
    assert "Again<sup>1</sup> and inline<sup>3</sup>." in html
    assert html.endswith("<li>White. </li>\n<li>In Rome. </li>\n<li>quite <em>so</em> </li>\n<li>Lost. </li>\n</ol>\n")
    assert [block_kind(s.text) for s in parse_markdown(source).sections].count("paragraph") == 2
    assert "[^missing]" in shown("Salt[^missing] here.")


# Chinese


@pytest.mark.parametrize(
    ("source", "html"),
    [
        ("**“面包”**是", "<p><strong>“面包”</strong>是</p>\n"),
        ("**注意：**清晨。这里有*《面包》*的", "<p><strong>注意：</strong>清晨。这里有<em>《面包》</em>的</p>\n"),
        ("在**烤炉（三月）**里", "<p>在<strong>烤炉（三月）</strong>里</p>\n"),
        ("2 * 3 * 4 和 a*b*c", "<p>2 * 3 * 4 和 a<em>b</em>c</p>\n"),
        ("面包\n很香", "<p>面包很香</p>\n"),
        ("##面包", "<h2>面包</h2>\n"),
        ("#面包", "<p>#面包</p>\n"),
    ],
)
def test_chinese_marks_need_no_spaces(source: str, html: str) -> None:
    assert sections_html([source], source)[0] == html


def test_a_line_is_a_paragraph_where_every_line_ends_a_sentence() -> None:
    lines = ["面包一日", CHINESE, "早上点燃烤炉，香味飘到街上。", "“请给我两个！”"]
    assert [s.text for s in parse_markdown("\n".join(lines)).sections] == lines
    english = ["My bread", PROSE, "It smells good.", "We eat."]
    assert [s.text for s in parse_markdown("\n".join(english)).sections] == english
    assert shown("\n".join(lines)).count("<p>") == 4
    wrapped = "Bread rises overnight\nin a cool kitchen.\nThe oven is hot."
    assert len(parse_markdown(wrapped).sections) == 1
    by_sentence = f"{PROSE}\nIt smells good.\nWe eat.\n\n{PROSE}\nMore.\nAnd more.\n"
    assert len(parse_markdown(by_sentence).sections) == 2, "who parts paragraphs by blank lines means the others"
    assert shown(by_sentence).count("<p>") == 2
