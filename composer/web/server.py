"""Serves the page and the API: what stands behind them, the command line, and the address of pictures and exports."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from composer.errors import UsageError
from composer.i18n import localize
from composer.studio.metrics import MEDIA_TYPE
from composer.studio.picture_links import HEADERS, PREFIX, PictureLinks
from composer.studio.studio import Studio
from composer.web.access_control import HEALTH, Access, Guard, check_access
from composer.web.command_line import access_of, add_options, address_of, check_port, offered_libraries, open_browser
from composer.web.log_redaction import note
from composer.web.request_checks import RequestChecks
from vision.errors import ImageError, KeyedError

BuildPage = Callable[[Studio], Any]


def launch(
    build: BuildPage,
    studio: Studio,
    *,
    host: str,
    port: int,
    access: Access | None = None,
    mcp: bool = False,
) -> Any:
    """Serve the page, by default to this machine alone, and return its ``gr.Blocks``.

    Raises UsageError for a port that cannot be used.
    """
    import gradio as gr
    from starlette.middleware import Middleware

    from composer.export.html import stylesheet
    from composer.pipeline.uploads import MAX_UPLOAD_BYTES
    from composer.web.html.page_shell import page_scripts, page_style
    from composer.web.http_api import Api

    access = access or check_access(host, public=False, login="")
    check_port(host, port)
    page = build(studio)
    page.queue(default_concurrency_limit=1)
    served, _, _ = page.launch(
        server_name=host,
        server_port=port,
        share=False,
        quiet=True,
        app_kwargs={
            "middleware": [
                Middleware(Guard, access=access),
                Middleware(RequestChecks, endpoints=Api.parameters(), uploaded=studio.uploaded, note=note),
            ]
        },
        mcp_server=mcp,
        enable_monitoring=False,
        root_path=access.root,
        _frontend=False,  # or Gradio gives up, and asks for a share link, where the machine is busy for 3 s
        prevent_thread_lock=True,
        max_file_size=MAX_UPLOAD_BYTES,
        footer_links=[],
        ssr_mode=False,
        theme=gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
        css=stylesheet() + page_style(),
        head=page_scripts(),
    )
    add_pictures(served, studio.links)
    add_operations(served, studio)
    return page


def add_operations(served: Any, studio: Studio) -> None:
    """What those who run the server ask it: whether it is alive, and what it has done."""
    from starlette.requests import Request
    from starlette.responses import JSONResponse, PlainTextResponse, Response
    from starlette.routing import Route

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok", "models": "loaded" if studio.models.are_loaded else "not loaded"})

    async def metrics(_: Request) -> Response:
        return PlainTextResponse(studio.models.exposition(), media_type=MEDIA_TYPE)

    served.router.routes[:0] = [Route(HEALTH, health), Route("/metrics", metrics)]


def add_pictures(served: Any, links: PictureLinks) -> None:
    """One address for pictures and exports, before Gradio's own that takes any."""
    from starlette.concurrency import run_in_threadpool
    from starlette.requests import Request
    from starlette.responses import FileResponse, Response
    from starlette.routing import Route

    async def send(request: Request) -> Response:
        try:
            found = await run_in_threadpool(links.find, request.path_params["token"])
        except ImageError:
            found = None  # the alternative text stands in its place; saving says what is wrong
        if found is None or not found.path.is_file():
            return Response(status_code=404)
        return FileResponse(found.path, headers=HEADERS, filename=found.download or None)

    served.router.routes.insert(0, Route(f"/{PREFIX}/{{token}}", send))


def serve(build: BuildPage, argv: Sequence[str] | None = None) -> int:
    """Serve the page as the options say until it is interrupted. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="app.py", description="Vignette's page, on this machine only.")
    add_options(parser)
    args = parser.parse_args(argv)
    # Whatever asks the server to end does as Ctrl-C does: uploads and other temporary files go.
    for name in ("SIGTERM", "SIGHUP"):
        if (number := getattr(signal, name, None)) is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)
    try:
        if not 1 <= args.port <= 65535:
            raise UsageError("field_range", field="--port", given=args.port, least=1, most=65535)
        access = access_of(args)
        _serve(build, args, access)
    except KeyedError as error:
        print(f"vignette: {localize(error, 'en', terminal=True)}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        return 130
    return 0


def _serve(build: BuildPage, args: argparse.Namespace, access: Access) -> None:
    from composer.pipeline.model_pool import ModelPool
    from composer.profiles.choice import resolve
    from composer.studio.draft_store import DraftStore
    from composer.web.log_redaction import log_as_json, withhold_text
    from vision.downloads.store import home

    if not args.log_text:
        withhold_text()
    check_port(args.host, args.port)
    libraries = offered_libraries(args.library)
    settings = resolve(args.profile, libraries[0] if libraries else None).settings
    # What visitors index is offered to them alone, and nothing that was indexed on this machine to visitors.
    state = args.state.expanduser().absolute() if args.state else home()
    made = state / ("libraries" if access.roots is None else "visitors-libraries")
    drafts = DraftStore(state / "drafts")
    drafts.prune()
    with tempfile.TemporaryDirectory(prefix="vignette-") as temporary:
        work_dir = Path(temporary).resolve()
        os.environ["GRADIO_TEMP_DIR"] = str(work_dir / "uploads")
        studio = Studio.make(
            lambda: ModelPool.load(settings), libraries, work_dir, made, drafts, access.roots, access.root
        )
        shown = f"/?article={studio.saved.offer(args.open)}" if args.open else ""
        if libraries:
            studio.models.warm_up()
        page = launch(build, studio, host=args.host, port=args.port, access=access, mcp=args.mcp)
        if args.log_json:
            log_as_json(text=args.log_text)
        address = address_of(args.host, args.port) + shown
        print(address, flush=True)
        if access.loopback and not access.root and not args.no_browser:
            open_browser(address)
        page.block_thread()
