"""Who made a picture of the sample library and under which licence, from the texts the packages carry.

Two kinds of text, both of paragraphs with ``Files``, ``Copyright`` and ``License``: Debian's machine-readable
``copyright`` (DEP-5, https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/), where the last paragraph
that matches a path holds, and the looser ``README`` files GCompris keeps beside its pictures, which also name the
source. Knows no pictures.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

_README_FIELDS = ("copyright", "license", "source", "files", "comment", "comments")
_FIELD = re.compile(r"^([A-Za-z][A-Za-z-]*):[ \t]*(.*)$")
_BARE_FILE = re.compile(r"^\s*\S+\.[A-Za-z0-9]{2,4}\s*$")
_BASED_ON = re.compile(
    r"based on (?:an? )?(?:original )?(?:photo|image|picture) by (?P<author>.+?)(?:, license|, source|, original|$)"
)
_SUBJECT = re.compile(r"(\S+\.[A-Za-z0-9]{2,4}) (?:is|was) ")
_URL = re.compile(r"https?://\S+")
_YEARS = re.compile(r"\b(?:19|20)\d\d(?:\s*[-–]\s*(?:19|20)?\d\d)?\b,?")
_MANY_HOLDERS = 4


@dataclass(frozen=True, slots=True)
class Credit:
    """Author, licence and where the picture came from; the last may be empty."""

    author: str
    license: str
    source_url: str = ""


@dataclass(frozen=True, slots=True)
class CopyrightFile:
    """A parsed DEP-5 file: its Files paragraphs in order, and the licences' full texts by name."""

    paragraphs: tuple[tuple[tuple[str, ...], Credit], ...]

    def credit(self, path: str) -> Credit | None:
        """The credit of the last paragraph with a pattern that matches the whole path."""
        for patterns, credit in reversed(self.paragraphs):
            if any(matches(pattern, path) for pattern in patterns):
                return credit
        return None


def parse_copyright(text: str, many_holders: str) -> CopyrightFile:
    """Parses a DEP-5 file. A paragraph with four or more holders is credited to ``many_holders`` ("X contributors")."""
    stanzas = [_fields(block.splitlines()) for block in re.split(r"\n[ \t]*\n", text)]
    texts = {
        fields["license"].split("\n")[0].strip(): fields["license"]
        for fields in stanzas
        if "license" in fields and "files" not in fields
    }
    paragraphs = []
    for fields in stanzas:
        if "files" not in fields or "license" not in fields:
            continue
        short = fields["license"].split("\n")[0].strip()
        full = fields["license"] if "\n" in fields["license"] else texts.get(short, "")
        if re.fullmatch(r"L?GPL-\d(?:\.\d)?", short) and "any later version" in " ".join(full.split()):
            short += "+"
        holders = _holders(fields.get("copyright", ""))
        author = many_holders if len(holders) >= _MANY_HOLDERS or not holders else ", ".join(holders)
        source = _URL.search(fields.get("comment", ""))
        credit = Credit(author, license_name(short), source.group() if source else "")
        paragraphs.append((tuple(fields["files"].split()), credit))
    return CopyrightFile(tuple(paragraphs))


def parse_readme(text: str) -> dict[str, Credit]:
    """Credits by file name, as a README lists them; what it adapted is credited to the original's author too."""
    credits: dict[str, Credit] = {}
    for block in re.split(r"\n[ \t]*\n", text.replace("\r\n", "\n")):
        fields = _readme_fields(block.splitlines())
        holders = _holders(fields.get("copyright", ""))
        if not holders or "license" not in fields:
            continue
        notes = "\n".join(fields.get(key, "") for key in ("source", "comment", "comments"))
        author = ", ".join(holders[:_MANY_HOLDERS])
        license = license_name(" ".join(fields["license"].split()))
        names = fields.get("files", "").split()
        subject = _SUBJECT.match(notes.strip())
        # "x.webp is based on …" speaks of that one file of the paragraph, any other note of them all.
        noted = [subject[1]] if subject is not None else names
        original = _BASED_ON.search(" ".join(notes.split()))
        credited = f"{original['author']} (adapted by {author})" if original is not None else author
        source = _URL.search(notes)
        url = source.group().rstrip(".,") if source else ""
        for name in names:
            credits[name] = Credit(credited, license, url) if name in noted else Credit(author, license)
    return credits


@lru_cache(maxsize=8192)
def _pattern(glob: str) -> re.Pattern[str]:
    # DEP-5 knows only * and ?, both crossing slashes, and a backslash before any of the three.
    parts = re.findall(r"\\.|.", glob, re.DOTALL)
    wild = {"*": ".*", "?": "."}
    return re.compile("".join(wild.get(part, re.escape(part[-1])) for part in parts), re.DOTALL)


def matches(glob: str, path: str) -> bool:
    """Whether a DEP-5 pattern matches the whole path."""
    return _pattern(glob).fullmatch(path) is not None


def license_name(name: str) -> str:
    """One spelling of a licence's name: ``CC-BY-SA-4.0`` and ``CC-BY-SA 4.0`` are CC BY-SA 4.0."""
    if re.fullmatch(r"public[ -]domain", name, re.IGNORECASE):
        return "Public domain"
    creative = re.fullmatch(r"CC[ -](BY(?:-SA|-ND|-NC|-NC-SA)?)[ -](\d\.\d)", name, re.IGNORECASE)
    if creative is not None:
        return f"CC {creative[1].upper()} {creative[2]}"
    if re.fullmatch(r"CC0(?:[ -]1\.0)?", name, re.IGNORECASE):
        return "CC0 1.0"
    return re.sub(r"^(L?GPL)v(\d)", r"\1-\2", name)


def _fields(lines: list[str]) -> dict[str, str]:
    fields: dict[str, str] = {}
    current = ""
    for line in lines:
        field = _FIELD.match(line)
        if field is not None:
            current = field[1].lower()
            fields[current] = field[2]
        elif current and line[:1] in (" ", "\t"):
            fields[current] += f"\n{line.strip()}"
    return fields


def _readme_fields(lines: list[str]) -> dict[str, str]:
    """As ``_fields``, for READMEs: continuations need no indent, and the heading ``Files:`` may be missing."""
    fields: dict[str, str] = {}
    current = ""
    for line in lines:
        field = _FIELD.match(line)
        if field is not None and field[1].lower() in _README_FIELDS:
            current = field[1].lower()
            fields[current] = f"{fields[current]}\n{field[2]}" if current in fields else field[2]
        elif _BARE_FILE.match(line) and current != "files":
            fields["files"] = f"{fields.get('files', '')}\n{line.strip()}"
        elif current:
            fields[current] += f"\n{line.strip()}"
    return fields


def _holders(copyright_text: str) -> list[str]:
    holders: dict[str, None] = {}
    for line in copyright_text.split("\n"):
        holder = re.sub(r"^\s*(?:Copyright|\(c\)|©)\s*", "", line.strip(), flags=re.IGNORECASE)
        holder = re.sub(r"<[^>]*>", "", holder.replace("©", " "))
        holder = re.sub(r"^\s*(?:by\b|,)\s*", "", _YEARS.sub(" ", holder).strip())
        holder = " ".join(holder.split()).strip(" ,-")
        if holder and holder.lower() != "none":
            holders[holder] = None
    return list(holders)
