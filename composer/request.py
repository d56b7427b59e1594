"""What a user asks for: one value for the command line, batches and the app. Checked once, here."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from composer.errors import UsageError
from retrieval.candidates import Filters

LANGUAGES = {"en": "English", "zh": "Chinese"}
MAX_IMAGES = 50
# What the writer is told of each, in the languages it writes in.
TONES = {
    "plain": {"en": "Write plainly and soberly.", "zh": "语言平实、客观。"},
    "vivid": {"en": "Write vividly, with concrete detail.", "zh": "语言生动，多写具体细节。"},
    "formal": {"en": "Write in a formal, precise tone.", "zh": "语言正式、严谨。"},
    "friendly": {"en": "Write in a warm, friendly tone.", "zh": "语气亲切、友好。"},
}


@dataclass(frozen=True, slots=True)
class ComposeRequest:
    """One article to make.

    Exactly one of ``instruction`` (what to write about) and ``text`` (Markdown to illustrate, kept as it is) leads;
    with ``text`` an instruction is a hint for the pictures. ``images`` is a number of pictures or None for "as many
    as fit". ``use_images`` must appear, ``may_use`` may. ``language`` is an ISO 639-1 code of LANGUAGES or "auto".
    ``words`` is the length to aim for, ``tone`` one of TONES or empty. ``fast`` writes the sections side by side, each
    knowing the outline only. Raises UsageError naming the flag to change.
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
    may_use: tuple[Path, ...] = ()
    tone: str = ""
    fast: bool = False

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
        if self.tone and self.tone not in TONES:
            raise UsageError(f"--tone {self.tone} is not known; use one of: {', '.join(TONES)}")
        if self.images is not None and len(self.use_images) > self.images:
            raise UsageError(
                f"--use-image names {len(self.use_images)} pictures but --images allows {self.images}; raise --images",
                "more_than_pictures",
                used=len(self.use_images),
                images=self.images,
            )

    def briefing(self, language: str) -> str:
        """The instruction as the writer gets it, with the tone that was asked for."""
        wish = TONES.get(self.tone, {}).get(language, "")
        return f"{self.instruction}\n\n{wish}" if wish else self.instruction
