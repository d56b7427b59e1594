"""``vignette models``: get, list and check the model files. All work is done by ``vision.downloads.store``."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vision.downloads.store import PullProgress

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


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "models",
        help="get, list and check the model files and fonts",
        description="Get, list and check the model files.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    pull = actions.add_parser("pull", help="fetch models, or what a profile needs")
    chosen = pull.add_mutually_exclusive_group()
    chosen.add_argument("names", nargs="*", default=[], metavar="NAME", help="a name of `vignette models list`")
    chosen.add_argument("--all", action="store_true", help="fetch every model of the list")
    chosen.add_argument("--profile", metavar="NAME", help="fetch what a profile needs (default: the default profile)")
    pull.set_defaults(run=run_pull)
    actions.add_parser("list", help="show the models and which are here").set_defaults(run=run_list)
    verify = actions.add_parser("verify", help="read every byte of the models that are here and compare hashes")
    verify.add_argument("names", nargs="*", metavar="NAME", help="a name of `vignette models list` (default: all here)")
    verify.set_defaults(run=run_verify)


def run_pull(args: argparse.Namespace) -> int:
    from composer.export.pdf_fonts import CHINESE, SCRIPTS
    from vision.downloads.store import manifest, pull_all

    if args.all:
        names = list(manifest())
    elif args.names:
        names = list(dict.fromkeys(args.names))
        _check_names(names)
    else:
        names = needed(args.profile)
        if names == [CHINESE, SCRIPTS]:
            print(f"Profile {args.profile} uses no model of this list; its models are fetched when first used.")
    bar = _Bar()
    try:
        paths = pull_all(names, bar)
    finally:
        bar.close()
    for name, path in zip(names, paths, strict=True):
        print(f"{name}\t{path}")
    return 0


def run_list(_args: argparse.Namespace) -> int:
    from vision.downloads.store import home, locate, manifest
    from vision.errors import WeightsError

    for name, entry in manifest().items():
        try:
            locate(name)
            state = "here"
        except WeightsError as error:
            state = "damaged" if "damaged" in str(error) else "-"
        print(f"{name:<28} {entry.size_bytes / 1e6:>8,.0f} MB  {state:<8} {entry.license:<11} {entry.purpose}")
    print(f"in {home()}", file=sys.stderr)
    return 0


def run_verify(args: argparse.Namespace) -> int:
    from vision.downloads.store import manifest, verify

    _check_names(args.names)
    results = [verify(name) for name in args.names or manifest()]
    if not args.names:
        results = [result for result in results if result.state != "missing"]
    for result in results:
        print(f"{result.name:<28} {result.state}" + (f": {result.detail}" if result.detail else ""))
    bad = [result.name for result in results if result.state != "sound"]
    if bad:
        print(f"vignette: run: vignette models pull {' '.join(bad)}", file=sys.stderr)
    elif not results:
        print("vignette: no models are here; run: vignette models pull", file=sys.stderr)
    return 1 if bad or not results else 0


def needed(profile: str | None) -> list[str]:
    """The models of the manifest that a profile uses, and the fonts of PDFs."""
    from composer.export.pdf_fonts import CHINESE, SCRIPTS
    from composer.settings import DEFAULT_PROFILE, load_settings
    from vision.downloads.store import manifest

    settings = load_settings(profile or DEFAULT_PROFILE)
    names = [settings.language.model] if settings.language.kind == "gguf" else []
    if settings.encoder.kind == "embedded":
        from vision.joint_encoder.checkpoint import shipped_towers

        names += shipped_towers()
    names += [CHINESE, SCRIPTS]
    return [name for name in names if name in manifest()]


def _check_names(names: list[str]) -> None:
    from composer.errors import UsageError
    from vision.downloads.store import manifest

    for name in names:
        if name not in manifest():
            raise UsageError(f"there is no model {name!r}; known: {', '.join(manifest())}")


class _Bar:
    """Draws the progress of one model after another on stderr."""

    def __init__(self) -> None:
        from tqdm import tqdm

        self._tqdm = tqdm
        self._bar: tqdm | None = None
        self._shown: tuple[str, str] | None = None

    def __call__(self, progress: PullProgress) -> None:
        shown = (progress.name, progress.stage)
        if self._bar is None or shown != self._shown:
            self.close()
            label = {"waiting": "waiting for another pull of", "fetching": "", "verifying": "checking"}[progress.stage]
            self._bar = self._tqdm(
                total=progress.total_bytes,
                desc=f"{label} {progress.name}".strip(),
                unit="B",
                unit_scale=True,
                file=sys.stderr,
                initial=progress.done_bytes,
                mininterval=0.2 if sys.stderr.isatty() else 10.0,
            )
            self._shown = shown
        self._bar.update(progress.done_bytes - self._bar.n)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
