"""``report.html``: all articles of a batch on one page, with a small picture, timings, and why what is missing is.

Self-contained: style and small pictures are inside, links are relative to the page. Everything written by people,
models or libraries is escaped, and the page allows no script. Made from the summary and the folders alone.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

from composer.article.model import Article, Placement
from composer.errors import ComposerError
from composer.export.article_folder import load_article
from composer.export.markdown_html import attribute, shown_text
from composer.i18n import localize
from composer.pipeline.events import STAGES
from composer.request import ComposeRequest

LEAD_PX, STRIP_PX = 360, 120
STRIP_PICTURES = 8
_WISH_CHARS = 300
_EXPORTS = ("article.html", "article.md", "article.docx", "article.pdf", "article.epub", "article.json")
_STATUS = {"made": "made", "kept": "kept from an earlier run", "failed": "failed", "pending": "not made yet"}
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def report_html(summary: Mapping[str, Any], requests: Mapping[int, ComposeRequest | None], out_dir: Path) -> str:
    """The page. ``summary`` is what ``summary.json`` holds, ``requests`` are by line."""
    items = "".join(_item(item, requests.get(item["line"]), out_dir) for item in summary["items"])
    style = files("composer.batch").joinpath("report.css").read_text(encoding="utf-8")
    return (
        "<!DOCTYPE html>\n"
        '<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(_headline(summary))}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f"<header>\n<h1>{escape(_headline(summary))}</h1>\n{_facts(summary)}</header>\n<main>\n{items}</main>\n"
        "</body>\n</html>\n"
    )


def _headline(summary: Mapping[str, Any]) -> str:
    there, number = summary["made"] + summary["kept"], len(summary["items"])
    return f"{there} of {number} articles" if number != 1 else f"{there} of 1 article"


def _facts(summary: Mapping[str, Any]) -> str:
    counted = "".join(
        f'<li><b class="{status}">{summary[status]}</b> {escape(label)}</li>'
        for status, label in _STATUS.items()
        if summary[status]
    )
    facts = [f"profile {summary['profile']}", _duration(summary["seconds"])]
    if summary["workers"]:
        facts.append(f"{summary['workers']} at once")
    if summary["generated_tokens"]:
        facts.append(f"{summary['generated_tokens']:,} tokens written, {summary['prompt_tokens']:,} read")
    return f'<p class="facts">{escape(" · ".join(facts))}</p>\n<ul class="counts">{counted}</ul>\n'


def _item(item: Mapping[str, Any], request: ComposeRequest | None, out_dir: Path) -> str:
    folder = out_dir / item["folder"]
    article = _article(folder) if item["status"] in ("made", "kept") else None
    wish = shown_text((request.instruction or request.text)[:4000])[:_WISH_CHARS] if request is not None else ""
    shown = [p for p in article.placements if p.chosen is not None] if article else []
    title = escape((shown_text(article.title) if article else "") or wish or item["folder"])
    names = [name for name in _EXPORTS if (folder / name).is_file()] if article else []
    address = quote(item["folder"])
    parts = [
        f'<div class="lead">{_picture(shown[0], LEAD_PX) if shown else _BLANK if article else ""}</div>\n',
        f'<p class="status {item["status"]}">line {item["line"]} · {escape(_STATUS[item["status"]])}</p>\n',
        f'<h2 dir="auto"><a href="{address}/{names[0]}">{title}</a></h2>\n'
        if names
        else f'<h2 dir="auto">{title}</h2>\n',
    ]
    if item["error"]:
        parts.append(f'<p class="error">{escape(item["error"])}</p>\n')
    if article is not None:
        if wish and wish != shown_text(article.title):
            parts.append(f'<p class="wish" dir="auto">{escape(wish)}</p>\n')
        parts.append(f'<p class="meta">{escape(_measures(item, request))}</p>\n')
        parts.append(_stages(item["stages"]))
        if len(shown) > 1:
            strip = "".join(f"<li>{_picture(p, STRIP_PX)}</li>" for p in shown[1 : 1 + STRIP_PICTURES])
            parts.append(f'<ul class="strip">{strip}</ul>\n')
        parts.append(_empty(article))
        links = "".join(f'<a href="{address}/{name}">{name.removeprefix("article.")}</a>' for name in names)
        parts.append(f'<p class="links">{links}</p>\n')
    parts += [f'<p class="meta">{escape(notice)}</p>\n' for notice in item["notices"]]
    if item["details"]:
        parts.append(f"<details><summary>Traceback</summary><pre>{escape(item['details'])}</pre></details>\n")
    return f'<section class="item" id="line-{item["line"]}">\n{"".join(parts)}</section>\n'


_BLANK = '<div class="blank"></div>'


def _article(folder: Path) -> Article | None:
    try:
        return load_article(folder)
    except ComposerError:
        return None  # it was there when the line ended; the report shows what the summary says


def _measures(item: Mapping[str, Any], request: ComposeRequest | None) -> str:
    slots = f"{item['pictures']} of {item['slots']} places with a picture" if item["slots"] else "no pictures"
    told = [f"{item['words']:,} words", item["language"], slots]
    if item["status"] == "made":
        told.append(_duration(item["seconds"]))
    if item["tokens"]:
        told.append(f"{item['tokens']:,} tokens")
    if request is not None:
        told.append(f"seed {request.seed}")
    return " · ".join(filter(None, told))


def _stages(stages: Mapping[str, float]) -> str:
    known = [(name, stages[name]) for name in STAGES if stages.get(name, 0) >= 0.05]
    if not known:
        return ""
    bar = "".join(f'<i class="{name}" style="flex-grow:{seconds:.1f}"></i>' for name, seconds in known)
    named = " ".join(
        f'<span class="stage"><span class="swatch {name}"></span>{name} {seconds:.1f} s</span>'
        for name, seconds in known
    )
    return f'<div class="bar" aria-hidden="true">{bar}</div>\n<p class="stages">{named}</p>\n'


def _empty(article: Article) -> str:
    """The places without a picture, and why."""
    reasons = [(p.slot.caption, localize(p.reason, "en")) for p in article.placements if p.chosen is None]
    if not reasons:
        return ""
    lines = "".join(f'<li dir="auto">“{escape(caption)}”: {escape(reason)}</li>' for caption, reason in reasons)
    places = "1 place" if len(reasons) == 1 else f"{len(reasons)} places"
    return f"<details><summary>{places} left empty</summary><ul>{lines}</ul></details>\n"


def _picture(placement: Placement, width_px: int) -> str:
    """A small copy inside the page; the alt text alone where the file is gone or is no picture."""
    from vision.errors import ImageError
    from vision.images import load_image

    assert placement.chosen is not None
    alt = attribute(placement.alt or placement.caption)
    try:
        image = load_image(placement.chosen.path, target_px=width_px)
    except ImageError:
        return f'<span class="meta">{alt}</span>'
    image.thumbnail((width_px, width_px))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=72)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return (
        f'<img src="data:image/jpeg;base64,{data}" alt="{alt}" title="{attribute(placement.caption)}" '
        f'width="{image.width}" height="{image.height}">'
    )


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
