"""The text of an article while it is written: parsed and counted only where it grew since the last look."""

from __future__ import annotations

from collections.abc import Sequence

from composer.article.language import count_words, resolve_language
from composer.article.markdown import make_sections, parse_markdown
from composer.article.model import Article, Section
from composer.article.remarks import may_hold_remarks
from composer.pipeline.progress import Progress

_BEFORE = "x\n\n"  # stands for the finished sections, so that a heading after them is not taken for the title


class GrowingText:
    """Follows one text; ``language`` is the article's, or "auto"."""

    def __init__(self, language: str = "auto") -> None:
        self._language = language
        self._text = ""
        self._finished = 0  # characters that are parsed for good
        self._finished_words = 0
        self._sections: list[str] = []  # of the finished characters
        self._title = ""

    def standing(self, progress: Progress) -> Article | None:
        """What there is if the job ends now: the latest draft, or the text so far as an article; None if neither."""
        return progress.article if progress.article is not None else self.article(progress.text)

    def words(self, text: str) -> int:
        """The number of words so far."""
        self.article(text)
        return self._finished_words + count_words(text[self._finished :])

    def article(self, text: str) -> Article | None:
        """The text as an article, cut as ``parse_markdown`` cuts it; None before its first section."""
        if not text.startswith(self._text):
            self._begin_again()
        self._text = text
        parsed = parse_markdown((_BEFORE if self._finished else "") + text[self._finished :])
        rest = list(parsed.sections)
        if self._finished and rest.pop(0).text != _BEFORE.strip():
            # A definition of a link belongs to the section before it, which was taken for finished.
            self._begin_again()
            return self.article(text)
        if not self._finished:
            self._title = "" if parsed.title_in_text else parsed.title
        sections = [*self._sections, *(section.text for section in rest)]
        self._finish(rest)
        if not sections:
            return None
        made = make_sections(sections)
        return Article(
            title=self._title or made[0].heading,
            language=resolve_language(self._language, text),
            sections=made,
            title_in_text=not self._title,
        )

    def _finish(self, rest: Sequence[Section]) -> None:
        """Note what no further text can change: what comes before a block that begins, with a whole line, after a blank
        line. Only the end of front matter, of a fence around all or of a remark turns what stands into something else.
        """
        if self._text.lstrip("\ufeff").startswith(("---", "+++", "```", "~~~")) or may_hold_remarks(self._text):
            return
        start, finished = len(self._text), 0
        for number in range(len(rest) - 1, 0, -1):
            start -= len(rest[number].text + rest[number].gap)
            if rest[number - 1].gap.count("\n") > 1 and "\n" in self._text[start:]:
                finished = number
                break
        if finished:
            self._finished_words += count_words(self._text[self._finished : start])
            self._finished = start
            self._sections += [section.text for section in rest[:finished]]

    def _begin_again(self) -> None:
        self._finished, self._finished_words, self._sections, self._title = 0, 0, [], ""
