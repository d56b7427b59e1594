"""The conversation about an article or a picture as HTML. Everything is escaped; knows no events."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING

from composer.export.markdown_html import attribute, sections_html
from composer.export.picture_urls import PictureUrl
from composer.i18n import localize

if TYPE_CHECKING:
    from composer.studio.session import Room


def talk(room: Room, words: Mapping[str, str], thumbnail_url: PictureUrl) -> str:
    """Questions and answers, oldest first; what the model could not see is said above its answer."""
    items = []
    for said in room.said:
        picture = ""
        if said.picture is not None:
            name = said.picture.caption or said.picture.alt or said.picture.path.stem
            picture = f'<img src="{attribute(thumbnail_url(said.picture))}" alt="{attribute(name)}">'
        note = f'<p class="notice">{escape(words[said.note])}</p>' if said.note else ""
        if said.trouble is not None:
            note += f'<p class="notice">{escape(localize(said.trouble, words["code"]))}</p>'
        if said.answer:
            body = sections_html([said.answer], said.answer)[0]
        else:
            body = "" if said.over else f'<p class="wait">{escape(words["thinking"])}</p>'
        items.append(
            f'<div class="said"><div class="question">{picture}<p>{escape(said.question)}</p></div>'
            f'{note}<div class="answer{"" if said.over else " growing"}">{body}</div></div>'
        )
    return "".join(items)
