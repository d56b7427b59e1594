"""Conditions on pictures as a person types them: "date:2019.. place:Lyon orientation:portrait -folder:scans".

A condition is a field, a colon and a value, in quotes where it holds spaces; "-" before it turns it round. Of several
values by commas one must fit, of several conditions all. The same grammar serves searches, compose, batches, the page
and the API.

    date:2019  date:2019-05..2019-08  date:..1999     when it was taken
    place:Lyon  camera:"canon eos"  folder:2019/summer  tag:boat  license:"CC BY"
    orientation:portrait                              or landscape, square
    size:1200  size:2mp..8mp                          shorter side in pixels, or megapixels; one number: at least
    has:words  -has:words  has:date                   or place, position, camera, draft
"""

from __future__ import annotations

import fnmatch
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from image_db.metadata.capture import time_of
from image_db.metadata.licenses import allows
from image_db.metadata.record import ImageRecord
from retrieval.errors import RetrievalError
from retrieval.tokens import folded

_SQUARE = 1.05  # sides that differ by less look equal
_OTHER_NAMES = {
    "date": "taken 日期 时间 時間", "place": "location city country 地点 地點", "camera": "相机 相機",
    "orientation": "方向", "size": "大小", "license": "licence 许可 授權", "folder": "path in 文件夹 資料夾",
    "tag": "keyword 标签 標籤", "has": "有",
}  # fmt: skip
_ORIENTATIONS = {
    "portrait": "portrait upright vertical 竖 竖向 縱向", "landscape": "landscape horizontal 横 横向 橫向",
    "square": "square 方 方形",
}  # fmt: skip
_TERM = re.compile(r'(?<!\S)(?P<denied>-?)(?P<field>[^\W\d_]+):(?P<value>(?:"[^"]*"|[^\s"])+)')
_SIZE = re.compile(r"(?P<least>\d+(?:\.\d+)?)?(?P<mp>mp)?(?:\.\.(?P<most>\d+(?:\.\d+)?)?(?P<mp2>mp)?)?")


class Condition(NamedTuple):
    """``values`` as typed, any of which fits; ``denied`` where none may."""

    field: str
    values: tuple[str, ...]
    denied: bool = False


@dataclass(frozen=True, slots=True)
class Filters:
    """What a picture must satisfy to be found at all. Empty means no restriction."""

    licenses: tuple[str, ...] = ()  # any of them, e.g. "CC BY": see ``image_db.metadata.licenses.allows``
    tags: tuple[str, ...] = ()  # all of them
    min_side_px: int = 0
    where: tuple[Condition, ...] = ()  # all of them: see ``parse_where``

    def narrowed(self, where: Iterable[Condition]) -> Filters:
        """These and further conditions."""
        return Filters(self.licenses, self.tags, self.min_side_px, (*self.where, *where))


def parse_where(text: str) -> tuple[Condition, ...]:
    """The conditions of a text that holds nothing else. Raises RetrievalError naming what is no condition."""
    conditions, rest = split_where(text, strict=True)
    if rest:
        raise RetrievalError("filter_no_condition", given=rest[:80], known=list(_OTHER_NAMES))
    return conditions


def split_where(text: str, *, strict: bool = False) -> tuple[tuple[Condition, ...], str]:
    """The conditions within typed words, and the words without them.

    "word:word" of an unknown field is words, or with ``strict`` a RetrievalError. Raises RetrievalError for a value
    that its field cannot have.
    """
    text = unicodedata.normalize("NFKC", text)
    conditions: list[Condition] = []

    def taken(match: re.Match[str]) -> str:
        name = _field_names().get(match["field"].casefold())
        if name is None:
            if strict:
                raise RetrievalError("filter_field_unknown", given=match["field"][:40], known=list(_OTHER_NAMES))
            return match[0]
        condition = Condition(name, _values(match["value"]), bool(match["denied"]))
        _test(condition)  # raises where a value is wrong
        conditions.append(condition)
        return " "

    rest = " ".join(_TERM.sub(taken, text).split())
    return tuple(conditions), rest


def written(conditions: Iterable[Condition]) -> str:
    """The conditions as ``parse_where`` reads them."""

    def quoted(value: str) -> str:
        return f'"{value}"' if re.search(r"[\s,]", value) else value

    return " ".join(
        ("-" if denied else "") + f"{field}:" + ",".join(map(quoted, values)) for field, values, denied in conditions
    )


def _field_names() -> Mapping[str, str]:
    return {name: field for field, others in _OTHER_NAMES.items() for name in (field, *others.split())}


def _values(text: str) -> tuple[str, ...]:
    """Values by commas outside quotes, without the quotes."""
    parts = re.findall(r'(?:"[^"]*"|[^,"])+', text)
    return tuple(value for part in parts if (value := part.replace('"', "").strip()))


def passes(record: ImageRecord, filters: Filters, paths: Iterable[Path] = ()) -> bool:
    """Whether a picture satisfies the filters; ``paths`` are its further files.

    Guessed tags do not count: a filter must be able to rely on a tag.
    """
    if min(record.width_px, record.height_px) < filters.min_side_px:
        return False
    if filters.licenses and not any(allows(wanted, record.license) for wanted in filters.licenses):
        return False
    held = {tag.casefold() for tag in record.tags}
    if not all(tag.casefold() in held for tag in filters.tags):
        return False
    files = (record.path, *paths)
    return all(_test(condition)(record, files) for condition in filters.where)


_Test = Callable[[ImageRecord, tuple[Path, ...]], bool]
_tests: dict[Condition, _Test] = {}


def _test(condition: Condition) -> _Test:
    """The condition as a function of a record and its files. Raises RetrievalError for a value that is none."""
    found = _tests.get(condition)
    if found is None:
        if len(_tests) > 1_000:
            _tests.clear()
        if not condition.values:
            raise RetrievalError("filter_value_missing", field=condition.field)
        options = [_MADE[condition.field](value) for value in condition.values]
        denied = condition.denied

        def found(record: ImageRecord, files: tuple[Path, ...]) -> bool:
            return any(option(record, files) for option in options) != denied

        _tests[condition] = found
    return found


def _date(value: str) -> _Test:
    first, dots, last = value.partition("..")
    bounds = [time_of(part) if part else "" for part in (first, last if dots else first)]
    if not any(bounds) or any(part and not bound for part, bound in zip((first, last), bounds, strict=True)):
        raise RetrievalError("filter_value_wrong", field="date", given=value[:40], known=["2019", "2019-05..2019-08"])
    least, most = bounds

    def fits(record: ImageRecord, _: tuple[Path, ...]) -> bool:
        taken = record.taken
        # A date that is known less exactly than the bound may lie on its other side.
        if not taken or len(taken) < len(most):
            return False
        return taken >= least and (not most or taken[: len(most)] <= most)

    return fits


def size_bounds(value: str) -> tuple[Literal["megapixels", "min_side_px"], float, float]:
    """What is measured, the least and the most. Raises RetrievalError for a value that is none."""
    found = _SIZE.fullmatch(value.strip().lower().removesuffix("px"))
    if found is None or not (found["least"] or found["most"]):
        raise RetrievalError("filter_value_wrong", field="size", given=value[:40], known=["1200", "2mp..8mp"])
    least = float(found["least"] or 0)
    most = float(found["most"]) if found["most"] else float("inf")
    return "megapixels" if found["mp"] or found["mp2"] else "min_side_px", least, most


def _size(value: str) -> _Test:
    measured, least, most = size_bounds(value)

    def fits(record: ImageRecord, _: tuple[Path, ...]) -> bool:
        width, height = record.width_px, record.height_px
        return least <= (width * height / 1e6 if measured == "megapixels" else min(width, height)) <= most

    return fits


def orientation_named(value: str) -> str:
    """As ``orientation`` says it. Raises RetrievalError for a value that is none."""
    wanted = next((name for name, others in _ORIENTATIONS.items() if value.casefold() in others.split()), None)
    if wanted is None:
        raise RetrievalError("filter_value_wrong", field="orientation", given=value[:40], known=list(_ORIENTATIONS))
    return wanted


def _orientation(value: str) -> _Test:
    wanted = orientation_named(value)
    return lambda record, _: orientation(record) == wanted


def orientation(record: ImageRecord) -> str:
    """ "portrait", "landscape" or "square"."""
    width, height = record.width_px, record.height_px
    if max(width, height) < _SQUARE * min(width, height):
        return "square"
    return "portrait" if height > width else "landscape"


def _words_in(texts: Callable[[ImageRecord], Iterable[str]]) -> Callable[[str], _Test]:
    """The value stands in one of the texts, from the beginning of a word; case and accents do not matter."""

    def made(value: str) -> _Test:
        pattern = re.compile((r"\b" if value[:1].isascii() else "") + re.escape(folded(value)))
        return lambda record, _: any(pattern.search(folded(text)) for text in texts(record))

    return made


def _tag(value: str) -> _Test:
    wanted = folded(value)
    return lambda record, _: any(folded(tag) == wanted for tag in record.tags)


def _license(value: str) -> _Test:
    return lambda record, _: allows(value, record.license)


def _folder(value: str) -> _Test:
    """A whole path, or consecutive names of it, without regard to case; "*" stands for anything within a name."""
    wanted = [folded(part) for part in value.replace("\\", "/").split("/") if part]
    if not wanted:
        raise RetrievalError("filter_value_missing", field="folder")
    begins = value.startswith("/")

    def below(path: Path) -> bool:
        names = [folded(name) for name in path.parent.parts if name != path.anchor]
        starts = range(1) if begins else range(len(names) - len(wanted) + 1)
        return any(
            len(names) >= start + len(wanted)
            and all(fnmatch.fnmatchcase(names[start + i], part) for i, part in enumerate(wanted))
            for start in starts
        )

    return lambda _, files: any(map(below, files))


HAS: Mapping[str, Callable[[ImageRecord], bool]] = {
    "words": lambda record: record.is_described and record.caption_origin == "given",
    "date": lambda record: bool(record.taken),
    "place": lambda record: bool(record.places),
    "position": lambda record: record.position is not None,
    "camera": lambda record: bool(record.camera),
    "draft": lambda record: record.caption_origin == "generated" or bool(record.guessed_tags),
}


def _has(value: str) -> _Test:
    known = HAS.get(value.casefold())
    if known is None:
        raise RetrievalError("filter_value_wrong", field="has", given=value[:40], known=list(HAS))
    return lambda record, _: known(record)


_MADE: Mapping[str, Callable[[str], _Test]] = {
    "date": _date,
    "place": _words_in(lambda record: record.places),
    "camera": _words_in(lambda record: (record.camera,)),
    "orientation": _orientation,
    "size": _size,
    "license": _license,
    "folder": _folder,
    "tag": _tag,
    "has": _has,
}
