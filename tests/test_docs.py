"""What the documentation shows is true: commands parse and run, files, links, options and variables exist."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import re
import shlex
import tomllib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from composer import cli
from composer.pipeline import loading
from composer.pipeline.model_pool import ModelPool
from composer.pipeline.pipeline import Pipeline
from composer.settings import parse_settings
from image_db import watching
from image_db.indexing import index_paths
from image_db.library import Library
from tests.composer.article_samples import picture
from tests.composer.fake_pipeline import FakePipeline
from tests.composer.small_pipeline import paint
from tests.fakes import ColourEncoder
from vision import DISTRIBUTION
from vision.bridge.drafting import CaptionDraft
from vision.interfaces import Usage

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# A block that is a file: its name in backquotes is the last thing said before it, "`boat.json`:".
NAMED_FILE = re.compile(r"`([\w-]+\.\w+)`[^`\n]*:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# These need a model, a network or a browser; that they are understood is tested all the same.
ON_RAY = ("index ~/Pictures --engine ray", "batch requests.jsonl --engine ray")
NOT_RUN = ("doctor", "models pull", "library sample", "app", "bench", "eval", "train", *ON_RAY)
TOOLS = {"make", "pip", "podman", "pipx", "uv", "python3", ".", ".venv/bin/python"}
OTHERS_OPTIONS = {"--extra-index-url", "--pip-args", "--no-deps", "--wheel-dir", "--upgrade", "--force"}


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def shell_lines(page: Path) -> list[str]:
    """The commands of a page's shell blocks, one a string, without comments."""
    blocks = [body for language, body in FENCED.findall(text_of(page)) if language == "sh"]
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [line for line in (re.sub(r"\s+# .*", "", line).strip() for line in lines) if line]


def words_of(line: str) -> list[str]:
    """The words of a command, assignments of variables before it left out."""
    words = shlex.split(line)
    while re.match(r"[A-Z_]+=", words[0]):
        words.pop(0)
    return words


def vignette_lines(page: Path) -> list[list[str]]:
    return [words[1:] for words in map(words_of, shell_lines(page)) if words[0] == "vignette"]


def prose_of(page: Path) -> str:
    return FENCED.sub("", text_of(page))


def spans_of(page: Path) -> list[str]:
    return re.findall(r"`([^`\n]+)`", prose_of(page))


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from parsers(inner)


def everywhere(find: Callable[[Path], Iterable[str]]) -> list[str]:
    """``page: what`` for all that ``find`` finds wrong on each page."""
    return [f"{name_of(page)}: {wrong}" for page in PAGES for wrong in find(page)]


def test_every_command_line_shown_is_understood() -> None:
    parser = cli.build_parser()

    def refused(page: Path) -> Iterator[str]:
        for words in vignette_lines(page):
            said = io.StringIO()
            try:
                with contextlib.redirect_stderr(said):
                    parser.parse_args(words)
            except SystemExit:
                yield said.getvalue().splitlines()[-1]

    assert everywhere(refused) == []
    assert sum(len(vignette_lines(page)) for page in PAGES) > 50


def test_every_other_command_shown_is_one_that_is_checked() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    wheel = f"{DISTRIBUTION.replace('-', '_')}-{PROJECT['version']}-py3-none-any.whl"

    def wrong(page: Path) -> Iterator[str]:
        for line in shell_lines(page):
            command, *words = words_of(line)
            named = {extra for found in re.findall(r"\.\[([\w,]+)\]", line) for extra in found.split(",")}
            if command not in TOOLS | {"vignette"}:
                yield f"what is {command}?"
            elif command == "make" and words[0] not in targets:
                yield f"make has no {words[0]}"
            elif not named <= set(PROJECT["optional-dependencies"]):
                yield f"no such extra: {line}"
            elif {Path(word).name for word in words if word.endswith(".whl")} - {wheel}:
                yield f"another wheel than {wheel}: {line}"
            elif command in ("pip", "pipx", "uv") and "vignette" in words:
                yield f"another project: {line}"

    assert everywhere(wrong) == []


def test_every_option_and_command_named_in_the_text_exists() -> None:
    known = {option for parser in parsers(cli.build_parser()) for option in parser._option_string_actions}
    commands = {parser.prog for parser in parsers(cli.build_parser())}

    def unknown(page: Path) -> Iterator[str]:
        for span in spans_of(page):
            yield from {*re.findall(r"(?<![\w-])--[a-z][a-z-]+", span)} - known - OTHERS_OPTIONS
            words = re.match(r"vignette(?: [a-z]+)?", span)
            if words is not None and words[0] not in commands:
                yield span

    assert everywhere(unknown) == []


def test_every_link_leads_somewhere() -> None:
    def anchors(page: Path) -> set[str]:
        headings = re.findall(r"^#+ (.+)$", prose_of(page), re.MULTILINE)
        return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}

    def broken(page: Path) -> Iterator[str]:
        for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", text_of(page)):
            place = (page.parent / target).resolve() if target else page
            if not place.exists():
                yield target
            elif anchor and anchor not in anchors(place):
                yield f"{target}#{anchor}"

    assert everywhere(broken) == []


def test_every_page_is_reached_from_the_table_of_contents() -> None:
    for folder in (ROOT / "docs", ROOT / "docs" / "research"):
        linked = set(re.findall(r"\]\(([\w-]+\.md)", text_of(folder / "README.md")))
        assert linked | {"README.md"} >= {page.name for page in folder.glob("*.md")}


def test_every_path_and_name_of_code_named_exists() -> None:
    """Paths such as `vision/images.py`, and names such as `composer.pipeline.selection.choose`."""
    path = re.compile(r"(?:vision|image_db|retrieval|composer|tests|docs|scripts|requirements)/[\w./-]*")
    name = re.compile(r"((?:vision|image_db|retrieval|composer)(?:\.\w+)+)")

    def missing(page: Path) -> Iterator[str]:
        fenced = "\n".join(body for language, body in FENCED.findall(text_of(page)) if not language)
        for span in [*spans_of(page), *re.findall(r"[\w./]+", fenced)]:
            if path.fullmatch(span) and not (ROOT / span).exists() and "xx." not in span and "xyz" not in span:
                yield span
            if name.fullmatch(span) and not named_in_code(span):
                yield span

    assert everywhere(missing) == []


def named_in_code(dotted: str) -> bool:
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        place = ROOT.joinpath(*parts[:length])
        for file in (place.with_suffix(".py"), place / "__init__.py"):
            if file.exists():
                rest = parts[length:]
                return all(re.search(rf"\b(?:def|class) {part}\b|^{part}\b", text_of(file), re.M) for part in rest)
    return False


def test_the_environment_variables_are_those_of_the_code() -> None:
    sources = [path for top in ("vision", "image_db", "retrieval", "composer") for path in (ROOT / top).rglob("*.py")]
    code = "\n".join(map(text_of, [*sources, ROOT / "app.py"]))
    read = set(re.findall(r'"(VIGNETTE_[A-Z_]+|HF_[A-Z_]+)"', code))
    named = {variable for page in PAGES for variable in re.findall(r"\bVIGNETTE_[A-Z_]+", text_of(page))}
    table = text_of(ROOT / "docs/models.md").split("## Environment variables")[1]
    assert named <= read
    assert {variable for variable in read if f"`{variable}`" not in table} == set()


def test_every_profile_shown_is_one() -> None:
    shown = [(page, body) for page in PAGES for language, body in FENCED.findall(text_of(page)) if language == "toml"]
    for page, body in shown:
        parse_settings(page.stem, tomllib.loads(body))
    assert len(shown) >= 3


# A person's machine, on which the commands of each page are run one after the other


class ScriptedPipeline(FakePipeline):
    compose = Pipeline.compose


class ScriptedPool:
    """In place of ``ModelPool``: no model, one pipeline for every library."""

    def __init__(self, pipeline: FakePipeline) -> None:
        self.workers = 1
        self.usage = Usage()
        self._pipeline = pipeline

    def pipeline(self, library: Path, settings: object) -> FakePipeline:
        return self._pipeline

    def close(self) -> None: ...


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A home with ~/Pictures and ~/my-library, a folder to work in, and models that are scripted."""
    home, work, encoder = tmp_path / "home", tmp_path / "work", ColourEncoder()
    pictures = home / "Pictures"
    colours = {"sheep.jpg": "white", "boat.jpg": "blue", "hens.jpg": "orange", "barn.jpg": "red", "IMG_1.jpg": "green"}
    for name, colour in colours.items():
        paint(pictures / name, colour)
    records = [picture(work, name, colour) for name, colour in (("cover.jpg", "gold"), ("harbour.jpg", "teal"))]
    records.append(picture(work, "boat.jpg", "navy"))
    (work / "trip.md").write_text("# Walls\n\nOld walls tell of the people who built them.\n\nThey stand for long.\n")
    (work / "my-tuning").mkdir()  # what training leaves
    (work / "my-tuning" / "profile.toml").write_bytes((ROOT / "composer/profiles/embedded.toml").read_bytes())
    pipeline = ScriptedPipeline(records)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("VIGNETTE_HOME", str(home / "vignette"))
    monkeypatch.setattr(loading, "load_encoder", lambda settings: encoder)
    monkeypatch.setattr(watching, "changes", lambda *_, **__: iter(()))  # else --watch would go on
    monkeypatch.setattr(loading, "load_describer", lambda how, settings: (lambda seen: [["wall"]] * len(seen), None))
    draft = CaptionDraft("A wall.", ("wall",))
    monkeypatch.setattr(loading, "load_drafting", lambda settings, encoder: lambda seen: [draft] * len(seen))
    monkeypatch.setattr(loading, "load_pipeline", lambda settings, library: pipeline)
    monkeypatch.setattr(ModelPool, "load", lambda settings: ScriptedPool(pipeline))
    monkeypatch.chdir(work)

    def index(folder: Path) -> None:
        with Library.create(folder, encoder.identity) as library:
            index_paths(library, encoder, [pictures])

    return SimpleNamespace(home=home, work=work, pictures=pictures, index=index)


def put_files(page: Path, machine: SimpleNamespace) -> set[str]:
    """Write the files that a page shows: words of pictures beside the pictures, others where the commands run."""
    files = dict(NAMED_FILE.findall(text_of(page)))
    for name, body in files.items():
        stem = name.partition(".")[0]
        beside = stem == "metadata" or (machine.pictures / f"{stem}.jpg").exists()
        (machine.pictures if beside else machine.work).joinpath(name).write_text(body, encoding="utf-8")
    return set(files)


def run(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    def expanded(word: str) -> str:
        word = word.replace("$(vignette library path sample)", "~/my-library")
        return str(Path(word).expanduser()) if word.startswith("~") else word

    code = cli.main([expanded(word) for word in words])
    printed = capsys.readouterr()
    assert code == 0, f"vignette {shlex.join(words)}: {printed.err}"
    return printed.out


@pytest.mark.parametrize("page", [page for page in PAGES if vignette_lines(page)], ids=name_of)
def test_the_commands_of_a_page_run_one_after_the_other(
    page: Path, machine: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    for needed in PAGES:
        put_files(needed, machine)
    machine.index(machine.home / "my-library")
    machine.index(machine.work.parent / "bridges")
    for words in vignette_lines(page):
        if not " ".join(words).startswith(NOT_RUN) and words[:2] != ["models", "verify"]:
            run(words, capsys)


def test_the_words_shown_for_pictures_are_read(machine: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    assert put_files(ROOT / "docs/own-pictures.md", machine) == {"sheep.txt", "boat.json", "metadata.csv"}
    machine.index(machine.home / "my-library")
    with Library.open(machine.home / "my-library") as library:
        found = {record.path.stem: record for record in library.records()}
    assert found["sheep"].caption == "Sheep grazing on the hill behind the house"
    assert found["hens"].tags == ("hens", "farm")
    assert dict(found["hens"].captions)["zh"] == "早晨院子里的母鸡"
    assert (found["boat"].author, found["boat"].license) == ("Anna Miller", "CC BY 4.0")
    assert (found["barn"].caption, found["barn"].license) == ("The old barn", "CC0")
    assert found["IMG_1"].caption == ""


def test_the_text_shown_for_illustrating_keeps_every_word(
    machine: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    page = ROOT / "docs/illustrate.md"
    assert put_files(page, machine) == {"essay.md"}
    machine.index(machine.home / "my-library")
    run(vignette_lines(page)[0], capsys)
    article = (machine.work / "essay" / "article.md").read_text(encoding="utf-8")
    paragraphs = re.split(r"\n\n+", (machine.work / "essay.md").read_text(encoding="utf-8").strip())
    assert len(paragraphs) == 5
    places = [article.index(paragraph) for paragraph in paragraphs]
    assert places == sorted(places)
    assert (
        json.loads((machine.work / "essay" / "article.json").read_text(encoding="utf-8"))["title"] == "Dry stone walls"
    )


def test_the_captions_shown_for_languages_are_read(machine: SimpleNamespace) -> None:
    assert put_files(ROOT / "docs/languages.md", machine) == {"barn.json"}
    machine.index(machine.home / "my-library")
    with Library.open(machine.home / "my-library") as library:
        (barn,) = [record for record in library.records() if record.path.stem == "barn"]
    assert barn.caption_in("en") == "The old barn behind the orchard"
    assert barn.caption_in("zh") == "果园后面的旧谷仓"
    assert dict(barn.captions)["de"] == "Die alte Scheune hinter dem Obstgarten"
    assert "旧谷仓" in text_of(ROOT / "docs/languages.md").split("vignette library search")[1]


def test_the_guide_has_ten_pages_in_an_order() -> None:
    rows = re.findall(r"^\| (\d+) \| \[[^]]+\]\(([\w-]+\.md)\)", text_of(ROOT / "docs/README.md"), re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 11))
    assert len({name for _, name in rows}) == 10


def test_the_sample_article_shows_the_pictures_that_lie_beside_it() -> None:
    page = ROOT / "docs/sample/README.md"
    shown = set(re.findall(r"!\[[^]]+\]\(images/([^)]+)\)", text_of(page)))
    assert shown == {path.name for path in (page.parent / "images").iterdir()}
    assert len(re.findall(r"^\[Image: .+\]\(https://", text_of(page), re.MULTILINE)) == len(shown)
