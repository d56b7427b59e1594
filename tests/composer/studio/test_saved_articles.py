"""Articles that were saved by compose or a batch, opened as drafts."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from composer.errors import ComposerError, UsageError
from composer.export.article_folder import save_article
from composer.studio.actions import perform
from composer.studio.libraries import OfferedLibraries
from composer.studio.saved_articles import SavedArticles
from composer.studio.session import request_of
from composer.studio.session_registry import SessionRegistry
from tests.composer.article_samples import farm_article


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    article = farm_article(tmp_path / "pictures")
    save_article(article, tmp_path / "farm")
    shutil.rmtree(tmp_path / "pictures")
    return tmp_path / "farm"


def saved(sessions: SessionRegistry, tmp_path: Path, roots: list[Path] | None = None) -> SavedArticles:
    return SavedArticles(sessions, OfferedLibraries(sessions.models, [], tmp_path / "home", roots))


def test_a_folder_is_opened_once_and_edited_in_its_draft(
    sessions: SessionRegistry, tmp_path: Path, folder: Path
) -> None:
    articles, owner = saved(sessions, tmp_path), sessions.store.new_owner()
    before = (folder / "article.json").read_bytes()
    token = articles.offer(folder / "article.json")
    session = articles.open(owner, token)
    assert session.present().title == farm_article(tmp_path / "again").title
    assert all(record.path.is_file() for record in session.present().pictures)
    perform(session, "set_title", {"text": "Another title"})
    request_of(session.draft.info, session.present())
    assert articles.open(owner, token) is session
    assert articles.open(owner, articles.offer(folder)) is session, "another start of the page shows the same draft"
    assert articles.open(sessions.store.new_owner(), token) is not session
    assert (folder / "article.json").read_bytes() == before
    with pytest.raises(UsageError) as refused:
        articles.open(owner, "guessed")
    assert refused.value.key == "article_not_offered"
    with pytest.raises(ComposerError) as missing:
        articles.offer(tmp_path)
    assert missing.value.key == "folder_without_article"


def test_files_that_are_dropped_bring_their_pictures_along(
    sessions: SessionRegistry, tmp_path: Path, folder: Path
) -> None:
    articles, owner = saved(sessions, tmp_path), sessions.store.new_owner()
    files = [(f"farm/{path.relative_to(folder).as_posix()}", path) for path in folder.rglob("*.*")]
    files = [(name, path) for name, path in files if name.endswith("article.json") or "/images/" in name]
    session = articles.take(owner, files)
    shutil.rmtree(folder)
    pictures = session.present().pictures
    assert pictures
    assert all(record.path.is_file() for record in pictures), "they are kept beside the draft"
    with pytest.raises(UsageError) as refused:
        articles.take(owner, [file for file in files if not file[0].endswith("json")])
    assert refused.value.key == "no_article_file"


def test_an_article_that_visitors_send_shows_no_picture_of_this_machine(
    sessions: SessionRegistry, tmp_path: Path
) -> None:
    article = farm_article(tmp_path / "pictures")
    save_article(article, tmp_path / "farm")
    sent = [("article.json", tmp_path / "farm" / "article.json")]
    own = saved(sessions, tmp_path).take(sessions.store.new_owner(), sent)
    assert all(record.path.is_file() for record in own.present().pictures)
    theirs = saved(sessions, tmp_path, roots=[tmp_path]).take(sessions.store.new_owner(), sent)
    assert not any(record.path.is_file() for record in theirs.present().pictures)
