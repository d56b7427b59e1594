"""Takes a library out of Vignette: its records as JSON lines, or a folder of pictures with their words.

The folder can be indexed again and then says the same of every picture.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from image_db.errors import LibraryError
from image_db.metadata.record import ImageRecord
from vision.errors import Phrase

if TYPE_CHECKING:
    from image_db.stores.opening import AnyLibrary


def record_json(record: ImageRecord) -> dict[str, Any]:
    """Everything known of a picture, as plain JSON values."""
    return {
        "id": record.id,
        "path": str(record.path),
        "width_px": record.width_px,
        "height_px": record.height_px,
        "caption": record.caption,
        "caption_origin": record.caption_origin,
        "captions": dict(record.captions),
        "alt": record.alt,
        "tags": list(record.tags),
        "guessed_tags": list(record.guessed_tags),
        "author": record.author,
        "license": record.license,
        "source_url": record.source_url,
        "taken": record.taken,
        "camera": record.camera,
        "places": list(record.places),
        "position": record.position,
    }


def json_line(value: object) -> str:
    """One line of JSON in UTF-8. A file name that is not valid Unicode is escaped, and reads back as it was."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace").decode("utf-8")


def export_records(library: AnyLibrary, file: Path) -> int:
    """Write one JSON object a picture; returns how many. Raises LibraryError where the file exists."""
    lines = (json_line(record_json(record)) for record in library.records())
    return _write_lines(file, lines)


def export_folder(library: AnyLibrary, folder: Path) -> tuple[int, list[tuple[Path, Phrase]]]:
    """Copy every picture into a new or empty folder, with a metadata.jsonl that indexing reads.

    Returns how many were copied, and those that could not be with the reason. Raises LibraryError where the folder
    holds something.
    """
    empty_folder(folder)
    failed: list[tuple[Path, Phrase]] = []
    taken: set[str] = {"metadata.jsonl"}

    def lines() -> Iterator[str]:
        for record in library.records():
            name = _free_name(record, taken)
            try:
                shutil.copyfile(record.path, folder / name)
            except OSError as error:
                failed.append((record.path, Phrase("not_copied", {"reason": error.strerror or str(error)})))
                continue
            taken.add(name.casefold())
            yield json_line({"file": name, **said_words(record)})

    return _write_lines(folder / "metadata.jsonl", lines()), failed


def empty_folder(folder: Path) -> None:
    """Make a folder that may be there and empty. Raises LibraryError where it holds something or cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise LibraryError("export_folder_not_empty", folder=str(folder))
    except OSError as error:
        raise LibraryError("export_not_written", path=str(folder), reason=error.strerror) from error


def _free_name(record: ImageRecord, taken: set[str]) -> str:
    """The picture's own name, or with the start of its hash where another picture has that name."""
    name = record.path.name
    if name.casefold() in taken or name.startswith("."):
        name = f"{record.path.stem.lstrip('.')}-{record.id[:12]}{record.path.suffix}"
    return name


def said_words(record: ImageRecord) -> dict[str, Any]:
    """What people said of a picture, in the keys of a sidecar; what models guessed would come back as given."""
    words = record_json(record)
    if record.caption_origin == "generated":
        words["caption"] = ""
    keys = ("caption", "alt", "tags", "author", "license", "source_url", "captions")
    said = {key: words[key] for key in keys if words[key]}
    known: dict[str, Any] = {"date": record.taken, "camera": record.camera, "places": list(record.places)}
    if record.position is not None:
        known["latitude"], known["longitude"] = record.position
    return said | {key: value for key, value in known.items() if value}


def _write_lines(file: Path, lines: Iterator[str]) -> int:
    count = 0
    try:
        with file.open("x", encoding="utf-8") as out:
            try:
                for line in lines:
                    out.write(line + "\n")
                    count += 1
                out.flush()
            except BaseException:
                file.unlink()  # half a file would stand in the way of the next run
                raise
    except FileExistsError as error:
        raise LibraryError("export_exists", file=str(file)) from error
    except OSError as error:
        raise LibraryError("export_not_written", path=str(file), reason=error.strerror) from error
    return count
