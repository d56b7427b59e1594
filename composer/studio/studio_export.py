"""One article to one file for download, in the format a person picked. Every format is made from the article alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from composer.article.model import Article
from composer.export.article_folder import save_article, trace_entry, zip_article
from composer.export.export import download
from composer.export.picture_export import ExportedPictureSettings, in_library
from composer.export.picture_files import slug
from composer.i18n import localize
from composer.pipeline.events import StageFinished


def export_article(
    article: Article, trace: Sequence[StageFinished], folder: Path, kind: str
) -> tuple[Path, tuple[str, ...]]:
    """The file, made in ``folder``, which is this call's own, and notes on what could not be kept.

    ``kind`` is a format or "zip", the folder that ``vignette compose`` writes. Raises UsageError for an unknown
    format, and what saving and exporting raise.
    """
    if kind == "zip":
        out = folder / (slug(article.title) or "article")
        saved = save_article(
            article, out, trace=[trace_entry(event) for event in trace], pictures=ExportedPictureSettings()
        )
        return zip_article(out), tuple(
            localize(after.reason, "en")
            for before, after in zip(article.placements, saved.placements, strict=True)
            if before.chosen is not None and after.chosen is None
        )
    made = download(article, (kind,), in_library)
    folder.mkdir(parents=True)
    path = folder / made.name
    path.write_bytes(made.data)
    return path, made.notes
