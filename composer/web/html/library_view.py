"""The Library tab as HTML: cards of pictures, pages, failures, the form for a picture's words, an indexing run.

Everything that comes from outside is escaped; what a button asks for is named in its attributes.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from composer.export.markdown_html import attribute
from composer.i18n import fill
from composer.studio.libraries import IndexingRun, OfferedLibrary, RecordPage
from composer.web.html.context import ViewContext, Words, picture_name
from image_db.corrections import FIELDS, draft_of, fields_of
from image_db.scan import PICTURE_SUFFIXES, SIDECAR_SUFFIXES, TABLE_NAMES
from vision.errors import Phrase

if TYPE_CHECKING:
    from image_db.files import Failure
    from image_db.metadata.record import ImageRecord

_SHOWN_FAILURES = 100


def library_shell(words: Words) -> str:
    """The tab before the library has answered."""
    return (
        '<div class="library"><div class="toast"></div>'
        '<div class="head"><div class="choice"></div>'
        f'<form class="search" data-lib="search" role="search"><input name="words" maxlength="500" '
        f'aria-label="{attribute(words["lib_search"])}" placeholder="{attribute(words["lib_search"])}">'
        f'<button type="submit" class="tool">{escape(words["search"])}</button></form></div>'
        '<div class="start"></div><div class="run" role="status"></div>'
        f'<div class="found"><div class="count" role="status"></div>'
        '<button type="button" class="tool" data-lib="select" aria-pressed="false">'
        f"{escape(words['lib_select'])}</button></div>{_many_bar(words)}"
        '<div class="cards"></div><div class="pager"></div>'
        '<div class="failures"></div>'
        f'<dialog aria-label="{attribute(words["lib_title"])}"><div class="form"></div></dialog></div>'
    )


def _many_bar(words: Words) -> str:
    """What can be done with the pictures that are chosen."""

    def tool(do: str, word: str, kind: str = "", **data: str) -> str:
        more = "".join(f' data-{name}="{attribute(value)}"' for name, value in data.items())
        return f'<button type="button" class="tool {kind}" data-lib="{do}"{more}>{escape(words[word])}</button>'

    return (
        f'<div class="many" role="toolbar" aria-label="{attribute(words["lib_select"])}" hidden>'
        f'<span class="chosen" role="status" data-words="{attribute(words["lib_chosen"])}"></span>'
        + tool("all", "lib_all")
        + tool("many", "lib_many")
        + tool("hide", "lib_hide", "in-sight")
        + tool("unhide", "lib_unhide", "out-of-sight")
        + tool("delete", "lib_delete", "danger", sure=words["lib_delete_sure"])
        + "</div>"
    )


def library_parts(
    offered: Sequence[OfferedLibrary],
    shown: RecordPage | None,
    failures: Sequence[Failure],
    context: ViewContext,
    *,
    name: str = "",
    searched: str = "",
    roots: Collection[str] | None = None,
    hidden: bool = False,
) -> dict[str, Any]:
    """What the tab shows of a library; ``shown`` is None where there is no library at all.

    ``roots`` name the folders that may be indexed, None where any may be; then whole paths are shown, too.
    """
    words = context.words
    start = _start(words, roots, none=shown is None)
    if shown is None:
        return {"none": True, "choice": "", "count": "", "cards": "", "pager": "", "failures": "", "start": start}
    options = "".join(
        f'<option value="{escape(item.name)}"{" selected" if item.name == name else ""}>{escape(item.label)}</option>'
        for item in offered
    )
    count = fill(words["lib_found" if searched.strip() else "lib_count"], count=shown.matches)
    if shown.like is not None:
        count = words["lib_like"].format(name=picture_name(shown.like, context.language))
    elif hidden:
        count = fill(words["lib_hidden"], count=shown.matches)
    nothing = words["nothing_found" if searched.strip() else "lib_empty"]
    return {
        "library": name,
        "choice": f'<select data-lib="library" aria-label="{attribute(words["library"])}">{options}</select>',
        "count": escape(count),
        "cards": "".join(_card(record, context, shown.alike.get(record.id, 0)) for record in shown.records)
        or f'<p class="notice">{escape(nothing)}</p>',
        "pager": _pager(shown, words) + _apart(shown, words) + _ways(shown, words, hidden),
        "hidden": hidden,
        "failures": _failures(failures, context, whole_paths=roots is None),
        "start": start,
    }


def _ways(shown: RecordPage, words: Words, hidden: bool) -> str:
    """Back to everything, or on to what is hidden."""
    if hidden or shown.like is not None:
        return f'<button type="button" class="tool" data-lib="everything">{escape(words["lib_everything"])}</button>'
    if not shown.hidden:
        return ""
    label = fill(words["lib_hidden"], count=shown.hidden)
    return f'<button type="button" class="tool" data-lib="hidden">{escape(label)}</button>'


def _card(record: ImageRecord, context: ViewContext, alike: int) -> str:
    name = picture_name(record, context.language)
    credit = ", ".join(part for part in (record.author, record.license) if part)
    more = f'<span class="alike">{escape(fill(context.words["lib_alike"], count=alike))}</span>' if alike else ""
    _, draft = draft_of(record)
    if draft:
        more = f'<span class="drafted">{escape(context.words["lib_drafted"])}</span>{more}'
    card = (
        f'<button type="button" class="card" data-lib="edit" data-id="{attribute(record.id)}" '
        f'data-large="{attribute(context.picture_url(record))}" data-name="{attribute(name)}" '
        f'aria-label="{attribute(context.words["lib_edit"].format(name=name))}">'
        f'<img src="{attribute(context.thumbnail_url(record))}" alt="" loading="lazy">'
        f'<span class="name">{escape(name)}</span><span class="credit">{escape(credit)}</span>{more}</button>'
    )
    return f'<div class="carded">{card}{_keeping(record, draft, context.words)}</div>' if draft else card


def _keeping(record: ImageRecord, draft: str, words: Words) -> str:
    """A button that makes a picture's drafted words a person's; words that the card does not show stand before it."""
    return (
        f'<p class="draft">{"" if record.caption else escape(draft)} <button type="button" class="tool" '
        f'data-lib="keep" data-id="{attribute(record.id)}" '
        f'aria-label="{attribute(words["lib_keep_named"].format(draft=draft))}">{escape(words["lib_keep"])}</button></p>'
    )


def _apart(shown: RecordPage, words: Words) -> str:
    """A button that shows pictures that look the same each for itself."""
    if not shown.alike:
        return ""
    return f'<button type="button" class="tool" data-lib="apart">{escape(words["lib_apart"])}</button>'


def _pager(shown: RecordPage, words: Words) -> str:
    if shown.pages < 2:
        return ""

    def turn(word: str, page: int, possible: bool) -> str:
        off = "" if possible else " disabled"
        return (
            f'<button type="button" class="tool" data-lib="page" data-page="{page}"{off}>{escape(words[word])}</button>'
        )

    position = words["lib_page"].format(page=shown.page + 1, pages=shown.pages)
    return (
        turn("lib_previous", shown.page - 1, shown.page > 0)
        + f"<span>{escape(position)}</span>"
        + turn("lib_next", shown.page + 1, shown.page + 1 < shown.pages)
    )


def _failures(failures: Sequence[Failure], context: ViewContext, *, whole_paths: bool) -> str:
    words = context.words
    if not failures:
        return f'<p class="notice">{escape(words["lib_no_failures"])}</p>'
    rows = []
    for failure in failures[:_SHOWN_FAILURES]:
        name = str(failure.path if whole_paths else failure.path.name).encode("utf-8", "replace").decode()
        rows.append(f"<li><b>{escape(name)}</b> {escape(context.say(failure.reason))}</li>")
    count = fill(words["lib_failures"], count=len(failures))
    return f"<details><summary>{escape(count)}</summary><ul>{''.join(rows)}</ul></details>"


def _start(words: Words, roots: Collection[str] | None, *, none: bool) -> str:
    """The form that indexes a folder, and where there is no library yet, what it is for."""
    intro = f"<h2>{escape(words['no_library'])}</h2><p>{escape(words['teach'])}</p>" if none else ""
    folders, example = "", words["lib_folder_example"]
    if roots is not None:
        if not roots:
            return f'<section class="lesson">{intro}<p>{escape(words["lib_no_roots"])}</p></section>' if none else ""
        folders = "".join(f'<option value="{attribute(root)}">' for root in roots)
        folders, example = f'<datalist id="lib-roots">{folders}</datalist>', next(iter(roots))
    form = (
        f'<form class="index" data-lib="index"><label>{escape(words["lib_folder" if roots is None else "lib_root"])}'
        f'<input name="pictures" required maxlength="4000" placeholder="{attribute(example)}" list="lib-roots" '
        f'spellcheck="false"></label>{folders}'
        f'<label>{escape(words["lib_name"])}<input name="name" maxlength="60"></label>'
        f'<button type="submit" class="tool primary">{escape(words["lib_start"])}</button></form>'
    )
    if roots is None:
        suffixes = " ".join(sorted(PICTURE_SUFFIXES))
        beside = " ".join(sorted({*SIDECAR_SUFFIXES, *(Path(name).suffix for name in TABLE_NAMES)}))
        form = (
            f'<div class="drop" data-suffixes="{attribute(suffixes)}" data-beside="{attribute(beside)}" '
            f'data-name="{attribute(words["lib_dropped"])}" '
            f'data-sending="{attribute(words["lib_sending"])}" data-left="{attribute(words["lib_not_sent"])}">'
            f"<p>{escape(words['lib_drop'])}</p>"
            f'<button type="button" class="tool" data-lib="files">{escape(words["lib_files"])}</button> '
            f'<button type="button" class="tool" data-lib="folder">{escape(words["lib_pick_folder"])}</button></div>'
        ) + form
        form += (
            f'<div class="sample"><button type="button" class="tool{" primary" if none else ""}" data-lib="sample">'
            f"{escape(words['lib_sample'])}</button> <span>{escape(words['lib_sample_hint'])}</span></div>"
        )
    if none:
        return f'<section class="lesson">{intro}{form}</section>'
    return f"<details><summary>{escape(words['lib_index'])}</summary>{form}</details>"


def indexing_progress(run: IndexingRun | None, context: ViewContext) -> dict[str, Any]:
    """How far an indexing run is; ``going`` until it is over."""
    if run is None:
        return {"html": "", "going": False}
    if run.stage == "over":
        return {"html": _over(run, context), "going": False, "library": run.name}
    text = context.words[f"lib_{run.stage}"].format(what=run.what)
    meter = ""
    if run.total:
        text += f" {run.done:,} / {run.total:,}"
        meter = f'<progress max="{run.total}" value="{run.done}" aria-label="{attribute(text)}"></progress>'
    return {"html": f'<p class="notice">{escape(text)}</p>{meter}', "going": True}


def _over(run: IndexingRun, context: ViewContext) -> str:
    if run.error is not None:
        return f'<p class="message error">{escape(context.say(run.error))}</p>'
    if run.report is None:
        return ""
    report = run.report
    done = context.words["lib_done"].format(
        added=report.added + report.linked,
        unchanged=report.unchanged,
        removed=report.removed,
        failed=len(report.failed),
        seconds=f"{report.seconds:.1f}",
    )
    if isinstance(run.drafted, Phrase):
        done += f" {context.say(run.drafted)}"
    elif run.drafted is not None and run.drafted.described:
        done += " " + fill(context.words["lib_described"], count=run.drafted.described)
    return f'<p class="notice">{escape(done)}</p>'


def record_form(record: ImageRecord, context: ViewContext) -> str:
    """A form for everything that is said of a picture."""
    words = context.words
    values = fields_of(record)
    inputs = "".join(
        f'<label>{escape(words["field_" + name])}<input name="{name}" maxlength="2000" '
        f'value="{attribute(values[name])}"></label>'
        for name in FIELDS
    )
    alt = attribute(record.alt or record.caption or record.path.stem)
    drafted = ""
    if draft_of(record)[1]:
        drafted = f'<p class="drafted">{escape(words["lib_drafted_hint"])}</p>'
    return (
        f'<form class="record" data-lib="save" data-id="{attribute(record.id)}">'
        f'<div class="seen"><img src="{attribute(context.picture_url(record))}" alt="{alt}">'
        f"<p>{escape(record.path.name)} · {record.width_px} × {record.height_px}</p>"
        f'<button type="button" class="tool" data-lib="enlarge" data-id="{attribute(record.id)}">'
        f"{escape(words['enlarge'])}</button> "
        f'<button type="button" class="tool" data-lib="like" data-id="{attribute(record.id)}">'
        f"{escape(words['lib_similar'])}</button></div>"
        f'<div class="fields">{drafted}{inputs}<p class="wrong message error" role="alert"></p><div class="row">'
        f'<button type="submit" class="tool primary">{escape(words["lib_save"])}</button>'
        f'<button type="button" class="tool" data-lib="close">{escape(words["close"])}</button></div></div></form>'
    )


def many_form(count: int, words: Words) -> str:
    """A form for what is to be said of several pictures alike."""
    inputs = "".join(
        f'<label>{escape(words["field_" + name])}<input name="{name}" maxlength="2000" '
        f'placeholder="{attribute(words["lib_as_it_is"])}"></label>'
        for name in FIELDS
    )
    return (
        f'<form class="record several" data-lib="save-many"><div class="fields">'
        f"<h2>{escape(fill(words['lib_many_title'], count=count))}</h2><p>{escape(words['lib_many_hint'])}</p>{inputs}"
        '<p class="wrong message error" role="alert"></p><div class="row">'
        f'<button type="submit" class="tool primary">{escape(words["lib_save"])}</button>'
        f'<button type="button" class="tool" data-lib="close">{escape(words["close"])}</button></div></div></form>'
    )
