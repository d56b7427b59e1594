"""Edits of the text: functions from one ``Article`` to the next, nothing kept.

Whatever happens to the sections, every placement stays after the section whose text it stood after, or after the one
that took that text in. Gaps see to it that the sections stay blocks of their own in Markdown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from composer.article.front_matter import front_matter, with_title
from composer.article.markdown import is_paragraph, parse_markdown, with_heading
from composer.article.model import Article, Section
from composer.editing.lookup import section_at, unlocked_section
from composer.errors import EditError

_BLANK_LINE = re.compile(r"\n[ \t]*\r?\n")
# Paragraph ends, and sentence ends that are followed by more text.
_SPLIT = re.compile(r"""\n[ \t]*\r?\n\s*|[.!?…]["'”’)\]]*(\s+)(?=\S)|[。！？…][”’」』）]*(?=[^\s”’」』）])""")
_HAN_END = re.compile(r"[\u3000-\u303f\u3400-\u9fff\uff00-\uffef]$")


def edit_text(article: Article, section: int, text: str) -> Article:
    """Replace a section's Markdown, its heading line included."""
    target = unlocked_section(article, section)
    clean = _block(text)
    if clean == target.text:
        return article
    return _with_sections(article, _replaced(article.sections, section, replace(target, text=clean, edited=True)))


def confirm_claim(article: Article, section: int, claim: str) -> Article:
    """A person has checked a name, a number or a date of the section: it is marked no longer."""
    target = section_at(article, section)
    if claim not in target.unchecked:
        raise EditError("claim_gone")
    left = tuple(other for other in target.unchecked if other != claim)
    return _with_sections(article, _replaced(article.sections, section, replace(target, unchecked=left)))


def set_title(article: Article, title: str) -> Article:
    """Name the article. Where a user's own text carries the title, in a heading or front matter, it is there that it
    changes; where it has none, it gets one."""
    title = " ".join(title.split())
    if not title:
        raise EditError("title_empty")
    if title == article.title and not article.title_in_text:
        return article
    preamble = with_title(article.preamble, title)
    front = front_matter(preamble)
    start = front.end if front else 0
    headed = with_heading(preamble[start:], title)
    if headed is not None:
        preamble = preamble[:start] + headed
    elif article.title_in_text and (at := _titled_section(article)) is not None:
        text = with_heading(unlocked_section(article, at).text, title) or ""
        section = replace(article.sections[at], text=text, edited=True)
        return replace(article, title=title, preamble=preamble, sections=_replaced(article.sections, at, section))
    elif preamble and not (front and front.title):
        preamble += f"{'' if preamble[start:] else chr(10)}# {title}\n\n"
    return replace(article, title=title, title_in_text=False, preamble=preamble)


def _titled_section(article: Article) -> int | None:
    """The section whose heading the article is named after."""
    named = (i for i, s in enumerate(article.sections) if parse_markdown(s.text).title == article.title)
    return next(named, None)


def add_section(article: Article, after: int, text: str) -> Article:
    """A new section with index ``after`` + 1; -1 puts it before all others. Pictures stay with the section before."""
    if not -1 <= after < len(article.sections):
        raise EditError("gone")
    new = Section(_block(text), edited=True)
    sections = (*article.sections[: after + 1], new, *article.sections[after + 1 :])
    return _with_sections(article, sections, lambda i: i if i <= after else i + 1)


def delete_section(article: Article, section: int) -> Article:
    """Delete a section. Its pictures move to the section before it, those of the first to the one after."""
    unlocked_section(article, section)
    if len(article.sections) == 1:
        raise EditError("only_section")
    sections = (*article.sections[:section], *article.sections[section + 1 :])
    return _with_sections(article, sections, lambda i: i if i < section else max(0, i - 1))


def move_section(article: Article, section: int, to: int) -> Article:
    """Move a section and the pictures after it, so that it has index ``to``."""
    unlocked_section(article, section)
    if not 0 <= to < len(article.sections):
        raise EditError("cannot_move")
    if to == section:
        return article
    order = [i for i in range(len(article.sections)) if i != section]
    order.insert(to, section)
    places = {old: new for new, old in enumerate(order)}
    return _with_sections(article, tuple(article.sections[i] for i in order), places.__getitem__)


def split_section(article: Article, section: int, at: int) -> Article:
    """Cut a section in two at a character offset of its text. Its pictures stay after the second half."""
    target = unlocked_section(article, section)
    if not 0 < at < len(target.text):
        raise EditError("cannot_split")
    first, second = target.text[:at].rstrip(), target.text[at:].lstrip("\r\n \t")
    if not first.strip() or not second:
        raise EditError("cannot_split")
    halves = (replace(target, text=first, gap="\n\n"), replace(target, text=second))
    sections = (*article.sections[:section], *halves, *article.sections[section + 1 :])
    return _with_sections(article, sections, lambda i: i if i < section else i + 1)


def split_points(article: Article, section: int) -> tuple[int, ...]:
    """Offsets where a split leaves whole sentences on both sides, rising; none inside a heading, list or table."""
    target = section_at(article, section)
    start = len(target.text) - len(target.text.partition("\n")[2]) if target.heading else 0
    points = []
    for match in _SPLIT.finditer(target.text, start):
        sentence = "\n" not in match.group() or not _BLANK_LINE.search(match.group())
        first = target.text[start : match.end()]
        if not first.strip() or not target.text[match.end() :].strip() or (sentence and not is_paragraph(target.body)):
            continue
        points.append(match.end())
    return tuple(points)


def merge_sections(article: Article, first: int) -> Article:
    """Make one section of ``first`` and the next. Two plain paragraphs become one paragraph; other blocks stay apart.

    The pictures of both stand after it.
    """
    upper = unlocked_section(article, first)
    if first + 1 >= len(article.sections):
        raise EditError("nothing_to_merge")
    lower = unlocked_section(article, first + 1)
    joint = upper.gap if _BLANK_LINE.search(upper.gap) else "\n\n"
    if not lower.heading and is_paragraph(lower.text) and (is_paragraph(upper.body) and upper.body):
        joint = "" if _HAN_END.search(upper.text) else " "
    merged = Section(
        upper.text + joint + lower.text,
        lower.gap,
        edited=upper.edited or lower.edited,
        citations=(*upper.citations, *lower.citations),
        unchecked=tuple(dict.fromkeys((*upper.unchecked, *lower.unchecked))),
    )
    sections = (*article.sections[:first], merged, *article.sections[first + 2 :])
    return _with_sections(article, sections, lambda i: i if i <= first else i - 1)


def lock_section(article: Article, section: int, locked: bool = True) -> Article:
    """Keep a section from being changed by anybody, or let it be changed again."""
    target = section_at(article, section)
    if target.locked == locked:
        return article
    return replace(article, sections=_replaced(article.sections, section, replace(target, locked=locked)))


def _block(text: str) -> str:
    """A section's text as it may stand: without blank lines around it."""
    lines = text.rstrip().splitlines(keepends=True)
    while lines and not lines[0].strip():
        lines.pop(0)
    if not lines:
        raise EditError("section_empty")
    return "".join(lines)


def _replaced(sections: Sequence[Section], index: int, section: Section) -> tuple[Section, ...]:
    return (*sections[:index], section, *sections[index + 1 :])


def _with_sections(
    article: Article, sections: tuple[Section, ...], moved: Callable[[int], int] = lambda index: index
) -> Article:
    """The article with other sections; ``moved`` tells where the text of an old section is now."""
    placements = []
    for placement in article.placements:
        after = moved(placement.slot.after_section)
        if after != placement.slot.after_section:
            placement = replace(placement, slot=replace(placement.slot, after_section=after))
        placements.append(placement)
    return replace(article, sections=_spaced(article, sections)).with_placements(tuple(placements))


def _spaced(article: Article, sections: tuple[Section, ...]) -> tuple[Section, ...]:
    """Gaps that keep new neighbours apart. Old neighbours keep theirs, and the document its end."""
    neighbours = {(a.text, a.gap, b.text) for a, b in zip(article.sections, article.sections[1:], strict=False)}
    last = len(sections) - 1
    spaced = []
    for index, section in enumerate(sections):
        if index == last:
            gap = article.sections[-1].gap
        elif (section.text, section.gap, sections[index + 1].text) in neighbours or _BLANK_LINE.search(section.gap):
            gap = section.gap
        else:
            gap = "\n\n"
        spaced.append(section if gap == section.gap else replace(section, gap=gap))
    return tuple(spaced)
