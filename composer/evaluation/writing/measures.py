"""The measures of written articles that a machine can take, each over all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from composer.article.citation import Citation
from composer.article.language import count_words
from composer.article.model import Article
from composer.evaluation.report import Measure
from composer.evaluation.writing.articles import DRAFTS, WrittenArticle
from composer.evaluation.writing.picture_measures import (
    alts_beyond_caption,
    bare_sections,
    captions_beyond_label,
    on_subject,
)
from composer.evaluation.writing.source_measures import citations_of, copied_runs, is_supported
from composer.evaluation.writing.text_measures import (
    Likeness,
    has_stock_phrase,
    repeated,
    repeated_runs,
    sentences_of,
)
from composer.evaluation.writing.unsupported import unsupported
from composer.pipeline.writing.facts import shares_of_characters
from retrieval.search import Searcher
from vision.interfaces import JointEncoder
from vision.training.metrics import bootstrap

LENGTH_TOLERANCE = 0.15


@dataclass(frozen=True, slots=True)
class TextFindings:
    """What was found in one article. Counts come with what they are out of."""

    name: str
    words: int
    asked: int
    sentences: int
    sections: int
    drafts: int
    write_s: float
    article_s: float
    unsupported: tuple[str, ...]
    repeated: tuple[str, ...]
    repeated_runs: tuple[int, int]
    filler: tuple[str, ...]
    on_subject: tuple[bool, ...] = ()
    bare: tuple[bool, ...] = ()
    captions: tuple[bool, ...] = ()  # more than the library's words
    alts: tuple[bool, ...] = ()  # not the caption again
    supported: tuple[bool, ...] | None = None  # sentence by sentence; None for an article without sources
    copied: tuple[str, ...] = ()

    @property
    def length_kept(self) -> float:
        return self.words / self.asked

    def as_json(self) -> dict[str, Any]:
        """The counts and, so that they can be looked at, the sentences and names behind them."""
        return {
            "name": self.name,
            "words": self.words,
            "words_asked": self.asked,
            "sentences": self.sentences,
            "drafts": self.drafts,
            "write_s": round(self.write_s, 3),
            "unsupported_names": list(self.unsupported),
            "repeated": list(self.repeated),
            "filler": list(self.filler),
            "unsupported_sentences": None if self.supported is None else self.supported.count(False),
            "copied": list(self.copied),
            "pictures_on_subject": list(self.on_subject),
            "sections_bare": list(self.bare),
            "captions_beyond_label": list(self.captions),
            "alts_beyond_caption": list(self.alts),
        }


def likeness_for(encoder: JointEncoder, language: str) -> Likeness:
    """Cosines of the encoder's sentences; shared characters where it does not read the language."""
    if encoder.languages is not None and language not in encoder.languages:
        return shares_of_characters
    return lambda one, other: encoder.encode_sentences(list(one)) @ encoder.encode_sentences(list(other)).T


def examine(
    written: WrittenArticle, encoder: JointEncoder, searcher: Searcher | None, least_fused: float
) -> TextFindings:
    """Everything that a machine can tell of one article. Pictures are looked at where there is a ``searcher``."""
    article, request = written.article, written.request
    sections = [sentences_of(section) for section in article.sections]
    every = [sentence for section in sections for sentence in section]
    given = [article.title, request.instruction, *_facts(article)]
    citations = [section.citations for section in article.sections]
    cited = [
        [[p.text for c in citations_of(sentence, own) for p in c.passages] for sentence in section]
        for section, own in zip(sections, citations, strict=True)
    ]
    passages = {p.text for own in citations for citation in own for p in citation.passages}
    names = unsupported(sections, given, article.writing_language, cited)
    said = repeated(sections, likeness_for(encoder, article.writing_language), article.title)
    words = sum(count_words(section.text) for section in article.sections)
    return TextFindings(
        name=written.name,
        words=words,
        asked=request.words,
        sentences=len(every),
        sections=len(article.sections),
        drafts=int(article.provenance.get(DRAFTS, 0)),
        write_s=written.seconds.get("write", 0.0),
        article_s=sum(written.seconds.values()),
        unsupported=tuple(name for section in names for sentence in section for name in sentence),
        repeated=tuple(_where(sections, said)),
        repeated_runs=repeated_runs(sections, article.title),
        filler=tuple(sentence for sentence in every if has_stock_phrase(sentence)),
        on_subject=tuple(on_subject(article)) if searcher else (),
        bare=tuple(bare_sections(article, searcher, least_fused)) if searcher else (),
        captions=tuple(captions_beyond_label(article)),
        alts=tuple(alts_beyond_caption(article)),
        supported=_supported(sections, citations) if article.sources or request.sources else None,
        copied=tuple(run for section in sections for run in copied_runs(" ".join(section), sorted(passages))),
    )


def measure(found: Sequence[TextFindings], failed: int) -> dict[str, Measure]:
    """Over all articles, with bootstrap intervals over them. Measures of what no article has are left out."""
    measures = {
        "articles": Measure(len(found), "articles"),
        "articles_failed": Measure(failed, "articles"),
        "supported_sentences": _share([f.supported for f in found if f.supported is not None]),
        "unsupported_names": _pooled([(len(f.unsupported), f.sentences) for f in found], "per 100 sentences", 100),
        "repeated_share": _pooled([(len(f.repeated), f.sentences) for f in found], "fraction"),
        "repeated_run_share": _pooled([f.repeated_runs for f in found], "fraction"),
        "filler_share": _pooled([(len(f.filler), f.sentences) for f in found], "fraction"),
        "copied_runs": _pooled(
            [(len(f.copied), f.sentences) for f in found if f.supported is not None], "per 100 sentences", 100
        ),
        "length_kept": _mean([f.length_kept for f in found], "of the words asked"),
        "length_within_15": _mean([abs(f.length_kept - 1) <= LENGTH_TOLERANCE for f in found], "fraction"),
        "drafts_per_section": _pooled([(f.drafts, f.sections) for f in found if f.drafts], "drafts"),
        "write_s": _mean([f.write_s for f in found if f.write_s], "s"),
        "write_s_per_100_words": _pooled([(f.write_s, f.words) for f in found if f.write_s], "s", 100),
        "article_s": _mean([f.article_s for f in found if f.article_s], "s"),
        "pictures_on_subject": _share([f.on_subject for f in found]),
        "sections_bare": _share([f.bare for f in found]),
        "captions_beyond_label": _share([f.captions for f in found]),
        "alts_beyond_caption": _share([f.alts for f in found]),
        "sentences": Measure(sum(f.sentences for f in found), "sentences"),
    }
    return {name: value for name, value in measures.items() if value is not None}


def _supported(sections: Sequence[Sequence[str]], citations: Sequence[Sequence[Citation]]) -> tuple[bool, ...]:
    pairs = zip(sections, citations, strict=True)
    return tuple(is_supported(sentence, own) for section, own in pairs for sentence in section)


def _facts(article: Article) -> list[str]:
    """Every text among the facts that the article's provenance names."""
    return list(_texts(article.provenance.get("facts", ())))


def _texts(value: object) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield str(key)
            yield from _texts(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _texts(inner)


def _where(sections: Sequence[Sequence[str]], marked: Sequence[Sequence[bool]]) -> Iterable[str]:
    for section, marks in zip(sections, marked, strict=True):
        yield from (sentence for sentence, mark in zip(section, marks, strict=True) if mark)


def _pooled(counts: Sequence[tuple[float, float]], unit: str, scale: float = 1.0) -> Measure | None:
    """The sum of the first over that of the second, with its interval over articles; None where that is nothing."""
    pairs = np.array([pair for pair in counts if pair[1]], float)
    return _interval(pairs, lambda several: float(scale * several[:, 0].sum() / several[:, 1].sum()), unit)


def _share(several: Sequence[Sequence[bool]]) -> Measure | None:
    """The share of all that hold."""
    return _pooled([(sum(own), len(own)) for own in several], "fraction")


def _mean(values: Sequence[float], unit: str) -> Measure | None:
    return _interval(np.array(values, float), lambda several: float(several.mean()), unit)


def _interval(values: np.ndarray, figure: Callable[[np.ndarray], float], unit: str) -> Measure | None:
    if len(values) < 2:  # one article has no spread
        return Measure(figure(values), unit) if len(values) else None
    found = bootstrap(values, figure)
    return Measure(found.value, unit, None, found.low, found.high)
