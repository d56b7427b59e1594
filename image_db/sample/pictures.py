"""What the sample's two sources have in common: a picture with its words, the tests a picture must pass, wording.

Knows no package and writes no file.
"""

from __future__ import annotations

import io
import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from importlib.resources import files
from typing import Any

from image_db.sample.credits import Credit

# Below this a picture is a thumbnail on any page. The floor is low because the stamps are: at 200 px fewer than 500
# pictures would be left.
MIN_LONGEST_SIDE_PX = 120
MIN_SHORTEST_SIDE_PX = 60

# Measured on tuxpaint-stamps-default 2022.06.04: all but one photograph lie at or below, three drawings in four above.
MAX_FLAT_SHARE = 0.43
_OPAQUE_ALPHA = 250

_ARTICLES = re.compile(r"^(?:an?|the|some|two|three)\s+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SamplePicture:
    """A picture of the sample: its original bytes, its place in the sample's folder and all that is known of it."""

    path: str
    data: bytes
    caption: str
    tags: tuple[str, ...]
    credit: Credit
    chinese: str = ""

    def sidecar(self) -> str:
        """The JSON text that ``image_db.metadata.sidecars`` reads beside the picture."""
        fields = {
            "caption": self.caption,
            "alt": alt_of(self.caption),
            "tags": list(self.tags),
            "author": self.credit.author,
            "license": self.credit.license,
            "source_url": self.credit.source_url,
            "captions": {"zh": self.chinese} if self.chinese else {},
        }
        return json.dumps(fields, ensure_ascii=False, indent=2) + "\n"


@dataclass(frozen=True, slots=True)
class Words:
    """A curated text: either may be empty, where the package's own words are good."""

    english: str = ""
    chinese: str = ""
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Curation:
    """The judgements of ``sample.toml`` for one package."""

    texts: Mapping[str, Words] = field(default_factory=dict)
    topics: Mapping[str, Sequence[str]] = field(default_factory=dict)
    leave_out: Sequence[str] = ()
    leave_out_folders: frozenset[str] = frozenset()
    folders: Sequence[str] = ()
    named_only: frozenset[str] = frozenset()

    def words(self, name: str) -> Words:
        return self.texts.get(name, Words())

    def topics_of(self, name: str) -> tuple[str, ...]:
        return tuple(topic for topic, globs in self.topics.items() if any(fnmatchcase(name, glob) for glob in globs))

    def leaves_out(self, name: str) -> bool:
        in_folder = not self.leave_out_folders.isdisjoint(name.split("/")[:-1])
        return in_folder or any(fnmatchcase(name, glob) for glob in self.leave_out)


def load_curation(package: str) -> Curation:
    """The part of ``sample.toml`` headed ``package`` ("stamps" or "gcompris")."""
    document: dict[str, Any] = tomllib.loads(
        files("image_db.sample").joinpath("sample.toml").read_text(encoding="utf-8")
    )
    part = document[package]
    return Curation(
        texts={name: Words(text[0], text[1], tuple(text[2:])) for name, text in part["texts"].items()},
        topics=document["topics"],
        leave_out=tuple(part.get("leave_out", ())),
        leave_out_folders=frozenset(part.get("leave_out_folders", ())),
        folders=tuple(part.get("folders", ())),
        named_only=frozenset(part.get("named_only", ())),
    )


def is_large_enough(data: bytes) -> bool:
    """Whether both sides reach the floor; False for bytes that are no picture."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data)) as image:
            width_px, height_px = image.size
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError):
        return False
    return max(width_px, height_px) >= MIN_LONGEST_SIDE_PX and min(width_px, height_px) >= MIN_SHORTEST_SIDE_PX


def flat_share(data: bytes) -> float:
    """Share of horizontally neighbouring opaque pixels of exactly the same colour, in [0, 1].

    Drawings are filled with flat colour and photographs are not, which holds for losslessly kept pictures only:
    lossy compression flattens a photograph's sky just as well.
    """
    import numpy as np
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        pixels = np.asarray(image.convert("RGBA"))
    opaque = pixels[..., 3] >= _OPAQUE_ALPHA
    pairs = opaque[:, 1:] & opaque[:, :-1]
    if not pairs.any():
        return 1.0
    same = (pixels[:, 1:, :3] == pixels[:, :-1, :3]).all(axis=-1)
    return float(same[pairs].mean())


def sentence_to_caption(text: str) -> str:
    """The first sentence without its full stop or exclamation mark: ``A crow!`` is "A crow"."""
    first = re.split(r"(?<=[.!?。！？])\s*(?=[A-Z\u4e00-\u9fff])", " ".join(text.split()), maxsplit=1)[0]
    return first.rstrip(" .!。！")


def name_to_caption(stem: str) -> str:
    """Words from a file's name: ``polarBear_02`` is "Polar bear"."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", re.sub(r"[^A-Za-z]+", " ", stem))
    words = " ".join(spaced.split()).lower()
    return words[:1].upper() + words[1:]


def alt_of(caption: str) -> str:
    """What the picture shows, without the caption's explanation after a comma, dash or bracket."""
    return re.split(r", |—|–| \(", caption, maxsplit=1)[0].strip() or caption


def tags_from(caption: str, further: Iterable[str]) -> tuple[str, ...]:
    """What is shown, where the caption is a short name of it, then the further tags, each once."""
    name = _ARTICLES.sub("", alt_of(caption))
    tags = [name.lower()] if len(name.split()) <= 3 else []
    tags += [tag for tag in further if tag]
    # A picture without a tag would be one that no filter finds.
    return tuple(dict.fromkeys(tags)) or (name.lower(),)
