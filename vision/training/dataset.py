"""Illustrated articles as training and evaluation data.

A data folder holds ``train.jsonl`` and ``dev.jsonl`` (any split name works), one article a line: ``id``, ``book``,
``title``, ``license``, ``source`` and ``blocks`` in document order, of type ``heading``, ``paragraph`` (``text``) or
``figure`` (``image`` relative to the folder, ``alt``, ``caption``).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from vision.errors import DataError, Phrase

BlockKind: TypeAlias = Literal["heading", "paragraph", "figure"]


@dataclass(frozen=True, slots=True)
class TrainingBlock:
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
    blocks: tuple[TrainingBlock, ...]


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
        key = "data_split_missing" if folder.is_dir() else "data_folder_missing"
        raise DataError(key, folder=str(folder), split=split)
    articles = []
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                articles.append(_article(json.loads(line), folder))
            except KeyError as error:
                lacks = Phrase("field_missing", {"field": str(error.args[0])})
                raise DataError("data_line", file=str(file), line=number, reason=lacks) from error
            except (ValueError, TypeError, DataError) as error:
                reason = error if isinstance(error, DataError) else str(error)
                raise DataError("data_line", file=str(file), line=number, reason=reason) from error
    if not articles:
        raise DataError("data_empty", file=str(file))
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


def _block(row: dict[str, Any], folder: Path) -> TrainingBlock:
    kind = row["type"]
    if kind in ("heading", "paragraph"):
        return TrainingBlock(kind, text=row["text"])
    if kind != "figure":
        raise DataError("block_kind", kind=str(kind), known=list(get_args(BlockKind)))
    image = folder / row["image"]
    if not image.is_file():
        raise DataError("data_picture_missing", picture=row["image"], folder=str(folder))
    return TrainingBlock(
        kind, image=image, alt=row.get("alt", "").strip(), caption=strip_credit(row.get("caption", ""))
    )
