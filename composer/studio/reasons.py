"""Why a picture stands somewhere, as a person would say it; the figures stay in the article."""

from __future__ import annotations

from collections.abc import Sequence

from image_db.metadata.record import ImageRecord
from vision.errors import Phrase

# A reason with a figure, and the one that says the same without; those with no other are left out.
_PLAIN = {
    "looks_match": "looks_right",
    "looks_too": "",
    "looks_like_example": "looks_alike",
    "chosen_first": "fits_best",
    "nothing_fits": "nothing_near",
}
MAX_CAPTION_CHARS = 120


def in_words(reasons: Sequence[Phrase], record: ImageRecord | None, language: str) -> tuple[Phrase, ...]:
    """The reasons without figures; of a picture's words they quote the words themselves, in that language."""
    plain = []
    for reason in reasons:
        caption = "" if record is None else record.caption_in(language) or record.caption
        if reason.key in ("caption_matches", "guess_matches") and caption:
            told = "caption_says" if reason.key == "caption_matches" else "guess_says"
            short = caption if len(caption) <= MAX_CAPTION_CHARS else caption[:MAX_CAPTION_CHARS] + "…"
            plain.append(Phrase(told, {"caption": short}))
        elif key := _PLAIN.get(reason.key, reason.key):
            values = {name: value for name, value in reason.values.items() if name == "wanted"}
            plain.append(reason if key == reason.key else Phrase(key, values))
    return tuple(plain)
