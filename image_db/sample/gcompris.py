"""The photographs in GCompris' activities (Debian package ``gcompris-qt-data``).

They are WebP files inside Qt resource files, one an activity, beside a README that credits each of them and, in the
activities that explain the world, a QML table with titles. Chinese words come from the package's own dictionary. The
statistics that tell drawings from photographs do not hold for lossy WebP, so the folders of photographs are listed in
``sample.toml``. Knows nothing of how the package is fetched.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from image_db.errors import SampleUnavailable
from image_db.sample.credits import CopyrightFile, Credit, parse_copyright, parse_readme
from image_db.sample.pictures import Curation, SamplePicture, is_large_enough, name_to_caption, tags_from
from image_db.sample.qt_resources import read_qt_resources

PACKAGE = "gcompris-qt-data"
HOMEPAGE = "https://gcompris.net/"

_COPYRIGHT = f"usr/share/doc/{PACKAGE}/copyright"
_CONTRIBUTORS = "GCompris contributors"
_ACTIVITIES = "gcompris/src/activities/"
_DICTIONARIES = ("lang/resource/content-en.json", "lang/resource/content-zh_CN.json")
_DATASET_ITEM = re.compile(r'"title":\s*qsTr\("(?P<title>[^"]+)"\).*?"image2":\s*"qrc:/(?P<image>[^"]+)"', re.DOTALL)

_FOLDER_TAGS = {
    "clickgame": ("under water",),
    "details": ("landmark",),
    "egypt": ("pyramid", "monument", "Egypt"),
    "erase": ("animal",),
    "explore_farm_animals": ("animal",),
    "explore_world_animals": ("animal", "wild animal"),
    "fishes": ("fish", "sea animal", "animal"),
    "france": ("monument", "France"),
    "germany": ("monument", "Germany"),
    "india": ("monument", "India"),
    "louis-braille": ("braille",),
    "monuments": ("monument",),
    "music": ("music",),
    "others": ("object",),
    "renewable": ("renewable energy",),
    "solar_system": ("astronomy", "solar system"),
    "tools": ("tool",),
    "usa": ("monument", "USA"),
    "wonders": ("monument", "world wonder"),
}


def is_wanted(path: str, curation: Curation) -> bool:
    """Whether a file of the package is needed: the copyright, the dictionary and the listed activities."""
    activities = {"lang", *(folder.split("/")[0] for folder in curation.folders)}
    file = PurePosixPath(path)
    return path == _COPYRIGHT or (file.suffix == ".rcc" and file.stem in activities)


def gcompris_pictures(package: Mapping[str, bytes], curation: Curation) -> Iterator[SamplePicture | None]:
    """One item a WebP file of the listed activities: the picture, or None where it is left out."""
    resources: dict[str, bytes] = {}
    for path in sorted(path for path in package if path.endswith(".rcc")):
        for resource in read_qt_resources(package[path]):
            name = resource.path.removeprefix(_ACTIVITIES)
            if name in _DICTIONARIES or name.endswith((".webp", ".qml", "README")):
                resources[name] = resource.read()
    copyrights = parse_copyright(package.get(_COPYRIGHT, b"").decode("utf-8", errors="replace"), _CONTRIBUTORS)
    titles = _titles(resources)
    chinese_of = _dictionary(resources)
    readmes = {
        name: parse_readme(data.decode("utf-8", "replace")) for name, data in resources.items() if "READ" in name
    }
    for name in sorted(resources):
        if not name.endswith(".webp"):
            continue
        folder, stem = str(PurePosixPath(name).parent), PurePosixPath(name).stem
        label = _label(folder)
        key = f"{label}/{stem}"
        unnamed = folder in curation.named_only and key not in curation.texts
        if folder not in curation.folders or unnamed or not is_large_enough(resources[name]):
            yield None
            continue
        words = curation.words(key)
        caption = words.english or titles.get(name, "") or name_to_caption(stem)
        further = [*words.tags, *_FOLDER_TAGS.get(label, ()), *curation.topics_of(key)]
        yield SamplePicture(
            path=f"gcompris/{label}/{stem}.webp",
            data=resources[name],
            caption=caption,
            tags=tags_from(caption, further),
            credit=_credit(name, readmes, copyrights),
            chinese=words.chinese or chinese_of.get(caption.lower(), ""),
        )


def _label(folder: str) -> str:
    """The last folder that says something: ``erase/resource`` is erase, ``…/images/fishes`` is fishes."""
    parts = folder.split("/")
    return parts[0] if parts[-1] in ("resource", "image", "animals") else parts[-1]


def _titles(resources: Mapping[str, bytes]) -> dict[str, str]:
    """Titles of the datasets in QML, by the picture's path."""
    titles = {}
    for name, data in resources.items():
        # A country stands for the music of its pictures there, and is no title of them.
        if name.endswith(".qml") and "/board/" in name and not name.startswith("explore_world_music"):
            for item in _DATASET_ITEM.finditer(data.decode("utf-8", errors="replace")):
                titles[item["image"].removeprefix(_ACTIVITIES)] = item["title"]
    return titles


def _dictionary(resources: Mapping[str, bytes]) -> dict[str, str]:
    """English words to Chinese ones, from the dictionary of the activity that teaches words."""
    try:
        english, chinese = (json.loads(resources.get(name, b"{}")) for name in _DICTIONARIES)
    except ValueError as error:
        raise SampleUnavailable(f"the dictionary in {PACKAGE} is damaged ({error}); fetch the sample again") from error
    return {word.lower(): chinese[key] for key, word in english.items() if word and chinese.get(key)}


def _credit(name: str, readmes: Mapping[str, Mapping[str, Credit]], copyrights: CopyrightFile) -> Credit:
    """The nearest README's credit, else Debian's, each with the project's page where it names no source."""
    for parent in PurePosixPath(name).parents:
        listed = readmes.get(f"{parent}/README", {}).get(str(PurePosixPath(name).relative_to(parent)))
        if listed is not None:
            return Credit(listed.author, listed.license, listed.source_url or HOMEPAGE)
    stated = copyrights.credit(f"src/activities/{name}")
    return Credit(stated.author, stated.license, HOMEPAGE) if stated else Credit(_CONTRIBUTORS, "GPL-3+", HOMEPAGE)
