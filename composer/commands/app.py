"""``vignette app``: opens the page. The page itself is the module ``app``, which is started as a process of its own."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from composer.commands.options import add_command

if TYPE_CHECKING:
    from composer.commands.options import Subparsers

EXAMPLES = """\
examples:
  vignette app
  vignette app --library ~/my-library
  vignette app --open ~/articles/farm
  vignette app --library ~/my-library --profile hub --port 8000
  VIGNETTE_PASSWORD=anna:correct-horse vignette app --host 0.0.0.0 --public

The page opens in the browser; --no-browser only prints its address. Without --library it offers the library used last,
and the sample (vignette library sample). It can be reached from this machine only, unless --public and a password say
otherwise; its connection is not encrypted, so let others in only over a network you trust or through a proxy that
speaks https. Programs use the same address, see docs/api.md.
"""


def register(subparsers: Subparsers) -> None:
    from composer.web.command_line import add_options

    add_options(add_command(subparsers, "app", "write and illustrate on a page in the browser", run, examples=EXAMPLES))


def run(args: argparse.Namespace) -> int:
    from composer.commands.profiles import check_profile, settings_for
    from composer.studio.saved_articles import saved_folder
    from composer.web.command_line import PASSWORD_VARIABLE, access_of, check_port, offered_libraries, page_command
    from image_db.default_library import last_library, library_folder
    from image_db.sample.build import sample_folder

    access_of(args)
    check_port(args.host, args.port)
    check_profile(args.profile)
    if args.open:
        saved_folder(args.open)
    if args.library:
        offered_libraries(args.library)
    # What is picked is said, and fetched, before the page opens.
    first = library_folder(str(args.library[0])) if args.library else last_library() or sample_folder()
    settings_for(args.profile, first)
    command = [*page_command(), "--profile", args.profile, "--host", args.host, "--port", str(args.port)]
    command += [f"--root-path={args.root_path}"] * bool(args.root_path)
    for name in ("library", "library-root"):
        for folder in getattr(args, name.replace("-", "_")) or ():
            command += [f"--{name}", str(folder)]
    switches = ("public", "no-browser", "mcp", "log-json", "log-text")
    command += [f"--{name}" for name in switches if getattr(args, name.replace("-", "_"))]
    command += [f"--open={args.open}"] if args.open else []
    if args.password:
        os.environ[PASSWORD_VARIABLE] = args.password
    if os.name == "posix":
        # The same process goes on as the page, so that ending the one ends the other.
        sys.stdout.flush()
        os.execv(command[0], command)
    import subprocess

    return subprocess.run(command, check=False).returncode
