"""The output folder of an article: written as a whole or not at all, read back, and packed.

A folder is built beside its place under a hidden name and renamed when it is complete; a killed run leaves at most
the hidden folder, which the next run to the same place clears away.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from composer.article.model import Article, Placement
from composer.article.serialization import dump, from_json
from composer.errors import ComposerError, OutputExists
from composer.export import DEFAULT_FORMATS
from composer.export.export import Exported, download, export
from composer.export.picture_export import ExportedPictureSettings, Pictures, in_folder, in_library, indexed_file
from composer.export.picture_files import IMAGES_DIR, is_plain_name, slug
from composer.export.picture_urls import beside
from composer.export.sanitizing import encodable
from composer.export.zipping import packed
from composer.pipeline.events import StageFinished
from image_db.metadata.record import ImageRecord
from vision.downloads.files import write_atomic
from vision.errors import ImageError, Phrase

_PARTIAL = ".vignette-partial-"


def check_free(out_dir: Path) -> None:
    """Raise OutputExists unless the folder is missing or empty, ComposerError where it cannot be made.

    Ask before the work, not only after it.
    """
    if not out_dir.exists():
        above = next(folder for folder in out_dir.absolute().parents if folder.exists())
        if not above.is_dir():
            raise ComposerError("not_written", path=str(out_dir), reason=os.strerror(errno.ENOTDIR))
        return
    if not out_dir.is_dir():
        raise OutputExists("out_is_file", path=str(out_dir))
    held = sorted(entry.name for entry in out_dir.iterdir())
    if held:
        raise OutputExists("out_not_empty", path=str(out_dir), entry=held[0], count=len(held))


@contextmanager
def new_folder(out_dir: Path, *, over: bool = False) -> Iterator[Path]:
    """A hidden folder to fill, which becomes ``out_dir`` when the block ends and vanishes where it fails.

    With ``over`` it takes the place of a folder that is there; killed at the moment of change, the old one is lost.
    Raises OutputExists for a folder in use, ComposerError where the disk refuses.
    """
    out_dir = out_dir.resolve()
    hidden = [out_dir.parent / f".{out_dir.name}{_PARTIAL}{os.getpid()}-{secrets.token_hex(4)}" for _ in range(2)]
    partial, replaced = hidden
    if not over:
        check_free(out_dir)
    try:
        out_dir.parent.mkdir(parents=True, exist_ok=True)
        _clear_abandoned(out_dir)
        partial.mkdir()
        yield partial
        if over and out_dir.is_dir():
            out_dir.rename(replaced)
        elif out_dir.is_dir():
            out_dir.rmdir()  # not every system renames onto a folder
        partial.rename(out_dir)
    except OSError as error:
        raise ComposerError("not_written", path=str(out_dir), reason=error.strerror) from error
    finally:
        if replaced.is_dir() and not out_dir.is_dir():
            replaced.rename(out_dir)
        for folder in hidden:
            shutil.rmtree(folder, ignore_errors=True)


def save_article(
    article: Article,
    out_dir: Path,
    *,
    formats: Sequence[str] = DEFAULT_FORMATS,
    trace: Sequence[Mapping[str, Any]] = (),
    pictures: ExportedPictureSettings | None = None,
    notes: list[Phrase] | None = None,
    text_folder: Path | None = None,
    over: bool = False,
    whole_paths: bool = True,
) -> Article:
    """Write the article's folder and return the article as it stands there, with the names of its files.

    ``pictures`` says how large its pictures are and takes their metadata away; without it they keep their bytes.
    ``notes`` receives what an export could not keep, such as characters no font has. A chosen picture whose file is
    gone or has changed since it was indexed is left out, and its placement's ``reason`` says so: hours of writing are
    not lost for it. The pictures that the text itself shows are copied from ``text_folder`` to the paths it names, and
    those that are not there are noted. ``trace`` holds ``StageFinished.as_json`` of each stage. Without ``whole_paths``
    the article names the files it was made from, not their folders.

    Raises as ``new_folder`` and ``export``.
    """
    with new_folder(out_dir, over=over) as folder:
        saved = _copy_pictures(article, folder / IMAGES_DIR, pictures or ExportedPictureSettings(originals=True))
        named = saved if whole_paths else with_records(saved, lambda r: replace(r, path=Path(r.path.name)))
        _write_text(folder / "article.json", dump(named))
        ready = Pictures(saved, in_folder(saved, folder / IMAGES_DIR), pictures, text_folder)
        for path, data in ready.text_files().items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            if not (folder / path).exists():
                (folder / path).write_bytes(data)
        exports = [export(saved, format_, ready, picture_url=beside(saved)) for format_ in formats]
        write_exports(exports, folder)
        _write_text(folder / "trace.jsonl", "".join(json.dumps(dict(entry)) + "\n" for entry in trace))
    if notes is not None:
        notes += [
            *lost_pictures(article, saved),
            *ready.missing(),
            *(note for exported in exports for note in exported.notes),
        ]
    return saved


def write_exports(exports: Iterable[Exported], folder: Path) -> None:
    """Write the files of exports into a folder. Raises OSError."""
    for exported in exports:
        for name, data in exported.files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(data)


def write_new_file(path: Path, data: bytes) -> None:
    """Write a file that does not exist yet. Raises OutputExists, ComposerError where the disk refuses."""
    if path.exists():
        raise OutputExists("out_exists", path=str(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, data)
    except OSError as error:
        raise ComposerError("not_written", path=str(path), reason=error.strerror) from error


def load_article(folder: Path) -> Article:
    """Read a folder back. Pictures saved with it are taken from it, so it can be moved and shared.

    Raises ComposerError where it holds no article of this program.
    """
    path = folder / "article.json"
    try:
        article = from_json(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ComposerError("folder_without_article", folder=str(folder), reason=error.strerror) from error
    except (ValueError, RecursionError) as error:
        raise ComposerError("article_damaged", path=str(path), reason=error) from error
    for name in article.files.values():
        if not is_plain_name(name):
            raise ComposerError("article_names_outside", path=str(path), name=name)
    images = folder.resolve() / IMAGES_DIR

    def local(record: ImageRecord) -> ImageRecord:
        name = article.files.get(record.id)
        return replace(record, path=images / name) if name and (images / name).is_file() else record

    return with_records(article, local)


def save_download(
    article: Article, trace: Sequence[StageFinished], folder: Path, kind: str, *, whole_paths: bool = True
) -> tuple[Path, tuple[Phrase, ...]]:
    """The article as one file in ``folder``, which is this call's own, and notes on what could not be kept.

    ``kind`` is a format or "zip", the folder that ``save_article`` writes, with ``whole_paths`` or without. Raises
    UsageError for an unknown format, and what saving and exporting raise.
    """
    if kind != "zip":
        pictures = Pictures(article, in_library)
        shown = _without_lost(article, lambda record: pictures.carried(record))
        made = download(shown, (kind,), pictures)
        folder.mkdir(parents=True)
        (folder / made.name).write_bytes(made.data)
        return folder / made.name, (*lost_pictures(article, shown), *made.notes)
    out = folder / (slug(article.title) or "article")
    entries = [event.as_json() for event in trace]
    settings = ExportedPictureSettings()
    notes: list[Phrase] = []
    save_article(article, out, trace=entries, pictures=settings, notes=notes, whole_paths=whole_paths)
    return zip_article(out), tuple(notes)


def lost_pictures(article: Article, saved: Article) -> tuple[Phrase, ...]:
    """A note on the pictures that were chosen and could not be read: how many of how many, and which."""
    lost = [
        before.chosen.path
        for before, after in zip(article.placements, saved.placements, strict=True)
        if before.chosen is not None and after.chosen is None
    ]
    if not lost:
        return ()
    return (
        Phrase(
            "pictures_not_saved",
            {"lost": len(lost), "of": len(article.pictures), "files": sorted(path.name for path in lost)},
        ),
    )


def zip_article(folder: Path) -> Path:
    """Pack the folder as ``FOLDER.zip`` beside it, replacing an earlier one, and return its path.

    The same folder gives the same bytes. Links are not followed: nothing outside the folder gets in.
    """
    folder = folder.resolve()
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    target = folder.with_name(folder.name + ".zip")
    write_atomic(target, packed((path.relative_to(folder.parent).as_posix(), path.read_bytes()) for path in paths))
    return target


def _copy_pictures(article: Article, images: Path, settings: ExportedPictureSettings) -> Article:
    """Copy every chosen picture into the folder; the article returned names the files."""
    images.mkdir()
    files: dict[str, str] = {}
    pictures = Pictures(article, indexed_file(article), settings)

    def copy(record: ImageRecord) -> None:
        if record.id not in files:
            picture = pictures.make(record, as_it_is=settings.originals)
            (images / picture.name).write_bytes(picture.data)
            files[record.id] = picture.name

    return replace(_without_lost(article, copy), files=files)


def _without_lost(article: Article, read: Callable[[ImageRecord], object]) -> Article:
    """The article without the chosen pictures that ``read`` raises ImageError for; their ``reason`` says why."""

    def kept(placement: Placement) -> Placement:
        if placement.chosen is not None:
            try:
                read(placement.chosen)
            except ImageError as error:
                return replace(placement, chosen=None, reason=(Phrase("left_out", {"reason": error}),))
        return placement

    return replace(article, placements=tuple(map(kept, article.placements)))


def _write_text(path: Path, text: str) -> None:
    # Line ends as they are: a user's own text keeps its bytes on every system.
    path.write_text(encodable(text), encoding="utf-8", newline="")


def with_records(article: Article, change: Callable[[ImageRecord], ImageRecord]) -> Article:
    """The article with every record of a picture changed."""
    return replace(
        article,
        placements=tuple(
            replace(
                placement,
                chosen=change(placement.chosen) if placement.chosen else None,
                candidates=tuple(replace(c, record=change(c.record)) for c in placement.candidates),
            )
            for placement in article.placements
        ),
    )


def _clear_abandoned(out_dir: Path) -> None:
    """Remove what runs to this place left that were killed while saving."""
    prefix = f".{out_dir.name}{_PARTIAL}"
    for entry in out_dir.parent.iterdir():
        if not entry.name.startswith(prefix):
            continue
        pid = entry.name.removeprefix(prefix).split("-", 1)[0]
        if pid.isdigit() and not _alive(int(pid)):
            shutil.rmtree(entry, ignore_errors=True)


def _alive(pid: int) -> bool:
    if os.name != "posix":
        return True  # on Windows os.kill would end the process instead of asking after it
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
