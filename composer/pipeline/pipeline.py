"""One request, start to end: write or read, place, caption, find, choose, finish.

The stages are those of ``composer.pipeline.stages``; here they are only strung together, timed and announced as events.
Knows no terminal, no files to write and no user interface.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from composer.article.language import resolve_language
from composer.article.model import Article, Placement
from composer.errors import UsageError
from composer.pipeline import events
from composer.pipeline.clock import Clock
from composer.pipeline.prompts import load_prompts
from composer.pipeline.stages import Job, Stages
from composer.pipeline.uploads import read_uploads
from composer.pipeline.writer import Written
from composer.request import ComposeRequest


class Composer(Stages):
    """Makes articles with one set of models and one library. One request at a time."""

    def compose(self, request: ComposeRequest, listener: Callable[[events.Event], None] = lambda _: None) -> Article:
        """Make the article. Raises the errors of the packages; nothing is written to disk."""
        article: Article | None = None
        for event in self.events(request):
            listener(event)
            if isinstance(event, events.Done):
                article = event.article
        assert article is not None  # events() ends with Done or raises
        return article

    def events(self, request: ComposeRequest) -> Iterator[events.Event]:
        """The same as a stream that ends with ``Done``. Closing it cancels between tokens."""
        language = resolve_language(request.language, request.text or request.instruction)
        languages = self.encoder.languages
        uploads = read_uploads(request.use_images, self.encoder, request.may_use)
        if len(self.library) == 0 and len(uploads) == 0 and request.images != 0:
            raise UsageError(
                "the library holds no pictures; add some with: vignette index PATH… --library DIR, or use --images 0",
                "library_empty",
            )
        job = Job(
            request, language, load_prompts(language), uploads, languages is not None and language not in languages
        )

        clock = Clock(self.model)
        yield events.StageStarted("write")
        if request.text:
            article, dialogue, cut = self.read(job)
            if cut:
                yield events.Notice("read_beginnings", {"tokens": self.model.context_tokens})
        else:
            written: Written | None = None
            for piece in self.write(job):
                if isinstance(piece, Written):
                    written = piece
                elif piece:
                    yield events.TextDelta(piece)
            assert written is not None  # write() ends with Written or raises
            article, dialogue = Article(written.title, language, written.sections), written.dialogue
        article = replace(article, provenance=self.provenance(job))
        yield clock.finished("write")
        yield events.Draft(article)

        yield events.StageStarted("place")
        places = self.place(job, article.sections, dialogue)
        yield clock.finished("place")

        yield events.StageStarted("caption")
        slots = self.caption(job, article.sections, dialogue, places)
        article = article.with_placements(tuple(Placement(slot, (), None, ()) for slot in slots))
        yield clock.finished("caption")
        yield events.Draft(article)

        yield events.StageStarted("find")
        found = self.find(job, article, slots)
        yield clock.finished("find")

        yield events.StageStarted("choose")
        article = article.with_placements(self.choose(job, article.sections, dialogue, found))
        yield clock.finished("choose")
        yield events.Draft(article)

        yield events.StageStarted("finish")
        article = self.finish(job, article)
        yield clock.finished("finish")
        yield events.Done(article)
