"""``vignette index``: bring a library up to date with folders of pictures. The work is ``image_db.indexing``'s."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from image_db.indexing import IndexReport
    from image_db.library import Library
    from image_db.metadata.generate import DescribeReport

EXAMPLES = """\
examples:
  vignette index ~/Pictures --library ~/my-library
  vignette index ~/Pictures/2024 cover.jpg --library ~/my-library --json
  vignette index ~/Pictures --library ~/my-library --describe              guess labels where words are missing
  vignette index ~/Pictures --library ~/my-library --describe my-bridge    write captions there

A second run reads only what is new or changed. Words for a picture are taken from NAME.json or NAME.txt beside it,
from metadata.jsonl or metadata.csv of its folder, from XMP, IPTC and EXIF inside it, and from its name.
"""

LABELS = "labels"
_SHOWN_FAILURES = 50


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "index",
        help="index pictures into a library",
        description="Index folders of pictures, with their subfolders, and single pictures into a library.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("paths", nargs="+", metavar="PATH", type=Path, help="a folder or a picture")
    parser.add_argument("--library", metavar="DIR", type=Path, required=True, help="the library's folder")
    parser.add_argument("--profile", metavar="NAME", default="embedded", help="a profile's name or .toml file")
    parser.add_argument(
        "--describe",
        metavar="HOW",
        nargs="?",
        const=LABELS,
        help="give words to pictures that have none: labels of a classifier (the default of this option), or captions "
        "written by the model of a folder of `vignette train bridge` or of a vision-language checkpoint",
    )
    parser.add_argument("--json", action="store_true", help="print the summary as one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    report, pictures = index_into(args.library, args.paths, args.profile)
    described = describe(args.library, args.profile, args.describe) if args.describe else None
    if args.json:
        from image_db.exporting import json_line

        words = {} if described is None else {"described": described.described, "silent": described.silent}
        print(json_line(_as_json(args.library, report, pictures) | words))
    else:
        print_report(args.library, report, pictures)
        if described is not None:
            print(
                f"{described.described} pictures without words got some, marked as guessed; {described.silent} got none"
            )
    return 0 if report.usable else 1


def index_into(library_dir: Path, paths: Sequence[Path], profile: str) -> tuple[IndexReport, int]:
    """Index with a progress bar on stderr; also returns how many pictures the library holds then."""
    from composer.pipeline.loading import load_encoder
    from composer.settings import load_settings
    from image_db.errors import LibraryError, LibraryMissing
    from image_db.indexing import index_paths
    from image_db.library import Library

    settings = load_settings(profile)
    # What is wrong with the paths or the library is said before a model is loaded, and before a folder is made.
    if not any(path.expanduser().exists() for path in paths):
        raise LibraryError(f"{', '.join(shown(path) for path in paths)}: no such file or folder; check PATH")
    with suppress(LibraryMissing):
        Library.open(library_dir, None).close()
    encoder = load_encoder(settings)
    with Library.open_or_create(library_dir, encoder.identity) as library, progress_bar("pictures") as progress:
        try:
            report = index_paths(library, encoder, paths, progress=progress)
        except KeyboardInterrupt:
            print(f"\n{_kept(library)}; the same command goes on from there", file=sys.stderr)
            raise
        return report, len(library)


def describe(library_dir: Path, profile: str, how: str) -> DescribeReport:
    """Labels or captions for the library's pictures without words; a second run goes on where one was cut off."""
    from composer.pipeline.loading import load_describer, load_encoder
    from composer.settings import load_settings
    from image_db.library import Library
    from image_db.metadata.generate import describe_wordless

    settings = load_settings(profile)
    encoder = load_encoder(settings)
    labeller, captioner = load_describer(how, settings)
    with Library.open(library_dir, encoder.identity) as library, progress_bar("described") as progress:
        return describe_wordless(library, encoder, labeller=labeller, captioner=captioner, progress=progress)


@contextmanager
def progress_bar(unit: str) -> Iterator[Callable[[int, int], None]]:
    """A callback (done, total) that draws a bar on stderr; none is drawn where there is nothing to do."""
    from tqdm import tqdm

    bar: tqdm | None = None

    def show(done: int, total: int) -> None:
        nonlocal bar
        if bar is None:
            interval_s = 0.2 if sys.stderr.isatty() else 10.0
            bar = tqdm(total=total, unit=f" {unit}", file=sys.stderr, mininterval=interval_s)
        bar.update(done - bar.n)

    try:
        yield show
    finally:
        if bar is not None:
            bar.close()


def print_report(library_dir: Path, report: IndexReport, pictures: int) -> None:
    counts = [
        (report.added, "added"),
        (report.unchanged, "unchanged"),
        (report.linked, "known under another path"),
        (report.updated_text, "with new words"),
        (report.removed, "gone from disk"),
        (len(report.failed), "not usable"),
    ]
    told = ", ".join(f"{count} {what}" for count, what in counts if count) or "no pictures found"
    print(f"{told} in {report.seconds:.1f} s; library {shown(library_dir)} holds {pictures} pictures")
    for title, items in (("could not be used", report.failed), ("could not be read in full", report.warnings)):
        if items:
            print(f"{len(items)} {'file' if len(items) == 1 else 'files'} {title}:")
        for path, reason in items[:_SHOWN_FAILURES]:
            print(f"  {shown(path)}: {shown(reason)}")
        if len(items) > _SHOWN_FAILURES:
            rest = len(items) - _SHOWN_FAILURES
            print(f"  and {rest} more; see them all with: vignette library info --library {shown(library_dir)}")


def _as_json(library_dir: Path, report: IndexReport, pictures: int) -> dict[str, object]:
    return {
        "library": str(library_dir.expanduser().absolute()),
        "pictures": pictures,
        "added": report.added,
        "unchanged": report.unchanged,
        "linked": report.linked,
        "updated_text": report.updated_text,
        "removed": report.removed,
        "failed": [{"path": str(path), "reason": reason} for path, reason in report.failed],
        "warnings": [{"path": str(path), "reason": reason} for path, reason in report.warnings],
        "seconds": round(report.seconds, 3),
    }


def _kept(library: Library) -> str:
    return f"library {shown(library.folder)} keeps its {len(library)} pictures"


def shown(text: Path | str) -> str:
    """For a terminal: what a name may hold to move the cursor or to break an encoding is escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))
