"""When, where and with what a picture was taken, in the forms in which programs write it.

Times are those of the clock on the wall where the picture was taken, as ISO 8601 without an offset and no more exact
than known: "1987", "1987-05", "2019-05-04T12:30:15".
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_DATE = re.compile(
    r"\s*(?P<y>\d{4})(?:[-:/.年]\s?(?P<m>\d{1,2})(?:[-:/.月]\s?(?P<d>\d{1,2})日?"
    r"(?:[T\s]+(?P<H>\d{1,2}):(?P<M>\d{2})(?::(?P<S>\d{2})(?:[.,]\d+)?)?)?)?)?月?年?"
    r"\s*(?:Z|UTC|[+-]\d{2}:?\d{2})?\s*"
)
_PACKED = re.compile(
    r"(?P<y>\d{4})(?P<m>\d{2})(?P<d>\d{2})(?:[T ]?(?P<H>\d{2})(?P<M>\d{2})(?P<S>\d{2})(?:[+-]\d{4})?)?"
)
# Names that cameras, telephones and people give: IMG_20190504_123015, 2019-05-04 12.30.15, IMG-20190504-WA0003.
_IN_NAME = re.compile(
    r"(?<!\d)(?P<y>(?:18|19|20)\d{2})(?P<s>[-_.]?)(?P<m>0[1-9]|1[0-2])(?P=s)(?P<d>0[1-9]|[12]\d|3[01])"
    r"(?:(?:[-_ T]|\s+(?:at|um|à)\s+)?(?P<H>[01]\d|2[0-3])(?P<t>[-_.:h]?)(?P<M>[0-5]\d)(?P=t)(?P<S>[0-5]\d)(?:\d{3})?)?"
    r"(?!\d)"
)
_EPOCH_IN_NAME = re.compile(r"(?:mmexport|wx_camera_|FB_IMG_)(\d{13})")
_EARLIEST, _LATEST = 1800, 2200
_ZONES = timedelta(hours=15)
_DEGREES = re.compile(
    r"\s*(?P<ref>[NSEW])?\s*(?P<sign>[+-])?(?P<deg>\d+(?:\.\d+)?)\s*(?:(?:°|deg|,|\s)\s*(?P<min>\d+(?:\.\d+)?)\s*['′]?"
    r"(?:[,\s]\s*(?P<sec>\d+(?:\.\d+)?)\s*(?:[\"″]|'')?)?)?\s*°?\s*(?P<after>[NSEW])?\w*\s*",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Capture:
    """The circumstances as one source gives them; empty where it is silent.

    ``taken`` ends in "Z" where a source knows the moment but not the place's clock. ``digitised`` is when a file was
    made, which for a scan is not when the picture was. ``position`` is latitude and longitude in degrees.
    """

    taken: str = ""
    digitised: str = ""
    camera: str = ""
    position: tuple[float, float] | None = None

    def over(self, weaker: Capture) -> Capture:
        return Capture(
            taken=_stronger(self.taken, weaker.taken),
            digitised=self.digitised or weaker.digitised,
            camera=self.camera or weaker.camera,
            position=self.position or weaker.position,
        )

    @property
    def best_taken(self) -> str:
        return (self.taken or self.digitised).removesuffix("Z")


UNKNOWN = Capture()


def _stronger(taken: str, weaker: str) -> str:
    """The first, or the second where both are one moment and only that one is by the place's clock."""
    local = bool(weaker) and not weaker.endswith("Z") and "T" in weaker
    if not (taken.endswith("Z") and local):
        return taken or weaker
    apart = datetime.fromisoformat(taken.removesuffix("Z")) - datetime.fromisoformat(weaker)
    return weaker if abs(apart) < _ZONES else taken


def time_of(text: str) -> str:
    """A date, with what is known of the time, however it is written; "" where it is none or a clock never set."""
    found = _DATE.fullmatch(text) or _PACKED.fullmatch(text.strip())
    return _written(found) if found is not None else ""


def _written(found: re.Match[str]) -> str:
    year, month, day, hour, minute, second = (int(found[part] or 0) for part in ("y", "m", "d", "H", "M", "S"))
    if not _EARLIEST <= year < _LATEST:
        return ""
    if not month:
        return f"{year:04}"
    if not day:
        return f"{year:04}-{month:02}" if month <= 12 else ""
    try:
        moment = datetime(year, month, day, hour, minute, min(second, 59))
    except ValueError:
        return ""
    if found["H"] is None:
        return f"{moment:%Y-%m-%d}"
    return "" if moment == datetime(1970, 1, 1) else moment.isoformat(timespec="seconds")


def most_exact(texts: Iterable[str]) -> str:
    """The first date of several, as exactly as any of the others gives it."""
    times = [found for text in texts if (found := time_of(text))]
    return max((time for time in times if time.startswith(times[0])), key=len) if times else ""


def time_of_epoch(seconds: float) -> str:
    """A moment in seconds since 1970, in UTC, marked as such; "" for 1970 itself and what is beyond reason."""
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return ""
    return f"{moment:%Y-%m-%dT%H:%M:%S}Z" if seconds and _EARLIEST <= moment.year < _LATEST else ""


def time_of_name(stem: str) -> str:
    """When a picture was taken by its file's name; "" where that does not say.

    >>> time_of_name("IMG_20190504_123015")
    '2019-05-04T12:30:15'
    >>> time_of_name("IMG-20190504-WA0003")
    '2019-05-04'
    >>> time_of_name("IMG_1234")
    ''
    """
    epoch = _EPOCH_IN_NAME.match(stem)
    if epoch is not None:
        return time_of_epoch(int(epoch[1]) // 1000)
    found = _IN_NAME.search(stem)
    return _written(found) if found is not None else ""


def camera_name(make: str, model: str) -> str:
    """Maker and model as one name, the maker once.

    >>> camera_name("NIKON CORPORATION", "NIKON D90")
    'NIKON D90'
    """
    make, model = " ".join(make.split()), " ".join(model.split())
    if not model or not make or model.casefold().startswith(make.split()[0].casefold()):
        return model or make
    return f"{make} {model}"


def degrees(text: str, ref: str = "") -> float | None:
    """Degrees of "45.76", "45,46.1N", "45 deg 46' 1.20\\" N" or "N45° 46' 1.2\\""; south and west are negative."""
    found = _DEGREES.fullmatch(text)
    if found is None:
        return None
    value = float(found["deg"]) + float(found["min"] or 0) / 60 + float(found["sec"] or 0) / 3600
    side = (found["ref"] or found["after"] or ref[:1]).upper()
    return -value if found["sign"] == "-" or side in ("S", "W") else value


def position(latitude: float | None, longitude: float | None) -> tuple[float, float] | None:
    """Both in range and not the 0, 0 that programs write for "unknown"; else None."""
    if latitude is None or longitude is None or not (latitude or longitude):
        return None
    return (latitude, longitude) if abs(latitude) <= 90 and abs(longitude) <= 180 else None
