"""Which addresses a text may link to."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

LINK_SCHEMES = frozenset({"http", "https", "mailto", "tel"})
_DATA_PICTURE = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]+\Z", re.IGNORECASE)
# Browsers drop these inside an address, so "java\nscript:" would run.
IGNORED_IN_ADDRESSES = re.compile(r"[\x00-\x20\x7f-\xa0\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff]")


def safe_link(url: str) -> bool:
    """Whether an address may become a link or a picture: the web, mail, telephone, or a place in the document."""
    packed = IGNORED_IN_ADDRESSES.sub("", url)
    if _DATA_PICTURE.match(packed):
        return True
    try:
        scheme = urlsplit(packed).scheme.lower()
    except ValueError:
        return False
    # "foo:bar" that urlsplit takes for a path may still be a scheme to a browser.
    before_colon = re.split(r"[/?#]", packed, maxsplit=1)[0]
    return scheme in LINK_SCHEMES or (not scheme and ":" not in before_colon and not packed.startswith(("//", "\\")))
