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

from composer.article.markdown import plain_text
from composer.article.model import Article, Placement
from composer.errors import ComposerError
from composer.export.article_folder import load_article
from composer.export.markdown_html import attribute
from composer.i18n import fill, localize, strings, tables
from composer.pipeline.events import STAGES
from composer.request import ComposeRequest

LEAD_PX, STRIP_PX = 360, 120
STRIP_PICTURES = 8
_WISH_CHARS = 300
_EXPORTS = ("article.html", "article.md", "article.docx", "article.pdf", "article.epub", "article.json")
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def report_html(summary: Mapping[str, Any], requests: Mapping[int, ComposeRequest | None], out_dir: Path) -> str:
    """The page. ``summary`` is what ``summary.json`` holds, ``requests`` are by line."""
    items = "".join(_item(item, requests.get(item["line"]), out_dir) for item in summary["items"])
    there, count = summary["made"] + summary["kept"], len(summary["items"])
    headline = say("headline", there=there, count=count)
    style = files("composer.batch").joinpath("report.css").read_text(encoding="utf-8")
    return (
        "<!DOCTYPE html>\n"
        '<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(headline)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f"<header>\n<h1>{escape(headline)}</h1>\n{_facts(summary)}</header>\n<main>\n{items}</main>\n"
        "</body>\n</html>\n"
    )


def say(key: str, **values: object) -> str:
    """The words of a batch for a key."""
    return fill(tables("en")["batch"][key], **values)


def _facts(summary: Mapping[str, Any]) -> str:
    counted = "".join(
        f'<li><b class="{status}">{summary[status]}</b> {escape(say(f"status_{status}"))}</li>'
        for status in ("made", "kept", "failed", "pending")
        if summary[status]
    )
    facts = [say("profile", name=summary["profile"]), _duration(summary["seconds"])]
    if summary["workers"]:
        facts.append(say("at_once", count=summary["workers"]))
    if summary["generated_tokens"]:
        facts.append(say("tokens_used", written=summary["generated_tokens"], read=summary["prompt_tokens"]))
    return f'<p class="facts">{escape(" · ".join(facts))}</p>\n<ul class="counts">{counted}</ul>\n'


def _item(item: Mapping[str, Any], request: ComposeRequest | None, out_dir: Path) -> str:
    folder = out_dir / item["folder"]
    article = _article(folder) if item["status"] in ("made", "kept") else None
    wish = plain_text((request.instruction or request.text)[:4000])[:_WISH_CHARS] if request is not None else ""
    shown = [p for p in article.placements if p.chosen is not None] if article else []
    title = escape((plain_text(article.title) if article else "") or wish or item["folder"])
    names = [name for name in _EXPORTS if (folder / name).is_file()] if article else []
    address = quote(item["folder"])
    status = f"{say('line', line=item['line'])} · {say('status_' + item['status'])}"
    parts = [
        f'<div class="lead">{_picture(shown[0], LEAD_PX) if shown else _BLANK if article else ""}</div>\n',
        f'<p class="status {item["status"]}">{escape(status)}</p>\n',
        f'<h2 dir="auto"><a href="{address}/{names[0]}">{title}</a></h2>\n'
        if names
        else f'<h2 dir="auto">{title}</h2>\n',
    ]
    if item["error"]:
        parts.append(f'<p class="error">{escape(item["error"])}</p>\n')
    if article is not None:
        if wish and wish != plain_text(article.title):
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
        parts.append(
            f"<details><summary>{escape(say('traceback'))}</summary><pre>{escape(item['details'])}</pre></details>\n"
        )
    return f'<section class="item" id="line-{item["line"]}">\n{"".join(parts)}</section>\n'


_BLANK = '<div class="blank"></div>'


def _article(folder: Path) -> Article | None:
    try:
        return load_article(folder)
    except ComposerError:
        return None  # it was there when the line ended; the report shows what the summary says


def _measures(item: Mapping[str, Any], request: ComposeRequest | None) -> str:
    slots = say("places" if item["slots"] else "no_pictures", pictures=item["pictures"], slots=item["slots"])
    facts = [say("words", count=item["words"]), item["language"], slots]
    if item["status"] == "made":
        facts.append(_duration(item["seconds"]))
    if item["tokens"]:
        facts.append(say("tokens", count=item["tokens"]))
    if request is not None:
        facts.append(say("seed", seed=request.seed))
    return " · ".join(filter(None, facts))


def _stages(stages: Mapping[str, float]) -> str:
    known = [(name, stages[name]) for name in STAGES if stages.get(name, 0) >= 0.05]
    if not known:
        return ""
    bar = "".join(f'<i class="{name}" style="flex-grow:{seconds:.1f}"></i>' for name, seconds in known)
    labels = strings("en")
    named = " ".join(
        f'<span class="stage"><span class="swatch {name}"></span>{labels[f"stage_{name}"]} {seconds:.1f} s</span>'
        for name, seconds in known
    )
    return f'<div class="bar" aria-hidden="true">{bar}</div>\n<p class="stages">{named}</p>\n'


def _empty(article: Article) -> str:
    """The places without a picture, and why."""
    empty = [
        say("empty_place", caption=p.slot.caption, reason=localize(p.reason, "en"))
        for p in article.placements
        if p.chosen is None
    ]
    if not empty:
        return ""
    lines = "".join(f'<li dir="auto">{escape(line)}</li>' for line in empty)
    heading = say("empty_places", count=len(empty))
    return f"<details><summary>{escape(heading)}</summary><ul>{lines}</ul></details>\n"


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
        return say("seconds", seconds=seconds)
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return say("minutes", minutes=minutes, seconds=rest)
    return say("hours", hours=minutes // 60, minutes=minutes % 60)
