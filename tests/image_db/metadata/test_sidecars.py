from __future__ import annotations

import json
from pathlib import Path

import pytest

from composer.i18n import localize
from image_db.metadata.description import Description
from image_db.metadata.sidecars import SidecarReader
from image_db.scan import FoundFile, WalkCoverage, walk
from tests.image_db.conftest import paint
from vision.errors import Phrase


def described(folder: Path, name: str = "x.png") -> tuple[Description, dict[str, Phrase]]:
    reader = SidecarReader()
    (found,) = (f for f in walk([folder / name], WalkCoverage([], [])) if isinstance(f, FoundFile))
    description = reader.describe(found.stamp.path, found.sidecars)
    return description, {Path(path).name: reason for path, reason in reader.problems.items()}


@pytest.fixture
def folder(pictures: Path) -> Path:
    paint(pictures / "x.png")
    return pictures


def test_every_documented_key_of_a_json_sidecar_is_read(folder: Path) -> None:
    (folder / "x.json").write_text(
        json.dumps(
            {
                "caption": "A  cat\n asleep",
                "alt": "A grey cat",
                "tags": ["cat", "grey", "cat", " "],
                "author": "Ann",
                "license": "CC BY 4.0",
                "source_url": "https://example.org",
                "captions": {"zh": "一只猫", "de": ""},
            }
        ),
        encoding="utf-8",
    )
    assert described(folder) == (
        Description(
            caption="A cat asleep",
            alt="A grey cat",
            tags=("cat", "grey"),
            author="Ann",
            license="CC BY 4.0",
            source_url="https://example.org",
            captions=(("zh", "一只猫"),),
        ),
        {},
    )


def test_the_first_line_of_a_text_file_is_the_caption(folder: Path) -> None:
    (folder / "x.txt").write_text("\ufeff\n  A cat asleep  \nnotes that are not the caption\n", encoding="utf-8")
    assert described(folder) == (Description(caption="A cat asleep"), {})


def test_utf16_of_windows_editors_is_read(folder: Path) -> None:
    (folder / "x.txt").write_text("Ein Kätzchen", encoding="utf-16")
    assert described(folder)[0].caption == "Ein Kätzchen"


def test_a_folders_csv_gives_each_picture_its_row(folder: Path) -> None:
    paint(folder / "y, z.png", "blue")
    (folder / "metadata.csv").write_text(
        "file,caption,tags,license,captions_zh\r\n"
        'x.png,"A ""big"" cat",cat;big,CC0,大猫\r\n'
        "\r\n"
        '"y, z.png",A dog,,,\r\n',
        encoding="utf-8",
    )
    first, problems = described(folder)
    assert problems == {}
    assert first == Description('A "big" cat', tags=("cat", "big"), license="CC0", captions=(("zh", "大猫"),))
    assert described(folder, "y, z.png")[0] == Description("A dog")


def test_a_folders_jsonl_gives_each_picture_its_row(folder: Path) -> None:
    lines = [{"file": "x.png", "caption": "A cat", "tags": ["cat"]}, {"file_name": "x2.png", "caption": "Another"}]
    paint(folder / "x2.png", "blue")
    (folder / "metadata.jsonl").write_text("\n".join(json.dumps(line) for line in lines) + "\n\n")
    assert described(folder) == (Description("A cat", tags=("cat",)), {})
    assert described(folder, "x2.png") == (Description("Another"), {})


def test_precedence_goes_from_the_pictures_own_files_to_the_folders(folder: Path) -> None:
    (folder / "metadata.csv").write_text("file,caption,author,license,alt\nx.png,csv,csv,csv,csv\n")
    (folder / "metadata.jsonl").write_text(
        '{"file": "x.png", "caption": "jsonl", "author": "jsonl", "license": "jsonl"}'
    )
    (folder / "x.txt").write_text("txt")
    assert described(folder)[0] == Description("txt", alt="csv", author="jsonl", license="jsonl")
    (folder / "x.json").write_text('{"caption": "stem", "author": "stem"}')
    assert described(folder)[0] == Description("stem", alt="csv", author="stem", license="jsonl")
    (folder / "x.png.json").write_text('{"caption": "full"}')
    assert described(folder)[0] == Description("full", alt="csv", author="stem", license="jsonl")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("x.json", b"{", "sidecar_not_json"),
        ("x.json", b"[1]", "json_no_object"),
        ("x.json", b"[" * 100_000, "sidecar_not_json"),
        ("x.json", b'{"caption": 3}', "value_no_text"),
        ("x.json", b'{"tags": [1]}', "value_no_list"),
        ("x.json", b'{"captions": {"zho": "x"}}', "captions_entry_wrong"),
        ("x.txt", b"caf\xe9", "not_utf8"),
        ("metadata.csv", b"file,caption\nnone.png,x", "row_names_absent"),
        ("metadata.csv", b"caption\nx", "row_names_no_picture"),
        ("metadata.jsonl", b'{"file": "a/x.png"}', "row_names_other_folder"),
        ("metadata.jsonl", b"{}\nnope", "row_names_no_picture"),
    ],
)
def test_a_bad_sidecar_is_reported_with_its_reason(folder: Path, name: str, content: bytes, reason: str) -> None:
    (folder / name).write_bytes(content)
    description, problems = described(folder)
    assert description == Description()
    assert list(problems) == [name]
    outer = problems[name]
    assert outer.key == "sidecar_not_used"
    inner = outer.values["reason"]
    if name.startswith("metadata"):
        assert (inner.key, inner.values["line"]) == ("on_line", 2 if name.endswith("csv") else 1)
        inner = inner.values["reason"]
    assert inner.key == reason


def test_what_is_good_in_a_bad_sidecar_is_used(folder: Path) -> None:
    (folder / "x.json").write_text('{"caption": "A cat", "licence": "CC0", "alt": 3}')
    description, problems = described(folder)
    assert description == Description("A cat")
    assert localize(problems["x.json"], "en") == (
        "alt is 3, a text is expected, key 'licence' is unknown (did you mean license?); the rest of it is used"
    )


def test_one_bad_line_of_a_table_does_not_cost_the_others(folder: Path) -> None:
    (folder / "metadata.csv").write_text("file,caption\nnone.png,x\nx.png,A cat\n")
    description, problems = described(folder)
    assert description.caption == "A cat"
    assert list(problems) == ["metadata.csv"]


def test_a_sidecar_of_unreasonable_size_is_not_read(folder: Path) -> None:
    (folder / "x.txt").write_bytes(b"a" * ((1 << 20) + 1))
    reason = Phrase("sidecar_too_large", {"bytes": (1 << 20) + 1, "limit": 1 << 20})
    assert described(folder)[1] == {"x.txt": Phrase("sidecar_not_used", {"reason": reason})}
