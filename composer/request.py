"""What a user asks for: one value for the command line, batches and the app. Checked once, here."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from composer.errors import UsageError
from retrieval.candidates import Filters

LANGUAGES = {"en": "English", "zh": "Chinese"}
MAX_IMAGES = 50


@dataclass(frozen=True, slots=True)
class ComposeRequest:
    """One article to make.

    Exactly one of ``instruction`` (what to write about) and ``text`` (Markdown to illustrate, kept as it is) leads;
    with ``text`` an instruction is a hint for the pictures. ``images`` is a number of pictures or None for "as many
    as fit". ``use_images`` must appear. ``language`` is an ISO 639-1 code of LANGUAGES or "auto". ``words`` is the
    length to aim for. Raises UsageError naming the flag to change.
    """

    instruction: str = ""
    text: str = ""
    text_name: str = ""  # names the document where the text has no title
    use_images: tuple[Path, ...] = ()
    images: int | None = None
    language: str = "auto"
    seed: int = 0
    words: int = 600
    filters: Filters = field(default_factory=Filters)

    def __post_init__(self) -> None:
        if not self.instruction.strip() and not self.text.strip():
            raise UsageError(
                'the instruction is empty; say what to write about, e.g. vignette compose "A day on the farm", '
                "or give a text with --illustrate FILE.md"
            )
        if self.language != "auto" and self.language not in LANGUAGES:
            known = ", ".join(LANGUAGES)
            raise UsageError(f"--language {self.language} is not known; use auto or one of: {known}")
        if self.images is not None and not 0 <= self.images <= MAX_IMAGES:
            raise UsageError(f"--images {self.images} is out of range; use auto or 0 to {MAX_IMAGES}")
        if not 100 <= self.words <= 5000:
            raise UsageError(f"--words {self.words} is out of range; use 100 to 5000")
        if self.images is not None and len(self.use_images) > self.images:
            raise UsageError(
                f"--use-image names {len(self.use_images)} pictures but --images allows {self.images}; raise --images"
            )
