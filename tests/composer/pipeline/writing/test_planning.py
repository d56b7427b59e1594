"""One outline out of several plans: what they agree on, one thing a heading, and what the library shows."""

from collections.abc import Sequence

import pytest

from composer.pipeline.writing.planning import Plan, agree, names_a_thing, parse_plan, without

PLAN = " A Day on the Farm\n1. Hens at Dawn\n2. The Red Barn\n3. The Red Barn\n4. Evening: the cows come home slowly"


def test_a_plan_has_a_title_and_distinct_headings() -> None:
    assert parse_plan(PLAN, 5) == Plan("A Day on the Farm", ("Hens at Dawn", "The Red Barn", "Evening"))


@pytest.mark.parametrize(
    ("raw", "title"),
    [(' "Hens"\n1. A b', "Hens"), ("Title: Hens\n", "Hens"), ("《养猫》\n1. 吃饭", "养猫"), ("", ""), ("x" * 200, "")],
)
def test_titles_come_out_of_their_wrapping_or_not_at_all(raw: str, title: str) -> None:
    assert parse_plan(raw, 3).title == title


def test_what_was_copied_from_the_example_goes() -> None:
    plan = Plan("Morning at the Harbour", ("Fishing Boats", "Cranes"))
    assert without(plan, "Title: Morning at the Harbour\n1. Fishing Boats") == Plan("", ("Cranes",))


def test_headings_that_most_plans_have_come_first_and_the_rest_are_spare() -> None:
    plans = [
        Plan("Farm", ("Hens", "The Barn", "Cows")),
        Plan("Farm", ("Hen", "Cows", "Tractor")),
        Plan("A Farm", ("Hens", "Barn", "Cows")),
    ]
    assert agree(plans, "a day on the farm", 3) == Plan("Farm", ("Hens", "Barn", "Cows"), ("Tractor",))


@pytest.mark.parametrize(
    ("better", "worse"),
    [("Hens", "Hens and Sheep"), ("Sheep", "Introduction"), ("Sheep", "What the old sheep see there")],
)
def test_a_heading_names_one_thing_that_can_be_seen(better: str, worse: str) -> None:
    assert agree([Plan("Farm", (worse, better))], "a day on the farm", 1).headings == (better,)


def test_a_thing_and_its_plural_are_one_heading() -> None:
    plans = [Plan("Birds", ("Finches", "Finch", "Thrushes", "Owl"))] * 2
    assert agree(plans, "birds of the garden", 3).headings == ("Finch", "Thrushes", "Owl")


def test_a_second_barn_waits_for_other_things() -> None:
    plans = [Plan("Farm", ("Red Barn", "Old Barn", "Sheep"))] * 2
    assert set(agree(plans, "a day on the farm", 2).headings) == {"Red Barn", "Sheep"}


def test_what_an_encyclopedia_tells_of_comes_before_what_has_but_a_name() -> None:
    plans = [Plan("Birds", ("Harrier", "Falcon", "Osprey"))]
    told = {"Falcon", "Osprey"}
    chosen = agree(plans, "birds of prey", 2, informed=lambda headings: [h in told for h in headings])
    assert chosen.headings == ("Falcon", "Osprey")
    assert chosen.spare == ("Harrier",)


def test_of_things_of_one_kind_those_stay_that_belong_more_than_most() -> None:
    odds = {
        "Owl": 2.9,
        "Osprey": 2.8,
        "Hawk": 2.7,
        "Eagle": 2.65,
        "Falcon": 2.55,
        "Raven": 2.25,
        "Tit": 2.0,
        "Swift": 1.9,
    }
    plans = [Plan("Birds", tuple(odds))]
    chosen = agree(plans, "birds of prey", 3, belonging=lambda headings: [odds[h] for h in headings])
    assert (chosen.headings, chosen.spare) == (("Owl", "Osprey", "Hawk"), ("Eagle",))


def test_of_headings_one_of_which_says_less_of_the_same_one_stays() -> None:
    plan = Plan("Bread", ("Oven", "Oven Temperature", "Flour", "Volcanic Ash Clouds", "Ash Clouds"))
    chosen = agree([plan], "how it is baked", 8)
    assert len([h for h in chosen.headings if "Oven" in h]) == len([h for h in chosen.headings if "Ash" in h]) == 1
    assert "Flour" in chosen.headings


def test_what_is_of_another_continent_than_most_is_left_out() -> None:
    told = {"Lion": {"Africa", "Asia"}, "Zebra": {"Africa"}, "Giraffe": {"Africa"}, "Rhino": {"Africa"}, "Owl": set()}
    names = (*told, "Kangaroo")

    def found(headings: Sequence[str]) -> list[frozenset[str]]:
        return [frozenset(told.get(heading, {"Australia"})) for heading in headings]

    plan = Plan("Savanna", names)
    assert set(agree([plan] * 3, "the savanna", 8, continents=found).headings) == set(told)
    few = agree([Plan("Savanna", ("Lion", "Kangaroo"))], "the savanna", 8, continents=found)
    assert set(few.headings) == {"Lion", "Kangaroo"}


def test_the_subject_itself_is_no_heading() -> None:
    plans = [Plan("Umbrellas", ("The Umbrella", "Handle", "Canopy")), Plan("Umbrellas", ("Umbrellas", "Ribs"))]
    assert set(agree(plans, "Umbrellas", 5).headings) == {"Handle", "Canopy", "Ribs"}


def test_the_subject_itself_does_not_drive_out_what_belongs_to_it() -> None:
    names = ("Violin", "Cello", "Flute", "Oboe", "Horn", "Harp", "Tuba", "Viola", "Drum", "Piano", "Bassoon")
    odds = dict.fromkeys(names, 2.9) | {"Musical instrument": 4.4, "Cow": 1.0}
    plans = [Plan("Orchestra", tuple(odds))]
    chosen = agree(plans, "the orchestra", 8, belonging=lambda headings: [odds[h] for h in headings])
    assert {*names} <= {*chosen.headings, *chosen.spare}
    assert "Cow" not in {*chosen.headings, *chosen.spare}


def test_of_more_than_are_needed_the_better_half_stays_and_what_most_plans_have() -> None:
    odds = {"Lion": 3.0, "Zebra": 2.9, "Hyena": 2.8, "Monkey": 2.7, "Kangaroo": 2.4}
    several, one = Plan("Savanna", ("Lion", "Zebra", "Monkey")), Plan("Savanna", tuple(odds))
    chosen = agree([several, several, one], "the savanna", 4, belonging=lambda headings: [odds[h] for h in headings])
    assert {*chosen.headings, *chosen.spare} == {"Lion", "Zebra", "Hyena", "Monkey"}


def test_where_too_little_is_left_what_belongs_a_little_less_stands_too() -> None:
    best = {"Tuba": 4.2, "Oboe": 4.1, "Flute": 3.0, "Horn": 2.9}
    odds = best | {"Seat": 2.8, "Desk": 2.7, "Song": 2.2, "Hall": 2.1, "Coat": 2.0}

    def chosen(count: int) -> set[str]:
        plan = agree([Plan("", tuple(odds))], "the orchestra", count, belonging=lambda hs: [odds[h] for h in hs])
        return {*plan.headings, *plan.spare}

    assert chosen(2) == {"Tuba", "Oboe"}
    assert chosen(4) == set(best)


def test_what_the_article_is_on_by_another_name_is_no_heading() -> None:
    names = ("Flute", "Oboe", "Brass Instruments", "Harp", "Violin", "Cello", "Horn", "Tuba", "Viola", "Drum", "Piano")
    odds = dict.fromkeys(names, 2.9) | {"Musical Instruments": 4.4}
    plan = Plan("Orchestra", tuple(odds))
    chosen = agree([plan], "instruments of the orchestra", 12, belonging=lambda hs: [odds[h] for h in hs])
    assert set(chosen.headings) == set(names)


def test_the_library_decides_between_what_belongs_equally() -> None:
    plans = [Plan("Tools", ("Spade", "Rake")), Plan("Tools", ("Spade", "Rake", "Hammer"))]
    shown = {"Rake", "Hammer"}
    chosen = agree(plans, "the tools of a gardener", 1, lambda headings: [h in shown for h in headings])
    assert chosen.headings == ("Rake",)
    assert agree(plans, "the tools of a gardener", 2, lambda hs: [h == "Hammer" for h in hs]).headings == (
        "Spade",
        "Rake",
    )


def test_a_thing_is_one_that_can_be_seen() -> None:
    named, not_named = ("Lions", "Claw Hammer"), ("Materials", "Hammers in the Shed", "Hammers and Nails", "Their Use")
    assert all(map(names_a_thing, named))
    assert not any(map(names_a_thing, not_named))
