"""The house rules that a machine can check: who may import whom, what is lazy, how long a module may be."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LAYERS = ("vision", "image_db", "retrieval", "composer", "app")
MODULES = [*sorted(path for layer in LAYERS[:-1] for path in (ROOT / layer).rglob("*.py")), ROOT / "app.py"]
NAMES = [str(path.relative_to(ROOT)) for path in MODULES]
COMMANDS = sorted(path for path in (ROOT / "composer" / "commands").glob("*.py") if path.name != "__init__.py")
HEAVY = {"torch", "torchvision", "transformers", "open_clip", "faiss", "gradio", "numpy", "PIL", "timm", "tokenizers"}
LONGEST_LINES = 600


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything a module imports, wherever in it; a relative import starts with a dot."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, "." * node.level + (node.module or "")
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("importlib.import_module", "__import__"):
            yield from ((node.lineno, str(name.value)) for name in node.args[:1] if isinstance(name, ast.Constant))


def wrong_imports(layer: str, tree: ast.AST) -> list[str]:
    """Imports that point to the right in LAYERS, or are relative."""
    allowed = LAYERS[: LAYERS.index(layer) + 1]
    return [
        f"line {line} imports {name}"
        for line, name in imported(tree)
        if name.startswith(".") or (name.split(".")[0] in LAYERS and name.split(".")[0] not in allowed)
    ]


def layer_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@pytest.mark.parametrize("path", MODULES, ids=NAMES)
def test_a_module_imports_only_from_its_left(path: Path) -> None:
    assert wrong_imports(layer_of(path), parse(path)) == []


@pytest.mark.parametrize(
    ("layer", "source", "wrong"),
    [
        ("vision", "import composer.article.model", ["line 1 imports composer.article.model"]),
        ("image_db", "def f():\n    from retrieval.index import Index", ["line 2 imports retrieval.index"]),
        ("retrieval", "import importlib\nimportlib.import_module('app')", ["line 2 imports app"]),
        ("composer", "from . import article", ["line 1 imports ."]),
        (
            "retrieval",
            "import torch, vision.joint_encoder.encoder\nfrom image_db.metadata.record import ImageRecord",
            [],
        ),
        ("app", "from composer.article.model import Article", []),
    ],
)
def test_the_import_rule_sees_what_breaks_it(layer: str, source: str, wrong: list[str]) -> None:
    assert wrong_imports(layer, ast.parse(source)) == wrong


@pytest.mark.parametrize("path", MODULES, ids=NAMES)
def test_a_module_says_what_it_does_and_stays_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len((ast.get_docstring(ast.parse(text)) or "").split()) >= 5, "a module docstring says what it does"
    assert text.count("\n") <= LONGEST_LINES, f"longer than {LONGEST_LINES} lines: split it"


@pytest.mark.parametrize("path", MODULES, ids=NAMES)
def test_only_the_command_line_ends_the_process(path: Path) -> None:
    """A module's own ``if __name__ == "__main__"`` block is a command line too."""
    tree = parse(path)
    main_blocks = [node for node in tree.body if isinstance(node, ast.If) and "__main__" in ast.unparse(node.test)]
    excused = {id(inner) for block in main_blocks for inner in ast.walk(block)}
    exits = [
        f"line {node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(tree)
        if id(node) not in excused
        and isinstance(node, ast.Call)
        and ast.unparse(node.func) in ("exit", "quit", "sys.exit", "os._exit", "os.abort")
    ]
    assert exits == []


@pytest.mark.parametrize("layer", LAYERS[:-1])
def test_every_error_of_a_package_is_drawn_in_its_tree(layer: str) -> None:
    tree = parse(ROOT / layer / "errors.py")
    drawing = ast.get_docstring(tree) or ""
    classes = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
    drawn = re.findall(r"^[│├└─ ]*(\w+)(?:  |$)", drawing, flags=re.MULTILINE)
    assert sorted(classes) == sorted(name for name in drawn if name[0].isupper())


@pytest.mark.parametrize("path", COMMANDS, ids=[path.stem for path in COMMANDS])
def test_a_command_imports_only_the_standard_library_until_it_runs(path: Path) -> None:
    top = ast.Module([node for node in parse(path).body if not isinstance(node, ast.If)], [])
    statements = [node for node in top.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    names = {name for node in statements for _, name in imported(node)}
    # Another command's module keeps the same rule.
    heavy = {name for name in names if not name.startswith("composer.commands.")}
    assert {name.split(".")[0] for name in heavy} <= set(sys.stdlib_module_names)


def test_help_loads_nothing_heavy_and_answers_in_under_three_tenths_of_a_second() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "composer.cli", "--help"]
    first = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = {line.rpartition("|")[2].strip().split(".")[0] for line in first.stderr.splitlines()}
    assert "argparse" in loaded
    assert loaded & HEAVY == set()
    # Processor time, the best of five: a machine busy with other things must not fail this.
    assert min(processor_seconds([sys.executable, "-m", "composer.cli", "--help"]) for _ in range(5)) < 0.3


def processor_seconds(command: list[str]) -> float:
    resource = pytest.importorskip("resource")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True, cwd=ROOT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return float(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def test_everything_imported_is_declared_in_pyproject() -> None:
    """Nothing may lean on what happens to be installed because something else needed it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    declared = {normal(re.split(r"[\s<>=!~;\[]", requirement)[0]) for group in groups for requirement in group}
    distributions = importlib.metadata.packages_distributions()
    missing = []
    for path in MODULES:
        for line, name in imported(parse(path)):
            package = name.split(".")[0]
            if package in sys.stdlib_module_names or package in LAYERS or package == "":
                continue
            homes = {normal(home) for home in distributions.get(package, [])}
            if not homes:  # of an extra that is not installed: only its name can be compared
                homes = {name for name in declared if name.startswith(normal(package))} or {normal(package)}
            if not homes & declared:
                missing.append(f"{path.relative_to(ROOT)}:{line} imports {package}, of {', '.join(sorted(homes))}")
    assert missing == []


def normal(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()
