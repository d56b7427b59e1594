"""Which web addresses an export may hold, and how they are written."""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

from composer.article.addresses import IGNORED_IN_ADDRESSES, LINK_SCHEMES, safe_link
from composer.export.sanitizing import printable


def outside_link(url: str) -> str:
    """The address if it leads to the web, a mail address or a telephone; empty for a place in the document or worse."""
    try:
        scheme = urlsplit(IGNORED_IN_ADDRESSES.sub("", url)).scheme.lower()
    except ValueError:
        return ""
    return url if scheme in LINK_SCHEMES and safe_link(url) else ""


def link_address(url: str) -> str:
    """An address of the web, of a mail box or a telephone as every format takes it: in ASCII, with nothing that a URI
    may not hold (RFC 3986). Empty for any other."""
    clean = printable(url).strip()
    if not outside_link(clean):
        return ""
    scheme, _, rest = clean.partition(":")
    if scheme.lower() not in ("http", "https"):
        return f"{scheme.lower()}:{_quoted(rest)}"
    try:
        parts = urlsplit(clean)
        host = (parts.hostname or "").encode("idna").decode("ascii")
        port = f":{parts.port}" if parts.port is not None else ""
    except ValueError:  # a host that is none, or a port that is no number
        return ""
    if not re.fullmatch(r"[a-z0-9._-]+", host):
        return ""
    path = _quoted(parts.path + (f"?{parts.query}" if parts.query else ""))
    return f"{parts.scheme}://{host}{port}{path}" + (f"#{_quoted(parts.fragment)}" if parts.fragment else "")


def web_address(url: str) -> str:
    """``link_address`` of a page of the web alone."""
    address = link_address(url)
    return address if address.startswith(("http://", "https://")) else ""


def _quoted(text: str) -> str:
    return re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", quote(text, safe="%:/?@!$&*+,;=~"))
