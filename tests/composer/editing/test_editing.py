"""Edits give the next article, change nothing else, and never show a picture twice."""

from __future__ import annotations

import inspect
import re
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from composer.article.model import Article
from composer.editing import caption_suggestions, picture_search, pictures, proposals, rerun, sections
from composer.editing.pictures import remove_picture, replace_picture
from composer.errors import ComposerError
from composer.export.article_folder import load_article, save_article
from tests.composer.article_samples import farm_article
from vision.errors import Phrase


def candidate_id(article: Article, placement: int, position: int) -> str:
    return article.placements[placement].candidates[position].record.id


def test_a_replaced_picture_brings_its_own_caption_alt_and_credit(tmp_path: Path) -> None:
    article = farm_article(tmp_path)
    barn = article.placements[0].candidates[2].record
    edited = replace_picture(article, 0, barn.id)
    placement = edited.placements[0]
    assert placement.chosen == barn
    assert (placement.caption, placement.alt, placement.credit) == ("A red barn", "A red barn", "")
    assert placement.reason == (Phrase("you_chose"),)
    assert placement.candidates == article.placements[0].candidates
    assert edited.placements[1:] == article.placements[1:]
    assert replace(edited, placements=article.placements) == article


def test_a_picture_chosen_twice_moves_to_its_new_place(tmp_path: Path) -> None:
    article = farm_article(tmp_path)
    hens = article.pictures[0]
    edited = replace_picture(article, 1, hens.id)
    assert edited.pictures == (hens,)
    assert (edited.placements[0].chosen, edited.placements[0].caption) == (None, "")
    assert edited.placements[0].reason == (Phrase("you_moved"),)


def test_no_sequence_of_replacements_shows_a_picture_twice(tmp_path: Path) -> None:
    article = farm_article(tmp_path)
    for placement, position in [(0, 1), (1, 1), (2, 0), (0, 2), (1, 0), (0, 0), (1, 1)]:
        article = replace_picture(article, placement, candidate_id(article, placement, position))
        ids = [record.id for record in article.pictures]
        assert len(ids) == len(set(ids))


def test_choosing_what_is_shown_changes_nothing(tmp_path: Path) -> None:
    article = farm_article(tmp_path)
    assert replace_picture(article, 0, article.pictures[0].id) is article


def test_a_removed_picture_leaves_its_place_and_can_be_put_back(tmp_path: Path) -> None:
    article = farm_article(tmp_path)
    removed = remove_picture(article, 0)
    assert removed.placements[0].chosen is None
    assert removed.placements[0].reason == (Phrase("you_removed"),)
    assert removed.placements[0].slot == article.placements[0].slot
    back = replace_picture(removed, 0, candidate_id(removed, 0, 0))
    assert back.pictures == article.pictures
    assert remove_picture(removed, 0) is removed


def test_an_empty_slot_can_be_filled_by_hand(tmp_path: Path) -> None:
    article = farm_article(tmp_path)
    filled = replace_picture(article, 2, candidate_id(article, 2, 0))
    assert len(filled.pictures) == 3


def test_the_credit_is_in_the_language_of_the_article(tmp_path: Path) -> None:
    article = replace(farm_article(tmp_path), language="zh")
    edited = replace_picture(article, 0, candidate_id(article, 0, 1))
    assert edited.placements[0].credit == "图片：B. Both，CC0"


@pytest.mark.parametrize("index", [-1, 3])
def test_a_placement_that_does_not_exist_is_refused(index: int, tmp_path: Path) -> None:
    article = farm_article(tmp_path)
    for edit in (lambda: remove_picture(article, index), lambda: replace_picture(article, index, "x")):
        with pytest.raises(ComposerError) as refused:
            edit()
        assert refused.value.key == "gone"


def test_a_picture_that_was_not_proposed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ComposerError) as refused:
        replace_picture(farm_article(tmp_path), 0, "cafe" * 16)
    assert refused.value.key == "not_found"


def test_an_edited_article_saves_and_reads_back(tmp_path: Path) -> None:
    article = farm_article(tmp_path / "lib")
    edited = replace_picture(article, 0, candidate_id(article, 0, 2))
    save_article(edited, tmp_path / "out")
    loaded = load_article(tmp_path / "out")
    assert [record.id for record in loaded.pictures] == [record.id for record in edited.pictures]
    assert loaded.placements[0].reason == (Phrase("you_chose"),)


def test_articles_hash_by_what_is_shown_so_that_a_page_knows_when_to_redraw(tmp_path: Path) -> None:
    article = farm_article(tmp_path)
    assert hash(article) == hash(farm_article(tmp_path))
    assert hash(article) != hash(remove_picture(article, 0))


def test_the_example_in_the_documentation_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (Path(__file__).resolve().parents[3] / "docs" / "python.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    save_article(farm_article(tmp_path / "lib"), tmp_path / "farm")
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "docs/python.md", "exec"), {})
    edited = load_article(tmp_path / "farm-edited")
    assert edited.sections[0].text == "The day begins before the sun."
    assert edited.sections[1].text.startswith("## Morning"), "the move was undone"


def test_the_documentation_names_every_edit_and_no_other() -> None:
    text = (Path(__file__).resolve().parents[3] / "docs" / "python.md").read_text(encoding="utf-8")

    def functions(*modules: ModuleType) -> set[str]:
        found = {
            name
            for module in modules
            for name, value in inspect.getmembers(module, inspect.isfunction)
            if value.__module__ == module.__name__ and name[0] != "_"
        }
        return found - {"picture_index", "stream_paragraph"}

    pure = functions(sections, pictures)
    asking = functions(picture_search, caption_suggestions, proposals, rerun)
    assert {name for name in pure | asking if f"`{name}" not in text} == set()
    assert set(re.findall(r"`([a-z_]+)\((?:article|pipeline|model)", text)) <= pure | asking
