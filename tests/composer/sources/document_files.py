"""Documents of every kind that say the same, made here: nothing of anybody's is kept in the tests."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import typst
from docx import Document
from docx.oxml import OxmlElement
from PIL import Image

TITLE, AUTHOR = "Life on the River", "A. Author"
FIRST = "The kingfisher dives from a branch that hangs over slow water. It beats its catch against the wood."
SECOND = "Sand martins dig tunnels into steep banks. A colony may return to the same bank for many years."
CAPTION = "A kingfisher with a minnow"


def picture_bytes(colour: str = "steelblue", size: tuple[int, int] = (320, 240)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return file.getvalue()


def markdown(folder: Path) -> Path:
    (folder / "bird.png").write_bytes(picture_bytes())
    text = (
        f"---\ntitle: {TITLE}\nauthor: {AUTHOR}\n---\n\n## Hunting\n\n{FIRST}\n\n"
        f"![blue bird](bird.png)\n*{CAPTION}*\n\n"
        f"## Nesting\n\n{SECOND}\n\n- reeds and *willows*\n\n| kind | eggs |\n|---|---|\n| martin | five |\n"
    )
    return _written(folder / "river.md", text.encode())


def html(folder: Path) -> Path:
    (folder / "bird.png").write_bytes(picture_bytes())
    text = f"""<!DOCTYPE html><html><head><meta charset="utf-8"><title>{TITLE} | Site</title>
<meta name="author" content="{AUTHOR}"><style>p {{ color: red }}</style><script>var x = "no text";</script></head>
<body><nav><a href="/">Home</a></nav><h1>{TITLE}</h1><h2>Hunting</h2><p>The <b>kingfisher</b> dives from a branch that
hangs over slow water.<sup>[4]</sup> It beats its catch against the wood.</p>
<figure><img src="bird.png?x=1" alt="blue bird"><figcaption>{CAPTION}</figcaption></figure>
<div hidden>unseen words</div><h2>Nesting</h2><div>{SECOND}</div>
<ul><li>reeds and <i>willows</i></li></ul><table><tr><td>martin</td><td>five</td></tr></table>
<footer>Imprint</footer></body></html>"""
    return _written(folder / "river.html", text.encode())


def docx(folder: Path) -> Path:
    word = Document()
    word.core_properties.title, word.core_properties.author = TITLE, AUTHOR
    word.add_heading("Hunting", 1)
    word.add_paragraph(FIRST)
    shape = word.add_picture(io.BytesIO(picture_bytes()))
    shape._inline.docPr.set("descr", "blue bird")
    word.add_paragraph(f"Figure 1: {CAPTION}", style="Caption")
    heading = word.add_heading("Nesting", 1)
    heading.runs[0]._r.insert(0, OxmlElement("w:lastRenderedPageBreak"))
    word.add_paragraph(SECOND)
    word.add_paragraph("reeds and willows", style="List Bullet")
    table = word.add_table(rows=1, cols=2)
    table.rows[0].cells[0].text, table.rows[0].cells[1].text = "martin", "five"
    path = folder / "river.docx"
    word.save(str(path))
    return path


def epub(folder: Path) -> Path:
    def chapter(body: str) -> str:
        ops = 'xmlns:epub="http://www.idpf.org/2007/ops"'
        xml = f'<?xml version="1.0" encoding="utf-8"?><html xmlns="http://www.w3.org/1999/xhtml" {ops}>'
        return f"{xml}<body>{body}</body></html>"

    package = f"""<?xml version="1.0"?><package xmlns="http://www.idpf.org/2007/opf" version="3.0">
<metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>{TITLE}</dc:title><dc:creator>{AUTHOR}</dc:creator></metadata>
<manifest><item id="a" href="text/a.xhtml" media-type="application/xhtml+xml"/>
<item id="b" href="text/b%20b.xhtml" media-type="application/xhtml+xml"/>
<item id="n" href="nav.xhtml" media-type="application/xhtml+xml"/></manifest>
<spine><itemref idref="a"/><itemref idref="b"/><itemref idref="n" linear="no"/></spine></package>"""
    files = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
        '<rootfile full-path="OEBPS/content.opf"/></rootfiles></container>',
        "OEBPS/content.opf": package,
        "OEBPS/nav.xhtml": chapter("<p>Only the contents.</p>"),
        "OEBPS/text/a.xhtml": chapter(
            f'<span epub:type="pagebreak" title="41"/><h2>Hunting</h2><p>{FIRST}</p><figure><img src="../img/bird.png" '
            f'alt="blue bird"/><figcaption>{CAPTION}</figcaption></figure>'
        ),
        "OEBPS/text/b b.xhtml": chapter(
            f'<h2><span epub:type="pagebreak" id="page_42"/>Nesting</h2><p>{SECOND}</p>'
            "<ul><li>reeds and willows</li></ul><table><tr><td>martin</td><td>five</td></tr></table>"
        ),
    }
    path = folder / "river.epub"
    with zipfile.ZipFile(path, "w") as book:
        for name, text in files.items():
            book.writestr(name, text)
        book.writestr("OEBPS/img/bird.png", picture_bytes())
    return path


def pdf(folder: Path) -> Path:
    (folder / "bird.png").write_bytes(picture_bytes())
    running = "[#set text(8pt)\n Rivers of the World]"
    text = (
        f"#set document(title: {json.dumps(TITLE)}, author: {json.dumps(AUTHOR)})\n"
        f'#set page(width: 300pt, height: 260pt, margin: 40pt, header: {running}, numbering: "1")\n#set text(9pt)\n'
        f"#counter(page).update(7)\n= Hunting\n\n{FIRST}\n\n"
        f'#figure(image("bird.png", width: 30%), caption: [{CAPTION}])\n\n#pagebreak()\n= Nesting\n\n'
        f"{SECOND}\n\nreeds and willows\n\n#pagebreak()\nThe third page says that the water is\n"
        "#pagebreak()\nslow in summer. Eels rest there."
    )
    source = _written(folder / "river.typ", text.encode())
    path = folder / "river.pdf"
    path.write_bytes(typst.compile(str(source), root=str(folder)))
    source.unlink()
    return path


def text(folder: Path) -> Path:
    wrapped = FIRST.replace("branch that", "branch\nthat").replace("against", "a-\ngainst")
    return _written(
        folder / "river.txt", f"Hunting\n\n{wrapped}\n\fNesting\n\n{SECOND}\n\nreeds and willows\n".encode()
    )


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def word_document() -> bytes:
    """A Word document with everything that Markdown has a sign for, and signs that must not be read as such."""
    word = Document()
    word.add_paragraph("Our boat", style="Title")
    paragraph = word.add_paragraph("She is ")
    paragraph.add_run("blue ").bold = True
    paragraph.add_run("and ").bold = True
    paragraph.add_run("old").italic = True
    paragraph.add_run(", 3 * 4 = [12].")
    word.add_paragraph("The hull", style="Heading 1")
    word.add_paragraph("1999. A good year")
    word.add_paragraph("oak", style="List Bullet")
    word.add_paragraph("tar", style="List Bullet")
    word.add_paragraph("")
    word.add_paragraph("Mind the rudder.", style="Quote")
    table = word.add_table(2, 2)
    for cell, text in zip(
        (cell for row in table.rows for cell in row.cells), ("part", "made of", "mast", "a|b"), strict=True
    ):
        cell.text = text
    word.add_paragraph("The end")
    stream = io.BytesIO()
    word.save(stream)
    return stream.getvalue()
