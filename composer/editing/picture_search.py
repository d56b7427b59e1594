"""What a person asks of models and library while editing: pictures for a place, other words, stages run again.

A desk belongs to one composer and keeps nothing; articles go in and come out. Knows no page. Searching needs the
encoder alone and may run beside anything else; what asks the language model takes its turn with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from composer.article.language import detect_language
from composer.article.markdown import plain_text
from composer.article.model import Article
from composer.editing import caption_suggestions as suggestions
from composer.editing import rerun as again
from composer.editing import rewriting
from composer.editing.caption_suggestions import Suggestion
from composer.editing.lookup import section_at
from composer.editing.proposals import Delta, Proposal, ProposalAction, ProposalEvent, Restarted
from composer.editing.rerun import RetryStage
from composer.editing.wording import reasons
from composer.pipeline import events
from composer.pipeline.captions import translate
from composer.pipeline.prompts import load_prompts
from composer.pipeline.stages import Stages
from composer.pipeline.uploads import read_uploads
from composer.request import ComposeRequest
from retrieval.candidates import Candidate, Filters, Query
from retrieval.diversity import distinct

__all__ = ["Delta", "Desk", "Proposal", "ProposalEvent", "Restarted", "Suggestion"]

SHOWN = 12  # pictures a search shows at once


class Desk:
    def __init__(self, composer: Stages) -> None:
        self._stages = composer

    def search(
        self, article: Article, section: int, words: str, k: int = SHOWN, filters: Filters | None = None
    ) -> list[Candidate]:
        """Pictures of the library for these words, best first, no two alike; the section's text breaks ties.

        The language model is asked only where the encoder cannot read the words' language. Raises ValueError for no
        words and EditError for a section that is not there.
        """
        context = f"{article.title}. {plain_text(section_at(article, section).text)}"
        spoken = detect_language(words)
        readable = self._stages.encoder.languages
        english = ""
        if readable is not None and spoken not in readable:
            english = translate(self._stages.model, load_prompts(spoken), [words])[0]
        return self._found(Query(words, english, context, filters=filters or Filters(), language=article.language), k)

    def search_like(self, article: Article, section: int, example: Path, k: int = SHOWN) -> list[Candidate]:
        """Pictures of the library that look like the example. Raises ImageError for a file that is no picture."""
        from vision.images import load_image

        section_at(article, section)
        picture = load_image(example, target_px=suggestions.LOOK_PX)
        return self._found(Query(example=picture, language=article.language), k)

    def upload(self, path: Path, language: str = "en") -> Candidate:
        """A picture of the person's own, ready to be shown. Raises UsageError for a file too large or no picture."""
        from composer.studio.models import check_upload

        uploads = read_uploads([check_upload(path)], self._stages.encoder)
        return Candidate(next(uploads.records()), 0.0, 0.0, 0.0, why=reasons(language).brought)

    def suggest_caption(self, article: Article, placement: int, earlier: Sequence[str] = ()) -> Suggestion:
        """See ``composer.editing.caption_suggestions``."""
        return suggestions.suggest_caption(self._stages.model, article, placement, earlier)

    def propose(
        self,
        article: Article,
        section: int,
        action: ProposalAction,
        *,
        tone: str = "",
        language: str = "",
        seed: int = 0,
    ) -> Iterator[ProposalEvent]:
        """See ``composer.editing.rewriting``."""
        stages = self._stages
        return rewriting.propose(
            stages.model, stages.settings.writing, article, section, action, tone=tone, language=language, seed=seed
        )

    def refit(self, article: Article, count: int, request: ComposeRequest | None = None) -> Iterator[events.Event]:
        """See ``composer.editing.rerun``."""
        return again.refit(self._stages, article, count, request)

    def retry(
        self, article: Article, stage: RetryStage, request: ComposeRequest | None = None, *, fresh: bool = True
    ) -> Iterator[events.Event]:
        """See ``composer.editing.rerun``."""
        return again.retry(self._stages, article, stage, request, fresh=fresh)

    def _found(self, query: Query, k: int) -> list[Candidate]:
        stages = self._stages
        if not len(stages.library):
            return []
        near = stages.searcher.search(query, 3 * k)
        vectors = stages.searcher.visual_vectors([candidate.record.id for candidate in near])
        return distinct(near, vectors=vectors, hashes=stages.library.phashes()).kept[:k]
