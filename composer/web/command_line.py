"""The options of the page, shared by ``vignette app`` and the process that serves it, and what they mean."""

from __future__ import annotations

import argparse
import errno
import os
import socket
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path

import composer
from composer.errors import UsageError
from composer.web.access_control import Access, check_access

PASSWORD_VARIABLE = "VIGNETTE_PASSWORD"
_PORTS = 2**16


def page_command() -> list[str]:
    """How to start the page in a process of its own, which imports nothing from the folder it is started in."""
    return [sys.executable, "-P", str(Path(composer.__file__).resolve().parents[1] / "app.py")]


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--library",
        type=Path,
        action="append",
        metavar="DIR",
        help="a library, or sample; may be repeated (default: the one used last, and the sample)",
    )
    parser.add_argument(
        "--profile",
        default="auto",
        metavar="NAME",
        help="a profile's name or .toml file (default: auto, the best that this machine can run)",
    )
    parser.add_argument(
        "--open", type=Path, metavar="FOLDER", help="show the article that compose or batch saved in this folder"
    )
    parser.add_argument("--host", default="127.0.0.1", help="an address of this machine (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=7860, help="where to listen (default: 7860)")
    parser.add_argument("--public", action="store_true", help="allow a --host that others can reach; needs a password")
    parser.add_argument(
        "--root-path",
        metavar="PATH|URL",
        default="",
        help="where a proxy serves the page: /vignette, or the whole address, https://example.org/vignette",
    )
    parser.add_argument(
        "--library-root",
        type=Path,
        action="append",
        metavar="DIR",
        help="a folder whose pictures visitors may index, with --public; may be repeated",
    )
    parser.add_argument(
        "--password",
        metavar="USER:PASSWORD",
        default="",
        help=f"ask for this; better set {PASSWORD_VARIABLE}, which no list of processes shows",
    )
    parser.add_argument("--no-browser", action="store_true", help="do not open the page, only print its address")
    parser.add_argument(
        "--state",
        type=Path,
        metavar="DIR",
        help="where articles in the making and libraries made on the page are kept; several pages may share it "
        "(default: VIGNETTE_HOME)",
    )
    parser.add_argument("--mcp", action="store_true", help="offer the API as MCP tools, on this machine only")
    parser.add_argument("--log-json", action="store_true", help="write the log as a JSON object a line")
    parser.add_argument("--log-text", action="store_true", help="let errors in the log quote what was written")


def access_of(args: argparse.Namespace) -> Access:
    """Who may reach the page that was asked for by ``add_options``. Raises UsageError as ``check_access`` does."""
    login = args.password or os.environ.get(PASSWORD_VARIABLE, "")
    access = check_access(args.host, public=args.public, login=login, roots=args.library_root, root=args.root_path)
    if args.mcp and (login or not access.loopback):
        raise UsageError("mcp_not_local")
    return access


def offered_libraries(given: Sequence[Path] | None) -> list[Path]:
    """The libraries to offer: those given, else the one used last and the sample, as far as they are there.

    The first of those given is the default from now on. Raises LibraryError for one that cannot be opened.
    """
    from image_db.default_library import is_library, last_library, library_folder, remember_library
    from image_db.sample.build import sample_folder
    from image_db.stores.opening import open_library

    folders = [library_folder(str(folder)) for folder in given or ()]
    usual = [folder for folder in (last_library(), sample_folder()) if folder is not None and is_library(folder)]
    found = []
    for folder in folders or dict.fromkeys(usual):
        with open_library(folder) as library:
            found.append(library.folder)
    if given:
        remember_library(found[0])
    return found


def check_port(host: str, port: int) -> None:
    """Raise UsageError where the server cannot listen there, before anything is loaded; names a port that is free."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    if not 0 < port < _PORTS:
        raise UsageError("port_wrong", port=port, most=_PORTS - 1)
    with socket.socket(family) as probe:
        if os.name == "posix":  # as the server does: a connection that is being closed is no hindrance
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise UsageError("port_refused", host=host, port=port, reason=error.strerror) from error
            raise UsageError("port_taken", port=port, free=_free_port(host, port, family)) from error


def _free_port(host: str, taken: int, family: int) -> int:
    """The next port that is free, else any."""
    for port in (*range(taken + 1, min(taken + 20, _PORTS)), 0):
        with socket.socket(family) as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    return taken


def address_of(host: str, port: int) -> str:
    """The page's address on this machine."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def open_browser(address: str) -> bool:
    """Show the page where there is a screen to show it on; text browsers would take the terminal away."""
    screens = ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY")
    if os.name != "nt" and sys.platform != "darwin" and not any(map(os.environ.get, screens)):
        return False
    return webbrowser.open(address)
