"""The language of what a person types: of a request, and of words in a search box, which are made readable for the
encoder: Chinese is searched as it is and in English.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from composer.article.language import detect_language, text_language
from composer.article.markdown import parse_markdown, plain_text
from composer.pipeline.captions import translate
from composer.pipeline.prompts import load_prompts
from composer.request import ComposeRequest
from retrieval.candidates import Query
from retrieval.cedict import MEANINGS, installed_chinese_dictionary
from retrieval.typed import typed_query
from vision.interfaces import JointEncoder, VisionLanguageModel


def document_language(request: ComposeRequest) -> str:
    """The tag of the article's language (BCP 47): as asked for, as the text's front matter has it, or as it reads."""
    if request.language != "auto":
        return request.language
    if not request.text:
        return detect_language(request.instruction)
    parsed = parse_markdown(request.text)
    return parsed.language or text_language(plain_text(request.text[len(parsed.preamble) :]) or parsed.title)


def readable_query(words: str, encoder: JointEncoder, writer: Callable[[], VisionLanguageModel]) -> Query:
    """The query of typed words; with its English where the encoder does not read their language.

    Chinese is put into English by the dictionary, where that is here and knows every word, and else by the writer, who
    is asked for only then (docs/research/search.md). Raises RetrievalError as ``typed_query``, and what the writer
    raises.
    """
    query = typed_query(words)
    spoken = detect_language(" ".join((query.caption, *query.without)))
    if encoder.languages is None or spoken in encoder.languages or not (query.caption or query.without):
        return query
    said = [text for text in (query.caption, *query.without) if text]
    dictionary = installed_chinese_dictionary() if spoken == "zh" else None
    known = {text: dictionary.in_english(text, MEANINGS if text == query.caption else 1) for text in said if dictionary}
    if left := [text for text in said if not known.get(text)]:
        known |= zip(left, translate(writer(), load_prompts(spoken), left), strict=True)
    without = [known[text] for text in query.without]
    return replace(query, english=known.get(query.caption, ""), without=(*query.without, *without))
