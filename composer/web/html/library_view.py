"""The Library tab as HTML: cards of pictures, pages, failures, the form for a picture's words, an indexing run.

Everything that comes from outside is escaped. Knows no events; what a button asks for is named in its attributes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from composer.export.markdown_html import attribute
from composer.export.picture_urls import PictureUrl
from composer.i18n import localize
from composer.studio.libraries import FIELDS, Indexing, Leaf, OfferedLibrary

if TYPE_CHECKING:
    from pathlib import Path

    from image_db.files import Failure
    from image_db.metadata.record import ImageRecord

Words = Mapping[str, str]
_SHOWN_FAILURES = 100


def shell(words: Words) -> str:
    """The tab before the library has answered."""
    return (
        '<div class="library"><div class="toast"></div>'
        '<div class="head"><div class="choice"></div>'
        f'<form class="search" data-lib="search" role="search"><input name="words" maxlength="500" '
        f'aria-label="{attribute(words["lib_search"])}" placeholder="{attribute(words["lib_search"])}">'
        f'<button type="submit" class="tool">{escape(words["search"])}</button></form></div>'
        '<div class="count" role="status"></div><div class="cards"></div><div class="pager"></div>'
        '<div class="failures"></div>'
        f'<div class="start"></div><div class="run" role="status"></div>'
        f'<dialog aria-label="{attribute(words["lib_title"])}"><div class="form"></div></dialog></div>'
    )


def leaf_parts(
    offered: Sequence[OfferedLibrary],
    folder: str,
    words_asked: str,
    leaf: Leaf | None,
    failures: Sequence[Failure],
    thumbnail_url: PictureUrl,
    words: Words,
    language: str,
) -> dict[str, Any]:
    """What the tab shows of a library; ``leaf`` None where there is no library at all."""
    start = _start(words, none=leaf is None)
    if leaf is None:
        return {"none": True, "choice": "", "count": "", "cards": "", "pager": "", "failures": "", "start": start}
    options = "".join(
        f'<option value="{escape(str(item.folder))}"{" selected" if str(item.folder) == folder else ""}>'
        f"{escape(item.label)}</option>"
        for item in offered
    )
    count = words["lib_found" if words_asked.strip() else "lib_count"].format(count=f"{leaf.matches:,}")
    cards = "".join(_card(record, thumbnail_url, words, language) for record in leaf.records)
    nothing = words["nothing_found" if words_asked.strip() else "lib_empty"]
    return {
        "folder": folder,
        "choice": f'<select data-lib="folder" aria-label="{attribute(words["library"])}">{options}</select>',
        "count": escape(count),
        "cards": cards or f'<p class="notice">{escape(nothing)}</p>',
        "pager": _pager(leaf, words),
        "failures": _failures(failures, words),
        "start": start,
    }


def _card(record: ImageRecord, thumbnail_url: PictureUrl, words: Words, language: str) -> str:
    name = record.caption_in(language) or record.alt or record.path.stem
    credit = ", ".join(part for part in (record.author, record.license) if part)
    return (
        f'<button type="button" class="card" data-lib="edit" data-id="{attribute(record.id)}" '
        f'aria-label="{attribute(words["lib_edit"].format(name=name))}">'
        f'<img src="{attribute(thumbnail_url(record))}" alt="" loading="lazy">'
        f'<span class="name">{escape(name)}</span><span class="credit">{escape(credit)}</span></button>'
    )


def _pager(leaf: Leaf, words: Words) -> str:
    if leaf.pages < 2:
        return ""

    def turn(word: str, page: int, possible: bool) -> str:
        off = "" if possible else " disabled"
        return (
            f'<button type="button" class="tool" data-lib="page" data-page="{page}"{off}>{escape(words[word])}</button>'
        )

    told = words["lib_page"].format(page=leaf.page + 1, pages=leaf.pages)
    return (
        turn("lib_previous", leaf.page - 1, leaf.page > 0)
        + f"<span>{escape(told)}</span>"
        + turn("lib_next", leaf.page + 1, leaf.page + 1 < leaf.pages)
    )


def _failures(failures: Sequence[Failure], words: Words) -> str:
    if not failures:
        return f'<p class="notice">{escape(words["lib_no_failures"])}</p>'
    rows = "".join(_failed(f.path, localize(f.reason, words["code"])) for f in failures[:_SHOWN_FAILURES])
    told = words["lib_failures"].format(count=len(failures))
    return f"<details><summary>{escape(told)}</summary><ul>{rows}</ul></details>"


def _failed(path: Path, reason: str) -> str:
    name = str(path).encode("utf-8", "replace").decode()
    return f"<li><b>{escape(name)}</b> {escape(reason)}</li>"


def _start(words: Words, *, none: bool) -> str:
    """The form that indexes a folder, and where there is no library yet, what it is for."""
    intro = f"<h2>{escape(words['no_library'])}</h2><p>{escape(words['teach'])}</p>" if none else ""
    form = (
        f'<form class="index" data-lib="index"><label>{escape(words["lib_folder"])}'
        '<input name="pictures" required maxlength="4000" placeholder="/home/me/Pictures" spellcheck="false"></label>'
        f'<label>{escape(words["lib_name"])}<input name="name" maxlength="60"></label>'
        f'<button type="submit" class="tool primary">{escape(words["lib_start"])}</button></form>'
        f'<div class="sample"><button type="button" class="tool{" primary" if none else ""}" data-lib="sample">'
        f"{escape(words['lib_sample'])}</button> <span>{escape(words['lib_sample_hint'])}</span></div>"
    )
    if none:
        return f'<section class="lesson">{intro}{form}</section>'
    return f"<details><summary>{escape(words['lib_index'])}</summary>{form}</details>"


def running(run: Indexing | None, words: Words) -> dict[str, Any]:
    """How far an indexing run is; ``going`` until it is over."""
    if run is None:
        return {"html": "", "going": False}
    if run.stage == "over":
        return {
            "html": _over(run, words),
            "going": False,
            "folder": "" if run.trouble is not None else str(run.folder),
        }
    text = words[f"lib_{run.stage}"].format(what=run.what)
    meter = ""
    if run.total:
        text += f" {run.done:,} / {run.total:,}"
        meter = f'<progress max="{run.total}" value="{run.done}" aria-label="{attribute(text)}"></progress>'
    return {"html": f'<p class="notice">{escape(text)}</p>{meter}', "going": True}


def _over(run: Indexing, words: Words) -> str:
    if run.trouble is not None:
        return f'<p class="message error">{escape(localize(run.trouble, words["code"]))}</p>'
    if run.report is None:
        return ""
    report = run.report
    done = words["lib_done"].format(
        added=report.added + report.linked,
        unchanged=report.unchanged,
        removed=report.removed,
        failed=len(report.failed),
        seconds=f"{report.seconds:.1f}",
    )
    return f'<p class="notice">{escape(done)}</p>'


def record_form(record: ImageRecord, picture_url: PictureUrl, words: Words) -> str:
    """A form for everything that is said of a picture."""
    values = {
        "caption": record.caption,
        "caption_zh": dict(record.captions).get("zh", ""),
        "alt": record.alt,
        "tags": ", ".join(record.tags),
        "author": record.author,
        "license": record.license,
        "source_url": record.source_url,
    }
    inputs = "".join(
        f'<label>{escape(words["field_" + name])}<input name="{name}" maxlength="2000" '
        f'value="{attribute(values[name])}"></label>'
        for name in FIELDS
    )
    alt = attribute(record.alt or record.caption or record.path.stem)
    return (
        f'<form class="record" data-lib="save" data-id="{attribute(record.id)}">'
        f'<div class="seen"><img src="{attribute(picture_url(record))}" alt="{alt}">'
        f"<p>{escape(record.path.name)} · {record.width_px} × {record.height_px}</p></div>"
        f'<div class="fields">{inputs}<p class="told message error" role="alert"></p><div class="row">'
        f'<button type="submit" class="tool primary">{escape(words["lib_save"])}</button>'
        f'<button type="button" class="tool" data-lib="close">{escape(words["close"])}</button></div></div></form>'
    )
