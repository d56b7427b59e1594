"""A picture's width and side come out the same in every format: beside its section, or smaller in the column."""

from __future__ import annotations

import io
import re
import zipfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import docx
import pypdfium2
import pypdfium2.raw
import pytest
from docx.oxml.ns import qn
from docx.shared import Mm

from composer.article.markdown import make_sections
from composer.article.model import Article, Placement, Slot
from composer.article.serialization import from_json, to_json
from composer.errors import ComposerError
from composer.export.export import export
from composer.export.html import blocks
from composer.export.picture_export import Pictures, in_library
from tests.composer.article_samples import picture
from tests.composer.export_reading import check_docx

MADE = datetime(2026, 11, 28, tzinfo=UTC)
SENTENCE = "The walls of the town were painted long ago, and nobody remembers who chose the colours. "


@pytest.fixture
def article(tmp_path: Path) -> Article:
    """Three sections with headings: a picture at the right, one at the left, and a narrow one below."""
    sections = make_sections([f"## Part {n}\n\n{SENTENCE * 9}" for n in range(3)])
    shown = [picture(tmp_path, f"wall_{n}.jpg", colour) for n, colour in enumerate(("navy", "maroon", "olive"))]
    sizes = [(0.5, "right"), (0.33, "left"), (0.75, "")]
    placements = [
        Placement(Slot(n, ""), (), record, (), caption=record.caption, credit="Image: A.", width_share=share, side=side)  # type: ignore[arg-type]
        for n, (record, (share, side)) in enumerate(zip(shown, sizes, strict=True))
    ]
    return Article("Walls", "en", tuple(sections), tuple(placements))


def exported(article: Article, format_: str) -> bytes:
    files = export(article, format_, Pictures(article, in_library), made=MADE).files
    return files[f"article.{format_}"]


def test_width_and_side_are_kept_and_nonsense_is_refused(article: Article) -> None:
    saved = to_json(article)
    assert from_json(saved) == article
    plain = to_json(replace(article, placements=(replace(article.placements[0], width_share=1.0, side=""),)))
    assert not {"width_share", "side"} & set(plain["placements"][0]), "most pictures have neither"
    for wrong in ({"width_share": 2}, {"width_share": True}, {"width_share": "half"}, {"side": "top"}, {"side": 1}):
        broken = {**saved, "placements": [{**saved["placements"][0], **wrong}]}
        with pytest.raises(ComposerError, match="article_wrong_kind"):
            from_json(broken)


def test_the_page_floats_what_stands_at_a_side_before_its_section(article: Article) -> None:
    html = exported(article, "html").decode()
    assert [block.kind for block in blocks(article, lambda _: "")] == [
        "title", "figure", "section", "figure", "section", "section", "figure",
    ]  # fmt: skip
    assert re.search(r'<figure class="beside right" style="width:50\.00%"', html)
    assert re.search(r'<figure class="beside left" style="width:3[23]\.\d\d%"', html)
    assert 'style="width:540px"' in html, "three quarters of 720 px"


def test_a_book_floats_them_too(article: Article) -> None:
    page = zipfile.ZipFile(io.BytesIO(exported(article, "epub"))).read("EPUB/article.xhtml").decode()
    assert re.findall(r'<figure class="(\w+)" style="width: (\d+)%"', page) == [("right", "50"), ("left", "33")]
    assert 'style="width: 75%"' in page


def test_word_frames_picture_and_caption_beside_the_section(article: Article) -> None:
    data = exported(article, "docx")
    check_docx(data)
    document = docx.Document(io.BytesIO(data))
    frames = [
        (p.style.name if p.style else "", frame.get(qn("w:xAlign")), int(frame.get(qn("w:w"))))
        for p in document.paragraphs
        for frame in p._p.iter(qn("w:framePr"))
    ]
    half, third = round(Mm(150) / 2 / 635), round(Mm(150) * 0.33 / 635)
    assert [frame[:2] for frame in frames] == [
        (name, side) for side in ("right", "left") for name in ("Figure", "Caption", "Credit")
    ]
    assert [frame[2] for frame in frames] == pytest.approx([half] * 3 + [third] * 3, abs=20)
    widths = [shape.width / Mm(150) for shape in document.inline_shapes]
    assert widths == pytest.approx([0.5, 0.33, 0.64], abs=0.02), "a figure in the column is held to a third of a page"


def test_the_pdf_sets_text_beside_the_picture(article: Article) -> None:
    document = pypdfium2.PdfDocument(exported(article, "pdf"))
    page = document[0]
    (right, left, *_) = (o.get_bounds() for o in page.get_objects(filter=[pypdfium2.raw.FPDF_PAGEOBJ_IMAGE]))
    column = (210 - 64) / 25.4 * 72
    start, end = 32 / 25.4 * 72, 32 / 25.4 * 72 + column
    assert (right[0], right[2]) == pytest.approx((end - column / 2, end), abs=2)
    assert (left[0], left[2]) == pytest.approx((start, start + 0.33 * column), abs=2)
    words = page.get_textpage()
    beside = words.get_text_bounded(start, right[1], right[0], right[3])
    assert "painted long ago" in beside
    assert "Part 0" in beside
    words.close()
    page.close()
    document.close()


def test_a_second_picture_at_the_side_of_one_section_stands_below(article: Article) -> None:
    moved = replace(article.placements[1], slot=Slot(0, ""))
    both = replace(article, placements=(article.placements[0], moved))
    assert [block.kind for block in blocks(both, lambda _: "")][:4] == ["title", "figure", "section", "figure"]
    assert exported(both, "html").count(b'class="beside') == 1
    for format_ in ("docx", "epub", "pdf"):
        assert exported(both, format_)
