"""A user's own illustrated articles: a folder of Markdown, HTML, Word or EPUB files, or a data set of JSON lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from composer.article.language import text_language, writing_language
from composer.article.markdown import make_sections
from composer.article.model import Section
from composer.errors import SourceError, UsageError
from composer.sources.collection import FIGURE_NUMBER, keep_picture
from composer.sources.document import DocumentBlock, SourceDocument
from composer.sources.reading import KNOWN, find_files, load, read
from vision.errors import Phrase
from vision.training.dataset import TrainingArticle, read_articles, strip_credit

DATA_SPLIT = "train"
PICTURES_FOLDER = "pictures"
_SAME = 0.5  # of an article's paragraphs in an earlier one: the same article once more, in another format
_LANGUAGE_CHARS = 20_000


@dataclass(frozen=True, slots=True)
class ArticleFigure:
    """A picture and its words, after which section (its index) it stands."""

    picture: Path
    after_section: int
    caption: str = ""
    alt: str = ""

    @property
    def words(self) -> str:
        """What is said of what it shows."""
        return self.alt or self.caption


@dataclass(frozen=True, slots=True)
class OwnArticle:
    """``name`` is that of its file, or its id in a data set; ``language`` one that Vignette writes in."""

    name: str
    title: str
    language: str
    sections: tuple[Section, ...]
    figures: tuple[ArticleFigure, ...]


def read_own_articles(path: Path, cache: Path) -> tuple[list[OwnArticle], list[Phrase]]:
    """All articles that ``path`` holds, and what was left out. Pictures inside documents are written to ``cache``, the
    folder of the run.

    ``path`` is a .jsonl file or a folder with a ``train.jsonl``, else a document or a folder of documents. Raises
    UsageError where there is none, DataError for a data set that is not of the format.
    """
    if path.suffix == ".jsonl" or (path / f"{DATA_SPLIT}.jsonl").is_file():
        folder, split = (path.parent, path.stem) if path.suffix == ".jsonl" else (path, DATA_SPLIT)
        return [_of_data(article) for article in read_articles(folder, split)], []
    files, left_out = find_files([path])
    # The run's own folder may lie among the articles, and PEFT writes a page into it.
    files = [file for file in files if not file.path.resolve().is_relative_to(cache.resolve())]
    found: list[OwnArticle] = []
    for file in files:
        try:
            _, data = load(file)
            document = read(file, data)
        except SourceError as error:
            left_out.append(Phrase("source_left_out", {"file": file.name, "reason": error}))
            continue
        article = _of_document(file.name, document, cache / PICTURES_FOLDER)
        if twin := _twin(article, found):
            left_out.append(Phrase("tuning_same_article", {"file": file.name, "twin": twin}))
            continue
        found.append(article)
    if not found:
        raise UsageError("tuning_no_articles", path=str(path), known=KNOWN, problems=left_out)
    return found, left_out


def _of_data(article: TrainingArticle) -> OwnArticle:
    blocks: list[DocumentBlock] = []
    figures: list[ArticleFigure] = []
    heading = ""
    for block in article.blocks:
        if block.kind == "heading":
            heading = block.text
        elif block.kind == "paragraph":
            blocks.append(DocumentBlock(block.text, heading=heading))
        elif block.image is not None:
            figures.append(ArticleFigure(block.image, max(0, len(blocks) - 1), block.caption, block.alt))
    return _article(article.id, article.title, blocks, figures)


def _of_document(name: str, document: SourceDocument, folder: Path) -> OwnArticle:
    figures = []
    for picture in document.pictures:
        folder.mkdir(parents=True, exist_ok=True)
        if kept := keep_picture(folder, picture):
            caption = strip_credit(FIGURE_NUMBER.sub("", picture.caption))
            figures.append(ArticleFigure(folder / kept, max(0, picture.after - 1), caption, picture.alt))
    return _article(name, document.title or Path(name).stem, document.blocks, figures)


def _article(name: str, title: str, blocks: Sequence[DocumentBlock], figures: Sequence[ArticleFigure]) -> OwnArticle:
    said: list[str] = []
    heading = ""
    for block in blocks:
        opens = bool(block.heading) and block.heading != heading
        heading = block.heading
        said.append(f"## {heading}\n\n{block.text}" if opens else block.text)
    tag = text_language("\n".join(said)[:_LANGUAGE_CHARS])
    return OwnArticle(name, title, writing_language(tag), make_sections(said), tuple(figures))


def _twin(article: OwnArticle, earlier: Sequence[OwnArticle]) -> str:
    """The name of an article that has most of this one's paragraphs."""
    mine = {section.body.casefold() for section in article.sections}
    for other in earlier:
        theirs = {section.body.casefold() for section in other.sections}
        if len(mine & theirs) > _SAME * min(len(mine), len(theirs)):
            return other.name
    return ""
