"""What an ``Article`` becomes: one module a format, each a plain function from the article to text or bytes.

An exporter takes the article and a ``PictureUrl`` (see ``composer.export.urls``), reads nothing else, and escapes
everything it prints: titles, sections, captions and credits are untrusted.
"""

from __future__ import annotations

from composer.errors import UsageError

FORMATS = ("md", "html")


def parse_formats(text: str) -> tuple[str, ...]:
    """``"md,html"`` to its formats in a fixed order. Raises UsageError listing what exists."""
    wanted = {part.strip().lower() for part in text.split(",") if part.strip()}
    unknown = sorted(wanted - set(FORMATS))
    known = ", ".join(FORMATS)
    if unknown:
        raise UsageError(f"--format {', '.join(unknown)} is not known; use one or more of: {known}")
    if not wanted:
        raise UsageError(f"--format is empty; use one or more of: {known}")
    return tuple(name for name in FORMATS if name in wanted)
