"""Passages are cut at sentences, found by words and vectors, and read once for the same content."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from composer.article.language import count_words
from composer.errors import UsageError
from composer.sources import collection
from composer.sources.collection import read_sources
from composer.sources.document import BlockCollector
from composer.sources.passages import MOST_WORDS, cut, sentences_of
from tests.composer.sources import document_files as made
from tests.fakes import ColourEncoder


@pytest.mark.parametrize(
    "sentences",
    [
        ["Dr. Smith came at 5 p.m. on Monday.", "He left."],
        ["The U.S. Supreme Court ruled.", "It was 1954."],
        ["See fig. 3 and Brown et al. for more.", "“Is it so?”", "Yes!"],
        ["The price was 3.5 million, i.e. too much.", "J. R. R. Tolkien wrote it."],
        ["翠鸟俯冲下来。", "它把鱼摔打在木头上！", "“为什么？”", "不知道。"],
        ["No end at all"],
    ],
)
def test_sentences_are_whole(sentences: list[str]) -> None:
    joined = ("" if "。" in sentences[0] else " ").join(sentences)
    assert sentences_of(joined) == sentences


def test_passages_hold_whole_sentences_of_one_page_and_heading() -> None:
    collector = BlockCollector()
    for page in ("1", "2"):
        collector.page = page
        for head in ("One", "Two"):
            collector.heading(f"{head} {page}")
            for number in range(12):
                collector.paragraph(f"Sentence {number} of {head} on page {page} says little. " + "It goes on. " * 6)
    document = collector.document()
    passages = cut("id", document)
    assert max(count_words(p.text) for p in passages) <= MOST_WORDS
    assert all(p.text.endswith(".") and p.heading.endswith(p.page) for p in passages)
    said = " ".join(block.text for block in document.blocks)
    assert " ".join(p.text for p in passages).split() == said.split()


def test_a_sentence_without_end_is_cut_at_words() -> None:
    collector = BlockCollector()
    collector.paragraph("word " * 1000)
    assert [count_words(p.text) for p in cut("id", collector.document())][:2] == [MOST_WORDS, MOST_WORDS]


def test_the_second_reading_is_from_what_was_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = ColourEncoder()
    paths = [made.pdf(tmp_path), made.docx(tmp_path)]
    first = read_sources(paths, tmp_path / "cache", encoder, "en")
    assert encoder.seen["sentences"] == len(first.passages)
    monkeypatch.setattr(collection, "read", lambda *_: pytest.fail("a document was read again"))
    renamed = paths[0].rename(tmp_path / "other.pdf")
    again = read_sources([renamed, paths[1]], tmp_path / "cache", encoder, "en")
    assert encoder.seen["sentences"] == len(first.passages)
    assert again.passages == first.passages
    assert np.array_equal(again.vectors, first.vectors)
    assert [source.file for source in again.sources] == ["other.pdf", "river.docx"]


def test_half_a_cache_is_made_again(tmp_path: Path) -> None:
    path, encoder = made.epub(tmp_path), ColourEncoder()
    first = read_sources([path], tmp_path / "cache", encoder, "en")
    (folder,) = (tmp_path / "cache").iterdir()
    first.pictures[0].unlink()
    (folder / next(entry.name for entry in folder.iterdir() if entry.suffix == ".npy")).write_bytes(b"half")
    again = read_sources([path], tmp_path / "cache", encoder, "en")
    assert again.pictures == first.pictures
    assert again.pictures[0].is_file()
    assert np.array_equal(again.vectors, first.vectors)


def test_pictures_have_their_words_beside_them(tmp_path: Path) -> None:
    (picture,) = read_sources([made.docx(tmp_path)], tmp_path / "cache", ColourEncoder(), "en").pictures
    said = json.loads(picture.with_name(f"{picture.name}.json").read_text())
    assert said == {"caption": made.CAPTION, "alt": "blue bird"}


def test_the_passage_that_speaks_of_something_is_the_most_relevant(tmp_path: Path) -> None:
    encoder = ColourEncoder()
    found = read_sources([made.markdown(tmp_path)], tmp_path / "cache", encoder, "en")
    worth = found.relevance(["how the kingfisher dives", "tunnels of martins"], encoder)
    assert worth.shape == (2, len(found.passages))
    assert "kingfisher" in found.passages[int(worth[0].argmax())].text
    assert "martins" in found.passages[int(worth[1].argmax())].text


def test_what_cannot_be_used_is_named_and_the_rest_is_used(tmp_path: Path) -> None:
    folder = tmp_path / "sources"
    folder.mkdir()
    made.text(folder)
    (folder / "broken.pdf").write_bytes(b"%PDF-1.4 and no more")
    (folder / "copy.txt").write_bytes((folder / "river.txt").read_bytes())
    (folder / "deutsch.txt").write_text(
        "Der Eisvogel stürzt sich von einem Ast ins Wasser und schlägt seine Beute danach gegen das Holz. "
        "Uferschwalben graben Röhren in steile Ufer und kehren oft viele Jahre lang dorthin zurück."
    )
    found = read_sources([folder], tmp_path / "cache", ColourEncoder(), "en")
    assert [source.file for source in found.sources] == ["copy.txt"]
    assert [(said.key, said.values["file"]) for said in found.left_out] == [
        ("source_left_out", "broken.pdf"),
        ("source_other_language", "deutsch.txt"),
    ]


@pytest.mark.parametrize("name", ["a.jpg", "b.odt", "c.pdf"])
def test_nothing_to_write_from_is_an_error_that_says_why(name: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_bytes(b"%PDF-")
    with pytest.raises(UsageError) as caught:
        read_sources([tmp_path / "in"], tmp_path / "cache", ColourEncoder(), "en")
    assert caught.value.key == "sources_unusable"
    keys = [problem.key for problem in caught.value.values["problems"]]
    assert keys == [{"a.jpg": "sources_none_found", "b.odt": "source_kind", "c.pdf": "source_left_out"}[name]]


def test_an_encoder_that_does_not_read_the_language_leaves_words_to_search(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(
        "翠鸟从悬在缓流之上的枝头俯冲下来，把捕到的鱼在木头上摔打。\n\n沙燕在陡峭的河岸上挖洞筑巢，多年都回到同一处。"
    )
    found = read_sources([path], tmp_path / "cache", ColourEncoder(), "zh")
    assert found.vectors is None
    assert found.relevance(["翠鸟"], ColourEncoder())[0].max() > 0
