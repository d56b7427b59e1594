"""``vignette export``: an article that exists, in further formats. Needs no model and no library."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from composer.commands.options import add_command, add_formats

if TYPE_CHECKING:
    from composer.commands.options import Subparsers

EXAMPLES = """\
examples:
  vignette export farm --out farm.pdf                       one file; its ending says the format
  vignette export farm --format docx,pdf,epub --out out     several, into a new folder
  vignette export farm/article.json --format md --out web --max-image-px 1000
  vignette export farm --format html,pdf --out farm.zip     several in one file

Everything comes from article.json and the images folder beside it. Pictures are made smaller where that is sensible,
turned upright, and freed of the place, time and camera stored in them. PDFs in Chinese and other scripts take their
fonts from: vignette models pull noto-chinese-fonts noto-script-fonts
"""


def register(subparsers: Subparsers) -> None:
    about = "turn an article into Markdown, HTML, Word, PDF or an e-book"
    parser = add_command(subparsers, "export", about, run, examples=EXAMPLES)
    parser.add_argument("article", metavar="ARTICLE", type=Path, help="an article's folder, or its article.json")
    parser.add_argument("--out", metavar="PATH", type=Path, required=True, help="a new folder, or a file such as a.pdf")
    add_formats(parser, default=None)


def run(args: argparse.Namespace) -> int:
    from datetime import UTC, datetime

    from composer.commands.terminal import note, printable
    from composer.export.article_folder import load_article, new_folder, write_exports, write_new_file
    from composer.export.export import check_available, download, export
    from composer.export.picture_export import ExportedPictureSettings, Pictures, in_folder
    from composer.export.picture_files import IMAGES_DIR

    folder = args.article.parent if args.article.name == "article.json" else args.article
    formats, one_file = read_formats(args.format, args.out)
    settings = ExportedPictureSettings(args.max_image_px, args.originals)
    check_available(formats)
    article = load_article(folder)
    made = datetime.fromtimestamp((folder / "article.json").stat().st_mtime, UTC)
    pictures = Pictures(article, in_folder(article, folder / IMAGES_DIR), settings, text_folder=folder)
    if one_file:
        packed = download(article, formats, pictures, made=made)
        write_new_file(args.out, packed.data)
        notes, written = packed.notes, [args.out]
    else:
        exports = [export(article, format_, pictures, made=made) for format_ in formats]
        with new_folder(args.out) as out:
            write_exports(exports, out)
        notes = tuple(note for exported in exports for note in exported.notes)
        written = [args.out.resolve() / f"article.{format_}" for format_ in formats]
    for degraded in notes:
        note(printable(degraded))
    for path in written:
        print(path)
    return 0


def read_formats(wanted: str | None, out: Path) -> tuple[tuple[str, ...], bool]:
    """The formats, and whether they go into one file. Raises UsageError where the two options do not fit."""
    from composer.errors import UsageError
    from composer.export import FORMATS, parse_formats

    ending = out.suffix.lower().removeprefix(".")
    is_file = ending in (*FORMATS, "zip") and not out.is_dir()
    if wanted is None:
        if ending in FORMATS and ending != "md" and is_file:
            return (ending,), True
        if is_file and ending == "md":
            raise UsageError("markdown_needs_folder", out=str(out))
        if ending and not is_file and not out.is_dir():
            known = [format_ for format_ in FORMATS if format_ != "md"]
            raise UsageError("ending_unknown", out=str(out), ending=ending, known=known)
        raise UsageError("format_missing", known=list(FORMATS))
    formats = parse_formats(wanted)
    if is_file and ending != "zip" and formats != (ending,):
        raise UsageError("one_file_several_formats", out=str(out), ending=ending, formats=",".join(formats))
    if is_file and ending == "md":
        raise UsageError("markdown_needs_folder", out=str(out))
    return formats, is_file
