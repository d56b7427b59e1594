"""Articles that ``vignette compose`` or a batch saved, opened as drafts: a folder of this machine, or files that were
dropped on the page.

Nothing is written into a folder that is opened: edits are the draft's, and leave by export.
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from composer.article.model import Article
from composer.errors import UsageError
from composer.export.article_folder import load_article, with_records
from composer.export.picture_files import IMAGES_DIR
from composer.studio.libraries import OfferedLibraries
from composer.studio.session import DraftSession
from composer.studio.session_registry import SessionRegistry
from image_db.metadata.record import ImageRecord
from vision.downloads.files import file_sha256

ARTICLE_FILE = "article.json"
MOST_FILES = 200


@dataclass(frozen=True, slots=True)
class SavedArticles:
    """Threads may share one. Folders are offered by whoever starts the page; pages name them by unguessable tokens."""

    sessions: SessionRegistry
    libraries: OfferedLibraries
    folders: dict[str, Path] = field(default_factory=dict)

    def offer(self, folder: Path) -> str:
        """A token for the article in a folder. Raises ComposerError where it holds none."""
        token = secrets.token_urlsafe(16)
        self.folders[token] = saved_folder(folder)
        return token

    def open(self, owner: str, token: str) -> DraftSession:
        """The article as a draft of the owner's; as long as the folder is as it was, always the same one.

        Raises UsageError for a token that was not given, ComposerError where the folder holds no article any more.
        """
        folder = self.folders.get(token)
        if folder is None:
            raise UsageError("article_not_offered")
        article = load_article(folder)
        digest = hashlib.sha256(f"{folder}\n{file_sha256(folder / ARTICLE_FILE)}".encode()).hexdigest()
        known = self.sessions.store.drafts_of(owner).opened_as(digest)
        return self.sessions.open(owner, known) if known else self._begin(owner, article, digest)

    def take(self, owner: str, files: Sequence[tuple[str, Path]]) -> DraftSession:
        """Files of such a folder by their paths within it, as a draft; pictures among them are kept beside it.

        Pictures that did not come along are taken from where they lie, if the page is this machine's owner's alone.
        Raises UsageError where there is no article.json among the files, ComposerError where it is none of ours.
        """
        if len(files) > MOST_FILES:
            raise UsageError("too_many_uploads", field="files", count=len(files), most=MOST_FILES)
        articles = [path for name, path in files if Path(name).name == ARTICLE_FILE]
        if len(articles) != 1:
            raise UsageError("no_article_file")
        drafts, for_visitors = self.sessions.store.drafts_of(owner), self.libraries.roots is not None
        with tempfile.TemporaryDirectory(prefix="vignette-article-") as temporary:
            folder = Path(temporary)
            (folder / IMAGES_DIR).mkdir()
            shutil.copyfile(articles[0], folder / ARTICLE_FILE)
            for name, path in files:
                if Path(name).parent.name == IMAGES_DIR:
                    shutil.copyfile(path, folder / IMAGES_DIR / Path(name).name)
            images = folder.resolve() / IMAGES_DIR

            def kept(record: ImageRecord) -> ImageRecord:
                if record.path.is_relative_to(images):
                    return replace(record, path=drafts.keep_picture(record.path))
                # Who sends an article must not learn which pictures this machine has.
                return replace(record, path=Path(record.path.name)) if for_visitors else record

            article = with_records(load_article(folder), kept)
        return self._begin(owner, article, "")

    def _begin(self, owner: str, article: Article, digest: str) -> DraftSession:
        made = article.provenance
        asked, library = _mapping(made.get("request")), _mapping(made.get("library")).get("name")
        info = {name: asked[name] for name in ("instruction", "images", "words", "tone") if name in asked}
        info |= {"illustrated": asked.get("illustrated") is True, "seed": made.get("seed", 0)}
        offered = self.libraries.offered()
        folder = next((one.folder for one in offered if one.name == library), offered[0].folder if offered else "")
        draft = self.sessions.store.drafts_of(owner).new(article, {**info, "library": str(folder), "opened": digest})
        return self.sessions.open(owner, draft.id)


def saved_folder(given: Path) -> Path:
    """The folder that is meant, named itself or by its article.json. Raises ComposerError where it holds no article."""
    folder = given.expanduser().absolute()
    folder = folder.parent if folder.name == ARTICLE_FILE else folder
    load_article(folder)
    return folder


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}
