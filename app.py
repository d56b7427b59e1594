"""Vignette's Gradio view: renders an Article and hands every action to ``composer``.

The form is Gradio's; the article is one component drawn by ``gr.render`` when a draft is opened. Its script asks for
the blocks that changed (``composer.web.page_service``): one component a paragraph costs 0.5 s an edit, this one 0.07 s.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

# Read by Gradio when it is first imported.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
import gradio as gr

from composer.studio.studio import Studio
from composer.web.form import Form
from composer.web.html.context import LANGUAGES, choose_language, message, words_of
from composer.web.html.library_view import library_shell
from composer.web.html.page_shell import article_shell, beginnings, brand, chat_shell, draft_list
from composer.web.http_api import Api
from composer.web.log_redaction import note
from composer.web.page_service import PageService
from composer.web.server import serve

_QUICK: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "queue": False}
# Only a queued event tells the page that a State has changed; without a limit none waits for another.
_QUEUED: dict[str, Any] = {**_QUICK, "queue": True, "concurrency_limit": None}
_DRAWN: dict[str, Any] = {"show_progress": "hidden", "queue": False, "concurrency_limit": None}


class Page:
    """The page in a ``gr.Blocks``. ``seat`` is (owner, draft, language), one value: the article is drawn once."""

    def __init__(self, page: gr.Blocks, studio: Studio) -> None:
        self.studio = studio
        self.service = PageService(studio)
        self.words = words_of(LANGUAGES[0])
        self.seat = gr.State(("", "", ""))
        self.language = gr.State("")
        self.header()
        self.tabs: dict[str, gr.Tab] = {}
        with gr.Tabs(elem_id="tabs"):
            for name, fill in (("write", self.write_tab), ("library", self.library_tab), ("chat", self.chat_tab)):
                with gr.Tab(self.words[f"tab_{name}"], id=name, render_children=name != "write") as self.tabs[name]:
                    fill()
        self.events(page)

    def header(self) -> None:
        with gr.Row(elem_id="top"):
            self.brand = _html(brand(self.words), elem_id="brand")
            self.choice = gr.Radio(
                [(words_of(code)["short_name"], code) for code in LANGUAGES],
                value=LANGUAGES[0], label=self.words["page_language"], show_label=False, container=False,
                elem_id="ui-language", elem_classes="segments",
            )  # fmt: skip

    def write_tab(self) -> None:
        self.form = Form(self.words, self.studio.libraries)
        self.status = _html("", elem_id="status")

        @gr.render(inputs=[self.seat], triggers=[self.seat.change], **_DRAWN)
        def show(seat: tuple[str, str, str]) -> None:
            owner, draft, language = seat
            words = words_of(language)
            if owner and not draft:
                libraries = [library.name for library in self.studio.libraries.offered()]
                _html(
                    '<div class="toast"></div>'
                    + beginnings(libraries, words)
                    + draft_list(self.studio.sessions.drafts(owner), words),
                    js_on_load=f"window.vignette.drafts(element, {language!r}, server, upload);",
                    server_functions=self.service.functions("drop", "open", "listed", "rename"),
                )
            elif owner:
                _html(
                    article_shell(words, language),
                    elem_id="article",
                    js_on_load=f"window.vignette.paper(element, {json.dumps(draft)}, {language!r}, server, upload);",
                    server_functions=self.service.functions("act", "follow", "find", "take", "export"),
                )

    def library_tab(self) -> None:
        @gr.render(inputs=[self.language], triggers=[self.language.change], **_DRAWN)
        def show(language: str) -> None:
            shown = _html(
                library_shell(words_of(language)),
                elem_id="library",
                js_on_load=f"window.vignette.library(element, {language!r}, server, trigger, upload); 'change';",
                server_functions=self.service.functions(
                    *("browse", "form", "save", "keep", "many", "save_many", "hide", "delete"),
                    *("index", "add", "added", "sample", "indexing"),
                ),
            )
            shown.change(self.form.offer, self.form.library, self.form.library, **_QUICK)

    def chat_tab(self) -> None:
        @gr.render(inputs=[self.language], triggers=[self.language.change], **_DRAWN)
        def show(language: str) -> None:
            _html(chat_shell(words_of(language)), elem_id="chat", js_on_load="window.vignette.chat(element, upload);")

    def events(self, page: gr.Blocks) -> None:
        form = self.form
        worded = [self.brand, *self.tabs.values(), *form.worded]
        visitor = [gr.Textbox(visible=False) for _ in range(4)]
        greeted = page.load(
            self.greet, visitor, [self.seat, self.language, self.choice, self.status],
            js="() => window.vignette.greeting()", **_QUEUED,
        )  # fmt: skip
        page.load(form.offer, form.library, form.library, **_QUICK)
        spoken = self.choice.input(
            self.speak, [self.choice, self.seat], [self.language, self.seat],
            js="(ui, seat) => { vignette.store('language', ui); return [ui, seat]; }", **_QUEUED,
        )  # fmt: skip
        # A step of its own after the others, so that it reads the mode as it is then, not as it was before their wait.
        for happened in (greeted.then, spoken.then, form.mode.change):
            happened(self.relabel, [self.choice, form.mode], worded, **_QUICK)
        form.text_file.upload(
            self.take_text, [form.text_file, self.seat], [form.text, form.text_file, self.status], **_QUICK
        )
        gr.on(
            [form.write.click, form.instruction.submit],
            self.begin, [self.seat, form.library, *form.fields], [self.seat, self.status], **_QUEUED,
        )  # fmt: skip
        form.outline.click(
            self.begin_outline, [self.seat, form.library, *form.fields], [self.seat, self.status], **_QUEUED
        )

    def take_text(self, file: str | None, seat: tuple[str, str, str]) -> list[Any]:
        """A file that was dropped becomes the text, to be seen before it is illustrated."""
        if file is None:
            return [gr.update(), gr.update(), ""]
        answer = self.service.text({"path": file, "ui": seat[2]})
        if "error" in answer:
            return [gr.update(), None, message(answer["error"])]
        return [answer["text"], None, ""]

    def relabel(self, language: str, mode: str) -> dict[Any, Any]:
        """Everything on the page that is worded, in the language asked for."""
        words = words_of(language)
        tabs = {tab: gr.update(label=words[f"tab_{name}"]) for name, tab in self.tabs.items()}
        return {self.brand: brand(words), **tabs, **self.form.relabelled(words, mode == "illustrate")}

    def speak(self, language: str, seat: tuple[str, str, str]) -> list[Any]:
        return [language, (*seat[:2], language)]

    def greet(self, owner: str, draft: str, kept: str, article: str, request: gr.Request) -> list[Any]:
        """``article`` names one that is to be opened, see ``composer.studio.saved_articles``."""
        language, wrong = choose_language(kept, request.headers.get("accept-language", "")), ""
        if article and not draft:
            answer = self.service.open({"owner": owner, "article": article, "ui": language})
            draft, wrong = answer.get("draft", ""), message(answer["error"]) if "error" in answer else ""
        return [(owner, draft, language), language, language, wrong]

    def begin_outline(self, seat: tuple[str, str, str], library: str | None, *filled: Any) -> list[Any]:
        """As ``begin``, but an outline comes first."""
        return self.begin(seat, library, *filled, outline_first=True)

    def begin(
        self, seat: tuple[str, str, str], library: str | None, *filled: Any, outline_first: bool = False
    ) -> list[Any]:
        """Check what was filled in; only then does what stands on the page give way."""
        owner, _, language = seat
        if not owner:
            return [gr.update(), ""]  # Enter was pressed before the page was ready; the words stay in the field
        asked = {**Form.values(filled), "owner": owner, "library": library, "outline_first": outline_first}
        answer = self.service.begin({**asked, "ui": language})
        if "error" in answer:
            return [gr.update(), message(answer["error"])]
        return [(owner, answer["draft"], language), ""]


def build(studio: Studio) -> Any:
    """The page and the API as ``gr.Blocks``."""
    with gr.Blocks(title="Vignette", analytics_enabled=False, delete_cache=(3600, 24 * 3600)) as page:
        Page(page, studio)
        Api(studio, note).register()
    return page


def _html(content: str, **options: Any) -> Any:
    return gr.HTML(content, apply_default_css=False, **options)


if __name__ == "__main__":
    sys.exit(serve(build))
