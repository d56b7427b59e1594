"""What programs send is checked before Gradio reads it: its size, that it is JSON, the endpoint and its arguments.

Gradio answers most of what does not fit with an error of its own inside, or not at all. Here each is one line, in the
form that FastAPI gives its errors: ``{"detail": "..."}``.
"""

from __future__ import annotations

import inspect
import json
import re
import traceback
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from composer.errors import UsageError
from composer.export.sanitizing import encodable
from composer.fields import check_known
from composer.i18n import localize
from composer.web.log_redaction import redacted
from vision.errors import KeyedError, Phrase

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

# A text of the longest kind, with every character escaped as JSON may, and what stands around it.
MAX_BODY_BYTES = 8_000_000
_CALL = re.compile(r"/gradio_api/call(?:/v2)?/([^/]*)/?")  # the page's own events go other ways
_UPLOAD = re.compile(r"/gradio_api/upload/?")  # its files are counted as they come

Parameters = Mapping[str, inspect.Parameter]


class RequestChecks:
    """ASGI middleware inside ``Guard``.

    ``endpoints`` are the API's, with their parameters; ``uploaded`` raises UsageError for a path that is not that of a
    file sent here; ``note`` logs a line.
    """

    def __init__(
        self,
        app: ASGIApp,
        endpoints: Mapping[str, Parameters],
        uploaded: Callable[[str], object],
        note: Callable[[str], None],
    ) -> None:
        self._app = app
        self._uploaded = uploaded
        self._endpoints = endpoints
        self._note = note

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = uploads = False

        async def noticing(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            path = scope["path"].removeprefix(scope.get("root_path", ""))
            uploads = _UPLOAD.fullmatch(path) is not None
            if scope["method"] == "POST" and not uploads:
                body = await _read(scope, receive)
                if body is None:
                    return
                self._check(path, body)
                receive = _again(body, receive)
            await self._app(scope, receive, noticing)
        except _Refused as refused:
            await _answer(scope, receive, send, refused.status, refused.said)
        except Exception as error:  # noqa: BLE001 - told to the log, without what it may quote
            if uploads and not isinstance(error, OSError):
                # Gradio takes the parts of a form as they come, names of files included.
                await _answer(scope, receive, send, HTTPStatus.BAD_REQUEST, Phrase("upload_malformed"))
                return
            self._note(redacted(error, traceback.extract_tb(error.__traceback__)))
            if not started:
                await _answer(scope, receive, send, HTTPStatus.INTERNAL_SERVER_ERROR, Phrase("inside"))

    def _check_files(self, sent: object) -> None:
        """Gradio copies what is marked as a file; one that was not sent here before is no affair of the caller's."""
        waiting = [sent]
        while waiting:
            value = waiting.pop()
            if isinstance(value, list):
                waiting += value
            elif isinstance(value, dict):
                waiting += value.values()
                if isinstance(value.get("meta"), dict) and "_type" in value["meta"]:
                    try:
                        self._uploaded(str(value.get("path")))
                    except UsageError as error:
                        raise _Refused(HTTPStatus.UNPROCESSABLE_ENTITY, error) from error

    def _check(self, path: str, body: bytes) -> None:
        if not path.startswith("/gradio_api/"):
            return
        try:
            sent = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant) if body else {}
        except (ValueError, RecursionError) as error:
            raise _Refused(HTTPStatus.BAD_REQUEST, Phrase("body_not_json")) from error
        self._check_files(sent)
        called = _CALL.fullmatch(path)
        if called is None:
            return
        name = called.group(1)
        if name not in self._endpoints:
            raise _Refused(
                HTTPStatus.NOT_FOUND, UsageError("endpoint_unknown", name=name[:80], known=list(self._endpoints))
            )
        if not isinstance(sent, dict):
            raise _Refused(HTTPStatus.UNPROCESSABLE_ENTITY, Phrase("body_not_object"))
        try:
            if path.startswith("/gradio_api/call/v2/"):
                _check_named(sent, self._endpoints[name])
            else:
                _check_listed(sent, self._endpoints[name])
        except UsageError as error:
            raise _Refused(HTTPStatus.UNPROCESSABLE_ENTITY, error) from error


class _Refused(Exception):
    def __init__(self, status: HTTPStatus, said: Phrase | KeyedError) -> None:
        super().__init__(status)
        self.status = status
        self.said = said


def _check_named(sent: Mapping[str, Any], parameters: Parameters) -> None:
    """Raise UsageError for an argument that the endpoint does not take, or for one that it needs and is not there."""
    check_known(sent, parameters)
    missing = [name for name, one in parameters.items() if one.default is one.empty and name not in sent]
    if missing:
        raise UsageError("field_missing", field=missing[0])


def _check_listed(sent: Mapping[str, Any], parameters: Parameters) -> None:
    """The same for arguments in their order, as Gradio's first protocol has them in ``data``: all of them."""
    data = sent.get("data")
    if not isinstance(data, list) or len(data) != len(parameters):
        raise UsageError("data_wrong", count=len(parameters), fields=list(parameters))


def _refuse_constant(name: str) -> float:
    raise ValueError(name)  # NaN and Infinity are none of JSON's


async def _read(scope: Scope, receive: Receive) -> bytes | None:
    """The whole body; None where the caller has left. Raises _Refused as soon as it is too large."""
    said = dict(scope["headers"]).get(b"content-length", b"")
    if said.isdigit() and int(said[:20]) > MAX_BODY_BYTES:
        raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, Phrase("body_too_large", {"mb": MAX_BODY_BYTES // 10**6}))
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            raise _Refused(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, Phrase("body_too_large", {"mb": MAX_BODY_BYTES // 10**6})
            )
        if not message.get("more_body", False):
            return bytes(body)


def _again(body: bytes, receive: Receive) -> Receive:
    """The body that was read, once more, and then what comes after it."""
    left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def received() -> Message:
        return left.pop() if left else await receive()

    return received


async def _answer(scope: Scope, receive: Receive, send: Send, status: HTTPStatus, said: Phrase | KeyedError) -> None:
    from starlette.responses import JSONResponse

    await JSONResponse({"detail": encodable(localize(said, "en"))}, status)(scope, receive, send)
