"""``vignette models``: get, list and check the model files. All work is done by ``vision.downloads.store``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from composer.commands.options import add_command

if TYPE_CHECKING:
    from composer.commands.options import Subparsers
    from vision.downloads.checkpoints import HubPart

EXAMPLES = """\
examples:
  vignette models pull                          what the best profile for this machine needs
  vignette models pull --profile tiny           what another profile needs
  vignette models pull smollm2-135m-instruct    one model
  vignette models list
  vignette models verify

The files are kept in one cache folder, which the environment variable VIGNETTE_HOME moves. A pull that was
interrupted goes on where it was. Models of the hub are kept in the hub's own cache (HF_HOME).
"""


def register(subparsers: Subparsers) -> None:
    parser = add_command(subparsers, "models", "get, list and check the model files and fonts", examples=EXAMPLES)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    pull = add_command(actions, "pull", "fetch models, or what a profile needs", run_pull)
    chosen = pull.add_mutually_exclusive_group()
    chosen.add_argument("names", nargs="*", default=[], metavar="NAME", help="a name of `vignette models list`")
    chosen.add_argument("--all", action="store_true", help="fetch every model of the list")
    chosen.add_argument("--profile", metavar="NAME", help="fetch what a profile needs (default: auto)")
    add_command(actions, "list", "show the models and which are here", run_list)
    verify = add_command(
        actions, "verify", "read every byte of the models that are here and compare hashes", run_verify
    )
    verify.add_argument("names", nargs="*", metavar="NAME", help="a name of `vignette models list` (default: all here)")


def run_pull(args: argparse.Namespace) -> int:
    from composer.commands.profiles import DICTIONARY, fetch, needed
    from composer.commands.terminal import note, printable
    from composer.profiles import machine
    from composer.profiles.choice import resolve
    from composer.profiles.wanted import wanted
    from composer.settings import DEFAULT_PROFILE
    from vision.downloads.store import manifest
    from vision.errors import ModelError

    _check_names(args.names)
    if args.all or args.names:
        models = list(manifest()) if args.all else list(dict.fromkeys(args.names))
        parts: Sequence[HubPart] = ()
    else:
        resolved = resolve(args.profile or DEFAULT_PROFILE)
        for said in resolved.notes:
            note(printable(said))
        models = needed(resolved.settings)
        # Asked for two seconds here, since the hub's own library asks for half a minute, and tells of each try.
        absent = list(dict.fromkeys(part.repository for part in wanted(resolved.settings).missing().parts))
        if absent and (machine.is_offline() or not machine.hub_answers()):
            raise ModelError("hub_not_asked" if machine.is_offline() else "hub_unreachable", model=absent)
        parts = wanted(resolved.settings, ask_hub=True).parts
    # The dictionary makes articles better, and none wait for it.
    extras = [DICTIONARY] if DICTIONARY in models and not args.names else []
    found = fetch([name for name in models if name not in extras], parts, extras)
    for name in sorted(found, key=lambda name: name == DICTIONARY):
        print(f"{name}\t{found[name]}")
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


def _check_names(names: list[str]) -> None:
    from composer.errors import UsageError
    from vision.downloads.store import manifest

    for name in names:
        if name not in manifest():
            raise UsageError("model_unknown", name=name, known=list(manifest()))
