"""The Gradio view: renders an Article and hands every action to ``composer``. Holds no logic.

The form is Gradio's; the article is one component drawn by ``gr.render`` when a draft is opened. Its script asks for
the blocks that changed (``composer.web.page_service``): one component a paragraph costs 0.5 s an edit, this one 0.07 s.
Models are shared through one ``Studio``. Listens on this machine only, logs nothing a person wrote and asks no other
host for anything.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Read by Gradio when it is first imported.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
import gradio as gr

from composer.web.http_api import Api
from composer.studio.draft_store import DraftStore
from composer.errors import UsageError
from composer.export.html import stylesheet
from composer.i18n import localize
from composer.web.html.page_shell import brand, chat_shell, draft_list, message, page_scripts, page_style, paper_shell
from composer.web.form import Form
from composer.web.html.library_view import shell as library_shell
from composer.web.page_service import PageService, sendable
from composer.web.access_control import Access, Guard, access_of, add_options, check_access
from composer.web.log_redaction import note, withhold_text
from composer.studio.showcase import Showcase
from composer.i18n import UI_LANGUAGES, preferred, strings
from composer.pipeline.uploads import MAX_UPLOAD_BYTES
from composer.studio.models import Studio, make_request
from composer.studio.picture_links import HEADERS, PREFIX, Gallery
from composer.studio.session_registry import Rooms
from composer.studio.libraries import Shelves, offered_folders
from composer.studio.studio_trouble import EXPECTED
from vision.errors import ImageError

_UI_NAMES = {"en": "EN", "zh": "中"}
_QUICK: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "queue": False}
# Only a queued event tells the page that a State has changed; without a limit none waits for another.
_QUEUED: dict[str, Any] = {**_QUICK, "queue": True, "concurrency_limit": None}
_DRAFTS_JS = """
element.addEventListener('click', async (event) => {
  const button = event.target.closest('[data-drop]');
  if (!button) return;
  const { owner } = window.vignette.session;
  const answer = await server.drop({ owner, draft: button.dataset.drop, ui: 'LANGUAGE' });
  element.querySelector('.drafts').outerHTML = answer.html || '<span></span>';
});
"""


@dataclass(frozen=True)
class Site:
    """What the page stands on."""

    service: PageService
    work_dir: Path


def make_site(
    load: Callable[[], Any], libraries: Sequence[Path], work_dir: Path, home: Path, drafts: DraftStore | None = None
) -> Site:
    """``load`` gives the models, ``home`` is where new libraries go. The caller empties ``work_dir`` at the end."""
    studio = Studio(load)
    rooms = Rooms(studio, drafts or DraftStore())
    shelves = Shelves(studio, libraries, home)
    gallery = Gallery(Showcase(work_dir / "pictures"))
    uploads = work_dir / "uploads"
    uploads.mkdir(parents=True, exist_ok=True)
    return Site(PageService(rooms, shelves, gallery, uploads, work_dir / "exports"), work_dir)


def build(site: Site) -> Any:
    """The page as ``gr.Blocks``."""
    service = site.service
    rooms, shelves = service.rooms, service.shelves
    first = strings(UI_LANGUAGES[0])
    offered = [(shelf.label, str(shelf.folder)) for shelf in shelves.shelves()]

    with gr.Blocks(title="Vignette", analytics_enabled=False, delete_cache=(3600, 24 * 3600)) as page:
        # Whose page this is, which draft it shows and in which language; one value, so that it is drawn once.
        seat = gr.State(("", "", ""))
        tongue = gr.State("")
        visitor = [gr.Textbox(visible=False) for _ in range(3)]
        with gr.Row(elem_id="top"):
            head = gr.HTML(brand(first), apply_default_css=False, elem_id="brand")
            ui = gr.Radio(
                [(name, code) for code, name in _UI_NAMES.items()],
                value=UI_LANGUAGES[0],
                label="Language of the page",
                show_label=False,
                container=False,
                elem_id="ui-language",
                elem_classes="segments",
            )
        with gr.Tabs(elem_id="tabs"):
            write_tab = gr.Tab(first["tab_write"], id="write")
            library_tab = gr.Tab(first["tab_library"], id="library", render_children=True)
            chat_tab = gr.Tab(first["tab_chat"], id="chat", render_children=True)
        with write_tab:
            form = Form(first, offered)
            status = gr.HTML("", apply_default_css=False, elem_id="status")

            @gr.render(
                inputs=[seat],
                triggers=[seat.change],
                queue=False,
                concurrency_limit=None,
                show_progress="hidden",
            )
            def show(seat: tuple[str, str, str]) -> None:
                owner, draft, ui = seat
                words = strings(ui)
                if not owner:
                    return
                if not draft:
                    gr.HTML(
                        draft_list(rooms.drafts(owner), words),
                        apply_default_css=False,
                        js_on_load=_DRAFTS_JS.replace("LANGUAGE", ui),
                        server_functions=_callable(service.drop),
                    )
                    return
                gr.HTML(
                    paper_shell(words, ui),
                    apply_default_css=False,
                    elem_id="article",
                    js_on_load=f"window.vignette.paper(element, {json.dumps(draft)}, {ui!r}, server, upload);",
                    server_functions=_callable(service.act, service.follow, service.find, service.take, service.export),
                )

        with library_tab:

            @gr.render(inputs=[tongue], triggers=[tongue.change], queue=False, show_progress="hidden")
            def show_library(ui: str) -> None:
                shown = gr.HTML(
                    library_shell(strings(ui)),
                    apply_default_css=False,
                    elem_id="library",
                    js_on_load=f"window.vignette.library(element, {ui!r}, server, trigger); 'change';",
                    server_functions=_callable(
                        service.browse, service.form, service.save, service.index, service.sample, service.indexing
                    ),
                )  # fmt: skip
                shown.change(_offer, form.library, form.library, **_QUICK)

        with chat_tab:

            @gr.render(inputs=[tongue], triggers=[tongue.change], queue=False, show_progress="hidden")
            def show_chat(ui: str) -> None:
                gr.HTML(
                    chat_shell(strings(ui)),
                    apply_default_css=False,
                    elem_id="chat",
                    js_on_load="window.vignette.chat(element, upload);",
                )

        def _offer(chosen: str | None) -> Any:
            choices = [(shelf.label, str(shelf.folder)) for shelf in shelves.shelves()]
            kept = chosen if chosen in [folder for _, folder in choices] else None
            return gr.update(choices=choices, value=kept or (choices[0][1] if choices else None))

        def relabel(ui: str, mode: str) -> dict[Any, Any]:
            """Everything on the page that is worded, in the language asked for."""
            words = strings(ui)
            return {
                head: brand(words),
                write_tab: gr.update(label=words["tab_write"]),
                library_tab: gr.update(label=words["tab_library"]),
                chat_tab: gr.update(label=words["tab_chat"]),
                **form.relabelled(words, mode == "illustrate"),
            }

        worded = [head, write_tab, library_tab, chat_tab, *form.worded]

        def speak(ui: str, mode: str, sat: tuple[str, str, str]) -> dict[Any, Any]:
            return {tongue: ui, seat: (sat[0], sat[1], ui), **relabel(ui, mode)}

        ui.input(
            speak, [ui, form.mode, seat], [tongue, seat, *worded],
            js="(ui, mode, seat) => { vignette.store('language', ui); return [ui, mode, seat]; }", **_QUEUED,
        )  # fmt: skip
        form.mode.change(relabel, [ui, form.mode], worded, **_QUICK)

        def greet(owner: str, draft: str, language: str, mode: str, request: gr.Request) -> dict[Any, Any]:
            known = language if language in UI_LANGUAGES else ""
            chosen = known or preferred(request.headers.get("accept-language", ""))
            return {seat: (owner, draft, chosen), tongue: chosen, ui: chosen, **relabel(chosen, mode)}

        page.load(
            greet, [*visitor, form.mode], [seat, tongue, ui, *worded],
            js="(a, b, c, mode) => [...window.vignette.greeting(), mode]", **_QUEUED,
        )  # fmt: skip
        page.load(_offer, form.library, form.library, **_QUICK)

        def begin(seat: tuple[str, str, str], folder: str | None, *values: Any) -> list[Any]:
            """Check what was filled in; only then does what stands on the page give way."""
            owner, _, ui = seat
            if not owner:
                return [gr.update(), ""]  # Enter was pressed before the page was ready; the words stay in the field
            try:
                request = make_request(form.values(values), ui)
                if not folder:
                    raise UsageError("choose a library first, or index one in the tab Library", "no_library_chosen")
                room = rooms.begin(owner, request, shelves.known(folder))
            except EXPECTED as error:
                return [gr.update(), message(localize(error, ui))]
            return [(owner, room.draft.id, ui), ""]

        gr.on(
            [form.write.click, form.instruction.submit],
            begin,
            [seat, form.library, *form.fields],
            [seat, status],
            **_QUEUED,
        )
        Api(service, note).register()
    return page


def _callable(*methods: Callable[..., Any]) -> list[Callable[..., Any]]:
    """Functions of the same names: Gradio marks what a page may call, which a method does not allow."""

    def function(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(values: dict[str, Any]) -> Any:
            return sendable(method(values))

        async def wait(values: dict[str, Any]) -> Any:
            return sendable(await method(values))

        chosen = wait if inspect.iscoroutinefunction(method) else call
        chosen.__name__ = method.__name__
        return chosen

    return [function(method) for method in methods]


def launch(
    page: Any, site: Site, *, host: str, port: int, block: bool = True, access: Access | None = None, mcp: bool = False
) -> Any:
    """Serve the page, by default to this machine alone. Raises UsageError for a port in use."""
    from starlette.middleware import Middleware

    access = access or check_access(host, public=False, login="")
    page.queue(default_concurrency_limit=1)
    try:
        served, _, _ = page.launch(
            server_name=host,
            server_port=port,
            share=False,
            quiet=True,
            app_kwargs={"middleware": [Middleware(Guard, access=access)]},
            mcp_server=mcp,
            enable_monitoring=False,
            _frontend=False,  # or Gradio gives up, and asks for a share link, where the machine is busy for 3 s
            prevent_thread_lock=True,
            max_file_size=MAX_UPLOAD_BYTES,
            footer_links=[],
            ssr_mode=False,
            theme=gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
            css=stylesheet() + page_style(),
            head=page_scripts(),
        )
    except OSError as error:
        raise UsageError(f"--port {port} cannot be used: {error}; choose another") from error
    add_pictures(served, site.service.gallery)
    if block:
        page.block_thread()
    return served


def add_pictures(served: Any, gallery: Gallery) -> None:
    """One address for pictures and exports, before Gradio's own that takes any."""
    from starlette.concurrency import run_in_threadpool
    from starlette.requests import Request
    from starlette.responses import FileResponse, Response
    from starlette.routing import Route

    async def send(request: Request) -> Response:
        try:
            found = await run_in_threadpool(gallery.find, request.path_params["token"])
        except ImageError:
            found = None  # the alternative text stands in its place; saving says what is wrong
        if found is None or not found.path.is_file():
            return Response(status_code=404)
        return FileResponse(found.path, headers=HEADERS, filename=found.download or None)

    served.router.routes.insert(0, Route(f"/{PREFIX}/{{token}}", send))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="app.py", description="Vignette's page, on this machine only.")
    add_options(parser)
    args = parser.parse_args(argv)
    try:
        access = access_of(args)
        if not args.log_text:
            withhold_text()
        from composer.settings import load_settings
        from composer.pipeline.model_pool import ModelPool
        from vision.downloads.store import home

        settings = load_settings(args.profile)
        libraries = offered_folders(args.library)
        with tempfile.TemporaryDirectory(prefix="vignette-") as temporary:
            work_dir = Path(temporary).resolve()
            os.environ["GRADIO_TEMP_DIR"] = str(work_dir / "uploads")
            store = DraftStore()
            store.prune()
            site = make_site(lambda: ModelPool.load(settings), libraries, work_dir, home() / "libraries", store)
            if libraries:
                site.service.rooms.studio.warm_up()
            print(f"http://{args.host}:{args.port}", flush=True)
            launch(build(site), site, host=args.host, port=args.port, access=access, mcp=args.mcp)
    except EXPECTED as error:
        print(f"vignette: {localize(error, 'en', terminal=True)}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
