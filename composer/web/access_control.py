"""Who may reach the server, decided before anything of Gradio's runs.

A page elsewhere on the web can make a browser send requests to a server on the same machine, directly or by pointing a
name of its own at 127.0.0.1 (DNS rebinding). So the name asked for must be one of this server's, what comes from
another page is refused, and with a password everything asks for it. Routes of Gradio's that hand out files by path or
fetch addresses are closed: pictures and exports have addresses of their own. Knows no articles.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hmac
import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from composer.errors import UsageError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

PASSWORD_VARIABLE = "VIGNETTE_PASSWORD"
LEAST_PASSWORD_CHARS = 10
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
# Files by path, addresses fetched on a caller's behalf, figures about other callers.
_CLOSED = re.compile(r"/+(?:gradio_api/+)?(?:file|proxy)(?:[=/]|$)|/+(?:gradio_api/+)?monitoring(?:/|$)", re.IGNORECASE)
_STARTING = "/gradio_api/startup-events"  # Gradio asks itself, without a password; tells only whether it has begun
_FAILURE_PAUSE_S = 1.0
HEADERS: Mapping[str, str] = {
    "content-security-policy": "frame-ancestors 'self'; object-src 'none'; base-uri 'self'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}


@dataclass(frozen=True, slots=True)
class Access:
    """Who may reach the server. ``names`` are those it may be asked for, None any; ``login`` is user:password.

    ``loopback`` says that it listens on this machine only.
    """

    loopback: bool
    names: tuple[str, ...] | None
    login: str = ""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address. A name other than localhost may lead anywhere."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_access(host: str, *, public: bool, login: str, names: tuple[str, ...] = ()) -> Access:
    """What may be reached by whom. Raises UsageError where others could reach it and were not meant to, or unasked."""
    if login:
        user, _, password = login.partition(":")
        if not user or len(password) < LEAST_PASSWORD_CHARS:
            raise UsageError(
                f"the password must be given as USER:PASSWORD, the password with at least {LEAST_PASSWORD_CHARS} "
                f"characters; set {PASSWORD_VARIABLE} or --password"
            )
    if is_loopback(host):
        shown = f"[{host}]" if ":" in host else host
        return Access(True, (*LOOPBACK_NAMES, shown, *names), login)
    if not public:
        raise UsageError(
            f"--host {host} is not an address of this machine alone: others could reach the page; use 127.0.0.1, or "
            "add --public and a password if that is meant"
        )
    if not login:
        raise UsageError(
            f"--public needs a password; set {PASSWORD_VARIABLE}=USER:PASSWORD, or give --password USER:PASSWORD"
        )
    return Access(False, names or None, login)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of ``vignette app`` and ``python app.py``."""
    parser.add_argument("--library", type=Path, action="append", metavar="DIR", help="a library; may be repeated")
    parser.add_argument("--profile", default="embedded", metavar="NAME", help="a profile's name or .toml file")
    parser.add_argument("--host", default="127.0.0.1", help="an address of this machine (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=7860, help="where to listen (default: 7860)")
    parser.add_argument("--public", action="store_true", help="allow a --host that others can reach; needs a password")
    parser.add_argument(
        "--password",
        metavar="USER:PASSWORD",
        default="",
        help=f"ask for this; better set {PASSWORD_VARIABLE}, which no list of processes shows",
    )
    parser.add_argument("--mcp", action="store_true", help="offer the API as MCP tools, on this machine only")
    parser.add_argument("--log-text", action="store_true", help="let errors in the log quote what was written")


def access_of(args: argparse.Namespace) -> Access:
    """Who may reach the page. Raises UsageError for what would let in others unasked."""
    login = args.password or os.environ.get(PASSWORD_VARIABLE, "")
    access = check_access(args.host, public=args.public, login=login)
    if args.mcp and (login or not access.loopback):
        raise UsageError("mcp_not_local")
    return access


class Guard:
    """ASGI middleware around the whole server."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access
        self._names = None if access.names is None else frozenset(name.lower() for name in access.names)
        self._login = access.login.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
        refused = await self._refusal(scope, headers)
        if refused is not None:
            await _refuse(scope, receive, send, *refused)
            return

        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {key.lower() for key, _ in message["headers"]}
                extra = [(k.encode(), v.encode()) for k, v in HEADERS.items() if k.encode() not in given]
                message = {**message, "headers": [*message["headers"], *extra]}
            await send(message)

        await self._app(scope, receive, sealed)

    async def _refusal(self, scope: Scope, headers: Mapping[str, str]) -> tuple[int, str] | None:
        """Status and reason, or None for a request that may pass."""
        host = headers.get("host", "")
        if self._names is not None and _name(host) not in self._names:
            return 421, "this server does not answer to that name; open it by the address it printed"
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return 403, "requests from other pages are refused"
        if headers.get("sec-fetch-site") in ("cross-site", "same-site") and headers.get("sec-fetch-mode") != "navigate":
            return 403, "requests from other pages are refused"
        path = scope["path"]
        # The server decodes a path once; whoever encodes it twice must not slip through what decodes it again.
        if any(_CLOSED.match(form) for form in (path, unquote(path), unquote(unquote(path)))):
            return 404, "nothing is served there"
        if self._login and path != _STARTING and not self._knows(headers.get("authorization", "")):
            await _pause(headers)
            return 401, "name and password are needed"
        return None

    def _knows(self, authorization: str) -> bool:
        kind, _, given = authorization.partition(" ")
        if kind.lower() != "basic":
            return False
        try:
            said = base64.b64decode(given, validate=True)
        except (binascii.Error, ValueError):
            return False
        return hmac.compare_digest(said, self._login)


async def _pause(headers: Mapping[str, str]) -> None:
    """Makes guessing slow; a browser that has not been asked yet does not wait."""
    import asyncio

    if "authorization" in headers:
        await asyncio.sleep(_FAILURE_PAUSE_S)


async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, reason: str) -> None:
    from starlette.responses import PlainTextResponse

    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": reason})
        return
    extra = {"www-authenticate": 'Basic realm="Vignette", charset="UTF-8"'} if status == 401 else {}
    await PlainTextResponse(reason + "\n", status, {**HEADERS, **extra})(scope, receive, send)


def _name(host: str) -> str:
    """A Host header without its port, in lower case."""
    found = re.fullmatch(r"(\[[0-9a-f:.]+\]|[^:\[\]]+)(?::[0-9]{1,5})?", host.strip().lower())
    return found.group(1).rstrip(".") if found else ""
