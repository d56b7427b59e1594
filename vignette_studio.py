"""What the command ``vignette`` starts: makes sure that Vignette's own packages are those that Python finds.

``composer``, ``vision``, ``retrieval`` and ``image_db`` are names that other distributions have, too. Such a package
is found first where its folder stands earlier on the path, and mixed with Vignette's where pip put both into one
folder. This module's own name is the distribution's; it imports the standard library alone until that is known.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("vision", "image_db", "retrieval", "composer")
HERE = Path(__file__).resolve().parent
MARK = "Vignette's"  # in the docstring of each package, and of app.py


def shadowed() -> tuple[str, Path] | None:
    """The first package of Vignette's that another one stands in the way of, and where that one is."""
    for name in PACKAGES:
        own = HERE / name
        spec = find_spec(name)
        places = [Path(place).resolve() for place in (spec.submodule_search_locations or ())] if spec else []
        if places != [own]:
            found = spec.origin if spec is not None and spec.origin else (places or [own])[0]
            return name, Path(found)
        if not _is_ours(own / "__init__.py"):
            return name, own
        # A package is found before a module of the same name.
        for module in own.glob("*.py"):
            if module.with_suffix("").is_dir():
                return f"{name}.{module.stem}", module.with_suffix("")
    return None if _is_ours(HERE / "app.py") else ("app", HERE / "app.py")


def _is_ours(file: Path) -> bool:
    try:
        return MARK in file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


def main(argv: Sequence[str] | None = None) -> int:
    """The command line, or one line on stderr and code 1 where it cannot be what runs."""
    if found := shadowed():
        name, place = found
        print(
            f"vignette: another package called {name} ({place}) stands in the way of Vignette's own; give Vignette an "
            "environment of its own: pipx install, uv tool install, or a new venv (docs/install.md)",
            file=sys.stderr,
        )
        return 1
    from composer.cli import main as command_line

    return command_line(argv)


if __name__ == "__main__":
    sys.exit(main())
