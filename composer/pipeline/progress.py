"""How far an article is: the events so far, folded into one value that a page can be drawn from."""

from __future__ import annotations

from dataclasses import dataclass, replace

from composer.article.language import resolve_language
from composer.article.markdown import make_sections, parse_markdown
from composer.article.model import Article
from composer.pipeline.events import (
    ArticleSoFar,
    Done,
    Event,
    Notice,
    Planned,
    Stage,
    StageFinished,
    StageStarted,
    TextDelta,
)


@dataclass(frozen=True, slots=True)
class Progress:
    """``text`` is the running text, ``article`` the latest one, ``trace`` the stages that are finished, ``title``
    and ``headings`` the outline.

    ``stopped`` is set where the person ended the job.
    """

    text: str = ""
    stage: Stage | None = None
    trace: tuple[StageFinished, ...] = ()
    article: Article | None = None
    notices: tuple[Notice, ...] = ()
    title: str = ""
    headings: tuple[str, ...] = ()
    done: bool = False
    stopped: bool = False

    def after(self, event: Event) -> Progress:
        match event:
            case StageStarted(stage):
                return replace(self, stage=stage)
            case StageFinished():
                return replace(self, stage=None, trace=(*self.trace, event))
            case Planned():
                return replace(self, title=event.title, headings=event.headings)
            case TextDelta(text):
                return replace(self, text=self.text + text)
            case ArticleSoFar(article):
                return replace(self, article=article)
            case Notice():
                return replace(self, notices=(*self.notices, event))
            case Done(article):
                return replace(self, article=article, stage=None, done=True)

    def unwritten(self, article: Article | None) -> tuple[str, ...]:
        """Headings of the outline that the text does not reach yet, as far as it stands; none once it is written."""
        if self.article is not None or article is None:
            return ()
        standing = {section.heading for section in article.sections}
        reached = [place for place, heading in enumerate(self.headings) if heading in standing]
        return self.headings[reached[-1] + 1 if reached else 0 :]

    def standing(self, language: str = "auto") -> Article | None:
        """What there is if the job ends now: the latest draft, or the text so far as an article; None if neither."""
        if self.article is not None:
            return self.article
        parsed = parse_markdown(self.text)
        if not parsed.sections:
            return None
        return Article(
            title=parsed.title or parsed.sections[0].heading,
            language=resolve_language(language, self.text),
            sections=make_sections([section.text for section in parsed.sections]),
            title_in_text=parsed.title_in_text,
        )
