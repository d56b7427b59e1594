from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from image_db.metadata.description import Description, laid_over, sentence
from image_db.metadata.record import ImageRecord

BLANK = ImageRecord("0" * 64, Path("/x.jpg"), 10, 10)


def test_a_stronger_source_leads_and_a_weaker_one_fills_its_gaps() -> None:
    strong = Description(caption="strong", captions=(("zh", "强"),))
    weak = Description(caption="weak", tags=("a",), author="Ann", captions=(("zh", "弱"), ("de", "schwach")))
    both = laid_over((strong, weak))
    assert both.caption == "strong"
    assert both.tags == ("a",)
    assert both.author == "Ann"
    assert dict(both.captions) == {"zh": "强", "de": "schwach"}
    assert laid_over(()) == Description()


def test_a_generated_caption_stays_until_a_person_gives_one() -> None:
    generated = replace(BLANK, caption="perhaps a cat", caption_origin="generated", guessed_tags=("cat",))
    kept = Description(author="Ann").applied_to(generated)
    assert (kept.caption, kept.caption_origin, kept.author) == ("perhaps a cat", "generated", "Ann")
    given = Description(caption="A lynx").applied_to(generated)
    assert (given.caption, given.caption_origin, given.guessed_tags) == ("A lynx", "given", ("cat",))


def test_a_picture_without_words_has_no_sentence() -> None:
    assert sentence(replace(BLANK, author="Ann", license="CC0"), None) == ""


def test_the_caption_leads_and_tags_add_only_what_is_not_said() -> None:
    record = replace(
        BLANK, caption="A red parrot", alt="Two birds on a branch!", tags=("parrot", "macaw", "Red Parrot")
    )
    assert sentence(record, None) == "A red parrot. Two birds on a branch! macaw"


def test_a_text_that_repeats_another_is_said_once() -> None:
    record = replace(BLANK, caption="A parrot", alt="a parrot on a branch")
    assert sentence(record, None) == "a parrot on a branch"
    assert sentence(replace(BLANK, caption="Same", alt="same"), None) == "Same"


def test_captions_in_languages_that_the_encoder_does_not_read_are_left_out() -> None:
    record = replace(BLANK, caption="A parrot", captions=(("de", "Ein Papagei"), ("zh", "鹦鹉。")))
    assert sentence(record, {"en"}) == "A parrot"
    assert sentence(record, {"en", "zh"}) == "A parrot. 鹦鹉。"
    assert sentence(record, None) == "A parrot. Ein Papagei. 鹦鹉。"
