"""The house rules that a machine can check: who may import whom, what is lazy, how large modules and folders may be."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LAYERS = ("vision", "image_db", "retrieval", "composer", "app")
# Inside a package a room may import from those before it; rooms in one set do not import each other.
ROOMS: dict[str, tuple[tuple[str, ...], ...]] = {
    "vision": (
        ("errors", "malloc"),
        ("interfaces", "images", "vectors"),
        ("downloads",),
        ("joint_encoder",),
        ("llm",),
        ("huggingface",),
        ("xcomposer", "served"),
        ("bridge",),
        ("training",),
    ),
    "composer": (
        ("errors",),
        ("fields",),
        ("settings",),
        ("request",),
        ("i18n",),
        ("profiles",),
        ("article",),
        ("sources",),
        ("pipeline",),
        ("export",),
        ("editing",),
        ("batch",),
        ("studio",),
        ("web",),
        ("tuning",),
        ("evaluation",),
        ("benchmarks",),
        ("commands",),
        ("cli",),
    ),
}
APP_IMPORTS = {"composer.web", "composer.studio"}
MODULES = [*sorted(path for layer in LAYERS[:-1] for path in (ROOT / layer).rglob("*.py")), ROOT / "app.py"]
COMMANDS = [
    path for path in sorted((ROOT / "composer" / "commands").glob("*.py")) if path.stem not in ("__init__", "terminal")
]
HEAVY = {"torch", "torchvision", "transformers", "open_clip", "faiss", "gradio", "numpy", "PIL", "timm", "tokenizers"}
MOST_LINES = 600
MOST_MODULES = 20


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything a module imports, wherever in it; a relative import starts with a dot."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, "." * node.level + (node.module or "")
            if node.module in LAYERS:  # from composer import events: the names are rooms
                yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("importlib.import_module", "__import__"):
            yield from ((node.lineno, str(name.value)) for name in node.args[:1] if isinstance(name, ast.Constant))


def rank(name: str) -> tuple[int, int]:
    """Where a dotted name stands: its layer, and its room within the layer (-1 for the package itself)."""
    layer, _, rest = name.partition(".")
    room = rest.partition(".")[0]
    ranks = {each: number for number, rooms in enumerate(ROOMS.get(layer, ())) for each in rooms}
    return LAYERS.index(layer), ranks.get(room, -1)


def wrong_imports(module: str, tree: ast.AST) -> list[str]:
    """Imports of a module (by its dotted name) that point to a later layer or room, or are relative."""
    own = rank(module)
    wrong = []
    for line, name in imported(tree):
        if name.startswith("."):
            wrong.append(f"line {line} imports {name}")
        elif name.split(".")[0] in LAYERS:
            other = rank(name)
            same_room = name.split(".")[:2] == module.split(".")[:2]
            beside = other == own and not same_room and other[1] >= 0 and module.split(".")[0] in ROOMS
            if other[0] > own[0] or (other[0] == own[0] and other[1] > own[1]) or beside:
                wrong.append(f"line {line} imports {name}")
    return wrong


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def test_every_room_has_a_place_in_the_order() -> None:
    lacking = []
    for layer, order in ROOMS.items():
        known = {room for rooms in order for room in rooms}
        found = {
            path.stem for path in (ROOT / layer).iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
        }
        lacking += [f"{layer}.{room}" for room in sorted(found - known - {"__init__"})]
    assert lacking == []


def test_a_module_imports_only_from_its_left() -> None:
    wrong = {dotted(path): wrong_imports(dotted(path), parse(path)) for path in MODULES}
    assert {module: lines for module, lines in wrong.items() if lines} == {}


def test_the_view_imports_the_page_and_the_studio_only() -> None:
    names = {name for _, name in imported(parse(ROOT / "app.py")) if name.split(".")[0] in LAYERS}
    assert {".".join(name.split(".")[:2]) for name in names} - {"composer"} <= APP_IMPORTS


@pytest.mark.parametrize(
    ("module", "source", "wrong"),
    [
        ("vision.images", "import composer.article", ["line 1 imports composer.article"]),
        ("image_db.scan", "def f():\n    from retrieval.index import Index", ["line 2 imports retrieval.index"]),
        ("retrieval.index", "import importlib\nimportlib.import_module('app')", ["line 2 imports app"]),
        ("composer.cli", "from . import article", ["line 1 imports ."]),
        ("retrieval.index", "import torch, vision.images\nfrom image_db.metadata.record import ImageRecord", []),
        ("app", "from composer.studio.session import DraftSession", []),
        ("composer.pipeline.writing.writer", "import composer.export.html", ["line 1 imports composer.export.html"]),
        ("composer.export.html", "from composer import studio", ["line 1 imports composer.studio"]),
        ("composer.export.html", "from composer.export.links import is_safe", []),
        ("vision.images", "import vision.vectors", ["line 1 imports vision.vectors"]),
    ],
)
def test_the_import_rule_sees_what_breaks_it(module: str, source: str, wrong: list[str]) -> None:
    assert wrong_imports(module, ast.parse(source)) == wrong


def test_modules_do_not_import_in_circles() -> None:
    """Imports that run when a module is imported; those inside functions and for types alone may point back."""
    names = {dotted(path) for path in MODULES}
    graph = {}
    for path in MODULES:
        top = [
            node
            for node in parse(path).body
            if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
        ]
        eager = ast.Module([node for node in top if isinstance(node, (ast.Import, ast.ImportFrom))], [])
        graph[dotted(path)] = {name for _, name in imported(eager) if name in names}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_a_module_says_what_it_does() -> None:
    assert [dotted(path) for path in MODULES if len((ast.get_docstring(parse(path)) or "").split()) < 5] == []


def test_modules_and_folders_stay_small() -> None:
    long = [dotted(path) for path in MODULES if path.read_text(encoding="utf-8").count("\n") > MOST_LINES]
    folders = Counter(path.parent for path in MODULES if path.name != "__init__.py")
    assert long == []
    assert [str(folder) for folder, modules in folders.items() if modules > MOST_MODULES] == []


def test_a_class_name_is_used_once() -> None:
    homes: dict[str, list[str]] = defaultdict(list)
    for path in MODULES:
        for node in parse(path).body:
            if isinstance(node, ast.ClassDef):
                homes[node.name].append(dotted(path))
    assert {name: modules for name, modules in homes.items() if len(modules) > 1} == {}


def test_only_the_command_line_ends_the_process() -> None:
    """A module's own ``if __name__ == "__main__"`` block is a command line too."""
    exits = []
    for path in MODULES:
        tree = parse(path)
        main_blocks = [node for node in tree.body if isinstance(node, ast.If) and "__main__" in ast.unparse(node.test)]
        excused = {id(inner) for block in main_blocks for inner in ast.walk(block)}
        exits += [
            f"{dotted(path)}:{node.lineno}: {ast.unparse(node)}"
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
    classes = [node.name for node in tree.body if isinstance(node, ast.ClassDef) and node.bases]
    drawn = re.findall(r"^[│├└─ ]*(\w+)(?:  |$)", drawing, flags=re.MULTILINE)
    assert sorted(classes) == sorted(name for name in drawn if name[0].isupper())


def test_a_command_imports_only_the_standard_library_until_it_runs() -> None:
    heavy = []
    for path in COMMANDS:
        statements = [node for node in parse(path).body if isinstance(node, (ast.Import, ast.ImportFrom))]
        names = {name for _, name in imported(ast.Module(statements, []))}  # type: ignore[arg-type]
        # Another command's module keeps the same rule.
        outside = {name for name in names if not f"{name}.".startswith("composer.commands.")}
        heavy += [f"{path.stem}: {name}" for name in outside if name.split(".")[0] not in sys.stdlib_module_names]
    assert heavy == []


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
