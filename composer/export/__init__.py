"""What an ``Article`` becomes: one module a format, each a plain function from the article to text or bytes.

An exporter takes the article and its pictures (a ``PictureUrl`` for formats that name them, ``Pictures`` for those that
hold them), reads nothing else, and escapes everything it prints: titles, sections, captions and credits are untrusted.
``composer.export.export`` has them all by name.
"""

from __future__ import annotations

from collections.abc import Sequence

from composer.errors import UsageError

FORMATS = ("md", "html", "docx", "pdf", "epub")
DEFAULT_FORMATS = ("md", "html")


def parse_formats(text: str) -> tuple[str, ...]:
    """``"md,html"`` to its formats in a fixed order. Raises UsageError listing what exists."""
    wanted = {part.strip().lower() for part in text.split(",") if part.strip()}
    unknown = sorted(wanted - set(FORMATS))
    if unknown:
        raise unknown_format(unknown)
    if not wanted:
        raise UsageError("no_format", known=FORMATS)
    return tuple(name for name in FORMATS if name in wanted)


def unknown_format(names: Sequence[str]) -> UsageError:
    return UsageError("format_unknown", formats=list(names), known=FORMATS)
