"""Sessions whose articles are written by rule, and what tests do with them."""

from __future__ import annotations

from pathlib import Path
from queue import SimpleQueue
from typing import Any

from composer.article.model import Article
from composer.studio.session import DraftSession
from composer.studio.session_registry import SessionRegistry
from tests.composer.article_samples import farm_article
from tests.composer.fake_pipeline import FakePipeline


class Models:
    """Loaded models whose pipeline writes by rule."""

    workers = 1
    encoder: Any = None

    def __init__(self, fake: FakePipeline) -> None:
        self.fake = fake

    def pipeline(self, library_dir: Path) -> FakePipeline:
        return self.fake


def fake_of(sessions: SessionRegistry) -> FakePipeline:
    models = sessions.models.loaded()
    assert isinstance(models, Models)
    return models.fake


def finished(session: DraftSession) -> DraftSession:
    running = session.running
    if running is not None and running.job is not None:
        assert running.job.wait(20)
    assert session.running is None
    return session


def adopted(sessions: SessionRegistry, tmp_path: Path) -> DraftSession:
    """A session of an article that exists already."""
    return opened(sessions, sessions.store.new_owner(), farm_article(tmp_path / "farm"), tmp_path)


def opened(sessions: SessionRegistry, owner: str, article: Article, library: Path) -> DraftSession:
    draft = sessions.store.drafts_of(owner).new(article, {"library": str(library), "words": 600})
    return sessions.open(owner, draft.id)


def heard(bugs: SimpleQueue[type]) -> list[type]:
    """What threads died of: one at least, which is heard of a moment after it is over."""
    died = [bugs.get(timeout=10)]
    while not bugs.empty():
        died.append(bugs.get())
    return died
