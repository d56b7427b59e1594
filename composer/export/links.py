"""Which web addresses an export may hold, and how they are written. Knows no Markdown and no format."""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

from composer.export.sanitizing import printable

_SCHEMES = frozenset({"http", "https", "mailto", "tel"})
_DATA_PICTURE = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]+\Z", re.IGNORECASE)
# Browsers drop these inside an address, so "java\nscript:" would run.
_IGNORED = re.compile(r"[\x00-\x20\x7f-\xa0\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff]")


def safe_link(url: str) -> bool:
    """Whether an address may become a link or a picture: the web, mail, telephone, or a place in the document."""
    packed = _IGNORED.sub("", url)
    if _DATA_PICTURE.match(packed):
        return True
    try:
        scheme = urlsplit(packed).scheme.lower()
    except ValueError:
        return False
    # "foo:bar" that urlsplit takes for a path may still be a scheme to a browser.
    before_colon = re.split(r"[/?#]", packed, maxsplit=1)[0]
    return scheme in _SCHEMES or (not scheme and ":" not in before_colon and not packed.startswith(("//", "\\")))


def outside_link(url: str) -> str:
    """The address if it leads to the web, a mail address or a telephone; empty for a place in the document or worse."""
    try:
        scheme = urlsplit(_IGNORED.sub("", url)).scheme.lower()
    except ValueError:
        return ""
    return url if scheme in _SCHEMES and safe_link(url) else ""


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
