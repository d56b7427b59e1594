"""What a person types into a search box, as a query: what the picture should show and what it should not."""

from __future__ import annotations

import re
import unicodedata

from retrieval.candidates import Query
from retrieval.errors import RetrievalError
from retrieval.filters import Filters, split_where
from retrieval.tokens import stretches

_MINUS = re.compile(r'(?:^|(?<=\s))-(?:"([^"]*)"|([^\W\d]\S*))')
_ANOTHER = re.compile(r"\s*[、，,/]\s*|\s+(?:and|or|nor)\s+|[和或与與及]", re.IGNORECASE)


def typed_query(words: str) -> Query:
    """A query for "beach -people", "beach without people", "没有人的海滩" or "beach date:2019".

    ``retrieval.filters`` says which conditions can be among the words; they may stand alone. Raises RetrievalError
    where the words say only what should not be seen, or a condition is wrong.
    """
    where, text = split_where(unicodedata.normalize("NFKC", words).strip())
    without = [quoted or word for quoted, word in _MINUS.findall(text)]
    text = _MINUS.sub(" ", text)
    said = []
    for stretch, denied in stretches(text):
        if denied:
            without += _ANOTHER.split(stretch)
        else:
            said.append(stretch.strip())
    caption = re.sub(r"^[\s,;，；]+|[\s,;，；]+$", "", " ".join(said))
    if not caption and without and not where:
        raise RetrievalError("search_only_excludes", words=", ".join(without))
    return Query(
        caption=caption,
        without=tuple(phrase.strip() for phrase in without if phrase.strip()),
        filters=Filters(where=where),
    )
