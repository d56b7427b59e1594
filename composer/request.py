"""What a user asks for, read and checked in this module alone: for the command line, batches, the page and the API."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from composer.errors import UsageError
from composer.fields import check_known, typed
from image_db.metadata.encoding import decode_text
from retrieval.errors import RetrievalError
from retrieval.filters import Filters, parse_where, written

LANGUAGE_TAG = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{1,8})*")
LANGUAGES = {"en": "English", "zh": "Chinese"}
MAX_IMAGES = 50
MIN_WORDS, MAX_WORDS = 100, 5000
_FEW_DAMAGED = 20  # letters that are right for each that is not: a text of another encoding has hardly one
MAX_SEED = 2**63 - 1  # what every reader of JSON takes
MAX_INSTRUCTION_CHARS = 20_000  # beyond it a model with a usual context has no room to write
MOST_HEADINGS = 16  # of an outline that is given
LENGTHS = {"short": 300, "medium": 600, "long": 1200}  # in words
TONES = ("plain", "vivid", "formal", "friendly")
KINDS = ("explanation", "guide", "report", "story", "listicle")
# What in an instruction asks for a kind of text; an explanation where nothing does.
_ASKS_FOR = {
    "story": r"\b(?:story|tale|fiction)\b|故事|童话|小说",
    "guide": r"\bhow to\b|\bguide to\b|\bstep by step\b|如何|怎样|怎么|指南|教程|入门",
    "report": r"\breport\b|报告|报道",
    "listicle": (
        r"\b(?:\d+|five|six|seven|eight|nine|ten|twelve) (?:\w+ )?(?:things|ways|places|reasons|tips|ideas)\b"
        r"|\btop \d+\b|[十\d]+(?:种|个|件|条)"
    ),
}


@dataclass(frozen=True, slots=True)
class ComposeRequest:
    """One article to make.

    Exactly one of ``instruction`` (what to write about) and ``text`` (Markdown to illustrate, kept as it is) leads;
    with ``text`` an instruction is a hint for the pictures. ``images`` is a number of pictures or None for "as many
    as fit". ``use_images`` must appear, ``may_use`` may. ``language`` is one of LANGUAGES or "auto", and for a text any
    tag of BCP 47.
    ``words`` is the length to aim for, ``tone`` one of TONES or empty. ``fast`` writes the sections side by side, each
    knowing the outline only. ``kind`` is one of KINDS or "auto", which goes by the instruction. ``sources`` are
    documents and folders of them: the text is then written from what they say, and cites it. ``project`` is the folder
    in which what was read of them is kept; it decides nothing of the article. ``headings`` are an outline to keep to,
    and ``title`` its title; where there are none the model plans its own. Raises UsageError where something is missing
    or out of range.
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
    kind: str = "auto"
    sources: tuple[Path, ...] = ()
    project: Path | None = None
    title: str = ""
    headings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.instruction.strip() and not self.text.strip():
            raise UsageError("empty_instruction")
        if len(self.instruction) > MAX_INSTRUCTION_CHARS:
            raise UsageError("instruction_long", chars=len(self.instruction), most=MAX_INSTRUCTION_CHARS)
        any_tag = bool(self.text) and LANGUAGE_TAG.fullmatch(self.language)
        if self.language != "auto" and self.language not in LANGUAGES and not any_tag:
            raise UsageError("language_unknown", given=self.language[:40], known=["auto", *LANGUAGES])
        if self.images is not None and not 0 <= self.images <= MAX_IMAGES:
            raise UsageError("pictures_wrong", given=self.images, most=MAX_IMAGES)
        if not MIN_WORDS <= self.words <= MAX_WORDS:
            raise UsageError("words_wrong", given=self.words, least=MIN_WORDS, most=MAX_WORDS)
        if abs(self.seed) > MAX_SEED:
            raise UsageError("field_range", field="seed", given=self.seed, least=-MAX_SEED, most=MAX_SEED)
        if self.tone and self.tone not in TONES:
            raise UsageError("tone_unknown", given=self.tone[:40], known=TONES)
        if self.kind != "auto" and self.kind not in KINDS:
            raise UsageError("kind_unknown", given=self.kind[:40], known=["auto", *KINDS])
        if self.sources and self.text:
            raise UsageError("sources_with_text")
        if self.sources and self.kind == "story":
            raise UsageError("sources_and_story")
        if self.headings and (self.text or self.sources):
            raise UsageError("outline_not_here")
        if len(self.headings) > MOST_HEADINGS:
            raise UsageError("outline_long", count=len(self.headings), most=MOST_HEADINGS)
        if self.images is not None and len(self.use_images) > self.images:
            raise UsageError("more_than_pictures", used=len(self.use_images), images=self.images)

    @property
    def kind_of_text(self) -> str:
        """One of KINDS: the one asked for, or the one that the instruction's words ask for; from sources no story."""
        if self.kind != "auto":
            return self.kind
        asked = (kind for kind, words in _ASKS_FOR.items() if re.search(words, self.instruction, re.IGNORECASE))
        return next((kind for kind in asked if not (self.sources and kind == "story")), KINDS[0])


PATH_FIELDS = ("use_images", "may_use", "sources")
REQUEST_FIELDS = tuple(item.name for item in fields(ComposeRequest))


def request_to_json(request: ComposeRequest) -> dict[str, Any]:
    """The request as plain JSON values; ``request_from_json`` gives it back."""
    values = asdict(request)
    for name in PATH_FIELDS:
        values[name] = [str(path) for path in values[name]]
    values["headings"] = list(values["headings"])
    values["project"] = None if request.project is None else str(request.project)
    values["filters"] = {name: list(v) if isinstance(v, tuple) else v for name, v in values["filters"].items()}
    values["filters"]["where"] = written(request.filters.where)
    return values


def request_from_json(values: Mapping[str, Any]) -> ComposeRequest:
    """A request from its fields as JSON values; those that are not given keep their defaults.

    ``images`` may be "auto" or a number as text, and ``length``, one of LENGTHS, may stand for ``words``. Raises
    UsageError for a field that is unknown, of the wrong kind or out of range.
    """
    check_known(values, (*REQUEST_FIELDS, "length"))
    read: dict[str, Any] = {}
    for names, kind in (
        (("instruction", "text", "text_name", "language", "tone", "kind", "title"), str),
        (("seed", "words"), int),
        (("fast",), bool),
        ((*PATH_FIELDS, "headings"), list),
    ):
        read |= {name: typed(name, values[name], kind) for name in names if name in values}
    for name in PATH_FIELDS:
        if name in read:
            read[name] = tuple(Path(path) for path in read[name])
    if "headings" in read:
        lines = (" ".join(typed("headings", heading, str).split()) for heading in read["headings"])
        read["headings"] = tuple(line for line in lines if line)
    if values.get("project") is not None:
        read["project"] = Path(typed("project", values["project"], str))
    if "images" in values:
        read["images"] = parse_images(values["images"])
    if "length" in values:
        if "words" in values:
            raise UsageError("words_and_length")
        length = typed("length", values["length"], str)
        if length not in LENGTHS:
            raise UsageError("length_unknown", given=length[:80], known=tuple(LENGTHS))
        read["words"] = LENGTHS[length]
    if "filters" in values:
        read["filters"] = _filters(typed("filters", values["filters"], dict))
    return ComposeRequest(**read)


def parse_images(given: object) -> int | None:
    """A number of pictures, or None for "auto". Raises UsageError for anything else."""
    text = str(given).strip().lower()
    if given is None or text in ("auto", "自动"):
        return None
    # A digit of another script is no decimal number to everybody else.
    if isinstance(given, str) and text.isascii() and text.isdecimal() and len(text) < 9:
        return int(text)
    if isinstance(given, (int, float)) and not isinstance(given, bool) and given == given // 1:
        return int(given)
    raise UsageError("pictures_wrong", given=str(given)[:40], most=MAX_IMAGES)


def read_text_file(path: Path) -> str:
    """A text to illustrate, its line ends as they are. Raises UsageError where it is none, or empty."""
    try:
        text = document_text(path.read_bytes())
    except OSError as error:
        if path.is_dir():  # Windows calls this a denied permission
            raise UsageError("text_is_folder", path=str(path)) from error
        raise UsageError("file_unreadable", file=str(path), reason=str(error.strerror)) from error
    except ValueError as error:
        raise UsageError("text_file_not_text", path=str(path)) from error
    if not text.strip():
        raise UsageError("text_file_empty", path=str(path))
    return text


def document_text(data: bytes) -> str:
    """The text of a file in whatever encoding it was saved; the byte order mark of UTF-8 stays, as every byte does.

    Raises ValueError for bytes that are no text, and for UTF-8 of which single bytes are damaged: read as anything
    else, no letter with an accent would be right.
    """
    if b"\0" not in data:
        with suppress(UnicodeDecodeError):
            return data.decode("utf-8")
        whole = data.decode("utf-8", "replace")
        damaged = whole.count("\ufffd")
        if sum(not char.isascii() for char in whole) > _FEW_DAMAGED * damaged:
            raise ValueError("the text is UTF-8 with damaged bytes")
    return decode_text(data)


def _filters(values: Mapping[str, Any]) -> Filters:
    kinds = {"licenses": list, "tags": list, "min_side_px": int, "where": str}
    check_known(values, kinds, "filters.")
    read: dict[str, Any] = {}
    for name, given in values.items():
        value = typed(f"filters.{name}", given, kinds[name])
        read[name] = tuple(value) if isinstance(value, list) else value
    try:
        return Filters(**(read | {"where": parse_where(read.get("where", ""))}))
    except RetrievalError as error:
        raise UsageError(error.key, **error.values) from error
