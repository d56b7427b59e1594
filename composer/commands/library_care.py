"""The parts of ``vignette library`` that keep a library sound: verify, compact, reencode, backup, review."""

from __future__ import annotations

import argparse
import sys
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from composer.commands.options import add_command, add_library, add_profile

if TYPE_CHECKING:
    from composer.commands.options import Subparsers
    from image_db.library import Library
    from image_db.metadata.record import ImageRecord
    from image_db.verification import Verification


def register_care(actions: Subparsers) -> None:
    verify = add_command(actions, "verify", "read every picture and vector again and compare", run_verify)
    add_library(verify)
    verify.add_argument("--repair", action="store_true", help="mend what can be mended from what is left")
    add_profile(verify)

    compact = add_command(
        actions, "compact", "forget pictures that are gone and give their room back; corrections are kept", run_compact
    )
    add_library(compact)

    reencode = add_command(
        actions,
        "reencode",
        "make the vectors anew with the encoder of --profile, beside those in use; goes on where it was cut off",
        run_reencode,
    )
    add_library(reencode)
    add_profile(reencode)
    reencode.add_argument(
        "--without-unreadable", action="store_true", help="let pictures whose files cannot be read leave the library"
    )

    backup = add_command(actions, "backup", "copy catalogue and vectors to a new folder, a library itself", run_backup)
    backup.add_argument("target", metavar="DIR", type=Path, help="a new or empty folder")
    add_library(backup)

    review = add_command(actions, "review", "keep, correct or drop drafted words, picture by picture", run_review)
    add_library(review)
    add_profile(review)
    review.add_argument("--open", action="store_true", help="show each picture in this system's viewer")


def run_verify(args: argparse.Namespace) -> int:
    from composer.commands.terminal import note, printable, progress_of, say
    from image_db.errors import LibraryDamaged
    from image_db.library import Library
    from image_db.repairing import salvage
    from image_db.verification import verify

    try:
        library = Library.open(args.library, None, for_repair=args.repair)
    except LibraryDamaged as error:
        if not args.repair or error.key != "catalogue_damaged":
            raise
        note(say("catalogue_salvaged", file=salvage(args.library.expanduser().absolute())))
        library = Library.open(args.library, None, for_repair=True)
    with library:
        with progress_of(say("pictures")) as progress:
            result = verify(library, progress)
        for line in result.damage:
            print(say("verify_damaged", what=line))
        for path in result.missing:
            print(say("verify_missing", path=path))
        for path, reason in result.changed:
            print(say("verify_changed", path=path, reason=reason))
        state = "library_sound" if result.sound else "library_unsound"
        print(say(state, library=args.library, pictures=result.pictures, files=result.files))
        if not result.sound and args.repair:
            return _repair(args, library, result)
    if result.missing or result.changed:
        note(say("index_again", library=printable(args.library)))
    if result.damage:
        note(say("repair_possible", library=printable(args.library)))
    return 0 if result.sound else 1


def _repair(args: argparse.Namespace, library: Library, found: Verification) -> int:
    from composer.commands.profiles import settings_for
    from composer.commands.terminal import note, printable, progress_of, say
    from composer.pipeline.loading import load_encoder
    from image_db.library import encoder_mismatch
    from image_db.repairing import repair

    encoder = load_encoder(settings_for(args.profile, args.library, encoder_only=True))
    if encoder.identity.sha256 != library.encoder.sha256:
        raise encoder_mismatch(library.folder, library.encoder, encoder.identity)
    with progress_of(say("pictures")) as progress:
        mended = repair(library, encoder, found, progress)
    print(say("repaired", encoded=mended.encoded, hidden=mended.hidden, dropped=mended.dropped))
    left = library.damage()
    for line in left:
        print(say("verify_damaged", what=line))
    if mended.hidden or mended.dropped:
        note(say("index_again", library=printable(args.library)))
    return 1 if left else 0


def run_compact(args: argparse.Namespace) -> int:
    from composer.commands.terminal import say
    from image_db.compaction import compact
    from image_db.library import Library

    with Library.open(args.library, None) as library:
        done = compact(library)
    print(say("compacted", forgotten=done.forgotten, freed_mb=done.freed_bytes / 1e6))
    return 0


def run_reencode(args: argparse.Namespace) -> int:
    from composer.commands.profiles import settings_for
    from composer.commands.terminal import printable, progress_of, say
    from composer.pipeline.loading import load_encoder
    from image_db.library import Library
    from image_db.reencoding import reencode

    Library.open(args.library, None).close()
    settings = settings_for(args.profile, encoder_only=True)
    encoder = load_encoder(settings)
    try:
        with Library.open(args.library, None) as library, progress_of(say("pictures")) as progress:
            done = reencode(library, encoder, progress=progress, without_unreadable=args.without_unreadable)
    except KeyboardInterrupt:
        print(f"\n{say('reencoding_stopped')}", file=sys.stderr)
        raise
    print(say("reencoded", library=args.library, count=done.encoded, encoder=encoder.identity.name))
    for path in done.left_out:
        print(f"  {say('left_library', path=printable(path))}")
    return 0


def run_backup(args: argparse.Namespace) -> int:
    from composer.commands.terminal import say
    from image_db.backup import back_up
    from image_db.library import Library

    with Library.open(args.library, None) as library:
        size_bytes = back_up(library, args.target)
        print(say("backed_up", pictures=len(library), target=args.target, size_mb=size_bytes / 1e6))
    return 0


def run_review(args: argparse.Namespace) -> int:
    from composer.commands.profiles import settings_for
    from composer.commands.terminal import say
    from composer.pipeline.loading import load_encoder
    from image_db.corrections import correct, draft_of
    from image_db.library import Library

    with Library.open(args.library, None) as library:
        drafted = [record for record in library.records() if draft_of(record)[1]]
    if not drafted:
        print(say("review_nothing", library=args.library))
        return 0
    encoder = load_encoder(settings_for(args.profile, args.library, encoder_only=True))
    print(say("review_how", count=len(drafted)))
    reviewed = 0
    with Library.open(args.library, encoder.identity) as library:
        for number, record in enumerate(drafted, 1):
            field, draft = draft_of(record)
            given = _asked(record, draft, number, len(drafted), input, show=args.open)
            if given is None:
                break
            if given is not _SKIPPED:
                correct(library, encoder, record.id, {field: given}, all_meant=True)
                reviewed += 1
    print(say("reviewed", count=reviewed, left=len(drafted) - reviewed))
    return 0


_SKIPPED = "\0"


def _asked(
    record: ImageRecord, draft: str, number: int, count: int, read: Callable[[str], str], *, show: bool
) -> str | None:
    """What a person makes of a draft: the words to keep, "" for none, _SKIPPED, or None to stop."""
    from composer.commands.terminal import printable

    print(f"\n{number}/{count} {printable(record.path)}\n  {printable(draft)}")
    if show:
        webbrowser.open(record.path.as_uri())
    try:
        said = read("> ").strip()
    except EOFError:
        return None
    answers: dict[str, str | None] = {"": draft, "-": "", "s": _SKIPPED, "q": None}
    return answers.get(said, said)
