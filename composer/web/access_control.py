"""Who may reach the server, decided before anything of Gradio's runs.

A page elsewhere on the web can make a browser send requests to a server on the same machine, directly or by pointing a
name of its own at 127.0.0.1 (DNS rebinding). So the name asked for must be one of this server's, what comes from
another page is refused, and with a password everything asks for it. Routes of Gradio's that hand out files by path or
fetch addresses are closed: pictures and exports have addresses of their own.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import re
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote, urlsplit

from composer.errors import UsageError
from composer.i18n import localize, preferred
from vision.errors import Phrase

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_V = TypeVar("_V")

LEAST_PASSWORD_CHARS = 10
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
# Wrong passwords within a minute, from one address and from all.
GUESSES_OF_ONE = 10
GUESSES_OF_ALL = 100
GUESS_WINDOW_S = 60.0
_MOST_ADDRESSES = 10_000
# Files by path, addresses fetched on a caller's behalf, figures about other callers, and what Gradio offers to those
# who develop a page: an event stream without end, an editor of its code, copies of what others entered.
_CLOSED = re.compile(
    r"/+(?:gradio_api/+)?(?:file|proxy|monitoring|profiling|dev|deep_link|runs|run-history|process_recording"
    r"|(?:undo-)?vibe-\w+|vibe-starter-queries)(?:[=/]|$)",
    re.IGNORECASE,
)
# The first part of addresses of this server's own, which no proxy's path may be taken for.
_OWN_PATHS = ("gradio_api", "config", "assets", "static", "theme.css", "svelte", "login", "logout")
HEALTH = "/healthz"
_STARTING = "/gradio_api/startup-events"  # Gradio asks itself, without a password; tells only whether it has begun
HEADERS: Mapping[str, str] = {
    "content-security-policy": "frame-ancestors 'self'; object-src 'none'; base-uri 'self'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}


@dataclass(frozen=True, slots=True)
class Access:
    """Who may reach the server. ``names`` are those it may be asked for, None any; ``login`` is user:password.

    ``loopback`` says that it listens on this machine only. ``roots`` are the folders whose pictures visitors may
    index, None where its owner may index any. ``root`` is where a proxy serves it: a path such as ``/vignette``, or an
    address with or without one, empty where no proxy was named.
    """

    loopback: bool
    names: tuple[str, ...] | None
    login: str = ""
    roots: tuple[Path, ...] | None = None
    root: str = ""

    @property
    def root_path(self) -> str:
        """``/vignette`` of ``root``, empty where the proxy serves the page at the top."""
        return urlsplit(self.root).path


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address. A name other than localhost may lead anywhere."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_root(root: str) -> str:
    """``Access.root`` as a person writes it, without what is in excess. Raises UsageError for anything else."""
    from composer.studio.picture_links import PREFIX

    found = re.fullmatch(r"(https?://[^\s/?#@\\]+)?((?:/*[\w~-][\w.~-]*)*)/*", root.strip(), re.ASCII)
    parts = [part for part in found.group(2).split("/") if part] if found else []
    if found is None or (parts and parts[0] in (PREFIX, *_OWN_PATHS)):
        raise UsageError("root_path_wrong", given=root)
    return (found.group(1) or "") + "".join(f"/{part}" for part in parts)


def check_access(host: str, *, public: bool, login: str, roots: Sequence[Path] | None = None, root: str = "") -> Access:
    """What may be reached by whom. Raises UsageError where others could reach it and were not meant to, or unasked."""
    root = check_root(root)
    if login:
        user, _, password = login.partition(":")
        if not user or len(password) < LEAST_PASSWORD_CHARS:
            raise UsageError("password_weak", least=LEAST_PASSWORD_CHARS)
    for folder in roots or ():
        if not folder.expanduser().is_dir():
            raise UsageError("root_missing", folder=str(folder))
    if is_loopback(host):
        shown = f"[{host}]" if ":" in host else host
        # A proxy may stand before a page of this machine: --public and --library-root say that it has visitors.
        proxy = [_name(urlsplit(root).netloc)] if "://" in root else []
        visitors = tuple(roots or ()) if public or roots else None
        return Access(True, (*LOOPBACK_NAMES, shown, *proxy), login, visitors, root)
    if not public:
        raise UsageError("host_not_local", host=host)
    if not login:
        raise UsageError("password_needed")
    return Access(False, None, login, tuple(roots or ()), root)


class GuessLimit:
    """Counts wrong passwords of the last minute. Threads may share one; ``clock`` gives seconds.

    An address that has known the password is let on while others use up what all have together.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._of_all: deque[float] = deque(maxlen=GUESSES_OF_ALL)
        self._of_one: OrderedDict[str, deque[float]] = OrderedDict()
        self._known: OrderedDict[str, None] = OrderedDict()

    def used_up(self, address: str) -> bool:
        """Whether the address may not try another password yet."""
        with self._lock:
            own = self._of_one.get(address, deque())
            full = self._full(own, GUESSES_OF_ONE)
            return full or (address not in self._known and self._full(self._of_all, GUESSES_OF_ALL))

    def count(self, address: str, right: bool) -> None:
        """Note a password that an address gave."""
        with self._lock:
            if right:
                _remember(self._known, address, None)
                return
            now_s = self._clock()
            self._of_all.append(now_s)
            own = self._of_one.get(address) or deque(maxlen=GUESSES_OF_ONE)
            own.append(now_s)
            _remember(self._of_one, address, own)

    def _full(self, guesses: deque[float], most: int) -> bool:
        return len(guesses) == most and self._clock() - guesses[0] < GUESS_WINDOW_S


def _remember(addresses: OrderedDict[str, _V], address: str, value: _V) -> None:
    addresses[address] = value
    addresses.move_to_end(address)
    while len(addresses) > _MOST_ADDRESSES:
        addresses.popitem(last=False)


class Guard:
    """ASGI middleware around the whole server."""

    def __init__(self, app: ASGIApp, access: Access, guesses: GuessLimit | None = None) -> None:
        self._app = app
        self._guesses = guesses or GuessLimit()
        self._names = None if access.names is None else frozenset(name.lower() for name in access.names)
        self._login = access.login.encode()
        self._root, self._root_path = access.root, access.root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        # Gradio gives the whole address where there is one. Starlette takes a path off, should the proxy leave it on.
        scope = {**scope, "root_path": self._root_path}
        headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
        refused = self._refusal(scope, headers)
        if refused is not None:
            await _refuse(scope, receive, send, *refused, preferred(headers.get("accept-language", "")))
            return

        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {key.lower() for key, _ in message["headers"]}
                extra = [(k.encode(), v.encode()) for k, v in HEADERS.items() if k.encode() not in given]
                message = {**message, "headers": [*message["headers"], *extra]}
            await send(message)

        await self._app(scope, receive, sealed)

    def _refusal(self, scope: Scope, headers: Mapping[str, str]) -> tuple[int, str] | None:
        """Status and the key of the reason, or None for a request that may pass."""
        # What runs containers asks by an address of its own, without a password, and hears only that the page lives.
        if scope["type"] == "http" and scope["path"] == HEALTH and scope["method"] in ("GET", "HEAD"):
            return None
        host = headers.get("host", "")
        if self._names is not None and _name(host) not in self._names:
            return 421, "other_name"
        origin = headers.get("origin")
        if origin is not None and not self._own(urlsplit(origin).netloc.lower(), host, headers):
            return 403, "other_page"
        if headers.get("sec-fetch-site") in ("cross-site", "same-site") and headers.get("sec-fetch-mode") != "navigate":
            return 403, "other_page"
        path = scope["path"]
        if path.startswith(f"{self._root_path}/"):
            path = path.removeprefix(self._root_path)
        # The server decodes a path once; whoever encodes it twice must not slip through what decodes it again.
        if any(_CLOSED.match(form) for form in (path, unquote(path), unquote(unquote(path)))):
            return 404, "not_served"
        return None if not self._login or path == _STARTING else self._wrong_password(scope, headers)

    def _own(self, origin: str, host: str, headers: Mapping[str, str]) -> bool:
        """Whether a page of this host and port is this server's own.

        Behind a proxy the browser knows the proxy's address alone. No page elsewhere can send ``X-Forwarded-Host``: a
        browser asks first whether it may, and is refused.
        """
        names = [host]
        if self._root:
            names += [urlsplit(self._root).netloc, headers.get("x-forwarded-host", "").partition(",")[0].strip()]
        return bool(origin) and origin in [name.lower() for name in names]

    def _wrong_password(self, scope: Scope, headers: Mapping[str, str]) -> tuple[int, str] | None:
        if "authorization" not in headers:
            return 401, "login_needed"  # a browser that has not been asked yet
        address = _network(scope.get("client"))
        if self._guesses.used_up(address):
            return 429, "too_many_guesses"
        right = self._knows(headers["authorization"])
        self._guesses.count(address, right)
        return None if right else (401, "login_needed")

    def _knows(self, authorization: str) -> bool:
        kind, _, given = authorization.partition(" ")
        if kind.lower() != "basic":
            return False
        try:
            said = base64.b64decode(given, validate=True)
        except (binascii.Error, ValueError):
            return False
        return hmac.compare_digest(said, self._login)


async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, key: str, language: str) -> None:
    from starlette.responses import PlainTextResponse

    reason = localize(Phrase(key), language)
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": reason})
        return
    extra = {"www-authenticate": 'Basic realm="Vignette", charset="UTF-8"'} if status == 401 else {}
    extra |= {"retry-after": f"{GUESS_WINDOW_S:.0f}"} if status == 429 else {}
    await PlainTextResponse(reason + "\n", status, {**HEADERS, **extra})(scope, receive, send)


def _network(client: Sequence[object] | None) -> str:
    """Whose guesses count together: an IPv4 address, or the network of 64 bits that one holder of IPv6 has."""
    try:
        address = ipaddress.ip_address(str(client[0]) if client else "")
    except ValueError:
        return ""
    return str(address) if address.version == 4 else str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))


def _name(host: str) -> str:
    """A Host header without its port, in lower case."""
    found = re.fullmatch(r"(\[[0-9a-f:.]+\]|[^:\[\]]+)(?::[0-9]{1,5})?", host.strip().lower())
    return found.group(1).rstrip(".") if found else ""
