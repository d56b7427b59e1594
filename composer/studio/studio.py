"""All that pages and programs share: models, sessions, libraries, addresses of pictures, and files that were sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from composer.errors import UsageError
from composer.export.article_folder import save_download
from composer.pipeline.uploads import check_upload
from composer.sources.reading import check_document
from composer.studio.draft_store import DraftStore
from composer.studio.libraries import OfferedLibraries
from composer.studio.models import LoadedModels, StudioModels
from composer.studio.picture_links import PictureLinks
from composer.studio.saved_articles import SavedArticles
from composer.studio.session import DraftSession
from composer.studio.session_registry import SessionRegistry
from vision.errors import Phrase

MAX_PATH_CHARS = 1_000


@dataclass(frozen=True, slots=True)
class Studio:
    """Threads may share one. Its parts are called directly; ``uploads`` is where the server keeps what was sent."""

    models: StudioModels
    sessions: SessionRegistry
    libraries: OfferedLibraries
    links: PictureLinks
    uploads: Path
    saved: SavedArticles

    @classmethod
    def make(
        cls,
        load: Callable[[], LoadedModels],
        libraries: Sequence[Path],
        work_dir: Path,
        home: Path,
        drafts: DraftStore,
        roots: Sequence[Path] | None = None,
        root: str = "",
    ) -> Studio:
        """``load`` gives the models, ``home`` is where new libraries go, ``roots`` are the folders that visitors may
        index (None: any), ``root`` is where a proxy serves the page. The caller empties ``work_dir`` at the end."""
        models = StudioModels(load)
        uploads = work_dir.resolve() / "uploads"
        uploads.mkdir(parents=True, exist_ok=True)
        offered = OfferedLibraries(models, libraries, home, roots)
        sessions = SessionRegistry(models, drafts)
        links, saved = PictureLinks(work_dir, root=root), SavedArticles(sessions, offered)
        return cls(models, sessions, offered, links, uploads, saved)

    @property
    def for_visitors(self) -> bool:
        """Whether others than this machine's owner reach it, who are shown no paths of this machine."""
        return self.libraries.roots is not None

    def uploaded(self, name: str) -> Path:
        """A file that was sent to this server. Raises UsageError for every other path."""
        with suppress(OSError, ValueError):  # a name too long for the system, or in no encoding of its
            path = Path(name[:MAX_PATH_CHARS].replace("\0", "")).resolve()
            if path.is_relative_to(self.uploads) and path.is_file():
                return path
        raise UsageError("upload_unknown")

    def uploaded_picture(self, name: str) -> Path:
        """A picture that was sent to this server. Raises UsageError where it is another file, or too large."""
        return check_upload(self.uploaded(name))

    def uploaded_document(self, name: str) -> Path:
        """A document that was sent to this server. Raises UsageError where it is another file, or of no kind read."""
        return check_document(self.uploaded(name))

    def export(self, session: DraftSession, kind: str) -> tuple[str, str, tuple[Phrase, ...]]:
        """Address and name of the article as one file, and notes on what could not be kept.

        ``kind`` is a format or "zip", the folder that ``vignette compose`` writes. Raises what exporting raises.
        """
        folder, whole_paths = self.links.export_folder(), not self.for_visitors
        path, notes = save_download(session.present(), session.trace, folder, kind, whole_paths=whole_paths)
        return self.links.export(path), path.name, notes
