"""Names, numbers and dates are found, and ordinary words are not taken for them."""

import pytest

from composer.article.claims import claims_in
from composer.article.model import Section


@pytest.mark.parametrize(
    ("text", "claims"),
    [
        ("It was built in 1872 by Maria Lopez.", ("1872", "Maria Lopez")),
        ("Some 3,500 people live there, 12 % of them fishers.", ("3,500", "12 %")),
        ("Bakers heat the oven to 230 °C.", ("230 °C",)),
        ("It dates from the sixteenth century and has hundreds of rooms.", ("sixteenth century", "hundreds")),
        ("Bread needs time. Flour alone is not enough.", ()),
        ("The Tower of Pisa leans.", ("Tower of Pisa",)),
        ("In Norway, French cooks bake on Sundays.", ("Norway",)),
        ("## Bread of Norway\n\nDough rises.", ()),
        ("Run `make 12 Tests` and see [it](http://x.org/3).", ()),
        ("1. Mix the flour\n2. Wait", ()),
        ("它建于1872年，由古斯塔夫·埃菲尔设计，有三百多年历史。", ("1872", "古斯塔夫·埃菲尔", "三百多年")),
    ],
)
def test_claims(text: str, claims: tuple[str, ...]) -> None:
    assert claims_in(text) == claims


def test_what_a_person_gave_is_not_the_models_claim() -> None:
    assert claims_in("The mill of Delft was built in 1650.", ["A mill in Delft"]) == ("1650",)


def test_a_claim_that_leaves_the_text_is_no_longer_unchecked() -> None:
    from dataclasses import replace

    section = Section("Built in 1872 by Maria Lopez.", unchecked=("1872", "Maria Lopez"))
    assert replace(section, text="Built by Maria Lopez.").unchecked == ("Maria Lopez",)
