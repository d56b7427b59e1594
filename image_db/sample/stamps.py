"""The photographs among Tux Paint's stamps (Debian package ``tuxpaint-stamps-default``).

Each stamp is a PNG with a text beside it: the English caption on the first line, then ``LANGUAGE.utf8=…`` lines.
Photographs are told from drawings by folder, by how much flat colour a stamp has, and by the list in ``sample.toml``.
Knows nothing of how the package is fetched.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from image_db.sample.credits import Credit, parse_copyright
from image_db.sample.pictures import (
    MAX_FLAT_SHARE,
    Curation,
    SamplePicture,
    flat_share,
    is_large_enough,
    name_to_caption,
    sentence_to_caption,
    tags_from,
)

PACKAGE = "tuxpaint-stamps-default"
HOMEPAGE = "https://tuxpaint.org/"

_STAMPS = "usr/share/tuxpaint/stamps/"
_COPYRIGHT = f"usr/share/doc/{PACKAGE}/copyright"
_CONTRIBUTORS = "Tux Paint contributors"
_CHINESE = ("zh_CN", "zh_TW")

# A stamp's folders as tags. Folders that would mislead (lions in "cats", rabbits in "rodents") are not among them.
_FOLDER_TAGS = {
    "amphibians": "amphibian",
    "animals": "animal",
    "apes": "ape",
    "aquatic": "marine animal",
    "bears": "bear",
    "birds": "bird",
    "camel": "camel",
    "deer": "deer",
    "equines": "equine",
    "fish": "sea animal",
    "flowers": "flower",
    "food": "food",
    "fruit": "fruit",
    "insects": "insect",
    "mammals": "mammal",
    "marsupials": "marsupial",
    "medical": "medicine",
    "military": "military",
    "moon": "moon",
    "mushrooms": "mushroom",
    "music": "music",
    "nuts": "nut",
    "plants": "plant",
    "christmas": "Christmas",
    "space": "astronomy",
    "spices": "spice",
    "sports": "sport",
    "tools": "tool",
    "trees": "tree",
    "vegetables": "vegetable",
    "vehicles": "vehicle",
    "household": "household",
    "planes": "aeroplane",
    "ship": "ship",
    "monuments": "monument",
}


def is_wanted(path: str) -> bool:
    """Whether a file of the package is needed to read the stamps."""
    return path == _COPYRIGHT or (path.startswith(_STAMPS) and path.endswith((".png", ".txt")))


def stamp_pictures(package: Mapping[str, bytes], curation: Curation) -> Iterator[SamplePicture | None]:
    """One item a PNG of the package: the picture, or None where it is left out."""
    copyright_text = package.get(_COPYRIGHT, b"").decode("utf-8", errors="replace")
    copyrights = parse_copyright(copyright_text, _CONTRIBUTORS)
    for path in sorted(package):
        if not path.endswith(".png"):
            continue
        name = path.removeprefix(_STAMPS).removesuffix(".png")
        data = package[path]
        # By name first: measuring a picture costs most.
        if curation.leaves_out(name) or not is_large_enough(data) or flat_share(data) > MAX_FLAT_SHARE:
            yield None
            continue
        english, translations = parse_stamp_text(package.get(f"{_STAMPS}{name}.txt", b""))
        words = curation.words(name)
        folders, stem = PurePosixPath(name).parts[:-1], PurePosixPath(name).name
        caption = words.english or sentence_to_caption(english) or name_to_caption(stem)
        package_chinese = next((translations[code] for code in _CHINESE if translations.get(code)), "")
        folder_tags = [_FOLDER_TAGS[folder] for folder in reversed(folders) if folder in _FOLDER_TAGS]
        stated = copyrights.credit(name) or Credit("", "GPL-2+")
        yield SamplePicture(
            path=f"stamps/{name}.png",
            data=data,
            caption=caption,
            tags=tags_from(caption, [*words.tags, *folder_tags, *curation.topics_of(name)]),
            credit=Credit(_author(stated.author), stated.license, HOMEPAGE),
            chinese=words.chinese or _plain_chinese(package_chinese),
        )


def parse_stamp_text(data: bytes) -> tuple[str, dict[str, str]]:
    """The English caption and the translations by locale (``zh_CN``); both empty for an empty file."""
    lines = data.decode("utf-8-sig", errors="replace").splitlines()
    translations = {}
    for line in lines[1:]:
        translation = re.fullmatch(r"([A-Za-z_@]+)\.utf8=(.*)", line.strip())
        if translation is not None:
            translations[translation[1]] = translation[2].strip()
    return (lines[0].strip() if lines else ""), translations


def _plain_chinese(text: str) -> str:
    # "一只" and the like are counting words before a name; the first sentence is the name itself.
    return sentence_to_caption(text.split("。")[0].split("！")[0])


def _author(holder: str) -> str:
    # The package names its maintainer only; the photographs came from many hands.
    return f"{holder} and {_CONTRIBUTORS}" if holder and holder != _CONTRIBUTORS else _CONTRIBUTORS
