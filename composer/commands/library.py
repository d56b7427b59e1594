"""``vignette library``: look into a library, search, check and export it, and get the sample library."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from composer.commands.index import index_into, print_report, progress_bar, shown

EXAMPLES = """\
examples:
  vignette library sample
  vignette library search "a red parrot" --library "$(vignette library path sample)"
  vignette library info --library ~/my-library
  vignette library verify --library ~/my-library
  vignette library export records.jsonl --library ~/my-library
  vignette library export ~/exported --library ~/my-library
"""

_SHOWN_CAPTION = 60


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "library",
        help="look into, search, check and export a library; get the sample library",
        description="Look into, search, check and export a library, or get the sample library.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    info = actions.add_parser("info", help="what a library holds, and which files could not be used")
    _library_options(info, json=True)
    info.set_defaults(run=run_info)

    search = actions.add_parser("search", help="the pictures that fit some words best")
    search.add_argument("words", metavar="WORDS", help="what the picture should show")
    _library_options(search, json=True)
    search.add_argument("-k", metavar="N", type=int, default=10, help="how many (default: 10)")
    search.add_argument("--profile", metavar="NAME", default="embedded", help="a profile's name or .toml file")
    search.set_defaults(run=run_search)

    verify = actions.add_parser("verify", help="read every picture and vector again and compare")
    _library_options(verify, json=False)
    verify.set_defaults(run=run_verify)

    export = actions.add_parser("export", help="write the records as JSON lines, or the pictures with their words")
    export.add_argument(
        "target", metavar="DIR|FILE.jsonl", type=Path, help="a new folder for pictures and words, or a file for records"
    )
    _library_options(export, json=False)
    export.set_defaults(run=run_export)

    sample = actions.add_parser("sample", help="fetch the sample library (needs apt, not root) and index it")
    sample.add_argument("--profile", metavar="NAME", default="embedded", help="a profile's name or .toml file")
    sample.set_defaults(run=run_sample)

    path = actions.add_parser("path", help="print the folder of a library that comes with Vignette")
    path.add_argument("name", choices=["sample"])
    path.set_defaults(run=run_path)


def _library_options(parser: argparse.ArgumentParser, *, json: bool) -> None:
    parser.add_argument("--library", metavar="DIR", type=Path, required=True, help="the library's folder")
    if json:
        parser.add_argument("--json", action="store_true", help="print JSON")


def run_info(args: argparse.Namespace) -> int:
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
            "failures": [{"path": str(f.path), "kind": f.kind, "reason": f.reason} for f in failures],
        }
    if args.json:
        print(json_line(facts))
        return 0
    print(f"library    {shown(args.library)}, made with {created_with} on {created_at}")
    print(f"pictures   {facts['pictures']}, {facts['with_text']} with words, {facts['gone']} more gone from disk")
    print(f"encoder    {facts['encoder']} ({library.encoder.sha256[:12]})")
    print(f"size       {size_bytes / 1e6:,.1f} MB")
    for failure in failures:
        print(f"{failure.kind:<10} {shown(failure.path)}: {shown(failure.reason)}")
    return 0


def run_search(args: argparse.Namespace) -> int:
    from composer.errors import UsageError
    from composer.i18n import localize
    from composer.pipeline.loading import load_encoder
    from composer.settings import load_settings
    from image_db.errors import LibraryError
    from image_db.exporting import json_line, record_json
    from image_db.library import Library
    from retrieval.candidates import Query
    from retrieval.search import Searcher

    if not args.words.strip():
        raise UsageError('WORDS is empty; say what the picture should show, e.g. "a red parrot"')
    if args.k < 1:
        raise UsageError(f"-k {args.k} is out of range; ask for at least 1 picture")
    settings = load_settings(args.profile)
    with Library.open(args.library, None) as library:
        if not len(library):
            raise LibraryError(
                f"library {library.folder} is empty; fill it with: vignette index FOLDER --library {library.folder}"
            )
    encoder = load_encoder(settings)
    with Library.open(args.library, encoder.identity) as library:
        candidates = Searcher(library, encoder).search(Query(caption=args.words), args.k)
    if args.json:
        for candidate in candidates:
            scores = {name: round(getattr(candidate, name), 4) for name in ("fused", "visual", "textual")}
            print(json_line({**scores, "why": localize(candidate.why, "en"), **record_json(candidate.record)}))
        return 0
    print(f"{'':>3}  fused  visual  textual  caption and path")
    for rank, candidate in enumerate(candidates, 1):
        record = candidate.record
        caption = record.caption or record.alt or ", ".join((*record.tags, *record.guessed_tags))
        caption = caption if len(caption) <= _SHOWN_CAPTION else caption[: _SHOWN_CAPTION - 1] + "…"
        scores_shown = f"{candidate.fused:5.3f}  {candidate.visual:6.3f}  {candidate.textual:7.3f}"
        print(f"{rank:>3}  {scores_shown}  {shown(caption or '(no words)')}  {shown(record.path)}")
    return 0


def run_verify(args: argparse.Namespace) -> int:
    from image_db.library import Library
    from image_db.verification import verify

    with Library.open(args.library, None) as library, progress_bar("pictures") as progress:
        result = verify(library, progress)
    for line in result.damage:
        print(f"damaged  {line}")
    for path in result.missing:
        print(f"missing  {shown(path)}")
    for path, reason in result.changed:
        print(f"changed  {shown(path)}: {reason}")
    state = "sound" if result.sound else "not sound"
    print(f"library {shown(args.library)} is {state}: {result.pictures} pictures in {result.files} files checked")
    if result.missing or result.changed:
        print(f"vignette: run vignette index on the folders of these files, --library {args.library}", file=sys.stderr)
    return 0 if result.sound else 1


def run_export(args: argparse.Namespace) -> int:
    from image_db.exporting import export_folder, export_records
    from image_db.library import Library

    target: Path = args.target.expanduser()
    with Library.open(args.library, None) as library:
        if target.suffix == ".jsonl":
            print(f"{export_records(library, target)} records in {shown(target)}")
            return 0
        copied, failed = export_folder(library, target)
    print(f"{copied} pictures in {shown(target)}, their words in metadata.jsonl")
    for path, reason in failed:
        print(f"  {shown(path)}: {reason}")
    return 1 if failed else 0


def run_sample(args: argparse.Namespace) -> int:
    from image_db.errors import EncoderMismatch
    from image_db.sample.build import fetch_sample
    from vision.downloads.store import home

    folder = sample_folder()
    pictures = folder / "pictures"
    bars = _Bars()
    try:
        sample = fetch_sample(pictures, home() / "downloads", bars)
    finally:
        bars.close()
    absent = f"; {sample.absent} more are not in the packages of this system" if sample.absent else ""
    print(f"{sample.pictures} pictures{absent}")
    try:
        report, held = index_into(folder, [pictures], args.profile)
    except EncoderMismatch:
        aside = _set_aside(folder)
        print(f"the sample was indexed by another version or profile; that index is now in {aside}", file=sys.stderr)
        report, held = index_into(folder, [pictures], args.profile)
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
    print(sample_folder())
    return 0


def sample_folder() -> Path:
    from vision.downloads.store import home

    return home() / "libraries" / "sample"


class _Bars:
    """One bar on stderr for each thing that is fetched or written, one after another."""

    def __init__(self) -> None:
        from tqdm import tqdm

        self._tqdm = tqdm
        self._bar: tqdm | None = None
        self._what = ""

    def __call__(self, what: str, done: int, total: int) -> None:
        if self._bar is None or what != self._what:
            self.close()
            interval_s = 0.2 if sys.stderr.isatty() else 10.0
            self._bar = self._tqdm(
                total=total, desc=what, unit="", unit_scale=True, file=sys.stderr, mininterval=interval_s
            )
            self._what = what
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
