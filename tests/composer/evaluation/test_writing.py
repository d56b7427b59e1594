"""What a machine can tell of written articles: each finding on sentences where the answer is plain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from composer.article.citation import Citation, Passage, Source
from composer.article.model import Article, Placement, Section, Slot
from composer.batch.article_job import BatchConfig, Outcome
from composer.errors import UsageError
from composer.evaluation.writing.articles import (
    DRAFTS,
    DraftCountingPipeline,
    WrittenArticle,
    make_articles,
    read_titles,
)
from composer.evaluation.writing.measures import examine, measure
from composer.evaluation.writing.picture_measures import (
    alts_beyond_caption,
    bare_sections,
    captions_beyond_label,
    on_subject,
)
from composer.evaluation.writing.source_measures import copied_runs
from composer.evaluation.writing.text_measures import has_stock_phrase, repeated, repeated_runs, sentences_of
from composer.evaluation.writing.unsupported import unsupported
from composer.pipeline.events import Done
from composer.request import ComposeRequest
from composer.settings import Settings
from image_db.metadata.record import ImageRecord
from retrieval.search import Searcher
from tests.composer.fake_pipeline import FakePipeline
from tests.composer.small_pipeline import make_library, make_pipeline
from tests.fakes import ColourEncoder
from vision.interfaces import Prompt, Sampling


def found_in(sentence: str, *given: str, language: str = "en") -> list[str]:
    return unsupported([[sentence]], given, language)[0][0]


@pytest.mark.parametrize(
    ("sentence", "given", "found"),
    [
        ("Potters in Delft glazed their tiles white.", "Tiles", ["Delft"]),
        ("Potters in Delft glazed their tiles white.", "Delft and its tiles", []),
        ("Delft’s potters glazed the tiles that Delft sold.", "Tiles", ["Delft’s", "Delft"]),
        ("Clay is dug, dried and fired.", "", []),
        ("It came to New South Wales with Arthur Phillip.", "", ["New South Wales", "Arthur Phillip"]),
        ("She said: “Clay is patient.”", "", []),
        ("The kiln is at 1,200 °C for twelve hours.", "", ["1,200", "twelve"]),
        ("The kiln is at 1,200 °C for twelve hours.", "1200 degrees, 12 hours", []),
        ("It was built in the late 19th century.", "", ["19", "century"]),
        ("One hand holds it and I turn it with two.", "", []),
        ("Hundreds of them were sold.", "a hundred", []),
    ],
)
def test_names_and_numbers_that_nobody_gave_are_found(sentence: str, given: str, found: list[str]) -> None:
    assert found_in(sentence, given) == found


def test_a_name_at_the_beginning_is_known_by_standing_within_another_sentence() -> None:
    sections = [["Delft sold tiles.", "Tiles came from Delft."]]
    assert unsupported(sections, ["Tiles"], "en") == [[["Delft"], ["Delft"]]]


@pytest.mark.parametrize(
    ("sentence", "given", "found"),
    [
        ("唐代的瓷器用一千三百度的火烧成。", "瓷器", ["唐代", "一千三百"]),
        ("唐代的瓷器用一千三百度的火烧成。", "唐代瓷器，1300度", []),
        ("《陶记》说江西的窑有三百座。", "", ["《陶记》", "江西", "三百"]),
        ("第一步是把一种泥和两种土放在一起。", "", []),
        ("窑工每天工作12小时。", "", ["12"]),
    ],
)
def test_names_and_numbers_of_a_chinese_text_are_found(sentence: str, given: str, found: list[str]) -> None:
    assert found_in(sentence, given, language="zh") == found


def by_words(one: Sequence[str], other: Sequence[str]) -> np.ndarray:
    encoder = ColourEncoder(textual_dim=512)
    product: np.ndarray = encoder.encode_sentences(list(one)) @ encoder.encode_sentences(list(other)).T
    return product


def test_a_sentence_is_repeated_where_an_earlier_section_says_it() -> None:
    sections = [
        ["The smith heats the iron until it glows.", "He beats it flat."],
        ["He beats it thin and flat.", "The smith heats the iron until it glows white.", "Then it cools in water."],
    ]
    assert repeated(sections, by_words, "Iron") == [[False, False], [True, True, False]]


def test_sentences_of_one_section_do_not_repeat_each_other() -> None:
    assert repeated([["He beats it flat.", "He beats it flat."]], by_words, "Iron") == [[False, False]]


def test_half_of_a_sentences_runs_make_it_a_repetition_whatever_the_encoder_says() -> None:
    sections = [["苹果在秋天被果农一个一个摘下来放进筐里。"], ["苹果在秋天被果农一个一个摘下来。", "梨在夏天熟。"]]
    assert repeated(sections, lambda one, other: np.zeros((len(one), len(other))), "水果") == [[False], [True, False]]


def test_runs_count_across_sections_and_the_titles_words_as_one() -> None:
    sections = [["the red barn stands there"], ["the old barn stands there", "hens sleep in it at night"]]
    assert repeated_runs(sections, "Barns") == (0, 7)
    assert repeated_runs(sections, "Old red barn") == (2, 7)


@pytest.mark.parametrize(
    ("sentence", "stock"),
    [
        ("Bees play a crucial role in nature.", True),
        ("The town is home to a stunning square.", True),
        ("茶在人们的生活中扮演着重要角色。", True),
        ("A bee carries pollen in baskets on its hind legs.", False),
        ("茶叶摘下后要先摊开晾一晾。", False),
    ],
)
def test_stock_phrases_are_known(sentence: str, stock: bool) -> None:
    assert has_stock_phrase(sentence) is stock


def test_sentences_are_those_a_reader_sees() -> None:
    section = Section(
        "## Milking\n\nCows are *milked*. Twice a day!\n\n- Wash the [udder](http://x.example).\n- Dry it."
    )
    assert sentences_of(section) == ["Cows are milked.", "Twice a day!", "Wash the udder.", "Dry it."]


def pictured(*shown: tuple[int, ImageRecord], sections: Sequence[str], language: str = "en") -> Article:
    placements = tuple(Placement(Slot(i, ""), (), record, (), caption=record.caption) for i, record in shown)
    return Article("Walls", language, tuple(map(Section, sections)), placements)


def record(id_: str, caption: str = "", **more: object) -> ImageRecord:
    return replace(ImageRecord(id_, Path(f"/p/{id_}.jpg"), 10, 10, caption), **more)  # type: ignore[arg-type]


def test_a_picture_is_on_its_subject_where_the_section_names_what_it_shows() -> None:
    article = pictured(
        (0, record("a", "Two brown hens on the grass")),
        (1, record("b", "A claw hammer")),
        (1, record("c")),
        sections=["## The yard\n\nEvery hen has her place.", "## Wood\n\nGrass grows and planks are sawn."],
    )
    assert on_subject(article) == [True, False]


def test_a_chinese_section_names_it_in_chinese() -> None:
    hens = record("a", "Hens", captions=(("zh", "院子里的母鸡"),))
    texts = ["## 院子\n\n母鸡在草地上觅食。", "## 工具\n\n锤子挂在墙上。"]
    assert on_subject(pictured((0, hens), (1, hens), sections=texts, language="zh")) == [True, False]


@pytest.mark.parametrize(
    ("caption", "alt", "beyond_label", "beyond_caption"),
    [
        ("A sickle", "A sickle", False, False),
        ("Sickles.", "", False, False),
        ("A sickle: grain was cut by hand with it", "A sickle", True, True),
        ("", "A curved blade on a bench", False, True),
    ],
)
def test_a_caption_says_more_than_the_label_and_an_alt_text_is_not_the_caption_again(
    caption: str, alt: str, beyond_label: bool, beyond_caption: bool
) -> None:
    shown = Placement(Slot(0, ""), (), record("a", "A sickle"), (), caption=caption, alt=alt)
    unknown = Placement(Slot(0, ""), (), record("b"), (), caption="Said of nothing known")
    article = Article("Tools", "en", (Section("Text."),), (shown, unknown))
    assert captions_beyond_label(article) == [beyond_label]
    assert alts_beyond_caption(article) == [beyond_caption]


def test_a_section_is_bare_where_the_library_has_its_subject_unused(tmp_path: Path) -> None:
    encoder = ColourEncoder()
    library = make_library(tmp_path, encoder, ("red", "green", "blue"))
    records = {r.caption: r for r in library.records()}
    article = pictured(
        (1, records["a red wall in the old town"]),
        sections=["Walls stand.", "## The red wall\n\nA.", "## The blue wall\n\nB.", "## The cellar\n\nC."],
    )
    assert bare_sections(article, Searcher(library, encoder), 0.3) == [False, True, False]
    library.close()


def config(folder: Path) -> BatchConfig:
    return BatchConfig(folder / "out", Path("none"), Settings("test"), formats=("md",), again="changed")


def titles(folder: Path, *lines: str) -> Path:
    file = folder / "titles.txt"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def test_the_titles_that_come_along_are_of_both_languages_and_all_are_requests() -> None:
    jobs = read_titles(None, [0, 3], pictures=False)
    languages = [job.request.language for job in jobs if job.request]
    assert (languages.count("en"), languages.count("zh")) == (24, 12)
    assert {job.request.images for job in jobs if job.request} == {0}
    assert len({job.folder for job in jobs}) == len(jobs)


def test_a_file_of_requests_may_ask_for_lengths_but_not_for_a_library_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "requests.jsonl"
    file.write_text('{"instruction": "Kites", "words": 300}\n')
    (job,) = read_titles(file, [5], pictures=True)
    assert job.request is not None
    assert (job.request.words, job.request.seed, job.request.images) == (300, 5, None)
    file.write_text('{"instruction": "Kites", "library": "elsewhere"}\n')
    with pytest.raises(UsageError) as error:
        read_titles(file, [0], pictures=True)
    assert error.value.key == "titles_one_pipeline"


def test_one_pipeline_makes_every_article_and_a_second_run_makes_none(tmp_path: Path) -> None:
    fake = FakePipeline([])
    loaded = []

    def load() -> FakePipeline:
        loaded.append(fake)
        return fake

    file = titles(tmp_path, "Kites", "# a title like any other", "Please fail", "", "Clouds")
    jobs = read_titles(file, [0, 1], pictures=False)
    failures: list[Outcome] = []
    made = make_articles(jobs, config(tmp_path), load, lambda *_: None, failures.append)
    assert len(loaded) == 1
    assert [written.request.instruction for written in made[:3]] == ["Kites", "# a title like any other", "Clouds"]
    assert [written.request.seed for written in made] == [0, 0, 0, 1, 1, 1]
    assert [outcome.error.key for outcome in failures if outcome.error] == ["nothing_written"] * 2

    jobs = [job for job in jobs if job.request and "fail" not in job.request.instruction]
    again = make_articles(jobs, config(tmp_path), pytest.fail, lambda *_: None, pytest.fail)
    assert [written.article for written in again] == [written.article for written in made]
    assert again[0].seconds == made[0].seconds != {}


def answer(prompt: Prompt, sampling: Sampling) -> str:
    if not sampling.stop:
        return "Kites\nThe red wall\nThe blue wall\n"
    return "A kite is made of paper and thin sticks. Its tail keeps the kite steady in the wind."


def test_drafts_are_counted_from_the_title_to_the_end_of_the_text(tmp_path: Path) -> None:
    pipeline = make_pipeline(tmp_path, answer)
    model = pipeline.model
    request = ComposeRequest("Kites", words=200, images=0)
    *_, done = DraftCountingPipeline(pipeline).events(request)
    assert isinstance(done, Done)
    drafts = [sampling for sampling in model.samplings if sampling.stop]  # type: ignore[attr-defined]
    assert done.article.provenance[DRAFTS] == len(drafts) > 0


def written(name: str, *sections: str, words: int = 100, **provenance: object) -> WrittenArticle:
    article = Article("Kites", "en", tuple(map(Section, sections)), provenance=provenance)
    return WrittenArticle(name, ComposeRequest("Kites", words=words), article, {"write": 10.0, "place": 2.0})


def test_measures_are_of_all_articles_together() -> None:
    encoder = ColourEncoder(textual_dim=512)
    kite = "A kite flies because the moving air is turned downwards by its tilted face."
    one = written("one", f"{kite} It is known for its beauty.", f"## Sticks\n\n{kite}", drafts=6)
    other = written("other", "The tail is a strip of cloth. It was Benjamin Franklin who drew them.", drafts=2)
    found = [examine(each, encoder, None, 0.3) for each in (one, other)]
    measures = measure(found, failed=1)
    assert measures["sentences"].value == 5
    assert measures["repeated_share"].value == pytest.approx(1 / 5)
    assert measures["filler_share"].value == pytest.approx(1 / 5)
    assert measures["unsupported_names"].value == pytest.approx(100 / 5)
    assert measures["drafts_per_section"].value == pytest.approx(8 / 3)
    assert (measures["write_s"].value, measures["article_s"].value) == (10, 12)
    assert measures["articles_failed"].value == 1
    assert "pictures_on_subject" not in measures  # nobody asked for pictures
    assert found[1].as_json()["unsupported_names"] == ["Benjamin Franklin"]


PASSAGE = Passage(
    "s",
    "12",
    "In 1752 Franklin flew a kite of silk into a storm and drew sparks from a key that hung on its wet string.",
)


def sourced(*sections: Section) -> WrittenArticle:
    article = Article("Kites", "en", sections, sources=(Source("s", "kites.pdf", "Kites"),))
    return WrittenArticle("sourced", ComposeRequest("Kites", words=100), article, {})


def test_a_sentence_is_supported_by_a_passage_that_its_citation_finds_likely() -> None:
    texts = ("Franklin flew a *silk* kite.", "It was cheap.", "It was blue.", "It had a tail.")
    citations = tuple(
        Citation(text, (PASSAGE,), support) for text, support in zip(texts[:3], (0.9, 0.2, 0.7), strict=True)
    )
    with_sources = examine(sourced(Section(" ".join(texts), citations=citations)), ColourEncoder(), None, 0.3)
    assert with_sources.supported == (True, False, True, False)
    without = examine(written("other", "It flies."), ColourEncoder(), None, 0.3)
    measures = measure([with_sources, without], failed=0)
    assert measures["supported_sentences"].value == 0.5  # an article that has no sources has nothing to cite
    assert "supported_sentences" not in measure([without], failed=0)


def test_a_passage_supports_the_names_of_the_sentence_that_cites_it_alone() -> None:
    cited, other = "It was flown in 1752 by Franklin.", "It was sold by Franklin in 1760."
    section = Section(f"{cited} {other}", citations=(Citation(cited, (PASSAGE,), 0.9),))
    assert examine(sourced(section), ColourEncoder(), None, 0.3).unsupported == ("Franklin", "1760")


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Then he drew sparks from a key that hung on its wet string, and left.", 0),
        ("He flew a kite of silk into a storm and drew sparks from a key.", 1),
        ("He flew a kite of silk into a storm, and drew sparks from a key! That hung on its wet string.", 1),
        ("He “flew a kite of silk into a storm and drew sparks from a key that hung on its wet string”.", 0),
    ],
)
def test_more_than_twelve_words_of_a_source_in_a_row_are_copied(text: str, count: int) -> None:
    assert len(copied_runs(text, [PASSAGE.text])) == count


def test_chinese_is_copied_by_characters() -> None:
    source = "风筝用竹条扎成骨架，再糊上薄薄的绵纸，最后系上长长的线。"
    assert copied_runs("他说风筝用竹条扎成骨架再糊上薄薄的绵纸最后系上线。", [source]) != []
    assert copied_runs("风筝的骨架用竹条扎成，再糊上薄薄的绵纸，最后画上花。", [source]) == []


def test_sources_are_for_titles_of_ones_own_that_name_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        read_titles(None, [0], pictures=False, sources=(tmp_path,))
    assert error.value.key == "sources_without_titles"
    (job,) = read_titles(titles(tmp_path, "Kites"), [0], pictures=False, sources=(tmp_path,))
    assert job.request is not None
    assert job.request.sources == (tmp_path,)


def test_articles_are_made_again_where_their_sources_have_changed(tmp_path: Path) -> None:
    papers = tmp_path / "papers"
    papers.mkdir()
    (papers / "kites.md").write_text("A kite is flown on a string.")
    fake = FakePipeline([])
    jobs = read_titles(titles(tmp_path, "Kites"), [0], pictures=False, sources=(papers,))
    for _ in range(2):
        make_articles(jobs, config(tmp_path), lambda: fake, lambda *_: None, pytest.fail)
    assert len(fake.requests) == 1
    (papers / "kites.md").write_text("A kite is flown on two strings.")
    make_articles(jobs, config(tmp_path), lambda: fake, lambda *_: None, pytest.fail)
    assert [request.sources for request in fake.requests] == [(papers,)] * 2


def test_a_fact_that_the_writer_was_given_supports_its_names() -> None:
    told = written("one", "The tail is drawn by Benjamin Franklin.", facts=[{"kite": "flown by Benjamin Franklin"}])
    assert examine(told, ColourEncoder(), None, 0.3).unsupported == ()


@pytest.mark.parametrize(("count", "within"), [(84, 0), (86, 1), (115, 1), (117, 0)])
def test_a_length_within_fifteen_percent_is_kept(count: int, within: int) -> None:
    found = examine(written("one", " ".join(["word"] * count)), ColourEncoder(), None, 0.3)
    measures = measure([found], failed=0)
    assert measures["length_kept"].value == pytest.approx(count / 100)
    assert measures["length_within_15"].value == within
