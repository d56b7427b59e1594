"""Pictures that a person looks for while editing: by words, by an example, or a file of their own.

Searching needs the encoder alone and may run beside anything else, but for words in a language that the encoder cannot
read: those the language model translates in its turn.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from composer.article.markdown import plain_text
from composer.article.model import Article
from composer.editing.lookup import section_at
from composer.pipeline.pipeline import Pipeline
from composer.pipeline.remote_pictures import brought
from composer.pipeline.reranking import LOOK_PX
from composer.pipeline.typed_words import readable_query
from composer.pipeline.uploads import read_uploads
from retrieval.candidates import Candidate, Query
from retrieval.diversity import without_duplicates
from retrieval.results import results
from vision.errors import Phrase

SHOWN = 12  # pictures a search shows at once


def search(pipeline: Pipeline, article: Article, section: int, words: str, k: int = SHOWN) -> list[Candidate]:
    """Pictures of the library that fit these words, best first, no two alike; the section's text breaks ties.

    Raises ValueError for no words, RetrievalError for words that only say what to leave out, and EditError for a
    section that is not there.
    """
    query = readable_query(words, pipeline.encoder, lambda: pipeline.model)
    context = f"{article.title}. {plain_text(section_at(article, section).text)}"
    return _found(pipeline, replace(query, context=context), k)


def search_like(pipeline: Pipeline, article: Article, section: int, example: Path, k: int = SHOWN) -> list[Candidate]:
    """Pictures of the library that look like the example. Raises ImageError for a file that is no picture."""
    from vision.images import load_image

    section_at(article, section)
    return _found(pipeline, Query(example=load_image(example, target_px=LOOK_PX)), k)


def read_own_picture(pipeline: Pipeline, path: Path) -> Candidate:
    """A picture of the person's own, ready to be shown. Raises UsageError for a file that is no picture."""
    uploads, _ = read_uploads([path], pipeline.encoder, draft=pipeline.draft)
    return Candidate(next(uploads.records()), 0.0, 0.0, 0.0, why=(Phrase("you_brought"),))


def _found(pipeline: Pipeline, query: Query, k: int) -> list[Candidate]:
    if not len(pipeline.library):
        return []
    if not query.wording and query.example is None:  # conditions alone
        return [result.candidate for result in results(pipeline.searcher, pipeline.library, query, k)]
    near = pipeline.searcher.find(query, 3 * k)
    ids = [candidate.record.id for candidate in near]
    apart = without_duplicates(near, pipeline.searcher.visual_vectors(ids), pipeline.library.phashes(ids))
    return brought(apart[:k], set())
