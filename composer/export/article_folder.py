"""The output folder of an article: written as a whole or not at all, read back, and packed.

A folder is built beside its place under a hidden name and renamed when it is complete; a killed run leaves at most
the hidden folder, which the next run to the same place clears away. Knows no model and no command.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from composer.article.model import Article, Placement
from composer.article.serialization import dump, from_json
from composer.errors import ComposerError, OutputExists
from composer.export import DEFAULT_FORMATS
from composer.export.export import export
from composer.export.html import to_html
from composer.export.markdown import to_markdown
from composer.export.picture_export import ExportedPictureSettings, Pictures, in_folder, prepare
from composer.export.picture_files import is_plain_name, picture_name, shown_as
from composer.export.picture_urls import IMAGES_DIR, beside
from composer.export.sanitizing import encodable
from composer.pipeline.events import StageFinished
from image_db.metadata.record import ImageRecord
from vision.errors import ImageError, Phrase

_PARTIAL = ".vignette-partial-"
_AS_THEY_ARE = ExportedPictureSettings(originals=True)


def check_free(out_dir: Path) -> None:
    """Raise OutputExists unless the folder is missing or empty. Ask before the work, not only after it."""
    if not out_dir.exists():
        return
    if not out_dir.is_dir():
        raise OutputExists(f"--out {out_dir} is a file; name a folder that does not exist yet")
    held = sorted(entry.name for entry in out_dir.iterdir())
    if held:
        raise OutputExists(
            f"--out {out_dir} is not empty (it holds {held[0]!r}{' and more' if len(held) > 1 else ''}); "
            "name another folder or empty this one"
        )


def save_article(
    article: Article,
    out_dir: Path,
    *,
    formats: Sequence[str] = DEFAULT_FORMATS,
    trace: Sequence[Mapping[str, Any]] = (),
    pictures: ExportedPictureSettings | None = None,
    notes: list[str] | None = None,
) -> Article:
    """Write the article's folder and return the article as it stands there, with the names of its files.

    ``pictures`` says how large its pictures are and takes their metadata away; without it they keep their bytes.
    ``notes`` receives what an export could not keep, such as characters no font has. A chosen picture whose file is
    gone or has changed since it was indexed is left out, and its placement's ``reason`` says so: hours of writing are
    not lost for it. ``trace`` holds a ``trace_entry`` a stage. Raises OutputExists for a folder in use, ComposerError
    where the disk refuses.
    """
    out_dir = out_dir.resolve()
    check_free(out_dir)
    try:
        out_dir.parent.mkdir(parents=True, exist_ok=True)
        _clear_abandoned(out_dir)
        partial = out_dir.parent / f".{out_dir.name}{_PARTIAL}{os.getpid()}-{secrets.token_hex(4)}"
        partial.mkdir()
    except OSError as error:
        raise ComposerError(f"--out {out_dir} cannot be made: {error.strerror}; name another folder") from error
    try:
        saved = _copy_pictures(article, partial / IMAGES_DIR, pictures or _AS_THEY_ARE)
        _write(partial, saved, formats, trace, pictures, notes if notes is not None else [])
        if out_dir.is_dir():
            out_dir.rmdir()  # empty; where the system cannot rename onto a folder
        partial.rename(out_dir)
    except OSError as error:
        raise ComposerError(
            f"--out {out_dir} cannot be written: {error.strerror}; free space or name another"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return saved


def trace_entry(event: StageFinished) -> dict[str, Any]:
    """A finished stage as it stands in ``trace.jsonl``."""
    return {
        "name": event.stage,
        "seconds": round(event.seconds, 3),
        "tokens": event.tokens,
        "cache_hits": event.cache_hits,
    }


def load_article(folder: Path) -> Article:
    """Read a folder back. Pictures saved with it are taken from it, so it can be moved and shared.

    Raises ComposerError where it holds no article of this program.
    """
    path = folder / "article.json"
    try:
        article = from_json(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ComposerError(f"{folder} holds no article: {path.name}: {error.strerror}") from error
    except ValueError as error:
        raise ComposerError(f"{path} is damaged: {error}") from error
    for name in article.files.values():
        if not is_plain_name(name):
            raise ComposerError(f"{path} names the file {name!r} outside its {IMAGES_DIR} folder; it is not trusted")
    return _with_local_pictures(article, folder.resolve() / IMAGES_DIR)


def zip_article(folder: Path) -> Path:
    """Pack the folder as ``FOLDER.zip`` beside it, replacing an earlier one, and return its path.

    The same folder gives the same bytes. Links are not followed: nothing outside the folder gets in.
    """
    if not (folder / "article.json").is_file():
        raise ComposerError(f"{folder} holds no article: article.json is missing")
    folder = folder.resolve()
    target = folder.with_name(folder.name + ".zip")
    partial = folder.with_name(f".{target.name}{_PARTIAL}{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with zipfile.ZipFile(partial, "w") as archive:
            for path in sorted(folder.rglob("*")):
                if not path.is_file() or path.is_symlink():
                    continue
                entry = zipfile.ZipInfo(f"{folder.name}/{path.relative_to(folder).as_posix()}")
                entry.external_attr = 0o644 << 16
                packed = path.parent.name == IMAGES_DIR  # pictures do not shrink further
                entry.compress_type = zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED
                archive.writestr(entry, path.read_bytes())
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return target


def _copy_pictures(article: Article, images: Path, settings: ExportedPictureSettings) -> Article:
    """Copy every chosen picture into the folder; the article returned names the files."""
    images.mkdir()
    files: dict[str, str] = {}
    placements: list[Placement] = []
    for placement in article.placements:
        record = placement.chosen
        if record is None or record.id in files:
            placements.append(placement)
            continue
        try:
            files[record.id] = _copy_picture(record, article.files.get(record.id), placement.caption, images, settings)
        except ImageError as error:
            placements.append(replace(placement, chosen=None, reason=(Phrase("left_out", {"reason": error}),)))
        else:
            placements.append(placement)
    return replace(article, placements=tuple(placements), files=files)


def _copy_picture(
    record: ImageRecord, saved_as: str | None, caption: str, images: Path, settings: ExportedPictureSettings
) -> str:
    try:
        data = record.path.read_bytes()
    except OSError as error:
        raise ImageError(f"{record.path} cannot be read: {error.strerror}; restore it and index again") from error
    # A picture of a folder this program wrote may be smaller than the library's, which its id is the hash of.
    from_saved_folder = saved_as == record.path.name and record.path.parent.name == IMAGES_DIR
    if not from_saved_folder and hashlib.sha256(data).hexdigest() != record.id:
        raise ImageError(f"{record.path} has changed since it was indexed; index its folder again")
    if settings.originals:
        kind, shown = shown_as(data, str(record.path))
    else:
        kind, shown, _ = prepare(data, settings.max_px, str(record.path))
    name = picture_name(caption or record.caption or record.path.stem, record.id, kind)
    (images / name).write_bytes(shown)
    return name


def _write(
    folder: Path,
    article: Article,
    formats: Sequence[str],
    trace: Sequence[Mapping[str, Any]],
    settings: ExportedPictureSettings | None,
    notes: list[str],
) -> None:
    _write_text(folder / "article.json", dump(article))
    if "md" in formats:
        _write_text(folder / "article.md", to_markdown(article, beside(article)))
    if "html" in formats:
        _write_text(folder / "article.html", to_html(article, beside(article)))
    file_of = in_folder(article, folder / IMAGES_DIR)
    ready = Pictures(article, file_of, settings)
    for format_ in formats:
        if format_ not in DEFAULT_FORMATS:
            exported = export(article, format_, file_of, pictures=ready)
            notes += exported.notes
            for name, data in exported.files.items():
                (folder / name).write_bytes(data)
    _write_text(folder / "trace.jsonl", "".join(json.dumps(dict(entry)) + "\n" for entry in trace))


def _write_text(path: Path, text: str) -> None:
    # Line ends as they are: a user's own text keeps its bytes on every system.
    path.write_text(encodable(text), encoding="utf-8", newline="")


def _with_local_pictures(article: Article, images: Path) -> Article:
    def local(record: ImageRecord) -> ImageRecord:
        name = article.files.get(record.id)
        return replace(record, path=images / name) if name and (images / name).is_file() else record

    return replace(
        article,
        placements=tuple(
            replace(
                placement,
                chosen=local(placement.chosen) if placement.chosen else None,
                candidates=tuple(replace(c, record=local(c.record)) for c in placement.candidates),
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
