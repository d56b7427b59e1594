"""A copy of a library as of one moment, in a new folder that is a library itself. Pictures are not copied."""

from __future__ import annotations

import shutil
from pathlib import Path

from image_db.errors import LibraryError
from image_db.library import CATALOG_NAME, Library


def back_up(library: Library, folder: Path) -> int:
    """Copy catalogue and vectors; returns the copy's size in bytes.

    Others wait with their changes until it is done. Raises LibraryError where the folder holds something already, or
    cannot be written; nothing half-made is left then.
    """
    folder = folder.expanduser().absolute()
    part = folder.with_name(f"{folder.name}.part")
    try:
        if folder.exists() and any(folder.iterdir()):
            raise LibraryError("export_folder_not_empty", folder=str(folder))
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        hold = library.catalog.snapshot if library.catalog.is_read_only else library.transaction
        with hold():
            library.catalog.copy_to(part / CATALOG_NAME)
            for file in library.current_vectors():
                if file.path.exists():
                    shutil.copyfile(file.path, part / file.path.name)
        if folder.exists():
            folder.rmdir()
        part.rename(folder)
    except OSError as error:
        shutil.rmtree(part, ignore_errors=True)
        raise LibraryError("export_not_written", path=str(folder), reason=error.strerror or str(error)) from error
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return sum(file.stat().st_size for file in folder.iterdir())
