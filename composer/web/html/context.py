"""What every part of the page needs to be drawn: the words of its language, and the addresses of pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape

from composer.export.markdown_html import attribute
from composer.export.picture_urls import PictureUrl
from composer.i18n import UI_LANGUAGES, preferred, strings
from image_db.metadata.record import ImageRecord

Words = Mapping[str, str]
LANGUAGES = UI_LANGUAGES


def words_of(language: str) -> Words:
    """The page's own words; English for a language there are none of."""
    return strings(language)


def choose_language(kept: str, accept_language: str) -> str:
    """The language a person chose before, or the first of their browser's that the page speaks."""
    return kept if kept in LANGUAGES else preferred(accept_language)


@dataclass(frozen=True, slots=True)
class ViewContext:
    """``words`` is the page's table, ``say`` puts an error, a notice or a reason into words of the same language."""

    words: Words
    say: Callable[[object], str]
    picture_url: PictureUrl
    thumbnail_url: PictureUrl

    @property
    def language(self) -> str:
        return self.words["code"]


def picture_name(record: ImageRecord, language: str) -> str:
    """What a picture is called where it is offered: its caption, or what else there is."""
    return record.caption_in(language) or record.alt or record.path.stem


def button(words: Words, word: str, *, do: str = "", client: str = "", kind: str = "", **values: str) -> str:
    """A small button; ``do`` is an action of the server, ``client`` one of the page's own script."""
    data = "".join(f' data-{name}="{attribute(value)}"' for name, value in values.items())
    action = f' data-do="{do}"' if do else f' data-client="{client}"'
    hint = words.get(f"{word}_hint", "")
    title = f' title="{attribute(hint)}"' if hint else ""
    return f'<button type="button" class="tool {kind}"{action}{data}{title}>{escape(words[word])}</button>'


def message(text: str, kind: str = "error") -> str:
    """A line a screen reader announces."""
    role = "alert" if kind == "error" else "status"
    return f'<p class="message {attribute(kind)}" role="{role}">{escape(text)}</p>'
