"""The Gradio view: renders an Article and hands every action to ``composer``. Holds no logic.

What a session has, its article, lives in ``gr.State``; models are shared through one ``Studio``. Listens on this
machine only, logs nothing a person wrote and asks no other host for anything.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

# Read by Gradio when it is first imported.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
import gradio as gr

from composer.article import Article
from composer.commands.app import add_options, check_loopback, offered_libraries
from composer.editing import remove_picture, replace_picture
from composer.errors import ComposerError, UsageError
from composer.export.files import slug
from composer.export.html import blocks, stylesheet
from composer.output import save_article, trace_entry, zip_article
from composer.page import alternatives, brand, framed, growing, lesson, message, page_style, stages
from composer.progress import Progress
from composer.request import LANGUAGES, ComposeRequest
from composer.showcase import ARTICLE_PX, THUMBNAIL_PX, Showcase
from composer.strings import UI_LANGUAGES, preferred, strings
from composer.studio import MAX_UPLOAD_BYTES, Studio, make_request
from image_db.errors import LibraryError
from image_db.records import ImageRecord
from retrieval.errors import RetrievalError
from vision.errors import ImageError, VisionError


EXPECTED = (ComposerError, LibraryError, RetrievalError, VisionError)
_REDRAW_S = 0.08
_LANGUAGE_NAMES = {"en": "English", "zh": "中文"}
_UI_NAMES = {"en": "EN", "zh": "中"}

# One listener for all buttons of a placement: they are plain HTML, so that keyboard and screen reader see buttons.
_TOOLS_JS = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (!button || button.getAttribute('aria-pressed') === 'true') return;
  trigger('select', {picture: button.dataset.picture || '', remove: !!button.dataset.remove});
});
"""
_CLICK_ZIP_JS = "() => setTimeout(() => document.querySelector('#zip-file').click(), 60)"
# A link in an article must not take the page away from under it.
_HEAD = '<base target="_blank"><meta name="referrer" content="no-referrer">'


def build(studio: Studio, libraries: Sequence[tuple[str, Path]], work_dir: Path) -> Any:
    """The page as ``gr.Blocks``. ``libraries`` are (label, folder); the caller empties ``work_dir`` at the end."""
    showcase = Showcase(work_dir / "pictures")

    def url(width_px: int) -> Callable[[ImageRecord], str]:
        def address(record: ImageRecord) -> str:
            try:
                return f"gradio_api/file={showcase.copy(record, width_px)}"
            except ImageError:
                return ""  # the alt text stands in its place; saving says what is wrong

        return address

    picture_url, thumbnail = url(ARTICLE_PX), url(THUMBNAIL_PX)
    first = strings(UI_LANGUAGES[0])

    with gr.Blocks(title="Vignette", analytics_enabled=False, delete_cache=(3600, 24 * 3600)) as page:
        article = gr.State(None)
        trace = gr.State(())
        asked = gr.State(None)

        with gr.Row(elem_id="top"):
            head = gr.HTML(brand(first), apply_default_css=False, elem_id="brand")
            ui = gr.Radio(
                [(name, code) for code, name in _UI_NAMES.items()],
                value=UI_LANGUAGES[0],
                show_label=False,
                container=False,
                elem_id="ui-language",
                elem_classes="segments",
            )
        teach = gr.HTML(lesson(first), visible=not libraries, apply_default_css=False, elem_id="lesson")
        with gr.Column(elem_id="ask", visible=bool(libraries)):
            mode_choice = gr.Radio(
                _modes(first), value="write", show_label=False, container=False, elem_id="mode", elem_classes="segments"
            )
            text = gr.Textbox(
                lines=10, max_lines=24, visible=False, container=False, elem_id="text", label=first["text"]
            )
            with gr.Row(elem_id="line"):
                instruction = gr.Textbox(
                    lines=1, max_lines=4, scale=8, autofocus=True, container=False, elem_id="instruction"
                )
                write = gr.Button(first["write"], variant="primary", scale=0, min_width=112, elem_id="write")
                stop = gr.Button(first["stop"], variant="stop", scale=0, min_width=112, visible=False, elem_id="stop")
            with gr.Row(elem_id="options"):
                library = gr.Dropdown(
                    [(label, str(folder)) for label, folder in libraries],
                    value=str(libraries[0][1]) if libraries else None,
                    filterable=False,
                    min_width=150,
                )
                length = gr.Dropdown(_lengths(first), value="medium", filterable=False, min_width=110)
                pictures = gr.Dropdown(_counts(first), value="auto", filterable=False, min_width=110)
                language = gr.Dropdown(_languages(first), value="auto", filterable=False, min_width=110)
            with gr.Accordion(first["more"], open=False, elem_id="more") as more, gr.Row():
                seed = gr.Number(0, precision=0, minimum=0, min_width=150)
                uploads = gr.File(file_count="multiple", file_types=["image"], type="filepath", height=132, scale=3)
        status = gr.HTML("", apply_default_css=False, elem_id="status")
        live = gr.HTML("", apply_default_css=False, elem_id="live")
        zip_file = gr.DownloadButton("zip", elem_id="zip-file", elem_classes="unseen")

        labels: dict[Any, dict[str, str]] = {
            write: {"value": "write"},
            stop: {"value": "stop"},
            text: {"label": "text", "placeholder": "text_example"},
            instruction: {"label": "instruction"},
            library: {"label": "library"},
            length: {"label": "length"},
            pictures: {"label": "pictures"},
            language: {"label": "language"},
            more: {"label": "more"},
            seed: {"label": "seed", "info": "seed_info"},
            uploads: {"label": "must_use"},
        }

        def relabel(ui: str, mode: str) -> dict[Any, Any]:
            """Everything on the page that is worded, in the language asked for."""
            words = strings(ui)
            illustrate = mode == "illustrate"
            worded: dict[Any, dict[str, Any]] = {
                component: {prop: words[key] for prop, key in keys.items()} for component, keys in labels.items()
            }
            worded[head] = {"value": brand(words)}
            worded[teach] = {"value": lesson(words)}
            worded[mode_choice] = {"choices": _modes(words)}
            worded[length] |= {"choices": _lengths(words), "visible": not illustrate}
            worded[pictures] |= {"choices": _counts(words)}
            worded[language] |= {"choices": _languages(words)}
            worded[text] |= {"visible": illustrate}
            worded[instruction] |= {"placeholder": words["hint" if illustrate else "instruction"]}
            worded[write] |= {"value": words["illustrate" if illustrate else "write"]}
            return {component: gr.update(**props) for component, props in worded.items()}

        worded = [head, teach, mode_choice, *labels]
        quick: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "queue": False}
        # Only a queued event tells the page that a State has changed; without a limit none waits for an article.
        edits: dict[str, Any] = {**quick, "queue": True, "concurrency_limit": None}
        ui.change(relabel, [ui, mode_choice], worded, **quick)
        mode_choice.change(relabel, [ui, mode_choice], worded, **quick)

        def greet(mode: str, request: gr.Request) -> dict[Any, Any]:
            chosen = preferred(request.headers.get("accept-language", ""))
            return {ui: chosen, **relabel(chosen, mode)}

        page.load(greet, mode_choice, [ui, *worded], **quick)

        def begin(*values: Any) -> list[Any]:
            """Check what was filled in; only then does what stands on the page give way."""
            names = ("mode", "instruction", "text", "length", "pictures", "language", "seed", "uploads", "ui")
            given = dict(zip(names, values, strict=True))
            shown = given.pop("ui")
            try:
                request = make_request(illustrate=given.pop("mode") == "illustrate", ui_language=shown, **given)
            except EXPECTED as error:
                return [None, gr.update(), (), message(str(error)), "", gr.update(), gr.update()]
            waiting = message(strings(shown)["waiting"], "note") if studio.busy else ""
            return [request, None, (), waiting, "", gr.update(visible=False), gr.update(visible=True)]

        def compose(
            asked: ComposeRequest | None, folder: str, ui: str, request: gr.Request
        ) -> Iterator[dict[Any, Any]]:
            if asked is None:
                return
            words = strings(ui)
            started = drawn = time.monotonic()
            progress = Progress()
            trouble = ""
            try:
                for progress in studio.run(str(request.session_hash), asked, Path(folder)):
                    now = time.monotonic()
                    if progress.stage == "write" and progress.text and now - drawn < _REDRAW_S:
                        continue
                    drawn = now
                    yield {
                        status: stages(progress, words, now - started),
                        live: growing(progress, asked.language, picture_url),
                    }
            except EXPECTED as error:
                trouble = message(str(error))
            standing = progress.standing(asked.language)
            if progress.stopped:
                trouble = message(words["stopped" if standing else "stopped_early"], "note")
            yield {
                status: trouble or stages(progress, words, time.monotonic() - started),
                article: standing,
                trace: progress.trace,
                live: "" if standing is None else gr.update(),
            }

        fields = [mode_choice, instruction, text, length, pictures, language, seed, uploads, ui]
        begun = gr.on(
            [write.click, instruction.submit],
            begin,
            fields,
            [asked, article, trace, status, live, write, stop],
            **edits,
        )
        begun.then(
            compose,
            [asked, library, ui],
            [status, live, article, trace],
            concurrency_limit=1,
            show_progress="hidden",
            api_visibility="private",
        ).then(lambda: [gr.update(visible=True), gr.update(visible=False)], None, [write, stop], **quick)

        def halt(ui: str, request: gr.Request) -> Any:
            found = studio.stop(str(request.session_hash))
            return message(strings(ui)["stopping"], "note") if found else gr.update()

        stop.click(halt, ui, status, **quick)

        @gr.render(
            inputs=[article, ui],
            triggers=[article.change, ui.change],
            queue=False,
            concurrency_limit=None,
            show_progress="hidden",
        )
        def show(current: Article | None, ui: str) -> None:
            if current is None:
                return
            words = strings(ui)
            figures = {block.index: block.html for block in blocks(current, picture_url) if block.kind == "figure"}

            def piece(body: str, key: str, *classes: str) -> Any:
                return gr.HTML(
                    framed(body, current.language),
                    apply_default_css=False,
                    elem_classes=["piece", *classes],
                    key=key,
                    preserved_by_key=[],
                )

            with gr.Column(elem_id="article"):
                with gr.Row(elem_id="bar"):
                    download = gr.Button(words["download"], size="sm", scale=0, min_width=140, elem_id="download")
                for block in blocks(current, picture_url):
                    if block.kind == "figure":
                        continue
                    piece(block.html, f"{block.kind}-{block.index}", block.kind)
                    if block.kind != "section":
                        continue
                    for index, placement in enumerate(current.placements):
                        if placement.slot.after_section != block.index:
                            continue
                        with gr.Column(elem_classes="placement"):
                            if index in figures:
                                piece(figures[index], f"figure-{index}", "figure")
                            tools = gr.HTML(
                                alternatives(current, index, thumbnail, words),
                                apply_default_css=False,
                                js_on_load=_TOOLS_JS,
                                elem_classes="piece",
                                key=f"tools-{index}",
                                preserved_by_key=[],
                            )
                            tools.select(_edit(index), article, [article, status], **edits)

                def pack(current: Article, done: tuple[Any, ...], request: gr.Request) -> Path:
                    folder = work_dir / "exports" / slug(str(request.session_hash))
                    shutil.rmtree(folder, ignore_errors=True)
                    out = folder / (slug(current.title) or "article")
                    save_article(current, out, trace=[trace_entry(event) for event in done])
                    return zip_article(out)

                download.click(pack, [article, trace], zip_file, **edits).then(None, js=_CLICK_ZIP_JS)

        def _edit(index: int) -> Callable[..., list[Any]]:
            def edit(current: Article, event: gr.EventData) -> list[Any]:
                try:
                    if event.remove:
                        return [remove_picture(current, index), ""]
                    return [replace_picture(current, index, str(event.picture)), ""]
                except ComposerError as error:
                    return [gr.update(), message(str(error))]

            return edit

    return page


def _modes(words: Any) -> list[tuple[str, str]]:
    return [(words["mode_write"], "write"), (words["mode_illustrate"], "illustrate")]


def _lengths(words: Any) -> list[tuple[str, str]]:
    return [(words[name], name) for name in ("short", "medium", "long")]


def _counts(words: Any) -> list[tuple[str, str]]:
    return [(words["auto"], "auto"), *((str(n), str(n)) for n in (0, 1, 2, 3, 4, 5, 6, 8, 10, 15, 20))]


def _languages(words: Any) -> list[tuple[str, str]]:
    return [(words["auto"], "auto"), *((_LANGUAGE_NAMES.get(code, name), code) for code, name in LANGUAGES.items())]


def launch(page: Any, work_dir: Path, *, host: str, port: int, block: bool = True) -> Any:
    """Serve the page on this machine alone. Raises UsageError for another address or a port in use."""
    page.queue(default_concurrency_limit=1)
    try:
        return page.launch(
            server_name=host,
            server_port=port,
            share=False,
            quiet=True,
            prevent_thread_lock=not block,
            allowed_paths=[str(work_dir / "pictures"), str(work_dir / "exports")],
            max_file_size=MAX_UPLOAD_BYTES,
            footer_links=[],
            ssr_mode=False,
            theme=gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
            css=stylesheet() + page_style(),
            head=_HEAD,
        )
    except OSError as error:
        raise UsageError(f"--port {port} cannot be used: {error}; choose another") from error


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="app.py", description="Vignette's page, on this machine only.")
    add_options(parser)
    args = parser.parse_args(argv)
    try:
        check_loopback(args.host)
        from composer.settings import load_settings

        settings = load_settings(args.profile)
        libraries = offered_libraries(args.library)

        def load(folder: Path) -> Any:
            from composer.parts import load_composer

            return load_composer(settings, folder)

        with tempfile.TemporaryDirectory(prefix="vignette-") as temporary:
            work_dir = Path(temporary).resolve()
            os.environ["GRADIO_TEMP_DIR"] = str(work_dir / "uploads")
            page = build(Studio([folder for _, folder in libraries], load), libraries, work_dir)
            print(f"http://{args.host}:{args.port}", flush=True)
            launch(page, work_dir, host=args.host, port=args.port)
    except EXPECTED as error:
        print(f"vignette: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
