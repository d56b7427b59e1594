"""``vignette library``: look into a library, search, check and export it, and get the sample library."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from composer.commands.index import index_into, print_report
from composer.commands.options import add_command, add_json, add_library, add_profile, at_least

if TYPE_CHECKING:
    from composer.commands.options import Subparsers

EXAMPLES = """\
examples:
  vignette library sample
  vignette library search "a red parrot" --library "$(vignette library path sample)"
  vignette library search "a bird -parrot" --library "$(vignette library path sample)"
  vignette library info --library ~/my-library
  vignette library verify --library ~/my-library
  vignette library export records.jsonl --library ~/my-library
  vignette library export ~/exported --library ~/my-library
  vignette library formats
"""

_SHOWN_CAPTION = 60


def register(subparsers: Subparsers) -> None:
    about = "look into, search, check and export a library; get the sample library"
    parser = add_command(subparsers, "library", about, examples=EXAMPLES)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    info = add_command(actions, "info", "what a library holds, and which files could not be used", run_info)
    add_library(info)
    add_json(info)

    search = add_command(actions, "search", "the pictures that fit some words best", run_search)
    search.add_argument("words", metavar="WORDS", help='what the picture should show; -WORD or "without …" leaves out')
    add_library(search)
    search.add_argument("-k", metavar="N", type=int, default=10, help="how many (default: 10)")
    add_profile(search)
    add_json(search, "print one JSON object a picture")

    add_library(add_command(actions, "verify", "read every picture and vector again and compare", run_verify))

    export = add_command(
        actions, "export", "write the records as JSON lines, or the pictures with their words", run_export
    )
    export.add_argument(
        "target", metavar="DIR|FILE.jsonl", type=Path, help="a new folder for pictures and words, or a file for records"
    )
    add_library(export)

    add_json(
        add_command(actions, "formats", "which formats of pictures this installation reads, by trying", run_formats)
    )

    sample = add_command(actions, "sample", "fetch the sample library (needs apt, not root) and index it", run_sample)
    add_profile(sample)

    path = add_command(actions, "path", "print the folder of a library that comes with Vignette", run_path)
    path.add_argument("name", choices=["sample"])


def run_info(args: argparse.Namespace) -> int:
    from composer.commands.terminal import printable, say, table
    from composer.i18n import localize
    from image_db.exporting import json_line
    from image_db.library import Library

    with Library.open(args.library, None) as library:
        view = library.matrix()
        failures = library.failures()
        created_with, created_at = library.created
        size_bytes = sum(file.stat().st_size for file in library.folder.iterdir() if file.is_file())
        facts = {
            "library": str(library.folder),
            "pictures": len(view.ids),
            "with_text": int(view.has_text.sum()),
            "gone": sum(1 for _ in library.records(gone=True)),
            "encoder": library.encoder.name,
            "encoder_sha256": library.encoder.sha256,
            "visual_dim": library.encoder.visual_dim,
            "textual_dim": library.encoder.textual_dim,
            "created_with": created_with,
            "created_at": created_at,
            "size_bytes": size_bytes,
            "failures": [{"path": str(f.path), "kind": f.kind, "reason": localize(f.reason, "en")} for f in failures],
        }
    if args.json:
        print(json_line(facts))
        return 0
    rows = [
        (say("info_library"), say("library_made", folder=args.library, version=created_with, date=created_at)),
        (say("info_pictures"), say("library_pictures", **facts)),
        (say("info_encoder"), f"{library.encoder.name} ({library.encoder.sha256[:12]})"),
        (say("info_size"), f"{size_bytes / 1e6:,.1f} MB"),
    ]
    rows += [(f.kind, say("file_and_reason", path=f.path, reason=f.reason)) for f in failures]
    print(table([(name, printable(value)) for name, value in rows]))
    return 0


def run_search(args: argparse.Namespace) -> int:
    from composer.commands.terminal import printable, say, table
    from composer.errors import UsageError
    from composer.i18n import localize
    from composer.pipeline.loading import load_encoder
    from composer.settings import load_settings
    from image_db.errors import LibraryError
    from image_db.exporting import json_line, record_json
    from image_db.library import Library
    from retrieval.search import Searcher
    from retrieval.typed import typed_query

    if not args.words.strip():
        raise UsageError("search_empty")
    at_least(1, k=args.k)
    query = typed_query(args.words)
    settings = load_settings(args.profile)
    with Library.open(args.library, None) as library:
        if not len(library):
            raise LibraryError("library_without_pictures", library=str(library.folder))
    encoder = load_encoder(settings)
    with Library.open(args.library, encoder.identity) as library:
        candidates = Searcher(library, encoder).find(query, args.k)
    if args.json:
        for candidate in candidates:
            scores = {name: round(getattr(candidate, name), 4) for name in ("fused", "visual", "textual")}
            print(json_line({**scores, "why": localize(candidate.why, "en"), **record_json(candidate.record)}))
        return 0
    if not candidates:
        print(say("search_nothing", words=args.words))
        if encoder.languages is not None:
            print(say("search_reads", languages=", ".join(sorted(encoder.languages))))
        return 0
    rows = []
    for rank, candidate in enumerate(candidates, 1):
        record = candidate.record
        caption = record.caption or record.alt or ", ".join((*record.tags, *record.guessed_tags))
        caption = caption if len(caption) <= _SHOWN_CAPTION else caption[: _SHOWN_CAPTION - 1] + "…"
        figures = (f"{candidate.fused:.3f}", f"{candidate.visual:.3f}", f"{candidate.textual:.3f}")
        rows.append((str(rank), *figures, printable(caption or say("no_words")), printable(record.path)))
    header = ("", *(say(f"search_{name}") for name in ("fused", "visual", "textual", "caption", "path")))
    print(table(rows, header, right=(0, 1, 2, 3)))
    return 0


def run_verify(args: argparse.Namespace) -> int:
    from composer.commands.terminal import note, printable, progress_of, say
    from image_db.library import Library
    from image_db.verification import verify

    with Library.open(args.library, None) as library, progress_of(say("pictures")) as progress:
        result = verify(library, progress)
    for line in result.damage:
        print(say("verify_damaged", what=line))
    for path in result.missing:
        print(say("verify_missing", path=path))
    for path, reason in result.changed:
        print(say("verify_changed", path=path, reason=reason))
    state = "library_sound" if result.sound else "library_unsound"
    print(say(state, library=args.library, pictures=result.pictures, files=result.files))
    if result.missing or result.changed:
        note(say("index_again", library=printable(args.library)))
    return 0 if result.sound else 1


def run_export(args: argparse.Namespace) -> int:
    from composer.commands.terminal import say
    from image_db.exporting import export_folder, export_records
    from image_db.library import Library

    target: Path = args.target.expanduser()
    with Library.open(args.library, None) as library:
        if target.suffix == ".jsonl":
            print(say("records_exported", count=export_records(library, target), target=target))
            return 0
        copied, failed = export_folder(library, target)
    print(say("pictures_exported", count=copied, target=target))
    for path, reason in failed:
        print(f"  {say('file_and_reason', path=path, reason=reason)}")
    return 1 if failed else 0


def run_formats(args: argparse.Namespace) -> int:
    from composer.commands.terminal import printable, say, table
    from composer.i18n import localize
    from image_db.exporting import json_line
    from vision.images.formats import try_formats

    tried = try_formats()
    if args.json:
        for each in tried:
            problem = None if each.problem is None else localize(each.problem, "en")
            facts = {"format": each.format.name, "suffixes": each.format.suffixes, "read": problem is None}
            print(json_line({**facts, "package": each.format.package, "problem": problem}))
        return 0
    rows = [
        (
            each.format.name,
            say("format_read", package=each.format.package) if each.problem is None else printable(each.problem),
            " ".join(each.format.suffixes),
        )
        for each in tried
    ]
    print(table(rows, tuple(say(f"formats_{name}") for name in ("name", "state", "suffixes"))))
    return 0


def run_sample(args: argparse.Namespace) -> int:
    from composer.commands.terminal import note, progress, say
    from image_db.errors import EncoderMismatch
    from image_db.sample.build import fetch_sample, sample_folder
    from vision.downloads.store import home

    folder = sample_folder()
    pictures = folder / "pictures"
    with progress() as draw:
        sample = fetch_sample(pictures, home() / "downloads", draw)
    print(say("sample_fetched", pictures=sample.pictures))
    if sample.absent:
        note(say("sample_absent", count=sample.absent))
    args.library = folder
    try:
        report, held, _ = index_into(folder, [pictures], args.profile)
    except EncoderMismatch:
        note(say("sample_set_aside", folder=_set_aside(folder)))
        report, held, _ = index_into(folder, [pictures], args.profile)
    print_report(folder, report, held)
    print(folder)
    return 0 if report.usable else 1


def _set_aside(folder: Path) -> Path:
    """Move a library's own files, in which captions may have been edited, aside; pictures stay."""
    aside = folder / f"earlier-{time.strftime('%Y%m%d-%H%M%S')}"
    aside.mkdir()
    for path in sorted(folder.iterdir()):
        if path.is_file():
            path.rename(aside / path.name)
    return aside


def run_path(_args: argparse.Namespace) -> int:
    from image_db.sample.build import sample_folder

    print(sample_folder())
    return 0
