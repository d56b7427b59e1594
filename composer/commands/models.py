"""``vignette models``: get, list and check the model files. All work is done by ``vision.downloads.store``."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from composer.commands.options import add_command

if TYPE_CHECKING:
    from composer.commands.options import Subparsers

DICTIONARY = "gcide"  # the only entry that comes from Debian's servers, and the only one that writing does without
EXAMPLES = """\
examples:
  vignette models pull                          what the default profile needs
  vignette models pull --profile tiny           what another profile needs
  vignette models pull smollm2-135m-instruct    one model
  vignette models list
  vignette models verify

The files are kept in one cache folder, which the environment variable VIGNETTE_HOME moves. A pull that was
interrupted goes on where it was.
"""


def register(subparsers: Subparsers) -> None:
    parser = add_command(subparsers, "models", "get, list and check the model files and fonts", examples=EXAMPLES)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    pull = add_command(actions, "pull", "fetch models, or what a profile needs", run_pull)
    chosen = pull.add_mutually_exclusive_group()
    chosen.add_argument("names", nargs="*", default=[], metavar="NAME", help="a name of `vignette models list`")
    chosen.add_argument("--all", action="store_true", help="fetch every model of the list")
    chosen.add_argument("--profile", metavar="NAME", help="fetch what a profile needs (default: the default profile)")
    add_command(actions, "list", "show the models and which are here", run_list)
    verify = add_command(
        actions, "verify", "read every byte of the models that are here and compare hashes", run_verify
    )
    verify.add_argument("names", nargs="*", metavar="NAME", help="a name of `vignette models list` (default: all here)")


def run_pull(args: argparse.Namespace) -> int:
    from composer.commands.terminal import note, progress, say
    from composer.export.pdf_fonts import CHINESE, SCRIPTS
    from vision.downloads.store import PullProgress, manifest, pull_all
    from vision.errors import WeightsError

    _check_names(args.names)
    names = list(manifest()) if args.all else list(dict.fromkeys(args.names)) or needed(args.profile)
    if names == [CHINESE, SCRIPTS]:
        print(say("profile_of_hub", profile=args.profile))
    with progress(sizes=True) as draw:

        def tell(pulled: PullProgress) -> None:
            draw(say(f"pull_{pulled.stage}", name=pulled.name), pulled.done_bytes, pulled.total_bytes)

        paths = pull_all([name for name in names if name != DICTIONARY], tell)
        missed = None
        if DICTIONARY in names:
            try:
                paths += pull_all([DICTIONARY], tell)
            except WeightsError as error:
                if DICTIONARY in args.names:
                    raise
                missed = error  # it makes articles better, and none wait for it
                names.remove(DICTIONARY)
    if missed is not None:
        note(say("dictionary_not_fetched", reason=missed))
    names.sort(key=lambda name: name == DICTIONARY)
    for name, path in zip(names, paths, strict=True):
        print(f"{name}\t{path}")
    return 0


def run_list(_args: argparse.Namespace) -> int:
    from composer.commands.terminal import say, table
    from vision.downloads.store import home, locate, manifest
    from vision.errors import WeightsError

    rows = []
    for name, entry in manifest().items():
        try:
            locate(name)
            state = say("model_here")
        except WeightsError as error:
            state = say("model_damaged") if "damaged" in error.key else "-"
        rows.append((name, f"{entry.size_bytes / 1e6:,.0f} MB", state, entry.license, entry.purpose))
    print(table(rows, right=(1,)))
    print(say("models_in", folder=home()), file=sys.stderr)
    return 0


def run_verify(args: argparse.Namespace) -> int:
    from composer.commands.terminal import note, printable, say
    from vision.downloads.store import manifest, verify

    _check_names(args.names)
    results = [verify(name) for name in args.names or manifest()]
    if not args.names:
        results = [result for result in results if result.state != "missing"]
    for result in results:
        detail = f": {printable(result.problem)}" if result.problem else ""
        print(f"{result.name:<28} {say(f'model_{result.state}')}{detail}")
    bad = [result.name for result in results if result.state != "sound"]
    if bad:
        note(say("pull_again", names=" ".join(bad)))
    elif not results:
        note(say("no_models"))
    return 1 if bad or not results else 0


def needed(profile: str | None) -> list[str]:
    """The models of the manifest that a profile uses, the fonts of PDFs, and the dictionaries for gguf writers."""
    from composer.export.pdf_fonts import CHINESE, SCRIPTS
    from composer.settings import DEFAULT_PROFILE, load_settings
    from retrieval.cedict import NAME as CHINESE_DICTIONARY
    from vision.downloads.store import manifest

    settings = load_settings(profile or DEFAULT_PROFILE)
    names = [settings.writer.model] if settings.writer.kind == "gguf" else []
    if settings.encoder.kind == "embedded":
        from vision.joint_encoder.checkpoint import shipped_towers

        names += shipped_towers()
    names += [CHINESE, SCRIPTS]
    if settings.writer.kind == "gguf":
        names += [CHINESE_DICTIONARY, DICTIONARY]
    return [name for name in names if name in manifest()]


def _check_names(names: list[str]) -> None:
    from composer.errors import UsageError
    from vision.downloads.store import manifest

    for name in names:
        if name not in manifest():
            raise UsageError("model_unknown", name=name, known=list(manifest()))
