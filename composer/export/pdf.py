"""The article as PDF: A4 pages, tagged for screen readers (PDF/UA-1), with bookmarks, language and embedded fonts.

Typesetting is Typst's (https://typst.app): the article goes to it as data, never as markup, in a folder that holds
nothing else. A character that no font here has is printed as its code, ``[U+1F9A4]``, and named in the notes; a text
that would mostly consist of such codes is refused.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

from composer.errors import ExportError
from composer.export import document_tree as tree
from composer.export.figure_size import shown_share
from composer.export.page_fitting import PlacedFigure, SetPages, fitted_scales
from composer.export.pdf_fonts import CHINESE, SCRIPTS, fonts
from composer.export.picture_export import Pictures
from composer.export.sanitizing import is_right_to_left
from vision.errors import Phrase

# Columns high: a figure with its caption then fits under a paragraph on most pages.
_TALLEST = 0.85
_MISSING = re.compile(r'the text `"((?:[^"\\]|\\.)*)"` could not be displayed')
_MISSING_SHARE = 0.05
_SHOWN_MISSING = 8
_FONTS = f"{CHINESE} {SCRIPTS}"


def to_pdf(
    document: tree.Document, pictures: Pictures, made: datetime, summary: str = ""
) -> tuple[bytes, tuple[Phrase, ...]]:
    """The file, and notes on what it could not print. Raises ExportError, ImageError for a missing picture."""
    with tempfile.TemporaryDirectory(prefix="vignette-pdf-") as name:
        root = Path(name)
        content = _document_json(document, pictures, root, summary)
        return _typeset(content, root, made)


def _typeset(content: dict[str, Any], root: Path, made: datetime) -> tuple[bytes, tuple[Phrase, ...]]:
    # The fetched faces have Japanese and Korean characters in their Chinese forms: the system's may have better.
    if content["language"] not in ("ja", "ko"):
        data, missing = _compile(content, root, made, system_fonts=False)
        if data is not None:
            return data, ()
    data, missing = _compile(content, root, made, system_fonts=True)
    if data is not None:
        return data, ()
    unprintable: set[str] = set()
    # A character that stands in a font as part of a cluster only may show up after its neighbours are spelled out.
    for _ in range(4):
        unprintable |= missing
        _refuse_unreadable(content, unprintable)
        data, missing = _compile(_spelled_out(content, unprintable), root, made, system_fonts=True)
        if data is not None:
            note = Phrase(
                "pdf_codes", {"characters": _listed(unprintable), "code": _code(min(unprintable)), "fonts": _FONTS}
            )
            return data, (note,)
    raise ExportError("pdf_characters", characters=_listed(missing))


def _compile(
    content: dict[str, Any], root: Path, made: datetime, *, system_fonts: bool
) -> tuple[bytes | None, set[str]]:
    """The PDF, or None and the characters that no font has."""
    import typst

    figures = list(_figures(content["blocks"]))

    def compiler(scales: Sequence[float]) -> typst.Compiler:
        for figure, scale in zip(figures, scales, strict=True):
            figure["scale"] = scale
        # PDF/UA forbids a byte order mark within text; the word joiner is its modern form.
        text = json.dumps(content, ensure_ascii=False).replace("\ufeff", "\u2060")
        (root / "document.json").write_text(text, encoding="utf-8")
        return typst.Compiler(
            _template(), root=str(root), font_paths=fonts(system=system_fonts), ignore_system_fonts=not system_fonts
        )

    def typeset(scales: Sequence[float]) -> bytes:
        data, _ = compiler(scales).compile_with_warnings(format="pdf", pdf_standards=["ua-1"], timestamp=made)
        assert isinstance(data, bytes)
        return data

    def set_with(scales: Sequence[float]) -> SetPages:
        found = json.loads(compiler(scales).query("<setting>", field="value", one=True))
        return SetPages(**found | {"figures": [PlacedFigure(*figure) for figure in found["figures"]]})

    natural = [1.0] * len(figures)
    try:
        data = typeset(natural)
        scales = fitted_scales(len(figures), set_with) if figures else []
        return data if scales == natural else typeset(scales), set()
    except typst.TypstError as error:
        missing = {char for found in _MISSING.findall(error.diagnostic) for char in _unescaped(found)}
        if not missing:
            raise ExportError("pdf_refused", reason=error.message) from error
        return None, missing


def _figures(blocks: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The figures among blocks whose size may be fitted, those in lists and quotes too, in reading order."""
    for block in blocks:
        if block["kind"] == "figure" and not block["side"]:
            yield block
        for inner in [block.get("blocks", []), *block.get("items", [])]:
            yield from _figures(inner)


def _template() -> bytes:
    return files("composer.export").joinpath("styles/article.typ").read_bytes()


def _unescaped(text: str) -> str:
    r"""What Rust's Debug form of a string stands for: ``\u{7}``, ``\"``, ``\\`` and the like."""
    text = re.sub(r"\\u\{([0-9a-fA-F]+)\}", lambda match: chr(int(match[1], 16)), text)
    return re.sub(r"\\(.)", lambda match: {"n": "\n", "t": "\t", "r": "\r", "0": "\0"}.get(match[1], match[1]), text)


def _refuse_unreadable(content: dict[str, Any], unprintable: set[str]) -> None:
    letters = [char for text in _texts(content) for char in text if not char.isspace()]
    share = sum(char in unprintable for char in letters) / max(len(letters), 1)
    if share > _MISSING_SHARE and len(letters) > 40:
        raise ExportError("pdf_fonts", characters=_listed(unprintable), share=share, fonts=_FONTS)


def _listed(chars: set[str]) -> str:
    shown = " ".join(char if char.isprintable() else _code(char) for char in sorted(chars)[:_SHOWN_MISSING])
    return shown + (" …" if len(chars) > _SHOWN_MISSING else "")


def _code(char: str) -> str:
    return f"[U+{ord(char):04X}]"


# Strings of the tree that are read by the template and never printed.
_UNPRINTED = frozenset(
    {"kind", "file", "link", "script", "source_url", "language", "region", "alt", "title", "summary", "aligns"}
)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key not in _UNPRINTED:
                yield from _texts(item)


def _spelled_out(value: Any, unprintable: set[str]) -> Any:
    if isinstance(value, str):
        return "".join(_code(char) if char in unprintable else char for char in value)
    if isinstance(value, list):
        return [_spelled_out(item, unprintable) for item in value]
    if isinstance(value, dict):
        return {key: item if key in _UNPRINTED else _spelled_out(item, unprintable) for key, item in value.items()}
    return value


def _document_json(document: tree.Document, pictures: Pictures, root: Path, summary: str) -> dict[str, Any]:
    written: dict[str, tuple[str, int, int]] = {}
    cited: set[int] = set()

    def printed(runs: tuple[tree.Run, ...]) -> list[dict[str, Any]]:
        return [asdict(run) | _first_cited(run, cited) for run in runs]

    def block(value: tree.Block) -> dict[str, Any]:
        match value:
            case tree.Heading():
                return {
                    "kind": "heading",
                    "level": value.level,
                    "runs": printed(value.runs),
                    "rtl": _turned(value.runs),
                }
            case tree.Paragraph():
                return {"kind": "paragraph", "runs": printed(value.runs), "rtl": _turned(value.runs)}
            case tree.ItemList():
                items = [[block(inner) for inner in item] for item in value.items]
                numbers = {"ordered": value.ordered, "start": value.start}
                return {"kind": "list", **numbers, "items": items, "rtl": value.right_to_left}
            case tree.Quote():
                blocks = [block(inner) for inner in value.blocks]
                return {"kind": "quote", "blocks": blocks, "rtl": value.right_to_left}
            case tree.Code():
                return {"kind": "code", "text": value.text}
            case tree.Table():
                rows = [[printed(cell) for cell in row] for row in value.rows]
                return {"kind": "table", "rows": rows, "aligns": list(value.aligns), "rtl": value.right_to_left}
            case tree.Rule():
                return {"kind": "rule"}
            case tree.Contents():
                return {"kind": "contents", "title": value.title, "levels": list(value.levels)}
            case tree.FigureBlock():
                return figure(value)

    def figure(value: tree.FigureBlock) -> dict[str, Any]:
        key = value.picture if isinstance(value.picture, str) else value.picture.id
        if key not in written:
            picture = pictures.ready(value.picture)
            name = f"/picture-{len(written)}{picture.kind.suffix}"
            (root / name[1:]).write_bytes(picture.data)
            written[key] = (name, picture.width_px, picture.height_px)
        name, width_px, height_px = written[key]
        share = shown_share(width_px, height_px, _TALLEST, value.width_share)
        return {
            "kind": "figure",
            "file": name,
            "share": share,
            "side": value.side,
            "beside": value.beside,
            "alt": value.alt,
            "caption": value.caption,
            "caption_rtl": is_right_to_left(value.caption),
            "credit": value.credit,
            "credit_rtl": is_right_to_left(value.credit),
            "source_url": value.source_url,
        }

    primary, *rest = document.language.split("-")
    return {
        "title": document.title,
        "language": primary.lower(),
        "region": next((part.upper() for part in rest if len(part) == 2), "CN" if primary.lower() == "zh" else ""),
        "summary": summary,
        "heading": printed(document.heading),
        "heading_rtl": _turned(document.heading),
        "blocks": [block(value) for value in document.blocks],
        "around_tables": [
            [around.start, number, around.stop]
            for number, value in enumerate(document.blocks)
            if isinstance(value, tree.Table) and (around := tree.around_table(document.blocks, number))
        ],
        "notes": list(document.notes),
    }


def _first_cited(run: tree.Run, cited: set[int]) -> dict[str, bool]:
    """Whether the run is the first to cite its note, under which the note is printed."""
    if not run.note:
        return {}
    first = run.note not in cited
    cited.add(run.note)
    return {"first": first}


def _turned(runs: tuple[tree.Run, ...]) -> bool:
    return is_right_to_left("".join(run.text for run in runs))
