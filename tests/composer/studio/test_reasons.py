"""Reasons are said in words that a person uses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from composer.i18n import localize
from composer.studio.reasons import in_words
from image_db.metadata.record import ImageRecord
from vision.errors import Phrase

SILENT = ImageRecord(id="0" * 64, path=Path("a.jpg"), width_px=640, height_px=480)
SHEEP = replace(SILENT, caption="Sheep grazing", captions={"zh": "羊在吃草"})
MATCHES = Phrase("caption_matches", {"wanted": "a flock", "score": 0.71})
LOOKS = Phrase("looks_match", {"wanted": "a flock", "score": 0.3})


@pytest.mark.parametrize(
    ("reasons", "said"),
    [
        ((MATCHES, Phrase("looks_too", {"score": 0.31})), ["caption_says"]),
        ((Phrase("guess_matches", {"wanted": "a flock", "score": 0.5}),), ["guess_says"]),
        ((LOOKS, Phrase("chosen_first", {"times": 2.1})), ["looks_right", "fits_best"]),
        ((Phrase("words_shared", {"words": ["sheep"]}), Phrase("you_chose")), ["words_shared", "you_chose"]),
        ((Phrase("nothing_fits", {"best": 0.1, "needed": 0.2}),), ["nothing_near"]),
    ],
)
def test_a_reason_has_no_figures_and_quotes_the_caption(reasons: tuple[Phrase, ...], said: list[str]) -> None:
    plain = in_words(reasons, SHEEP, "en")
    assert [reason.key for reason in plain] == said
    assert not any(digit in localize(plain, "en") for digit in "0123456789")


def test_the_caption_is_quoted_in_the_articles_language() -> None:
    assert in_words([MATCHES], SHEEP, "en")[0].values == {"caption": "Sheep grazing"}
    assert in_words([MATCHES], SHEEP, "zh")[0].values == {"caption": "羊在吃草"}
    assert in_words([LOOKS], SHEEP, "en")[0].values == {"wanted": "a flock"}
    assert in_words([MATCHES], SILENT, "en") == (MATCHES,), "without a caption there is nothing to quote"
