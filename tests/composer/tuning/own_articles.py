"""A person's own illustrated articles, in the formats that people have."""

from __future__ import annotations

import json
from pathlib import Path

from docx import Document
from docx.shared import Inches

from tests.composer.small_pipeline import paint

# Title, heading, colour of the wall, and what its paragraphs say.
ARTICLES = (
    ("The Harbour", "Boats", "red", "The boats lie at the quay in the morning, and their nets dry in the sun."),
    ("The Farm", "Cows", "green", "The cows wait at the gate before the sun is up, and the farmer brings them hay."),
    ("The Town", "Towers", "blue", "The towers of the town wall are older than its houses, and pigeons live in them."),
    ("The Mill", "Sails", "yellow", "The sails of the mill turn in the wind, and the stones below grind the grain."),
)
MORE = "Everybody who comes by stops there for a while, for there is always something new to see in such a place."


def caption_of(colour: str) -> str:
    return f"The {colour} wall has stood beside the path for many years"


def alt_of(colour: str) -> str:
    return f"A photograph of a {colour} wall"


def write_markdown(folder: Path, number: int) -> Path:
    title, heading, colour, text = ARTICLES[number]
    paint(folder / f"{colour}.png", colour)
    path = folder / f"{number}.md"
    picture = f'![{alt_of(colour)}]({colour}.png "{caption_of(colour)}")'
    path.write_text(f"# {title}\n\n## {heading}\n\n{text}\n\n{picture}\n\n{MORE}\n", encoding="utf-8")
    return path


def write_html(folder: Path, number: int) -> Path:
    title, heading, colour, text = ARTICLES[number]
    paint(folder / f"{colour}.png", colour)
    path = folder / f"{number}.html"
    image = f'<img src="{colour}.png" alt="{alt_of(colour)}">'
    figure = f"<figure>{image}<figcaption>{caption_of(colour)}.</figcaption></figure>"
    body = f"<h1>{title}</h1><h2>{heading}</h2><p>{text}</p>{figure}<p>{MORE}</p>"
    path.write_text(f"<html><body>{body}</body></html>", encoding="utf-8")
    return path


def write_docx(folder: Path, number: int) -> Path:
    title, heading, colour, text = ARTICLES[number]
    word = Document()
    word.core_properties.title = title
    word.add_heading(heading, 1)
    word.add_paragraph(text)
    word.add_picture(str(paint(folder / "unused" / f"{colour}.png", colour)), Inches(2))
    drawing = word.inline_shapes[0]._inline
    drawing.docPr.set("descr", alt_of(colour))
    word.add_paragraph(f"Figure 1: {caption_of(colour)}.", style="Caption")
    word.add_paragraph(MORE)
    path = folder / f"{number}.docx"
    word.save(str(path))
    return path


def write_folder(folder: Path) -> Path:
    """Four articles, of three formats."""
    folder.mkdir(parents=True)
    write_markdown(folder, 0)
    write_html(folder, 1)
    write_docx(folder, 2)
    write_markdown(folder, 3)
    return folder


def write_data(folder: Path, articles: int = len(ARTICLES)) -> Path:
    """The same as JSON lines."""
    lines = []
    for number, (title, heading, colour, text) in enumerate(ARTICLES[:articles]):
        paint(folder / "images" / f"{colour}.png", colour)
        figure = {
            "type": "figure",
            "image": f"images/{colour}.png",
            "alt": alt_of(colour),
            "caption": caption_of(colour),
        }
        blocks = [
            {"type": "heading", "text": heading},
            {"type": "paragraph", "text": text},
            figure,
            {"type": "paragraph", "text": MORE},
        ]
        row = {"id": str(number), "book": "mine", "title": title, "license": "", "source": "", "blocks": blocks}
        lines.append(json.dumps(row))
    (folder / "train.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder
