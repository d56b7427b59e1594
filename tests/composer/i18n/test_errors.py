"""Every error and notice that a page can show has words in both of its languages."""

from __future__ import annotations

import ast
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

import composer
from composer.errors import ComposerError, EditError, UsageError
from composer.i18n.errors import CLASSES_ZH, WORDS, told
from composer.pipeline.events import Notice
from composer.studio.studio_trouble import EXPECTED
from image_db.errors import EncoderMismatch
from vision.errors import ImageError

PACKAGE = Path(composer.__file__).parent
# What the page runs and nothing else does, and what it runs as the commands do.
PAGE = ("editing/*.py", "studio*.py", "page*.py", "drafts.py")
SHARED = ("pipeline.py", "stages.py", "uploads.py", "writer.py", "export/pdf.py", "request.py")
RAISED = ("ComposerError", "UsageError", "EditError", "DraftError", "ExportError", "WritingFailed", "Notice")


def made(patterns: tuple[str, ...]) -> Iterator[tuple[str, str, frozenset[str]]]:
    """Where an error or notice is made, its key, and the names of its values."""
    for path in sorted(path for pattern in patterns for path in PACKAGE.glob(pattern)):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(call, ast.Call):
                continue
            name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            if name not in RAISED:
                continue
            key = call.args[1].value if len(call.args) > 1 and isinstance(call.args[1], ast.Constant) else ""
            names = {keyword.arg for keyword in call.keywords}
            if len(call.args) > 2 and isinstance(call.args[2], ast.Dict):
                names |= {entry.value for entry in call.args[2].keys if isinstance(entry, ast.Constant)}
            yield f"{path.relative_to(PACKAGE)}:{call.lineno}", str(key), frozenset(map(str, names))


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_everything_the_page_raises_has_a_key_of_the_catalogue() -> None:
    found = list(made(PAGE))
    assert len(found) > 60
    assert [where for where, key, _ in found if key not in WORDS] == []


def test_no_wording_asks_for_a_value_that_is_not_given() -> None:
    lacking = [
        (where, key, fields(wording) - names)
        for where, key, names in made((*PAGE, *SHARED))
        if key
        for wording in WORDS[key]
        if fields(wording) - names
    ]
    assert lacking == []


def test_every_key_of_the_catalogue_is_used() -> None:
    named = {key for _, key, _ in made((*PAGE, *SHARED))}
    app = (PACKAGE.parent / "app.py").read_text(encoding="utf-8")
    assert {key for key in WORDS if key not in named and f'"{key}"' not in app} == set()


def classes(root: type[Exception]) -> Iterator[type[Exception]]:
    yield root
    for kind in root.__subclasses__():
        yield from classes(kind)


@pytest.mark.parametrize("root", EXPECTED)
def test_every_class_of_error_has_chinese_words(root: type[Exception]) -> None:
    wordless = [kind for kind in classes(root) if not told(kind("boom"), "zh").endswith("boom")]
    assert wordless == []
    assert all(told(kind("boom"), "zh") != "boom" for kind in classes(root))
    assert root.__name__ in CLASSES_ZH


def test_a_message_is_said_in_the_readers_language() -> None:
    error = EditError("a section cannot move to place -1; the article has 6", "cannot_move")
    assert told(error, "zh") == "已经在文章的尽头，不能再移了。"
    assert told(error, "en") == "it is at the end of the article already"
    full = UsageError("9 is out", "too_many_fixed", fixed=9, count=3)
    assert told(full, "zh") == "有 9 张图片已锁定或修改过，所以不能只留 3 张；请解锁一些，或至少要 9 张。"
    assert told(full, "en") == "9 is out"
    assert told(Notice("2 stand", "fewer_fit", {"standing": 2, "asked": 4}), "zh").startswith(
        "现有 2 张图片，而不是 4 张"
    )


def test_an_error_without_a_key_is_introduced_in_chinese_and_quoted() -> None:
    assert told(ImageError("a.png is cut short"), "zh") == "图片无法使用：a.png is cut short"
    assert told(EncoderMismatch("another encoder"), "zh").startswith("图库是用另一种编码器建立的")
    assert told(ComposerError("odd"), "en") == "odd"
