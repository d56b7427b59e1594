"""What a server writes to its log: where something went wrong, never what a person wrote.

Messages of exceptions may quote a text, a caption or a file name, and Gradio and uvicorn print them. Here tracebacks
keep files, lines and kinds of exceptions and lose their messages, unless the person asked for them.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TextIO


def redacted(error: BaseException, frames: Sequence[traceback.FrameSummary] | None = None) -> str:
    """The traceback without messages and without the lines of code."""
    where = frames if frames is not None else traceback.extract_tb(error.__traceback__)
    lines = [f"  {frame.filename}:{frame.lineno} in {frame.name}" for frame in where]
    return "\n".join(
        [f"{type(error).__module__}.{type(error).__qualname__} (message withheld, see --log-text)", *lines]
    )


class _Withheld(logging.Filter):
    """Turns a record with an exception into one without its message."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and record.exc_info[1] is not None:
            record.msg, record.args = f"{record.name}: {redacted(record.exc_info[1])}", ()
            record.exc_info = record.exc_text = None
        return True


_LOG = "vignette"
_LOGGERS = ("uvicorn", "uvicorn.error", "asyncio", "gradio", "mcp", "httpx", "")


def withhold_text() -> None:
    """From now on this process prints tracebacks without messages. Meant for a server, at its start."""

    def print_exc(*_: Any, file: Any = None, **__: Any) -> None:
        error = sys.exc_info()[1]
        if error is not None:
            note(redacted(error), file)

    def hook(_: type[BaseException], error: BaseException, __: TracebackType | None) -> None:
        note(redacted(error))

    def in_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
            note(redacted(args.exc_value))

    traceback.print_exc = print_exc  # what Gradio calls, by this name
    sys.excepthook = hook
    threading.excepthook = in_thread
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_Withheld())


def note(line: str, file: TextIO | None = None) -> None:
    """One entry in the server's log."""
    logger = logging.getLogger(_LOG)
    if logger.handlers:
        logger.error(line)
    else:
        (file or sys.stderr).write(line + "\n")


class _JsonLines(logging.Formatter):
    """One object a line: when, how bad, from where, and what."""

    def format(self, record: logging.LogRecord) -> str:
        said = {"time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")}
        said |= {"level": record.levelname.lower(), "logger": record.name, "message": super().format(record)}
        return json.dumps(said, ensure_ascii=False)


def log_as_json(stream: TextIO | None = None, *, text: bool = False) -> None:
    """From now on everything that this process logs is JSON, an object a line; with ``text``, with messages.

    Call it when the server runs: uvicorn sets up its own loggers as it starts.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_JsonLines())
    if not text:
        handler.addFilter(_Withheld())  # filters of loggers see only what was logged with them
    for name in (*_LOGGERS, _LOG):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
