"""What a person types into a search box, made readable for the encoder: Chinese is searched as it is and in English."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from composer.article.language import detect_language
from composer.pipeline.captions import translate
from composer.pipeline.prompts import load_prompts
from retrieval.candidates import Query
from retrieval.typed import typed_query
from vision.interfaces import JointEncoder, VisionLanguageModel


def readable_query(words: str, encoder: JointEncoder, writer: Callable[[], VisionLanguageModel]) -> Query:
    """The query of typed words; with its English by the writer where the encoder does not read their language.

    The writer is asked for only then. Raises RetrievalError as ``typed_query``, and what the writer raises.
    """
    query = typed_query(words)
    spoken = detect_language(" ".join((query.caption, *query.without)))
    if encoder.languages is None or spoken in encoder.languages or not (query.caption or query.without):
        return query
    caption, *without = translate(writer(), load_prompts(spoken), [query.caption, *query.without])
    return replace(query, english=caption if query.caption else "", without=(*query.without, *without))
