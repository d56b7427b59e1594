from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

import retrieval.search as module
from image_db.library import Library
from retrieval.candidates import Query
from retrieval.errors import RetrievalError
from retrieval.filters import Filters
from retrieval.fusion import CosineScale, CosineScales, Evidence, FusionWeights, QueryParts, fuse
from retrieval.lexical import LexicalIndex
from retrieval.score_scale import PROBES, measure
from retrieval.search import Searcher
from tests.fakes import PALETTE, ColourEncoder
from tests.retrieval.small_library import Shown, make_record, picture, put
from vision.errors import Phrase


def mixed(library: Library, encoder: ColourEncoder, n: int = 60) -> list:
    """Pictures of all colours: captioned, tagged, silent; several licences and sizes."""
    colours = list(PALETTE)
    shown = []
    for i in range(n):
        colour = colours[i % len(colours)]
        record = make_record(
            f"m{i}",
            caption=f"a {colour} thing number {i}" if i % 5 else "",
            tags=("studio",) if i % 4 == 0 else (),
            license=("CC BY 4.0", "CC BY-SA 3.0", "GPL-2+")[i % 3],
            width_px=100 * (i % 7 + 1),
            height_px=400,
        )
        shown.append(Shown(colour, record=record))
    return put(library, encoder, shown)


def test_the_picture_that_was_described_comes_first(library: Library, encoder: ColourEncoder) -> None:
    _, parrot, *_ = put(
        library, encoder, [Shown("red", "a red apple"), Shown("green", "a green parrot"), Shown("blue", "the blue sea")]
    )
    found = Searcher(library, encoder).search(Query("a green parrot"), 3)
    assert found[0].record == parrot
    assert found[0].fused > 0.5 > found[1].fused


def test_a_picture_without_words_is_found_by_its_looks(library: Library, encoder: ColourEncoder) -> None:
    *_, silent = put(library, encoder, [Shown("red", "a red apple"), Shown("blue", "the blue sea"), Shown("green")])
    best, *_ = Searcher(library, encoder).search(Query("something green"), 3)
    assert best.record == silent
    assert best.textual == 0
    assert best.why == (Phrase("looks_match", {"wanted": "something green", "score": best.visual}),)


def test_a_chinese_caption_finds_a_chinese_captioned_picture_with_an_english_encoder(
    library: Library, encoder: ColourEncoder
) -> None:
    tower, *_ = put(
        library,
        encoder,
        [
            Shown("blue", "夜晚的埃菲尔铁塔"),
            Shown("red", "一只红色的公鸡"),
            Shown("green", "a green parrot"),
            Shown("red"),
        ],
    )
    seen = dict(encoder.seen)
    found = Searcher(library, encoder).search(Query("埃菲尔铁塔的灯光"), 4)
    assert found[0].record == tower
    assert found[0].why == (Phrase("words_shared", {"words": ["埃菲尔铁塔"]}),)
    assert found[0].visual == found[0].textual == 0
    # Only the forty probes of the background were encoded: the encoder does not read Chinese.
    assert encoder.seen["texts"] == seen["texts"] + 40


def test_a_multilingual_encoder_is_asked_in_the_articles_language(library: Library) -> None:
    encoder = ColourEncoder("many", languages=None)
    with Library.create(library.folder / "many", encoder.identity) as own:
        put(own, encoder, [Shown("red", "一只红色的公鸡"), Shown("green")])
        assert Searcher(own, encoder).search(Query("红色公鸡"), 1)[0].textual > 0.3


def test_the_english_twin_is_what_an_english_encoder_reads(library: Library, encoder: ColourEncoder) -> None:
    *_, parrot = put(library, encoder, [Shown("red", "a red apple"), Shown("green")])
    best, *_ = Searcher(library, encoder).search(Query("一只鹦鹉", english="a green parrot"), 2)
    assert best.record == parrot
    assert best.visual > 0.9


def test_an_example_picture_finds_its_like(library: Library, encoder: ColourEncoder) -> None:
    mixed(library, encoder)
    found = Searcher(library, encoder).search(Query(example=picture("purple")), 5)
    vector = encoder.encode_images([picture("purple")])[0]
    cosines = library.matrix().visual @ vector
    assert [c.record.id for c in found] == [library.matrix().ids[i] for i in np.argsort(-cosines)[:5]]
    assert found[0].why[0].key == "looks_like_example"
    assert found[0].visual == pytest.approx(cosines.max(), abs=1e-5)


@pytest.mark.parametrize(
    ("filters", "licenses"),
    [
        (Filters(licenses=("cc by",)), ["CC BY 4.0"]),
        (Filters(licenses=("CC BY-SA", "gpl")), ["CC BY-SA 3.0", "GPL-2+"]),
        (Filters(tags=("Studio",)), []),
        (Filters(min_side_px=300), []),
        (Filters(licenses=("CC BY 4",), tags=("studio",), min_side_px=200), ["CC BY 4.0"]),
    ],
)
def test_filters_never_leak_and_take_only_what_they_name(
    library: Library, encoder: ColourEncoder, filters: Filters, licenses: list[str]
) -> None:
    def fits(record) -> bool:
        return (
            (not licenses or record.license in licenses)
            and all(tag.lower() in record.tags for tag in filters.tags)
            and min(record.width_px, record.height_px) >= filters.min_side_px
        )

    records = mixed(library, encoder)
    found = Searcher(library, encoder).search(Query("a red thing", filters=filters), 100)
    assert {c.record.id for c in found} == {r.id for r in records if fits(r)}
    assert 0 < len(found) < len(records)


def test_a_guessed_tag_does_not_pass_a_filter(library: Library, encoder: ColourEncoder) -> None:
    guessed, given = make_record("guessed", guessed_tags=("hen",)), make_record("given", tags=("hen",))
    put(library, encoder, [Shown("red", record=guessed), Shown("red", record=given)])
    found = Searcher(library, encoder).search(Query("hen", filters=Filters(tags=("hen",))), 5)
    assert [c.record for c in found] == [given]


def test_guessed_tags_count_less_than_given_ones(library: Library, encoder: ColourEncoder) -> None:
    guessed, given = make_record("guessed", guessed_tags=("hen",)), make_record("given", tags=("hen",))
    put(library, encoder, [Shown("red", record=guessed), Shown("red", record=given), *[Shown("blue", "a cow")] * 4])
    fused = {c.record.id: c.fused for c in Searcher(library, encoder).search(Query("hen"), 6)}
    assert fused[given.id] > fused[guessed.id]
    assert fused[guessed.id] > max(v for id_, v in fused.items() if id_ not in (given.id, guessed.id))


def test_excluded_pictures_never_come_back(library: Library, encoder: ColourEncoder) -> None:
    records = mixed(library, encoder)
    searcher = Searcher(library, encoder)
    gone: set[str] = set()
    for _ in range(6):
        found = searcher.search(Query("a red thing", exclude=frozenset(gone)), 7)
        assert len(found) == 7
        assert not gone & {c.record.id for c in found}
        gone |= {c.record.id for c in found}
    everything = frozenset(r.id for r in records)
    assert searcher.search(Query("a red thing", exclude=everything), 7) == []
    assert len(searcher.search(Query("a red thing", exclude=frozenset({"unknown"})), 7)) == 7


@pytest.mark.parametrize("k", [1, 7, 60, 500])
def test_k_is_respected(library: Library, encoder: ColourEncoder, k: int) -> None:
    mixed(library, encoder)
    found = Searcher(library, encoder).search(Query("a blue thing"), k)
    assert len(found) == min(k, 60)
    assert len({c.record.id for c in found}) == len(found)
    assert [c.fused for c in found] == sorted((c.fused for c in found), reverse=True)


def test_a_shorter_list_is_the_start_of_a_longer_one(library: Library, encoder: ColourEncoder) -> None:
    mixed(library, encoder)
    searcher = Searcher(library, encoder)
    query = Query("a pink thing", context="pink and white things in a studio")
    assert searcher.search(query, 5) == searcher.search(query, 40)[:5]


def test_a_batch_equals_its_queries_one_by_one(library: Library, encoder: ColourEncoder) -> None:
    mixed(library, encoder)
    searcher = Searcher(library, encoder)
    queries = [
        Query("a red thing"),
        Query("a blue thing", context="the sea is blue"),
        Query("一只红色的公鸡"),
        Query(example=picture("green")),
        Query("number 7", filters=Filters(licenses=("GPL",))),
        Query("a red thing", exclude=frozenset(library.matrix().ids[:20])),
    ]
    assert searcher.search_batch(queries, 9) == [searcher.search(query, 9) for query in queries]


def test_a_batch_encodes_every_text_once(library: Library, encoder: ColourEncoder) -> None:
    mixed(library, encoder)
    searcher = Searcher(library, encoder)
    searcher.search(Query("anything"), 1)
    before = encoder.seen["texts"]
    searcher.search_batch([Query("a red thing", context="farm"), Query("a red thing"), Query("cow", context="farm")], 3)
    assert encoder.seen["texts"] - before == 3


def test_proposals_lose_nothing_of_what_scoring_everything_finds(
    library: Library, encoder: ColourEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixed(library, encoder, 240)
    queries = [Query(f"a {colour} thing number {i}") for i, colour in enumerate(PALETTE)]
    everything = Searcher(library, encoder).search_batch(queries, 3)
    monkeypatch.setattr(module, "POOL", 60)
    assert Searcher(library, encoder).search_batch(queries, 3) == everything


def test_ties_keep_the_librarys_order(library: Library, encoder: ColourEncoder) -> None:
    vector = encoder.encode_images([picture("red")])[0]
    records = [make_record(f"twin{i}") for i in range(12)]
    library.add([(record, vector, None) for record in records])
    found = Searcher(library, encoder).search(Query("red"), 12)
    assert [c.record for c in found] == records
    assert len({c.fused for c in found}) == 1


def test_context_breaks_ties_but_does_not_lead(library: Library, encoder: ColourEncoder) -> None:
    farm, city, apple = put(
        library,
        encoder,
        [
            Shown("red", "a red door of a farm barn"),
            Shown("red", "a red door of a city hotel"),
            Shown("green", "apples"),
        ],
    )
    searcher = Searcher(library, encoder)
    for context, first in (("Life on a farm with its barn", farm), ("A night in a city hotel", city)):
        assert searcher.search(Query("a red door", context=context), 3)[0].record == first
    assert searcher.search(Query("a red door", context="apples, apples and more apples"), 3)[0].record != apple


def test_what_is_added_or_removed_is_seen_by_the_next_search(library: Library, encoder: ColourEncoder) -> None:
    put(library, encoder, [Shown("red", "a red apple")])
    searcher = Searcher(library, encoder)
    assert len(searcher.search(Query("parrot"), 5)) == 1
    (parrot,) = put(library, encoder, [Shown("green", "a green parrot")])
    assert searcher.search(Query("parrot"), 5)[0].record == parrot
    library.remove([parrot.id])
    assert parrot not in [c.record for c in searcher.search(Query("parrot"), 5)]


def test_an_empty_library_finds_nothing(library: Library, encoder: ColourEncoder) -> None:
    assert Searcher(library, encoder).search(Query("a red apple"), 5) == []


def test_a_library_of_one_picture_can_be_searched(library: Library, encoder: ColourEncoder) -> None:
    put(library, encoder, [Shown("red", "a red apple")])
    searcher = Searcher(library, encoder)
    fitting, other = (searcher.search(Query(text), 5)[0].fused for text in ("a red apple", "the blue sea"))
    assert fitting > 0.5 > other


def test_a_library_of_another_encoder_is_refused_by_name(library: Library) -> None:
    with pytest.raises(RetrievalError) as caught:
        Searcher(library, ColourEncoder("shapes"))
    assert caught.value.key == "encoder_mismatch"
    assert (caught.value.values["made_by"], caught.value.values["given"]) == ("colours", "shapes")


def test_a_query_for_nothing_is_refused(library: Library, encoder: ColourEncoder) -> None:
    searcher = Searcher(library, encoder)
    with pytest.raises(ValueError, match="needs a caption or an example"):
        searcher.search(Query(context="only context"), 5)
    with pytest.raises(ValueError, match="k is 0"):
        searcher.search(Query("red"), 0)


def test_a_large_library_keeps_its_word_index(
    library: Library, encoder: ColourEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieval.library_index.KEEP_WORDS_FROM", 10)
    mixed(library, encoder)
    first = Searcher(library, encoder).search(Query("number 13"), 5)
    (kept,) = (library.folder / "index").glob("words-*.npz")
    again = Searcher(library, encoder)
    assert again.search(Query("number 13"), 5) == first
    kept.write_bytes(b"damaged")
    healed = Searcher(library, encoder)
    assert healed.search(Query("number 13"), 5) == first
    assert LexicalIndex.load(kept) is not None
    put(library, encoder, [Shown("red", "one more")])
    Searcher(library, encoder).search(Query("number 13"), 5)
    assert not kept.exists()
    assert not list(Path(kept.parent).glob("*.part"))


SCALES = CosineScales(CosineScale(0.1, 0.1), CosineScale(0.05, 0.1), CosineScale(0.3, 0.1))
PARTS = QueryParts(words=True, vectors=True, context=True, context_vectors=True, example=True)


def evidence(n: int, seed: int = 0) -> Evidence:
    chance = np.random.default_rng(seed)
    cosine = chance.uniform(-1, 1, (5, n)).astype(np.float32)
    words = chance.uniform(0, 1, (4, n)).astype(np.float32)
    return Evidence(chance.random(n) < 0.7, *cosine[:2], *words[:2], *cosine[2:4], *words[2:], cosine[4])


@pytest.mark.parametrize(
    "name",
    [f.name for f in fields(Evidence) if f.name != "has_text"],
)
@pytest.mark.parametrize("vectors", [True, False])
def test_more_of_any_evidence_never_lowers_a_picture(name: str, vectors: bool) -> None:
    base = evidence(200)
    spoken = replace(PARTS, vectors=vectors)
    more = replace(base, **{name: np.minimum(getattr(base, name) + 0.1, 1)})
    before, after = (fuse(e, spoken, SCALES, FusionWeights()) for e in (base, more))
    assert (after >= before).all()


def test_fused_values_are_probabilities_whatever_the_scores() -> None:
    values = fuse(evidence(500), PARTS, SCALES, FusionWeights())
    assert np.isfinite(values).all()
    assert ((values >= 0) & (values <= 1)).all()
    extreme = fuse(evidence(50), PARTS, SCALES, FusionWeights(textual=1e6, visual_alone=1e6))
    assert ((extreme >= 0) & (extreme <= 1)).all()


def test_a_negative_weight_is_refused() -> None:
    with pytest.raises(ValueError, match=r"lexical is -1; a weight must not be negative"):
        FusionWeights(lexical=-1)


def test_standardising_makes_encoders_of_other_scales_agree() -> None:
    """An encoder whose cosines are halved and shifted gives the same values."""
    base = evidence(100)

    def squeezed(cosines: np.ndarray) -> np.ndarray:
        return cosines / 2 + 0.2

    names = ("visual", "textual", "context_visual", "context_textual", "example")
    other = replace(base, **{name: squeezed(getattr(base, name)) for name in names})
    scales = CosineScales(CosineScale(0.25, 0.05), CosineScale(0.225, 0.05), CosineScale(0.35, 0.05))
    one, two = fuse(base, PARTS, SCALES, FusionWeights()), fuse(other, PARTS, scales, FusionWeights())
    assert one == pytest.approx(two, abs=1e-5)


def test_sentences_of_comparison_are_read_once_an_encoder_whatever_it_searches(
    library: Library, encoder: ColourEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    plain = encoder.encode_texts

    def counted(texts: Sequence[str]) -> np.ndarray:
        read.extend(texts)
        return plain(texts)

    monkeypatch.setattr(encoder, "encode_texts", counted)
    put(library, encoder, [Shown("red", "a red apple")])
    Searcher(library, encoder).search(Query("a red apple"), 1)
    put(library, encoder, [Shown("green", "a green parrot")])
    Searcher(library, encoder).search(Query("a green parrot"), 1)
    assert [text for text in read if text in PROBES] == list(PROBES)


def test_the_background_is_measured_between_unrelated_things(encoder: ColourEncoder) -> None:
    halves = []
    for one, other in zip(PALETTE, [*list(PALETTE)[1:], "red"], strict=True):
        half = picture(one)
        half.paste(picture(other).crop((0, 0, 16, 32)))
        halves.append(half)
    visual = encoder.encode_images(halves)
    scales = measure(encoder, visual)
    pairs = visual @ visual.T
    off = pairs[~np.eye(len(pairs), dtype=bool)]
    assert scales.example.mean == pytest.approx(off.mean(), abs=1e-5)
    assert scales.example.std == pytest.approx(off.std(), abs=1e-5)
    assert 0 <= scales.textual.mean < 0.5
    assert measure(encoder, visual[:0]).visual.std > 0


def test_no_picture_is_found_whose_words_name_what_is_left_out(library: Library, encoder: ColourEncoder) -> None:
    crowd, empty, said, silent, other = put(
        library,
        encoder,
        [
            Shown("blue", "a blue lake with many boats"),
            Shown("blue", "a blue lake at dawn"),
            Shown("blue", "a blue lake, no boats in sight"),
            Shown("blue"),
            Shown("red"),
        ],
    )
    found = [c.record for c in Searcher(library, encoder).search(Query("a blue lake", without=("boat",)), 9)]
    assert crowd not in found
    assert {record.id for record in found} >= {empty.id, said.id, silent.id}
    found = [c.record for c in Searcher(library, encoder).search(Query("blue", without=("red",)), 9)]
    assert silent in found
    assert other not in found, "a picture without words that looks more like what it should not show"


@pytest.mark.parametrize("words", ["кошка на крыше", "🦉", "วัด", "!!!"])
def test_what_the_encoder_cannot_read_has_no_meaning(library: Library, encoder: ColourEncoder, words: str) -> None:
    put(library, encoder, [Shown("red", "ตลาดน้ำ"), Shown("blue", "a blue lake"), Shown("green")])
    seen = encoder.seen["texts"]
    assert all(c.visual == c.textual == 0 for c in Searcher(library, encoder).search(Query(words), 3))
    assert encoder.seen["texts"] == seen + len(PROBES)


def test_a_text_of_which_the_encoder_knows_nothing_has_no_meaning(
    library: Library, encoder: ColourEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(library, encoder, [Shown("red", "a red barn"), Shown("blue")])
    searcher = Searcher(library, encoder)
    read = encoder.encode_sentences

    def knows_barns_alone(texts: Sequence[str]) -> np.ndarray:
        return read(texts) * np.array([["barn" in text] for text in texts], np.float32)

    monkeypatch.setattr(encoder, "encode_sentences", knows_barns_alone)
    monkeypatch.setattr(encoder, "encode_texts", lambda texts: np.zeros((len(texts), encoder.identity.visual_dim)))
    assert all(c.textual == c.visual == 0 for c in searcher.search(Query("wqzx"), 2))


def test_words_of_any_script_find_captions_in_the_same_words(library: Library, encoder: ColourEncoder) -> None:
    market, cat, owl, tower, *_ = put(
        library,
        encoder,
        [
            Shown("red", "ตลาดน้ำในกรุงเทพ"),
            Shown("blue", "貓在沙發上睡覺"),
            Shown("blue", "猫头鹰在树枝上"),
            Shown("green", "Wieża we Wrocławiu"),
            Shown("green", "a lake"),
        ],
    )
    searcher = Searcher(library, encoder)
    assert [c.record for c in searcher.find(Query("ตลาด"), 5)] == [market]
    assert [c.record for c in searcher.find(Query("猫"), 5)] == [cat]
    assert [c.record for c in searcher.find(Query("貓頭鷹"), 5)] == [owl]
    assert searcher.find(Query("Wieza"), 5)[0].record == tower


def test_nothing_is_found_where_nothing_fits(library: Library, encoder: ColourEncoder) -> None:
    put(library, encoder, [Shown("red", "a red barn"), Shown("blue", "the blue sea"), Shown("green")])
    searcher = Searcher(library, encoder)
    assert searcher.find(Query("кошка"), 3) == []
    assert searcher.find(Query("wqzx vbnm"), 3) == []
    assert len(searcher.search(Query("wqzx vbnm"), 3)) == 3
    assert [c.record.caption for c in searcher.find(Query("barns"), 3)] == ["a red barn"]
    assert [c.record.caption for c in searcher.find(Query("something green"), 3)] == [""]


def test_few_pictures_are_no_match_for_everything(
    library: Library, encoder: ColourEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sentences and pictures here have nothing to do with each other: hardly one may be shown for another."""

    def anywhere(dim: int) -> Callable[[Sequence[str]], np.ndarray]:
        def encode(texts: Sequence[str]) -> np.ndarray:
            drawn = [np.random.default_rng(zlib.crc32(text.encode())).normal(size=dim) for text in texts]
            return np.stack([vector / np.linalg.norm(vector) for vector in drawn]).astype(np.float32)

        return encode

    monkeypatch.setattr(encoder, "encode_texts", anywhere(encoder.identity.visual_dim))
    monkeypatch.setattr(encoder, "encode_sentences", anywhere(encoder.identity.textual_dim))
    put(library, encoder, [Shown(colour, f"a {colour} barn") for colour in list(PALETTE)[:6]])
    searcher = Searcher(library, encoder)
    asked = [Query(f"unheard of{number}") for number in range(200)]
    shown = sum(bool(searcher.find(query, 6)) for query in asked)
    assert shown < 0.2 * len(asked)
    assert searcher.find(Query("barn"), 6), "what its words name fits as before"


def test_with_an_example_something_always_fits(library: Library, encoder: ColourEncoder) -> None:
    mixed(library, encoder)
    assert len(Searcher(library, encoder).find(Query(example=picture("purple")), 5)) == 5


def test_a_common_word_still_finds_all_that_name_it(library: Library, encoder: ColourEncoder) -> None:
    """Where most pictures have the word it says little, yet each of them fits."""
    mixed(library, encoder)
    assert len(Searcher(library, encoder).find(Query("studio"), 60)) == 15
