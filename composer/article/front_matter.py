"""The lines about a text that stand before it: YAML between ``---`` and ``---`` or TOML between ``+++`` and ``+++``.

Rules and prose between rules look alike, so a block counts only where it names things (``title: A day``): a wrong guess
would take words from the reader. Jekyll, Hugo, Zola, Pandoc and Obsidian write such blocks.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field

from composer.request import LANGUAGE_TAG

# More is no description of a text, and PyYAML reads some 100 kB a second.
_MOST_CHARS = 50_000
_OPENING = re.compile(r"\ufeff?(?:[ \t]*(?:\r\n|\n|\r))*(---|\+\+\+)[ \t]*(?:\r\n|\n|\r)(?![ \t]*[\r\n])")
_CLOSING = {
    "---": re.compile(r"(?<=[\r\n])(?:---|\.\.\.)[ \t]*(?:\r\n|\n|\r|\Z)"),
    "+++": re.compile(r"(?<=[\r\n])\+\+\+[ \t]*(?:\r\n|\n|\r|\Z)"),
}
# A line of what YAML refuses, such as ``title: Harbour: at dawn``, still names something.
_NAMED_LINE = re.compile(r"([^\W\d][\w.-]*)[ \t]*:(?:[ \t]+(.*))?\Z|[ \t]+\S.*\Z|- .*\Z|#.*\Z|[ \t]*\Z")
_KEY = re.compile(r"[a-z_][\w.-]*\Z")
_KNOWN = frozenset(
    """
    title subtitle date author authors lang language tags tag categories category description summary draft layout
    aliases slug permalink cssclasses keywords status type weight
    标题 標題 作者 日期 标签 標籤 分类 分類 语言 語言
    """.split()  # noqa: SIM905
)
_LANGUAGE_KEYS = ("lang", "language", "locale")


@dataclass(frozen=True, slots=True)
class FrontMatter:
    """``end`` is where the text begins; ``values`` are the plain values by their keys in small letters."""

    end: int
    values: Mapping[str, str] = field(default_factory=dict)
    # Where the value of the title stands in the source, None in TOML.
    title_span: tuple[int, int] | None = None
    toml: bool = False

    @property
    def title(self) -> str:
        return " ".join(self.values.get("title", self.values.get("标题", "")).split())

    @property
    def language(self) -> str:
        """A tag of BCP 47, or empty."""
        named = (self.values.get(key, "").replace("_", "-") for key in _LANGUAGE_KEYS)
        return next((tag for tag in named if LANGUAGE_TAG.fullmatch(tag)), "")


def front_matter(source: str) -> FrontMatter | None:
    """The block that the source begins with, a byte order mark aside; None where there is none."""
    opening = _OPENING.match(source)
    if opening is None:
        return None
    marks = opening[1]
    closing = _CLOSING[marks].search(source, opening.end(), opening.end() + _MOST_CHARS)
    if closing is None:
        return None
    content = source[opening.end() : closing.start()]
    if marks == "+++":
        return _toml(content, closing.end())
    return _yaml(content, opening.end(), closing.end())


def with_title(source: str, title: str) -> str:
    """The source with another title in its front matter; the same where that names none."""
    front = front_matter(source)
    if front is None or "title" not in front.values:
        return source
    if front.title_span is not None:
        start, end = front.title_span
        # A JSON string is a double-quoted string of YAML.
        line_end = re.search(r"\s*\Z", source[start:end])
        kept = line_end.group() if line_end else ""
        return f"{source[:start]}{json.dumps(title, ensure_ascii=False)}{kept}{source[end:]}"
    if not front.toml:
        return source
    import tomlkit

    head, marks, rest = re.split(r"(?<=\+\+\+)([ \t]*(?:\r\n|\n|\r))", source[: front.end], maxsplit=1)
    content, closing = rest[: rest.rindex("+++")], rest[rest.rindex("+++") :]
    document = tomlkit.parse(content)
    document["title"] = title
    return head + marks + tomlkit.dumps(document) + closing + source[front.end :]


def _yaml(content: str, start: int, end: int) -> FrontMatter | None:
    import yaml

    try:
        # Composed and not constructed: a date that is none, or a tag of another program, is no error then.
        node = yaml.compose(content, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError, ValueError):
        return _by_line(content, start, end)
    if not isinstance(node, yaml.MappingNode) or not node.value:
        return None
    keys = [key.value if isinstance(key, yaml.ScalarNode) else "" for key, _ in node.value]
    if not _names_things(keys):
        return None
    values: dict[str, str] = {}
    span: tuple[int, int] | None = None
    for key, (_, value) in zip(keys, node.value, strict=True):
        if isinstance(value, yaml.ScalarNode) and value.tag != "tag:yaml.org,2002:null":
            values.setdefault(key.lower(), value.value)
            if key.lower() == "title" and span is None:
                span = (start + value.start_mark.index, start + value.end_mark.index)
    return FrontMatter(end, values, span)


def _by_line(content: str, start: int, end: int) -> FrontMatter | None:
    """What YAML refuses, read line by line where every line names something, goes on with it or is a remark."""
    values: dict[str, str] = {}
    span: tuple[int, int] | None = None
    keys: list[str] = []
    at = start
    for line in re.split(r"(\r\n|\n|\r)", content):
        match = _NAMED_LINE.fullmatch(line) if line.strip("\r\n") else None
        if line.strip() and match is None:
            return None
        if match is not None and match[1]:
            keys.append(match[1])
            value = (match[2] or "").strip()
            if value and match[1].lower() not in values:
                values[match[1].lower()] = _unquoted(value)
                if match[1].lower() == "title":
                    begin = at + match.start(2)
                    span = (begin, begin + len(match[2].rstrip()))
        at += len(line)
    return FrontMatter(end, values, span) if _names_things(keys) else None


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value


def _toml(content: str, end: int) -> FrontMatter | None:
    try:
        read = tomllib.loads(content.replace("\r\n", "\n").replace("\r", "\n"))
    except (ValueError, RecursionError):
        return None
    values = {key.lower(): value for key, value in read.items() if isinstance(value, str)}
    return FrontMatter(end, values, toml=True) if read else None


def _names_things(keys: list[str]) -> bool:
    """Whether these are names of a description, and not the words before the colons of a dialogue."""
    if not keys or "" in keys:
        return False
    return any(key.lower() in _KNOWN for key in keys) or all(_KEY.match(key) for key in keys)
