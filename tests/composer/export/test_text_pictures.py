"""Pictures that a text shows from its own folder go with it into every format; those that are not there are named."""

from __future__ import annotations

import base64
import io
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from composer.article.markdown import parse_markdown
from composer.article.model import Article
from composer.export.article_folder import load_article, save_article
from composer.export.export import download, export
from composer.export.picture_export import Pictures, in_folder, in_library
from tests.composer.article_samples import picture
from tests.composer.document_samples import DOCUMENTS, MADE
from tests.composer.export_reading import ReadDocx, ReadEpub, ReadPdf, check_docx, check_epub
from vision.errors import Phrase

TEXT = """\
The lane begins at the mill.

![The mill](images/mill.jpg "The old mill")

It ends ![a gate](<art work/gate green.png>) at the farm, ![lost](nowhere/lost.jpg) as told.

- a list ![sketch](sketch.svg)
- ![](notes.jpg)

![web](https://example.org/x.png) ![up](../secret.jpg) ![abs](/etc/passwd)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    text = tmp_path / "text"
    exif = Image.Exif()
    exif[0x010F] = "Secret Camera"
    (text / "images").mkdir(parents=True)
    (text / "art work").mkdir()
    Image.new("RGB", (900, 600), "brown").save(text / "images/mill.jpg", exif=exif)
    Image.new("RGBA", (300, 200), (0, 120, 0, 90)).save(text / "art work/gate green.png")
    (text / "sketch.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    (text / "notes.jpg").write_text("no picture at all")
    picture(tmp_path, "secret.jpg")
    return text


@pytest.fixture
def article() -> Article:
    return Article("The lane", "en", parse_markdown(TEXT).sections)


MISSING = [Phrase("text_picture_missing", {"picture": name}) for name in ("nowhere/lost.jpg", "notes.jpg")]


def test_a_saved_article_has_them_at_the_places_that_the_text_names(
    article: Article, folder: Path, tmp_path: Path
) -> None:
    notes: list[Phrase] = []
    save_article(article, tmp_path / "out", text_folder=folder, notes=notes)
    kept = {p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.*")}
    assert kept >= {"images/mill.jpg", "art work/gate green.png", "sketch.svg"}
    assert [(note.key, note.values) for note in notes] == [(note.key, note.values) for note in MISSING]
    with Image.open(tmp_path / "out/images/mill.jpg") as mill:
        assert mill.size == (900, 600)
        assert not mill.getexif(), "what the camera wrote stays at home"
    assert TEXT.split("\n\n", 1)[1] in (tmp_path / "out/article.md").read_text()
    html = (tmp_path / "out/article.html").read_text()
    assert re.findall(r'<img src="([^"]*)" alt="([^"]*)"', html) == [
        ("images/mill.jpg", "The mill"),
        ("art%20work/gate%20green.png", "a gate"),
        ("sketch.svg", "sketch"),
    ]
    assert "lost at the" not in html
    assert " lost as told" in html, "what is not there stands there in words"
    assert not list((tmp_path / "out").rglob("*secret*"))


def test_every_document_shows_them(article: Article, folder: Path) -> None:
    pictures = Pictures(article, in_library, text_folder=folder)
    made = {f: export(article, f, pictures, made=MADE).files[f"article.{f}"] for f in ("html", *DOCUMENTS)}
    html = made["html"].decode()
    sources = re.findall(r'<img src="data:image/(jpeg|png);base64,([^"]*)" alt="([^"]*)"', html)
    assert [(kind, alt) for kind, _, alt in sources] == [("jpeg", "The mill"), ("png", "a gate")]
    assert base64.b64decode(sources[0][1]).startswith(b"\xff\xd8")
    check_docx(made["docx"])
    word = ReadDocx(made["docx"])
    assert word.alternatives == ["The mill", "a gate"]
    assert ("Caption", "The old mill") in word.paragraphs
    check_epub(made["epub"])
    book = ReadEpub(made["epub"])
    namespace = "{http://www.w3.org/1999/xhtml}img"
    images: list[Any] = list(book.chapter.iter(namespace))
    assert [image.get("alt") for image in images] == ["The mill", "a gate"]
    with zipfile.ZipFile(io.BytesIO(made["epub"])) as archive:
        assert all(f"EPUB/{image.get('src')}" in archive.namelist() for image in images)
    pdf = ReadPdf(made["pdf"])
    assert [alt for role, alt in pdf.structure if role == "Figure"] == ["The mill", "a gate"]


def test_a_download_brings_them_along_and_names_the_missing(article: Article, folder: Path) -> None:
    packed = download(article, ("md",), Pictures(article, in_library, text_folder=folder), made=MADE)
    with zipfile.ZipFile(io.BytesIO(packed.data)) as archive:
        assert {"the-lane/images/mill.jpg", "the-lane/art work/gate green.png"} <= set(archive.namelist())
    assert list(packed.notes) == MISSING
    nowhere = download(article, ("pdf",), Pictures(article, in_library), made=MADE)
    assert len(nowhere.notes) == 5, "a text that was pasted brings none"


def test_a_folder_that_was_saved_exports_them_again(article: Article, folder: Path, tmp_path: Path) -> None:
    save_article(article, tmp_path / "out", text_folder=folder)
    loaded = load_article(tmp_path / "out")
    pictures = Pictures(loaded, in_folder(loaded, tmp_path / "out/images"), text_folder=tmp_path / "out")
    data = export(loaded, "docx", pictures, made=MADE).files["article.docx"]
    assert ReadDocx(data).alternatives == ["The mill", "a gate"]


def test_no_link_and_no_name_leads_out_of_the_texts_folder(folder: Path, tmp_path: Path) -> None:
    (folder / "linked.jpg").symlink_to(tmp_path / "secret.jpg")
    (folder / "up").symlink_to(tmp_path)
    names = ("linked.jpg", "up/secret.jpg", "..%2Fsecret.jpg", "images/..%2f..%2fsecret.jpg", "a%00.jpg", "C:%5Cx.jpg")
    text = "\n\n".join(f"![x](<{name}>)" for name in names)
    article = Article("T", "en", parse_markdown(text).sections)
    pictures = Pictures(article, in_library, text_folder=folder)
    assert [pictures.of_text(name) for name in names] == [None] * len(names)
    assert [pictures.text_file(name) for name in names] == [None] * len(names)
    save_article(article, tmp_path / "out", text_folder=folder)
    assert not list((tmp_path / "out").rglob("*.jpg"))


def test_pictures_of_html_tags_and_of_references_come_along_and_those_of_code_do_not(
    folder: Path, tmp_path: Path
) -> None:
    text = (
        'Words <img alt="x" src="images/mill.jpg" width=20> more.\n\n![gate][g]\n\n'
        '```html\n<img src="code.png">\n```\n\n`<img src="inline.png">`\n\n[g]: <art work/gate green.png>\n'
    )
    notes: list[Phrase] = []
    article = Article("T", "en", parse_markdown(text).sections)
    save_article(article, tmp_path / "out", text_folder=folder, notes=notes)
    assert (tmp_path / "out/images/mill.jpg").is_file()
    assert (tmp_path / "out/art work/gate green.png").is_file()
    assert notes == []


def test_an_article_is_never_replaced_by_a_picture_of_its_text(tmp_path: Path) -> None:
    (tmp_path / "text").mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "text/article.json", "PNG")
    article = Article("T", "en", parse_markdown("Words.\n\n![x](article.json)").sections)
    save_article(article, tmp_path / "out", text_folder=tmp_path / "text")
    assert load_article(tmp_path / "out").title == "T"
