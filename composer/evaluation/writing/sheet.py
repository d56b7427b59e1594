"""A sheet for reading: every sentence numbered, with an empty cell for what it is worth; and the same to look at.

``sheet.tsv`` is filled in any spreadsheet or text editor, ``sheet.html`` shows the articles with their pictures and
says what the labels mean. Labels that a sheet holds already are kept when it is written anew.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from urllib.parse import quote

from composer.article.model import Article, Placement
from composer.batch.table_reader import read_rows
from composer.errors import UsageError
from composer.evaluation.writing.articles import WrittenArticle
from composer.evaluation.writing.text_measures import sentences_of
from composer.export.picture_files import IMAGES_DIR
from composer.i18n import fill, tables
from vision.downloads.files import write_atomic

SHEET, PAGE = "sheet.tsv", "sheet.html"
LABELS = ("absurd", "false", "repeated", "empty", "off", "fine")
VERDICTS = ("yes", "no")
KINDS = ("sentence", "caption", "alt", "article")
COLUMNS = ("article", "section", "number", "kind", "text", "label", "note")
_STYLE = """
body { font: 17px/1.6 Georgia, serif; max-width: 44rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
h1 { margin-top: 4rem } sup { color: #a33; font: 11px sans-serif; padding-right: .2em }
figure { margin: 1rem 0 } img { max-width: 100%; max-height: 22rem } figcaption, dl { font-size: 15px; color: #444 }
dt { font-weight: bold } dd { margin: 0 0 .4rem 1rem } .file { color: #888; font: 12px sans-serif }
"""


@dataclass(frozen=True, slots=True)
class SheetRow:
    """Something to be labelled. ``number`` counts through the article: "12", or "p2" for its second picture."""

    article: str
    section: str
    number: str
    kind: str
    text: str
    label: str = ""
    note: str = ""


def write_sheet(written: Sequence[WrittenArticle], out_dir: Path) -> tuple[Path, Path]:
    """Write the sheet and its page for the articles, whose folders are in ``out_dir``. Raises UsageError for a sheet
    that is there and cannot be read."""
    sheet, page = out_dir / SHEET, out_dir / PAGE
    rows = [row for each in written for row in rows_of(each)]
    if sheet.exists():
        filled = {_key(row): row for row in read_sheet(sheet)}
        rows = [filled.get(_key(row), row) for row in rows]
    text = io.StringIO(newline="")
    table = csv.writer(text, delimiter="\t", lineterminator="\n")
    table.writerow(COLUMNS)
    table.writerows([getattr(row, column) for column in COLUMNS] for row in rows)
    write_atomic(sheet, text.getvalue().encode("utf-8"))
    write_atomic(page, _page(written).encode("utf-8"))
    return sheet, page


def rows_of(written: WrittenArticle) -> list[SheetRow]:
    """An article's sentences, the captions and alt texts of its pictures, and last what is asked of the whole."""
    article, words = written.article, tables("en")["reading"]
    rows = []
    for numbers, heading, sentences, pictures in _numbered(article):
        rows += [
            SheetRow(written.name, heading, str(n), "sentence", s) for n, s in zip(numbers, sentences, strict=True)
        ]
        for number, placement in pictures:
            for kind, text in (("caption", placement.caption), ("alt", placement.alt)):
                if text:
                    rows.append(SheetRow(written.name, heading, f"p{number}", kind, text))
    return [*rows, SheetRow(written.name, "", "", "article", words["publishable"])]


def read_sheet(path: Path) -> list[SheetRow]:
    """The rows of a sheet, filled or not. Raises UsageError for what is no sheet, or a label that is none."""
    rows = []
    for row in read_rows(path, columns=dict.fromkeys(COLUMNS, str)):
        if row.error is not None:
            raise UsageError("in_sheet", path=str(path), line=row.line, reason=row.error)
        values = {column: str(row.values.get(column, "")) for column in COLUMNS}
        found = SheetRow(**values)
        if found.kind not in KINDS:
            raise UsageError("sheet_kind", path=str(path), line=row.line, given=found.kind[:40], known=list(KINDS))
        known = VERDICTS if found.kind == "article" else LABELS
        label = found.label.lower()
        if label and label not in known:
            raise UsageError("sheet_label", path=str(path), line=row.line, given=label[:40], known=list(known))
        rows.append(replace(found, label=label))
    return rows


def _key(row: SheetRow) -> tuple[str, ...]:
    return row.article, row.number, row.kind, row.text


def _numbered(
    article: Article,
) -> Iterator[tuple[range, str, list[str], list[tuple[int, Placement]]]]:
    """Section by section: the numbers of its sentences, its heading, its sentences, and its numbered pictures."""
    number = picture = 0
    for index, section in enumerate(article.sections):
        sentences = sentences_of(section)
        shown = [p for p in article.placements_after(index) if p.chosen is not None]
        pictures = list(enumerate(shown, picture + 1))
        yield range(number + 1, number + 1 + len(sentences)), section.heading, sentences, pictures
        number, picture = number + len(sentences), picture + len(shown)


def _page(written: Sequence[WrittenArticle]) -> str:
    words = tables("en")["reading"]
    legend = "".join(f"<dt>{escape(label)}</dt><dd>{escape(words[f'label_{label}'])}</dd>" for label in LABELS)
    parts = [
        f"<h2>{escape(words['legend'])}</h2><p>{escape(words['how'])}</p><dl>{legend}</dl>",
        f"<p>{escape(words['pictures'])}</p><p>{escape(words['whole'])}</p>",
    ]
    parts += [_article(each, words) for each in written]
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{escape(words["title"])}</title>'
        f"<style>{_STYLE}</style>\n" + "\n".join(parts) + "\n</html>\n"
    )


def _article(written: WrittenArticle, words: Mapping[str, str]) -> str:
    article = written.article
    asked = fill(words["asked"], instruction=written.request.instruction, words=written.request.words)
    parts = [
        f'<article lang="{escape(article.writing_language)}"><h1>{escape(article.title)}</h1>',
        f'<p class="file">{escape(written.name)} · {escape(asked)}</p>',
    ]
    for numbers, heading, sentences, pictures in _numbered(article):
        if heading:
            parts.append(f"<h2>{escape(heading)}</h2>")
        said = (f"<sup>{n}</sup>{escape(s)}" for n, s in zip(numbers, sentences, strict=True))
        parts.append(f"<p>{' '.join(said)}</p>")
        for number, placement in pictures:
            assert placement.chosen is not None
            file = quote(f"{written.name}/{IMAGES_DIR}/{article.files.get(placement.chosen.id, '')}")
            parts.append(
                f'<figure><img src="{file}" alt="{escape(placement.alt)}"><figcaption><sup>p{number}</sup>'
                f"{escape(placement.caption or words['no_caption'])}<br>"
                f"{escape(words['alt'])}: {escape(placement.alt or words['no_alt'])}</figcaption></figure>"
            )
    return "\n".join([*parts, "</article>"])
