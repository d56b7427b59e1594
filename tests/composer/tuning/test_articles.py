"""A person's own articles are read whatever their format, with their pictures at their places."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from composer.errors import UsageError
from composer.tuning.articles import OwnArticle, read_own_articles
from composer.tuning.tasks import check_articles
from tests.composer.tuning import own_articles as made
from vision.errors import DataError
from vision.training.tuning.recipe import TuningRecipe

RECIPE = TuningRecipe("test")


@pytest.mark.parametrize("kind", ["folder", "data", "file"])
def test_sections_and_pictures_stand_where_the_author_put_them(kind: str, tmp_path: Path) -> None:
    folder = made.write_data(tmp_path / "mine") if kind != "folder" else made.write_folder(tmp_path / "mine")
    path = folder / "train.jsonl" if kind == "file" else folder
    articles, left_out = read_own_articles(path, tmp_path / "out")
    assert left_out == []
    found = {article.title: article for article in articles}
    assert set(found) == {title for title, *_ in made.ARTICLES}
    for title, heading, colour, text in made.ARTICLES:
        article = found[title]
        assert [(s.heading, s.body) for s in article.sections] == [(heading, text), ("", made.MORE)]
        (figure,) = article.figures
        assert (figure.after_section, figure.alt) == (0, made.alt_of(colour))
        assert figure.caption.rstrip(".") == made.caption_of(colour)
        assert figure.picture.is_file()
        assert article.language == "en"


def test_the_same_article_in_two_formats_counts_once(tmp_path: Path) -> None:
    folder = made.write_folder(tmp_path / "mine")
    made.write_html(folder, 0)
    articles, (problem,) = read_own_articles(folder, tmp_path / "out")
    assert len(articles) == 4
    assert problem.key == "tuning_same_article"


def test_the_folder_of_the_run_may_lie_among_the_articles(tmp_path: Path) -> None:
    folder = made.write_folder(tmp_path / "mine")
    out = folder / "tuned"
    out.mkdir()
    (out / "README.md").write_text("# A model card\n\nThe words of a page that the run itself has written.\n")
    assert len(read_own_articles(folder, out)[0]) == 4


def test_what_gives_nothing_to_learn_is_one_clear_error(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "slides.pptx").write_bytes(b"PK")
    with pytest.raises(UsageError) as caught:
        read_own_articles(empty, tmp_path / "out")
    assert caught.value.key == "tuning_no_articles"
    assert [problem.key for problem in caught.value.values["problems"]] == ["source_kind"]  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match="source_missing"):
        read_own_articles(tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(DataError, match="data_split_missing"):
        read_own_articles(tmp_path / "mine.jsonl", tmp_path / "out")
    (tmp_path / "bad.jsonl").write_text("{}")
    with pytest.raises(DataError, match="data_line"):
        read_own_articles(tmp_path / "bad.jsonl", tmp_path / "out")


def test_too_few_articles_or_pictures_are_said_before_anything_is_loaded(tmp_path: Path) -> None:
    def read(folder: Path) -> list[OwnArticle]:
        return read_own_articles(folder, tmp_path / "out")[0]

    with pytest.raises(UsageError, match="tuning_one_article: articles=1"):
        check_articles(read(made.write_data(tmp_path / "one", 1)), RECIPE)
    folder = made.write_folder(tmp_path / "mine")
    (folder / "2.docx").unlink()
    for picture in folder.glob("*.png"):
        picture.unlink()
    shutil.rmtree(folder / "unused")
    with pytest.raises(UsageError, match="tuning_no_pictures: articles=3"):
        check_articles(read(folder), RECIPE)
    check_articles(read(folder), TuningRecipe("test", want=0, caption=0, choose=0))
    bare = tmp_path / "bare"
    bare.mkdir()
    for number in (0, 3):
        file = made.write_markdown(bare, number)
        file.write_text("\n".join("![](" + line.split("](")[1].split(" ")[0] + ")" if line.startswith("![") else line
                                  for line in file.read_text().split("\n")))  # fmt: skip
    with pytest.raises(UsageError, match="tuning_pictures_without_words: pictures=2"):
        check_articles(read(bare), RECIPE)
