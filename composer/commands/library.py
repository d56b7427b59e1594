"""``vignette library``: look into a library, search and export it, and get the sample library."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from composer.commands.index import index_into, print_report
from composer.commands.library_care import register_care
from composer.commands.options import (
    add_command,
    add_json,
    add_library,
    add_profile,
    add_where,
    at_least,
    library_argument,
)

if TYPE_CHECKING:
    from composer.commands.options import Subparsers
    from retrieval.candidates import Query
    from retrieval.results import Result
    from retrieval.search import Searcher
    from vision.interfaces import JointEncoder

EXAMPLES = """\
examples:
  vignette library sample
  vignette library search "a red parrot" --library sample
  vignette library search "a bird -parrot" --library sample
  vignette library search "beach -people" --where "date:2019.. place:Lyon" --library ~/my-library
  vignette library search --where "-has:words" --paths --library ~/my-library
  vignette library info --library ~/my-library
  vignette library verify --repair --library ~/my-library
  vignette library review --library ~/my-library
  vignette library backup ~/my-library-backup --library ~/my-library
  vignette library export records.jsonl --library ~/my-library
  vignette library export ~/exported --library ~/my-library
  vignette library export ~/vectors --layout clip-retrieval --library ~/my-library
  vignette library copy ~/my-library milvus+file:///srv/archive
  vignette library formats
"""

_SHOWN_CAPTION = 60
LIKE_PX = 512  # shorter side of an example


def register(subparsers: Subparsers) -> None:
    about = "look into, search, check, mend, back up and export a library; get the sample library"
    parser = add_command(subparsers, "library", about, examples=EXAMPLES)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    info = add_command(actions, "info", "what a library holds, and which files could not be used", run_info)
    add_library(info)
    add_json(info)

    search = add_command(actions, "search", "the pictures that fit some words best", run_search)
    search.add_argument(
        "words",
        metavar="WORDS",
        nargs="?",
        default="",
        help='what the picture should show; -WORD or "without …" leaves out; conditions of --where may stand there',
    )
    add_library(search)
    add_where(search)
    search.add_argument("--license", metavar="PREFIX", action="append", default=[], help="only pictures under this")
    search.add_argument("--like", metavar="FILE", type=Path, help="a picture that they should look like")
    search.add_argument("-k", metavar="N", type=int, default=10, help="how many (default: 10)")
    search.add_argument(
        "--sort",
        choices=("relevance", "newest", "oldest"),
        default="relevance",
        help="the order of what fits (default: relevance; without WORDS newest)",
    )
    search.add_argument("--all", action="store_true", help="near-duplicates each for itself")
    add_profile(search)
    shown = search.add_mutually_exclusive_group()
    add_json(shown, "print one JSON object a picture")
    shown.add_argument("--paths", action="store_true", help="print paths alone, one a line")

    register_care(actions)

    export = add_command(
        actions, "export", "write the records as JSON lines, or the pictures with their words", run_export
    )
    export.add_argument(
        "target", metavar="DIR|FILE.jsonl", type=Path, help="a new folder for pictures and words, or a file for records"
    )
    export.add_argument(
        "--layout",
        choices=["pictures", "clip-retrieval"],
        default="pictures",
        help="of the folder: pictures with their words, or vectors and words for clip-retrieval (default: pictures)",
    )
    add_library(export)

    copy = add_command(
        actions, "copy", "copy a library between folders and Milvus, and compare the copy with it", run_copy
    )
    for name, about in (("source", "the library to copy"), ("target", "where there is none yet")):
        copy.add_argument(name, metavar=name.upper(), type=library_argument, help=f"{about}: a folder or an address")

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
    from image_db.stores.opening import open_library

    with open_library(args.library) as library:
        failures = library.failures()
        created_with, created_at = library.created
        size_bytes = library.size_bytes
        facts = {
            "library": str(library.folder),
            "pictures": len(library),
            "with_text": library.with_text,
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
        (say("info_pictures"), say("library_pictures_gone" if facts["gone"] else "library_pictures", **facts)),
        (say("info_encoder"), f"{library.encoder.name} ({library.encoder.sha256[:12]})"),
        (say("info_size"), f"{size_bytes / 1e6:,.1f} MB"),
    ]
    rows += [(say("info_unusable"), say("file_and_reason", path=f.path, reason=f.reason)) for f in failures]
    print(table([(name, printable(value)) for name, value in rows]))
    return 0


def run_search(args: argparse.Namespace) -> int:
    from composer.commands.terminal import say, table
    from image_db.errors import LibraryError
    from image_db.stores.opening import open_library
    from retrieval.results import results

    at_least(1, k=args.k)
    query = _query(args)
    with open_library(args.library) as library:
        if not len(library):
            raise LibraryError("library_without_pictures", library=str(library.folder))
    encoder, searched = _searched(args, query)
    with open_library(args.library, encoder.identity) as library:
        from retrieval.search import Searcher

        searcher = Searcher(library, encoder)
        found = results(searcher, library, searched, args.k, order=args.sort, together=not args.all)
    if not found:
        nothing = _nothing(args, searcher, searched)
        print(nothing, file=sys.stderr if args.json or args.paths else sys.stdout)
        return 0
    if args.paths:
        for result in found:
            sys.stdout.buffer.write(os.fsencode(result.candidate.record.path) + b"\n")
        sys.stdout.flush()
        return 0
    if args.json:
        _print_json(found)
        return 0
    rows = [_row(rank, result) for rank, result in enumerate(found, 1)]
    header = ("", *(say(f"search_{name}") for name in ("fused", "visual", "textual", "taken", "caption", "path")))
    used = [column for column in range(len(header)) if any(row[column] for row in rows)]  # dates may be unknown
    shown = [[row[column] for column in used] for row in rows]
    print(table(shown, [header[column] for column in used], right=(0, 1, 2, 3)))
    return 0


def _nothing(args: argparse.Namespace, searcher: Searcher, searched: Query) -> str:
    """What to say where nothing fits, and what to try."""
    from composer.commands.terminal import say

    if not searched.caption and searched.example is None:
        given = [args.words, args.where, *(f"--license {prefix}" for prefix in args.license)]
        return say("search_nothing_true", where=" ".join(filter(None, given)))
    nothing = say("search_nothing", words=" ".join(filter(None, (args.words, args.where))))
    languages = searcher.encoder.languages
    if languages is None or searched.english or searcher.reads(searched.caption):
        return nothing
    return f"{nothing}\n{say('search_reads', languages=', '.join(sorted(languages)))}"


def _query(args: argparse.Namespace) -> Query:
    """What is looked for, as typed. Raises UsageError or RetrievalError for what cannot be."""
    from composer.errors import UsageError
    from retrieval.filters import parse_where
    from retrieval.typed import typed_query
    from vision.images import load_image

    query = typed_query(args.words)
    where = parse_where(args.where)
    filters = replace(query.filters.narrowed(where), licenses=tuple(args.license))
    example = load_image(args.like, target_px=LIKE_PX) if args.like is not None else None
    if not query.caption and example is None and not (filters.where or filters.licenses):
        raise UsageError("search_empty")
    return replace(query, filters=filters, example=example)


def _searched(args: argparse.Namespace, query: Query) -> tuple[JointEncoder, Query]:
    """The encoder, and the query as it reads it: with its English by the profile's writer where it has to be."""
    from composer.commands.profiles import settings_for
    from composer.commands.terminal import note, printable, say
    from composer.pipeline.loading import load_encoder, load_language_model
    from composer.pipeline.typed_words import readable_query
    from vision.errors import ModelError, WeightsError

    settings = settings_for(args.profile, args.library, encoder_only=True)
    encoder = load_encoder(settings)
    try:
        readable = readable_query(args.words, encoder, lambda: load_language_model(settings.writer))
    except (ModelError, WeightsError) as error:
        note(say("search_untranslated", reason=printable(error)))
        return encoder, query
    if readable.english:
        note(say("search_translated", english=readable.english))
    return encoder, replace(query, english=readable.english, without=readable.without)


def _row(rank: int, result: Result) -> tuple[str, ...]:
    from composer.commands.terminal import printable, say

    candidate, record = result.candidate, result.candidate.record
    caption = record.caption or record.alt or ", ".join((*record.tags, *record.guessed_tags)) or say("no_words")
    caption = caption if len(caption) <= _SHOWN_CAPTION else caption[: _SHOWN_CAPTION - 1] + "…"
    if result.alike:
        caption += " " + say("search_alike", count=len(result.alike))
    figures = (f"{candidate.fused:.3f}", f"{candidate.visual:.3f}", f"{candidate.textual:.3f}")
    return (str(rank), *figures, record.taken[:10], printable(caption), printable(record.path))


def _print_json(found: Sequence[Result]) -> None:
    from composer.i18n import localize
    from image_db.exporting import json_line, record_json

    for result in found:
        scores = {name: round(getattr(result.candidate, name), 4) for name in ("fused", "visual", "textual")}
        alike = [{"id": each.record.id, "path": str(each.record.path)} for each in result.alike]
        why = localize(result.candidate.why, "en")
        print(json_line({**scores, "why": why, "alike": alike, **record_json(result.candidate.record)}))


def run_export(args: argparse.Namespace) -> int:
    from composer.commands.terminal import say
    from image_db.exporting import export_folder, export_records
    from image_db.stores.opening import open_library

    target: Path = args.target.expanduser()
    with open_library(args.library) as library:
        if args.layout == "clip-retrieval":
            from image_db.cluster.clip_retrieval import export_clip_folder
            from retrieval.stores.store_loading import pictures_of

            count = export_clip_folder(pictures_of(library), len(library), target)
            print(say("clip_folder_exported", count=count, target=target, encoder=library.encoder.name))
            return 0
        if target.suffix == ".jsonl":
            print(say("records_exported", count=export_records(library, target), target=target))
            return 0
        copied, failed = export_folder(library, target)
    print(say("pictures_exported", count=copied, target=target))
    for path, reason in failed:
        print(f"  {say('file_and_reason', path=path, reason=reason)}")
    return 1 if failed else 0


def run_copy(args: argparse.Namespace) -> int:
    from composer.commands.terminal import progress_of, say
    from composer.i18n import localize
    from retrieval.stores.store_loading import copy_library

    with progress_of(say("pictures")) as progress:
        report = copy_library(args.source, args.target, progress)
    for difference in report.differences:
        print(say("copy_differs", what=localize(difference, "en")))
    print(say("library_copied", pictures=report.pictures, source=args.source, target=args.target))
    return 1 if report.differences else 0


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
