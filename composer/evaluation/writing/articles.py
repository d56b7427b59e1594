"""The articles to be measured: made with one pipeline one after the other, or kept from an earlier run.

Each stands in a folder of its own, as a batch leaves it, and says how many drafts its text took.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

from composer.article.model import Article
from composer.batch.article_job import BatchConfig, Composes, Outcome, existing_outcome, run_job
from composer.batch.requests import BatchJob, read_jobs
from composer.errors import UsageError
from composer.export.article_folder import load_article
from composer.export.picture_files import slug
from composer.pipeline.events import Done, Event, StageFinished, TextDelta
from composer.pipeline.pipeline import Pipeline
from composer.request import ComposeRequest, read_text_file
from vision.interfaces import Chunk, Prompt, Sampling, VisionLanguageModel

DRAFTS = "drafts"  # in an article's provenance

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class WrittenArticle:
    """An article as its folder has it, the request it answers, and seconds by stage."""

    name: str
    request: ComposeRequest
    article: Article
    seconds: Mapping[str, float]


class DraftCounter:
    """The model behind it; ``asked`` counts the continuations that it was asked for."""

    def __init__(self, model: VisionLanguageModel) -> None:
        self._model = model
        self.asked = 0
        self.identity = model.identity
        self.sees_images = model.sees_images
        self.context_tokens = model.context_tokens
        self.usage = model.usage
        self.notice = getattr(model, "notice", None)

    def count_tokens(self, prompt: Prompt) -> int:
        return self._model.count_tokens(prompt)

    def stream(self, prompt: Prompt, sampling: Sampling) -> Iterator[Chunk]:
        self.asked += 1
        return self._model.stream(prompt, sampling)

    def stream_batch(self, prompts: Sequence[Prompt], samplings: Sequence[Sampling]) -> Iterator[Chunk]:
        self.asked += len(prompts)
        return self._model.stream_batch(prompts, samplings)

    def score(self, prompt: Prompt, options: Sequence[str]) -> list[float]:
        return self._model.score(prompt, options)

    def score_batch(self, prompts: Sequence[Prompt], options: Sequence[Sequence[str]]) -> list[list[float]]:
        return self._model.score_batch(prompts, options)


class DraftCountingPipeline:
    """A pipeline whose articles tell how many continuations were drawn between the title and the end of the text."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._counter = DraftCounter(pipeline.model)
        pipeline.model = self._counter

    def events(self, request: ComposeRequest) -> Iterator[Event]:
        begun: int | None = None
        drafts = 0
        with closing(self._pipeline.events(request)) as events:  # type: ignore[type-var]
            for event in events:
                if isinstance(event, TextDelta) and begun is None:
                    begun = self._counter.asked
                elif isinstance(event, StageFinished) and event.stage == "write" and begun is not None:
                    drafts = self._counter.asked - begun
                elif isinstance(event, Done):
                    article = event.article
                    event = Done(replace(article, provenance={**article.provenance, DRAFTS: drafts}))
                yield event


def read_titles(
    file: Path | None, seeds: Sequence[int], *, pictures: bool, sources: tuple[Path, ...] = ()
) -> list[BatchJob]:
    """A job for each title and seed. Titles are lines of a text, requests of a batch, or those that come with Vignette.

    Without ``pictures`` none are asked for. ``sources`` are what titles are written from that name none of their own.
    Raises UsageError for a title that is no request, or has a library or settings of its own (all are made with one
    pipeline), and for sources without titles of theirs.
    """
    if sources and file is None:
        raise UsageError("sources_without_titles")
    if file is None:
        with resources.as_file(resources.files(__package__) / "titles.jsonl") as own:
            jobs = read_jobs(own)
    elif file.suffix.lower() in (".txt", ".md"):
        jobs = _jobs_of_lines(read_text_file(file))
    else:
        jobs = read_jobs(file)
    if not jobs:
        raise UsageError("no_requests", path=str(file))
    found = []
    for seed in seeds:
        for job in jobs:
            if job.error is not None:
                raise job.error
            assert job.request is not None  # a job without one says why
            if job.library is not None or job.overrides:
                raise UsageError("titles_one_pipeline", line=job.line)
            request = replace(job.request, seed=seed)
            request = request if pictures else replace(request, images=0)
            if sources and not request.sources:
                request = replace(request, sources=sources)
            found.append(replace(job, folder=f"{job.folder}-seed{seed}", request=request))
    return found


def _jobs_of_lines(text: str) -> list[BatchJob]:
    titles = [line.strip() for line in text.lstrip("\ufeff").splitlines() if line.strip()]
    return [
        BatchJob(number, f"{number:03d}-{slug(title) or 'article'}", ComposeRequest(title))
        for number, title in enumerate(titles, 1)
    ]


def make_articles(
    jobs: Sequence[BatchJob],
    config: BatchConfig,
    load: Callable[[], Composes],
    progress: Progress,
    failed: Callable[[Outcome], None],
) -> list[WrittenArticle]:
    """The jobs' articles, those that are missing in ``config.out_dir`` made now; ``failed`` hears of what could not be.

    ``load`` is called once, and only where something is missing.
    """
    pipeline: Composes | None = None
    made = []
    for number, job in enumerate(jobs):
        progress(number, len(jobs))
        outcome = existing_outcome(job, config)
        if outcome is None:
            pipeline = pipeline or load()
            ready = pipeline
            outcome = run_job(job, config, lambda _, ready=ready: ready)  # type: ignore[misc]
        if outcome.status == "failed":
            failed(outcome)
            continue
        assert job.request is not None
        article = load_article(config.out_dir / job.folder)
        made.append(WrittenArticle(job.folder, job.request, article, outcome.stages))
    progress(len(jobs), len(jobs))
    return made
