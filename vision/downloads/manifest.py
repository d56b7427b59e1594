"""The list of model files Vignette can fetch: names, bytes, hashes, licences, sources.

Reads and checks ``manifest.toml``.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any, TypeAlias

from vision.errors import WeightsError

MANIFEST = Path(__file__).with_name("manifest.toml")


@dataclass(frozen=True, slots=True)
class WeightFile:
    """One file of a model; ``path`` is relative to the model's folder, with forward slashes."""

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class HubSource:
    """A hub repository that holds every file under its own path."""

    repository: str
    revision: str

    def __str__(self) -> str:
        return f"hub {self.repository}"


@dataclass(frozen=True, slots=True)
class WheelPart:
    """A stretch of ``file`` that is one member of one wheel."""

    requirement: str
    member: str
    file: str
    offset_bytes: int
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Archive:
    """A zip file that holds all files of a model in one folder."""

    name: str
    size_bytes: int
    folder: str


@dataclass(frozen=True, slots=True)
class PackageSource:
    """Wheels of a Python package index whose members, laid end to end, are the model's files, or an archive of them."""

    parts: tuple[WheelPart, ...]
    archive: Archive | None = None

    def __str__(self) -> str:
        requirements = list(dict.fromkeys(part.requirement for part in self.parts))
        return f"packages {requirements[0]}" + (f" … {requirements[-1]}" if len(requirements) > 1 else "")


@dataclass(frozen=True, slots=True)
class DebSource:
    """A package of Debian at one address, which holds all files in one folder."""

    url: str
    size_bytes: int
    sha256: str
    folder: str

    def __str__(self) -> str:
        return self.url


ModelSource: TypeAlias = HubSource | PackageSource | DebSource


@dataclass(frozen=True, slots=True)
class WeightEntry:
    """One model: its files, in the order of the manifest, and the sources to try in turn."""

    name: str
    purpose: str
    license: str
    homepage: str
    files: tuple[WeightFile, ...]
    sources: tuple[ModelSource, ...]

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


@cache
def manifest() -> Mapping[str, WeightEntry]:
    """The models of the manifest that ships with Vignette, by name."""
    return read_manifest(MANIFEST)


def read_manifest(path: Path) -> Mapping[str, WeightEntry]:
    """Parse a manifest file. Raises WeightsError naming the model and the key that is wrong."""
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    entries: dict[str, WeightEntry] = {}
    for model in table["model"]:
        name = model.get("name", "?")
        try:
            entry = _entry(model)
        except (KeyError, TypeError, ValueError) as error:
            reason = f"{type(error).__name__} {error}"
            raise WeightsError("manifest_wrong", file=str(path), model=name, reason=reason) from error
        if name in entries:
            raise WeightsError("manifest_twice", file=str(path), model=name)
        entries[name] = entry
    return MappingProxyType(entries)


def _entry(model: dict[str, Any]) -> WeightEntry:
    _allow(model, {"name", "purpose", "license", "homepage", "files", "sources"})
    files = tuple(_file(item) for item in model["files"])
    return WeightEntry(
        name=_safe_path(model["name"]),
        purpose=model["purpose"],
        license=model["license"],
        homepage=model["homepage"],
        files=files,
        sources=tuple(source for item in model["sources"] for source in _sources(item, files)),
    )


def _file(item: dict[str, Any]) -> WeightFile:
    _allow(item, {"path", "bytes", "sha256"})
    return WeightFile(_safe_path(item["path"]), int(item["bytes"]), _sha256(item["sha256"]))


def _sources(item: dict[str, Any], files: tuple[WeightFile, ...]) -> tuple[ModelSource, ...]:
    if "urls" not in item:
        return (_source(item, files),)
    _allow(item, {"urls", "deb_bytes", "deb_sha256", "folder"})
    sha256, folder = _sha256(item["deb_sha256"]), _safe_path(item["folder"])
    return tuple(DebSource(_http(url), int(item["deb_bytes"]), sha256, folder) for url in item["urls"])


def _source(item: dict[str, Any], files: tuple[WeightFile, ...]) -> ModelSource:
    if "hub" in item:
        _allow(item, {"hub", "revision"})
        return HubSource(item["hub"], item.get("revision", "main"))
    if "folder" in item:
        _allow(item, {"package", "folder"})
        return PackageSource(
            tuple(
                WheelPart(item["package"], f"{item['folder']}/{file.path}", file.path, 0, file.size_bytes, file.sha256)
                for file in files
            )
        )
    if "archive_bytes" in item:
        _allow(item, {"package", "member", "archive_bytes", "archive_folder", "part_bytes", "part_sha256"})
        archive = Archive("archive.zip", int(item["archive_bytes"]), _safe_path(item["archive_folder"]))
        return PackageSource(_parts(item, archive.name, archive.size_bytes), archive)
    _allow(item, {"package", "member", "part_bytes", "part_sha256"})
    (file,) = files
    return PackageSource(_parts(item, file.path, file.size_bytes))


def _parts(item: dict[str, Any], path: str, size_bytes: int) -> tuple[WheelPart, ...]:
    hashes = item["part_sha256"]
    parts = []
    for part, sha256 in enumerate(hashes, start=1):
        offset = (part - 1) * item["part_bytes"]
        size = min(item["part_bytes"], size_bytes - offset)
        requirement, member = item["package"].format(part=part), item["member"].format(part=part)
        parts.append(WheelPart(requirement, member, path, offset, size, _sha256(sha256)))
    if not parts or sum(part.size_bytes for part in parts) != size_bytes or parts[-1].size_bytes <= 0:
        raise ValueError(f"{len(hashes)} parts of {item['part_bytes']} bytes do not make {size_bytes} bytes")
    return tuple(parts)


def _allow(table: dict[str, Any], keys: set[str]) -> None:
    if unknown := sorted(table.keys() - keys):
        raise ValueError(f"unknown key {unknown[0]!r}")


def _sha256(value: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", value):
        raise ValueError(f"sha256 {value!r} is not 64 lower-case hexadecimal digits")
    return value


def _http(value: str) -> str:
    if not value.startswith(("https://", "http://")):
        raise ValueError(f"address {value!r} is neither https nor http")
    return value


def _safe_path(value: str) -> str:
    path = PurePosixPath(value)
    if path.is_absolute() or not path.parts or ".." in path.parts or "\\" in value:
        raise ValueError(f"path {value!r} leaves its folder")
    return value
