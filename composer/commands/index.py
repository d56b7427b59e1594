"""``vignette index``: bring a library up to date with folders of pictures. The work is ``image_db.indexing``'s."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from composer.commands.index_ray import add_ray_options, run_on_ray
from composer.commands.options import add_command, add_json, add_library, add_profile

if TYPE_CHECKING:
    from composer.commands.options import Subparsers
    from composer.settings import Settings
    from image_db.indexing import IndexReport
    from image_db.library import Library
    from image_db.metadata.generate import DescribeReport
    from vision.interfaces import JointEncoder

EXAMPLES = """\
examples:
  vignette index ~/Pictures --library ~/my-library
  vignette index ~/Pictures/2024 cover.jpg --library ~/my-library --json
  vignette index ~/Pictures --library ~/my-library --watch
  vignette index ~/Pictures --library ~/my-library --exclude drafts --exclude 'private/*'
  vignette index ~/Pictures --library ~/my-library --no-describe           leave pictures without words as they are
  vignette index ~/Pictures --library ~/my-library --describe labels       guess labels where words are missing
  vignette index ~/Pictures --library ~/my-library --describe my-bridge    write captions there

Pictures without any words get drafts, marked as such. A second run reads only what is new or changed. Words for
a picture are taken from NAME.json, NAME.txt or NAME.xmp beside it, from metadata.csv, .tsv, .jsonl or .parquet of
its folder and those above, from XMP, IPTC and EXIF inside it, and from its name. What can be read here: vignette
library formats.
"""

DRAFTS = "drafts"
LABELS = "labels"
MOST_UNASKED = 2_000  # for the help, which must not wait for imports: that of ``composer.pipeline.wordless``
_SHOWN_FAILURES = 50


def register(subparsers: Subparsers) -> None:
    parser = add_command(
        subparsers,
        "index",
        "index pictures into a library",
        run,
        description="Index folders of pictures, with their subfolders, and single pictures into a library.",
        examples=EXAMPLES,
    )
    parser.add_argument("paths", nargs="+", metavar="PATH", type=Path, help="a folder or a picture")
    add_library(parser, fills=True)
    add_profile(parser)
    describing = parser.add_mutually_exclusive_group()
    describing.add_argument(
        "--describe",
        metavar="HOW",
        nargs="?",
        const=DRAFTS,
        help="give words to pictures that have none: drafts (the default of this option, and without it where at most "
        f"{MOST_UNASKED} pictures have none), labels of a classifier, or captions written by the model of a folder of "
        "`vignette train bridge` or of a vision-language checkpoint",
    )
    describing.add_argument("--no-describe", action="store_true", help="leave pictures without words as they are")
    parser.add_argument(
        "--exclude",
        metavar="GLOB",
        action="append",
        default=[],
        help="leave out files and folders of that name, or with a slash of that path below PATH; may be repeated",
    )
    parser.add_argument(
        "--watch", action="store_true", help="go on: look again whenever something changes there, until Ctrl-C"
    )
    add_json(parser, "print the summary as one JSON object")
    add_ray_options(parser)


def run(args: argparse.Namespace) -> int:
    _check_describing(args.describe)
    if args.engine == "ray":
        return run_on_ray(args)
    _refuse_clip_folders(args.paths)
    ready = _ready(args.library, args.paths, args.profile, drafts=not args.no_describe)
    asked = (args.library, args.paths, ready, args.describe, args.exclude, not args.no_describe)
    report, pictures, described = _index(*asked)
    tell_report(args, report, pictures, described)
    if args.watch:
        return _watch(args, lambda: _index(*asked))
    return 0 if report.usable else 1


def _check_describing(how: str | None) -> None:
    """Raise UsageError for what is most likely a slip of a way of describing, before anything is indexed."""
    from composer.errors import UsageError
    from composer.i18n import meant

    known = (DRAFTS, LABELS)
    if how is not None and how not in known and meant(how, known) and not Path(how).expanduser().exists():
        raise UsageError("describing_unknown", given=how, known=known)


def _refuse_clip_folders(paths: Sequence[Path]) -> None:
    """Raise UsageError for what only Ray reads: no picture would be found there."""
    from composer.errors import UsageError
    from image_db.cluster.clip_retrieval import is_clip_folder

    for path in paths:
        if is_clip_folder(path):
            raise UsageError("clip_folder_needs_ray", folder=str(path))


def tell_report(
    args: argparse.Namespace, report: IndexReport, pictures: int, described: DescribeReport | None, **more: object
) -> None:
    """Print a report as ``--json`` or for people; ``more`` is for programs alone."""
    if args.json:
        from image_db.exporting import json_line

        words = {} if described is None else {"described": described.described, "silent": described.silent}
        print(json_line(_as_json(args.library, report, pictures) | words | more), flush=True)
    else:
        print_report(args.library, report, pictures, described)


def _watch(args: argparse.Namespace, again: Callable[[], tuple[IndexReport, int, DescribeReport | None]]) -> int:
    """Index again after every batch of changes, and tell what came of it; what fails once is tried at the next."""
    from composer.commands.terminal import note, printable, say
    from image_db.errors import LibraryError
    from image_db.watching import changes

    note(say("watching", paths=[str(path) for path in args.paths]))
    try:
        for _ in changes(args.paths, ignored=args.library):
            try:
                report, pictures, described = again()
            except LibraryError as error:
                note(printable(error))
                continue
            if report.changed or described is not None:
                tell_report(args, report, pictures, described)
    except KeyboardInterrupt:
        return 0
    return 0


def index_into(
    library_dir: Path,
    paths: Sequence[Path],
    profile: str | Settings,
    describe: str | None = None,
    exclude: Sequence[str] = (),
    *,
    unasked: bool = False,
) -> tuple[IndexReport, int, DescribeReport | None]:
    """Index with progress on stderr; also returns how many pictures the library holds then, and who got words.

    ``describe`` gives drafts, labels or captions to pictures without words; with ``unasked`` they get drafts anyway,
    where that is quick and possible, or it is said why not. A second run goes on where one was cut off.
    """
    return _index(library_dir, paths, _ready(library_dir, paths, profile, drafts=unasked), describe, exclude, unasked)


def _ready(
    library_dir: Path, paths: Sequence[Path], profile: str | Settings, *, drafts: bool
) -> tuple[Settings, JointEncoder]:
    """Settings and encoder; what is wrong with the paths or the library is said before, and before a folder is made."""
    from composer.commands.profiles import settings_for
    from composer.pipeline.loading import load_encoder
    from image_db.errors import LibraryError, LibraryMissing
    from image_db.library import Library

    if not any(path.expanduser().exists() for path in paths):
        raise LibraryError("paths_missing", paths=[str(path) for path in paths])
    with suppress(LibraryMissing):
        Library.open(library_dir, None).close()
    if isinstance(profile, str):
        profile = settings_for(profile, library_dir, encoder_only=True, drafts=drafts)
    return profile, load_encoder(profile)


def _index(
    library_dir: Path,
    paths: Sequence[Path],
    ready: tuple[Settings, JointEncoder],
    describe: str | None,
    exclude: Sequence[str],
    unasked: bool,
) -> tuple[IndexReport, int, DescribeReport | None]:
    from composer.commands.terminal import progress, say
    from image_db.indexing import IndexTiming, index_paths
    from image_db.library import Library

    settings, encoder = ready
    timing = IndexTiming()

    def what() -> str:
        slowest = timing.slowest
        return say("pictures_slow", what=say(f"slow_{slowest}")) if slowest else say("pictures")

    with Library.open_or_create(library_dir, encoder.identity) as library, library.writing():
        try:
            with progress() as draw:

                def tell(done: int, total: int) -> None:
                    draw(what() if done < total else say("pictures"), done, total)

                report = index_paths(library, encoder, paths, progress=tell, exclude=exclude, timing=timing)
            described = describe_as_asked(library, encoder, settings, describe, unasked=unasked)
        except KeyboardInterrupt:
            print(f"\n{say('indexing_stopped', library=library.folder, pictures=len(library))}", file=sys.stderr)
            raise
        return report, len(library), described


def describe_as_asked(
    library: Library, encoder: JointEncoder, settings: Settings, how: str | None, *, unasked: bool
) -> DescribeReport | None:
    """Words for pictures without any; None where nobody asked for them and they do not come by themselves."""
    from composer.commands.terminal import note, printable, progress_of, say
    from composer.pipeline.loading import load_describer, load_drafting
    from composer.pipeline.wordless import SharedDrafting, draft_unasked
    from image_db.metadata.generate import describe_wordless, draft_wordless
    from vision.errors import Phrase

    if not (how or unasked):
        return None
    with progress_of(say("pictures_described")) as progress:
        if how == DRAFTS:
            return draft_wordless(library, encoder, load_drafting(settings, encoder), progress)
        if how is not None:
            labeller, captioner = load_describer(how, settings)
            return describe_wordless(library, encoder, labeller=labeller, captioner=captioner, progress=progress)
        drafted = draft_unasked(library, encoder, SharedDrafting(settings, encoder), progress)
    if isinstance(drafted, Phrase):
        note(printable(drafted))
        return None
    return drafted


def print_report(
    library_dir: Path, report: IndexReport, pictures: int, described: DescribeReport | None = None
) -> None:
    from composer.commands.terminal import printable, say

    formats = Counter(str(reason.values["format"]) for _, reason in report.failed if reason.key == "format_not_read")
    uninstalled = Counter(
        (str(reason.values["format"]), str(reason.values["package"]))
        for _, reason in report.failed
        if reason.key == "format_needs_package"
    )
    failed = [item for item in report.failed if item[1].key not in ("format_not_read", "format_needs_package")]
    counts = {
        "added": report.added,
        "unchanged": report.unchanged,
        "linked": report.linked,
        "updated_text": report.updated_text,
        "paired": report.paired,
        "removed": report.removed,
        "excluded": report.excluded,
        "failed": len(failed),
    }
    found = ", ".join(say(f"index_{name}", count=count) for name, count in counts.items() if count)
    found = found or say("index_nothing")
    print(say("indexed", found=found, seconds=report.seconds, library=library_dir, pictures=pictures))
    if formats:
        print(say("formats_left_out", formats=", ".join(f"{count} {name}" for name, count in formats.most_common())))
    for (name, package), count in uninstalled.items():
        print(say("formats_uninstalled", formats=f"{count} {name}", package=package))
    for folder in report.emptied:
        print(say("folder_emptied", folder=folder))
    if report.skipped:
        names = sorted(report.skipped, key=str.casefold)
        print(say("folders_left_out", count=sum(report.skipped.values()), names=[printable(name) for name in names]))
    for kind, items in (("unusable", failed), ("partly_read", report.warnings)):
        if items:
            print(say(kind, count=len(items)))
        for path, reason in items[:_SHOWN_FAILURES]:
            print(f"  {say('file_and_reason', path=path, reason=reason)}")
        if len(items) > _SHOWN_FAILURES:
            print(f"  {say('more_files', count=len(items) - _SHOWN_FAILURES, library=library_dir)}")
    if described is not None:
        print(say("described", described=described.described, silent=described.silent))


def _as_json(library_dir: Path, report: IndexReport, pictures: int) -> dict[str, object]:
    from composer.i18n import localize

    return {
        "library": str(library_dir.expanduser().absolute()),
        "pictures": pictures,
        "added": report.added,
        "unchanged": report.unchanged,
        "linked": report.linked,
        "updated_text": report.updated_text,
        "paired": report.paired,
        "removed": report.removed,
        "excluded": report.excluded,
        "folders_left_out": dict(report.skipped),
        "folders_emptied": [str(folder) for folder in report.emptied],
        "failed": [{"path": str(path), "reason": localize(reason, "en")} for path, reason in report.failed],
        "warnings": [{"path": str(path), "reason": localize(reason, "en")} for path, reason in report.warnings],
        "seconds": round(report.seconds, 3),
    }
