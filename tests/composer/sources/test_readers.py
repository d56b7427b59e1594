"""Every kind of document gives the same paragraphs under the same headings, with pages where it has them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pypdf
import pytest
from docx import Document
from PIL import Image

from composer.errors import SourceError, UsageError
from composer.sources.document import SourceDocument
from composer.sources.docx_markdown import docx_markdown, read_text_to_illustrate
from composer.sources.reading import SourceFile, find_files, load, read
from tests.composer.sources import document_files as made

KINDS = {
    "md": made.markdown,
    "html": made.html,
    "docx": made.docx,
    "epub": made.epub,
    "pdf": made.pdf,
    "txt": made.text,
}
PAGES = {"docx": ("1", "2"), "epub": ("41", "42"), "pdf": ("7", "8"), "txt": ("1", "2")}


def read_file(path: Path) -> SourceDocument:
    file = SourceFile(path, path.name)
    return read(file, load(file)[1])


@pytest.mark.parametrize("kind", KINDS)
def test_the_words_stand_under_their_headings_with_their_pages(kind: str, tmp_path: Path) -> None:
    document = read_file(KINDS[kind](tmp_path))
    first, second = PAGES.get(kind, ("", ""))
    said = [(block.text, block.heading, block.page) for block in document.blocks]
    assert (made.FIRST, "Hunting", first) in said
    assert (made.SECOND, "Nesting", second) in said
    assert ("reeds and willows", "Nesting", second) in said
    everything = " ".join(block.text for block in document.blocks)
    for unseen in ("Imprint", "Home", "no text", "unseen", "Only the contents", "Rivers of the World", "[4]", "title:"):
        assert unseen not in everything


@pytest.mark.parametrize("kind", ["md", "html", "docx", "epub", "pdf"])
def test_title_and_author_are_the_documents_own(kind: str, tmp_path: Path) -> None:
    document = read_file(KINDS[kind](tmp_path))
    assert document.title == made.TITLE
    assert document.author == made.AUTHOR


@pytest.mark.parametrize("kind", ["md", "html", "docx", "epub", "pdf"])
def test_pictures_come_with_their_captions(kind: str, tmp_path: Path) -> None:
    (picture,) = read_file(KINDS[kind](tmp_path)).pictures
    assert Image.open(io.BytesIO(picture.data)).size == (320, 240)
    assert picture.caption.endswith(made.CAPTION)
    assert picture.alt == ("" if kind == "pdf" else "blue bird")


@pytest.mark.parametrize("kind", ["md", "html", "docx", "epub"])
def test_a_row_of_a_table_is_one_block(kind: str, tmp_path: Path) -> None:
    assert "martin; five" in [block.text for block in read_file(KINDS[kind](tmp_path)).blocks]


def test_a_sentence_that_runs_over_a_page_belongs_to_the_page_it_begins_on(tmp_path: Path) -> None:
    said = {block.text: block.page for block in read_file(made.pdf(tmp_path)).blocks}
    assert said["The third page says that the water is slow in summer."] == "9"
    assert said["Eels rest there."] == "10"


def scanned_pdf(folder: Path) -> Path:
    Image.new("L", (600, 800), 240).save(folder / "scan.pdf")
    return folder / "scan.pdf"


def locked_pdf(folder: Path) -> Path:
    writer = pypdf.PdfWriter(clone_from=made.pdf(folder))
    writer.encrypt("secret", algorithm="RC4-128")
    writer.write(folder / "locked.pdf")
    return folder / "locked.pdf"


def locked_epub(folder: Path) -> Path:
    path = made.epub(folder)
    with zipfile.ZipFile(path, "a") as book:
        method = '<EncryptionMethod Algorithm="http://www.w3.org/2001/04/xmlenc#aes128-cbc"/>'
        book.writestr("META-INF/encryption.xml", f"<encryption><EncryptedData>{method}</EncryptedData></encryption>")
    return path


def cut_short(kind: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = KINDS[kind](folder)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        return path

    return make


def written(name: str, data: bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    return make


def empty_docx(folder: Path) -> Path:
    Document().save(str(folder / "empty.docx"))
    return folder / "empty.docx"


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (scanned_pdf, "source_scanned"),
        (locked_pdf, "source_locked"),
        (locked_epub, "source_locked"),
        (written("old.docx", b"\xd0\xcf\x11\xe0" + bytes(600)), "source_locked"),
        (cut_short("docx"), "source_damaged"),
        (cut_short("epub"), "source_damaged"),
        (written("a.pdf", b"%PDF-1.7\nnothing"), "source_damaged"),
        (written("a.epub", b"PK nothing"), "source_damaged"),
        (written("a.docx", b""), "source_damaged"),
        (written("a.txt", b"\x00\x01\x02" * 50), "source_no_text"),
        (written("a.md", b"  \n"), "source_empty"),
        (written("a.html", b"<html><body><nav>Menu</nav></body></html>"), "source_empty"),
        (written("a.html", b""), "source_no_text"),
        (empty_docx, "source_empty"),
    ],
)
def test_what_cannot_be_used_says_why(make: Callable[[Path], Path], key: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        read_file(make(tmp_path))
    assert caught.value.key == key


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252", "gb18030", "shift_jis"])
def test_text_is_read_in_the_encoding_it_was_saved_in(encoding: str, tmp_path: Path) -> None:
    said = {
        "gb18030": "翠鸟从悬在缓流之上的枝头俯冲下来，把捕到的鱼在木头上摔打。这种鸟住在陡峭的河岸边。" * 4,
        "shift_jis": "カワセミは、ゆっくり流れる水の上にかかる枝から飛び込みます。とった魚を木にたたきつけます。" * 4,
    }.get(
        encoding, "Der Eisvogel stürzt sich von einem Ast über träge fließendem Wasser. Er schlägt die Beute ans Holz."
    )
    path = tmp_path / "a.txt"
    path.write_bytes(said.encode(encoding))
    assert read_file(path).blocks[0].text == said


def test_a_folder_is_read_in_order_and_what_is_left_out_is_named(tmp_path: Path) -> None:
    for name in ("b.md", "a/deep.txt", ".hidden.md", ".git/x.md", "~$b.docx", "photo.jpg", "old.doc", "c.PDF"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("Some words of a document.")
    (tmp_path / "link.md").symlink_to("/etc/passwd")
    files, left_out = find_files([tmp_path, tmp_path / "b.md"])
    assert [file.name for file in files] == ["b.md", "c.PDF", "a/deep.txt"]
    assert [(phrase.key, phrase.values["file"]) for phrase in left_out] == [("source_kind", "old.doc")]
    with pytest.raises(UsageError, match="source_missing"):
        find_files([tmp_path / "nowhere"])


def test_a_picture_outside_the_documents_folder_is_not_taken(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (tmp_path / "secret.png").write_bytes(made.picture_bytes())
    (inner / "link.png").symlink_to(tmp_path / "secret.png")
    names = ("../secret.png", str(tmp_path / "secret.png"), "link.png", "https://example.org/a.png", "none.png")
    path = inner / "a.md"
    path.write_text("Five words stand here, too.\n\n" + "\n\n".join(f"![x]({name})" for name in names))
    assert read_file(path).pictures == ()


def test_a_text_to_illustrate_is_read_from_word_as_from_markdown(tmp_path: Path) -> None:
    (tmp_path / "boat.DOCX").write_bytes(made.word_document())
    (tmp_path / "boat.md").write_text("# Our boat\n")
    assert read_text_to_illustrate(tmp_path / "boat.DOCX") == docx_markdown(made.word_document())
    assert read_text_to_illustrate(tmp_path / "boat.md") == "# Our boat\n"
    (tmp_path / "none.docx").write_bytes(b"no document")
    with pytest.raises(SourceError):
        read_text_to_illustrate(tmp_path / "none.docx")
    with pytest.raises(UsageError, match=r"^file_unreadable"):
        read_text_to_illustrate(tmp_path / "absent.docx")


def test_a_word_document_is_markdown_to_illustrate_with_no_word_taken_for_markup() -> None:
    assert docx_markdown(made.word_document()) == (
        "# Our boat\n\nShe is **blue and** *old*, 3 \\* 4 = \\[12\\].\n\n## The hull\n\n1999\\. A good year\n\n"
        "- oak\n- tar\n\n> Mind the rudder.\n\n| part | made of |\n| --- | --- |\n| mast | a\\|b |\n\nThe end\n"
    )
