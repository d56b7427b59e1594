"""Where the fonts of a PDF come from: Typst's own, those Vignette fetched, and, last, the system's.

Typst brings a serif for Latin, Greek and Cyrillic. Chinese and other scripts come from the Noto fonts of the manifest
(``vignette models pull`` fetches them; SIL Open Font License). Only where these lack a character are the system's
fonts asked, so that the same article gives the same PDF on most machines.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typst

CHINESE, SCRIPTS = "noto-chinese-fonts", "noto-script-fonts"


def font_folders() -> tuple[Path, ...]:
    """The folders of fetched fonts that are here and whole."""
    from vision.downloads.store import locate
    from vision.errors import WeightsError

    found = []
    for name in (CHINESE, SCRIPTS):
        try:
            found.append(locate(name))
        except WeightsError:
            continue  # what its absence costs is said where a character is missing
    return tuple(found)


def fonts(*, system: bool) -> typst.Fonts:
    """Typst's view of the fonts, with or without the system's."""
    return _fonts(font_folders(), system)


@lru_cache(maxsize=4)
def _fonts(folders: tuple[Path, ...], system: bool) -> typst.Fonts:
    import typst

    return typst.Fonts(include_system_fonts=system, font_paths=[str(folder) for folder in folders])
