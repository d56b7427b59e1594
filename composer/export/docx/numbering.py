"""Numbered and bulleted lists of a Word document, each counting for itself.

Word counts by numbering definitions, not by paragraphs: lists that share one go on counting where the last ended. Each
list gets a number of its own over one of two definitions (ECMA-376 part 1, 17.9). Knows nothing of what items hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls, qn
from docx.shared import Length, Mm

if TYPE_CHECKING:
    from docx.document import Document
    from docx.text.paragraph import Paragraph

_LEVELS = 9
_INDENT = Mm(7)
_HANGING = Mm(6)
_BULLETS = ("•", "–", "▪")
_FORMATS = ("decimal", "lowerLetter", "lowerRoman")
# Far from the definitions that python-docx's template brings.
_BULLET_DEFINITION, _NUMBER_DEFINITION = 900, 901


class Numbering:
    def __init__(self, document: Document) -> None:
        self._root: Any = document.part.numbering_part.element
        first = self._root.find(qn("w:num"))
        for id_, ordered in ((_BULLET_DEFINITION, False), (_NUMBER_DEFINITION, True)):
            definition = parse_xml(_definition(id_, ordered))
            # The schema wants every definition before the first number.
            first.addprevious(definition) if first is not None else self._root.append(definition)
        self._last = max((int(num.get(qn("w:numId"))) for num in self._root.findall(qn("w:num"))), default=0)

    def start(self, ordered: bool, first: int, depth: int) -> int:
        """A new list's number; ``first`` is what an ordered one begins with at that depth."""
        self._last += 1
        override = f'<w:lvlOverride w:ilvl="{depth}"><w:startOverride w:val="{first}"/></w:lvlOverride>'
        definition = _NUMBER_DEFINITION if ordered else _BULLET_DEFINITION
        self._root.append(
            parse_xml(
                f'<w:num {nsdecls("w")} w:numId="{self._last}"><w:abstractNumId w:val="{definition}"/>'
                f"{override if ordered else ''}</w:num>"
            )
        )
        return self._last

    def number(self, paragraph: Paragraph, list_number: int, depth: int) -> None:
        """Make the paragraph an item of that list."""
        properties = paragraph._p.get_or_add_pPr()
        numbers = properties.get_or_add_numPr()
        numbers.get_or_add_ilvl().val = depth
        numbers.get_or_add_numId().val = list_number

    def indent(self, paragraph: Paragraph, depth: int) -> None:
        """Set a further paragraph of an item under its first."""
        paragraph.paragraph_format.left_indent = Length(int(_INDENT) * (depth + 1))


def _definition(id_: int, ordered: bool) -> str:
    levels = "".join(_level(depth, ordered) for depth in range(_LEVELS))
    return (
        f'<w:abstractNum {nsdecls("w")} w:abstractNumId="{id_}">'
        f'<w:multiLevelType w:val="multilevel"/>{levels}</w:abstractNum>'
    )


def _level(depth: int, ordered: bool) -> str:
    kind = _FORMATS[depth % len(_FORMATS)] if ordered else "bullet"
    text = f"%{depth + 1}." if ordered else _BULLETS[depth % len(_BULLETS)]
    return (
        f'<w:lvl w:ilvl="{depth}"><w:start w:val="1"/><w:numFmt w:val="{kind}"/><w:lvlText w:val="{text}"/>'
        f'<w:lvlJc w:val="left"/><w:pPr><w:ind w:left="{int(_INDENT) * (depth + 1) // 635}" '
        f'w:hanging="{int(_HANGING) // 635}"/></w:pPr></w:lvl>'
    )
