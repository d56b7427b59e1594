"""The form of the Write tab: Gradio's own fields, their words in every language, and the request they make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from composer.errors import UsageError
from composer.i18n import strings
from composer.pipeline.uploads import check_upload
from composer.request import LANGUAGES, LENGTHS, TONES, ComposeRequest, document_text, request_from_json
from composer.sources.docx_markdown import docx_markdown
from composer.sources.reading import KINDS, check_document
from composer.studio.libraries import OfferedLibraries
from composer.web.html.context import Words
from image_db.scan import PICTURE_SUFFIXES

MAX_INSTRUCTION_CHARS = 10_000
MAX_TEXT_CHARS = 400_000
TEXT_SUFFIXES = [".md", ".markdown", ".txt", ".docx"]
_NAMES = (
    "mode",
    "instruction",
    "text",
    "length",
    "pictures",
    "language",
    "tone",
    "seed",
    "must",
    "may",
    "sources",
    "where",
)


class Form:
    """Built inside a ``gr.Blocks``; ``fields`` are in the order that ``values`` takes them back."""

    def __init__(self, words: Words, libraries: OfferedLibraries) -> None:
        self._libraries = libraries
        choices = self._offered()
        with gr.Column(elem_id="ask"):
            self.mode = gr.Radio(
                _modes(words),
                value="write",
                label=words["mode"],
                show_label=False,
                container=False,
                elem_id="mode",
                elem_classes="segments",
            )
            self.text = gr.Textbox(
                lines=10, max_lines=24, visible=False, container=False, elem_id="text", label=words["text"]
            )
            self.text_file = _upload(TEXT_SUFFIXES, "text-file", single=True)
            with gr.Row(elem_id="line"):
                self.instruction = gr.Textbox(
                    lines=1, max_lines=4, scale=8, autofocus=True, container=False, elem_id="instruction"
                )
                # Not before the page knows whose it is: what is pressed earlier would be lost.
                self.write = gr.Button(
                    words["write"], variant="primary", scale=0, min_width=112, elem_id="write", interactive=False
                )
                self.outline = gr.Button(
                    words["outline_first"], scale=0, min_width=112, elem_id="outline-first", interactive=False
                )
            with gr.Row(elem_id="options"):
                self.library = gr.Dropdown(
                    choices,
                    value=choices[0][1] if choices else None,
                    filterable=False,
                    min_width=150,
                    elem_id="library-choice",
                )
                self.length = gr.Dropdown(_lengths(words), value="medium", filterable=False, min_width=100)
                self.pictures = gr.Dropdown(
                    _counts(words), value="auto", allow_custom_value=True, min_width=100, elem_id="pictures"
                )
                self.language = gr.Dropdown(_languages(words), value="auto", filterable=False, min_width=100)
            with gr.Accordion(words["more"], open=False, elem_id="more") as self.more:
                with gr.Row():
                    self.tone = gr.Dropdown(_tones(words), value="", filterable=False, min_width=150)
                    self.seed = gr.Number(0, precision=0, minimum=0, min_width=150)
                    self.where = gr.Textbox(lines=1, max_lines=1, min_width=220, elem_id="where")
                with gr.Row():
                    pictures = sorted(PICTURE_SUFFIXES)  # browsers and gradio do not know all of them as pictures
                    self.must = _upload(pictures, "must")
                    self.may = _upload(pictures, "may")
                    self.sources = _upload(sorted(KINDS), "sources")
        self.fields = [getattr(self, name) for name in _NAMES]
        self._labels: dict[Any, dict[str, str]] = {
            self.mode: {"label": "mode"},
            self.text: {"label": "text", "placeholder": "text_example"},
            self.instruction: {"label": "instruction"},
            self.library: {"label": "library"},
            self.length: {"label": "length"},
            self.pictures: {"label": "pictures"},
            self.language: {"label": "language"},
            self.more: {"label": "more"},
            self.tone: {"label": "tone"},
            self.seed: {"label": "seed", "info": "seed_info"},
            self.where: {"label": "where", "placeholder": "where_example"},
            self.must: {"label": "must_use"},
            self.may: {"label": "may_use"},
            self.text_file: {"label": "text_file"},
            self.sources: {"label": "sources"},
        }
        self.worded = [*self._labels, self.write, self.outline]

    def offer(self, chosen: str | None) -> Any:
        """The libraries there are now; the chosen one stays, if it is still one of them."""
        choices = self._offered()
        kept = chosen if chosen in [name for _, name in choices] else None
        return gr.update(choices=choices, value=kept or (choices[0][1] if choices else None))

    def _offered(self) -> list[tuple[str, str]]:
        return [(library.label, library.name) for library in self._libraries.offered()]

    def relabelled(self, words: Words, illustrate: bool) -> dict[Any, Any]:
        """Updates for everything that is worded."""
        worded: dict[Any, dict[str, Any]] = {
            component: {prop: words[key] for prop, key in keys.items()} for component, keys in self._labels.items()
        }
        worded[self.mode] |= {"choices": _modes(words)}
        worded[self.length] |= {"choices": _lengths(words), "visible": not illustrate}
        worded[self.pictures] |= {"choices": _counts(words)}
        worded[self.language] |= {"choices": _languages(words)}
        worded[self.tone] |= {"choices": _tones(words), "visible": not illustrate}
        worded[self.text] |= {"visible": illustrate}
        worded[self.text_file] |= {"visible": illustrate}
        worded[self.sources] |= {"visible": not illustrate}
        worded[self.instruction] |= {"placeholder": words["hint" if illustrate else "instruction"]}
        worded[self.write] = {"value": words["illustrate" if illustrate else "write"], "interactive": True}
        worded[self.outline] = {"value": words["outline_first"], "interactive": True, "visible": not illustrate}
        return {component: gr.update(**props) for component, props in worded.items()}

    @staticmethod
    def values(filled: Sequence[Any]) -> dict[str, Any]:
        """What was filled in, by name; see ``make_request``."""
        return dict(zip(_NAMES, filled, strict=True))


def make_request(values: Mapping[str, Any], words: Words) -> ComposeRequest:
    """What the page's fields say, as a request. Raises UsageError where something is missing or wrong.

    Pictures are paths of files that were uploaded.
    """
    illustrate, text = values["mode"] == "illustrate", str(values["text"] or "")
    instruction = str(values["instruction"] or "").strip()
    check_length(instruction, text)
    if illustrate and not text.strip():
        raise UsageError("empty_text")
    return request_from_json(
        {
            "instruction": instruction,
            "text": text if illustrate else "",
            "text_name": words["text"] if illustrate else "",
            "use_images": [str(check_upload(Path(name))) for name in values["must"] or ()],
            "may_use": [str(check_upload(Path(name))) for name in values["may"] or ()],
            "sources": [] if illustrate else [str(check_document(Path(name))) for name in values.get("sources") or ()],
            "images": values["pictures"] or "auto",
            "language": values["language"],
            "seed": values["seed"] or 0,
            "length": values["length"],
            "tone": values["tone"] or "",
            "filters": {"where": str(values.get("where") or "")[:500]},
        }
    )


def check_length(instruction: str, text: str) -> None:
    """Raise UsageError for more than a server takes: nothing else looks at a text before."""
    if len(instruction) > MAX_INSTRUCTION_CHARS:
        raise UsageError("instruction_too_long", limit=MAX_INSTRUCTION_CHARS)
    if len(text) > MAX_TEXT_CHARS:
        raise UsageError("text_too_long", limit=MAX_TEXT_CHARS)


def text_of_file(path: Path) -> str:
    """The text of a file to illustrate; of a Word document as Markdown.

    Raises UsageError where it is none, or too long, and SourceError for a document that is damaged or locked.
    """
    wrong = UsageError("text_file_wrong", limit=MAX_TEXT_CHARS)
    if path.suffix.lower() == ".docx":
        text = docx_markdown(check_document(path).read_bytes())
    elif path.stat().st_size > 4 * MAX_TEXT_CHARS:
        raise wrong
    else:
        try:
            text = document_text(path.read_bytes())
        except ValueError as error:
            raise wrong from error
    if len(text) > MAX_TEXT_CHARS:
        raise wrong
    return text


def _upload(kinds: list[str], name: str, *, single: bool = False) -> Any:
    return gr.File(
        file_count="single" if single else "multiple",
        file_types=kinds,
        type="filepath",
        height=72 if single else 118,
        min_width=160,
        elem_id=name,
        visible=not single,
    )


def _modes(words: Words) -> list[tuple[str, str]]:
    return [(words["mode_write"], "write"), (words["mode_illustrate"], "illustrate")]


def _lengths(words: Words) -> list[tuple[str, str]]:
    return [(words[name], name) for name in LENGTHS]


def _counts(words: Words) -> list[tuple[str, str]]:
    return [(words["auto"], "auto"), *((str(n), str(n)) for n in (0, 1, 2, 3, 4, 5, 6, 8, 10, 15, 20))]


def _languages(words: Words) -> list[tuple[str, str]]:
    return [(words["auto"], "auto"), *((strings(code)["own_name"], code) for code in LANGUAGES)]


def _tones(words: Words) -> list[tuple[str, str]]:
    return [(words["tone_" + (tone or "same")], tone) for tone in ("", *TONES)]
