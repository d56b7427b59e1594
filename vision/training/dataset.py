"""Illustrated articles as training and evaluation data.

A data folder holds ``train.jsonl`` and ``dev.jsonl`` (any split name works), one article a line: ``id``, ``book``,
``title``, ``license``, ``source`` and ``blocks`` in document order, of type ``heading``, ``paragraph`` (``text``) or
``figure`` (``image`` relative to the folder, ``alt``, ``caption``). Knows no models.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from vision.errors import DataError

BlockKind: TypeAlias = Literal["heading", "paragraph", "figure"]


@dataclass(frozen=True, slots=True)
class Block:
    """``text`` of a heading or paragraph; ``image``, ``alt`` and ``caption`` (credit stripped) of a figure."""

    kind: BlockKind
    text: str = ""
    image: Path | None = None
    alt: str = ""
    caption: str = ""


@dataclass(frozen=True, slots=True)
class TrainingArticle:
    id: str
    book: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """One photograph with what is said of it. ``before`` and ``after`` are the nearest paragraphs, "" at an end."""

    image: Path
    alt: str
    caption: str
    book: str
    article: str
    title: str
    before: str
    after: str

    @property
    def section(self) -> str:
        """The query "which picture belongs here": the article's title and the paragraph before the figure."""
        return f"{self.title}. {self.before}"


def read_articles(folder: Path, split: str) -> list[TrainingArticle]:
    """The articles of ``folder/split.jsonl``.

    Raises DataError where the folder or the file is missing, a line is not of the format, or a picture is not there.
    """
    file = folder / f"{split}.jsonl"
    if not file.is_file():
        what = f"has no {split}.jsonl" if folder.is_dir() else "does not exist"
        raise DataError(
            f"data folder {folder} {what}; give --data a folder with {split}.jsonl and its images "
            "(one article a line: id, book, title, blocks)"
        )
    articles = []
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                articles.append(_article(json.loads(line), folder))
            except (ValueError, KeyError, TypeError) as error:
                reason = f"lacks {error}" if isinstance(error, KeyError) else str(error)
                raise DataError(f"{file} line {number}: {reason}; correct the line or leave it out") from error
    if not articles:
        raise DataError(f"{file} is empty; it needs one article a line")
    return articles


def figures_of(articles: list[TrainingArticle]) -> list[Figure]:
    """Every photograph once, in document order: one that several articles show counts where it is first."""
    found: dict[Path, Figure] = {}
    for article in articles:
        for index, block in enumerate(article.blocks):
            if block.image is None or block.image in found:
                continue
            before = [b.text for b in article.blocks[:index] if b.kind == "paragraph"]
            after = [b.text for b in article.blocks[index + 1 :] if b.kind == "paragraph"]
            found[block.image] = Figure(
                block.image,
                block.alt,
                block.caption,
                article.book,
                article.id,
                article.title,
                before[-1] if before else "",
                after[0] if after else "",
            )
    return list(found.values())


# "(credit: Jane Doe / Flickr)", "[Source: …]", "credit a: modification of work by …": always at the end.
_CREDIT = re.compile(
    r"\s*(?:[(\[]\s*(?:(?:photo|image|figure)\s+)?(?:credits?|attribution|source|modification of|courtesy)\b"
    r"|\b(?:photo\s+|image\s+)?credits?(?:\s+(?:\w|\w+ \w+|left|right|top|bottom))?\s*:).*",
    re.IGNORECASE | re.DOTALL,
)


def strip_credit(caption: str) -> str:
    """The caption without the tail that names photographer and licence."""
    return _CREDIT.sub("", caption).strip()


def _article(row: dict[str, Any], folder: Path) -> TrainingArticle:
    return TrainingArticle(
        row["id"], row["book"], row["title"], tuple(_block(block, folder) for block in row["blocks"])
    )


def _block(row: dict[str, Any], folder: Path) -> Block:
    kind = row["type"]
    if kind in ("heading", "paragraph"):
        return Block(kind, text=row["text"])
    if kind != "figure":
        raise ValueError(f"block type {kind!r} is none of heading, paragraph, figure")
    image = folder / row["image"]
    if not image.is_file():
        raise ValueError(f"picture {row['image']} is not in {folder}")
    return Block(kind, image=image, alt=row.get("alt", "").strip(), caption=strip_credit(row.get("caption", "")))
