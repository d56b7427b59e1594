"""Profiles: TOML files turned into frozen, validated settings.

A profile is the name of a file in ``composer/profiles``, or the path of one's own. Unknown sections and keys are
errors that name the known ones. ``[language]``, as 0.1 called ``[writer]``, is still read.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from importlib import resources
from pathlib import Path
from typing import Any

from composer.errors import UsageError
from composer.fields import check_known, typed

DEFAULT_PROFILE = "auto"  # no file: ``composer.profiles.choice`` picks another by the machine
PLAIN_PROFILE = "embedded"  # what needs neither hub nor GPU


@dataclass(frozen=True, slots=True)
class LanguageSettings:
    """Which model writes, or judges.

    ``kind`` is "gguf" (the embedded engine; ``model`` is a name of ``vignette models list`` or the path of a
    .gguf file), "hub" (transformers; a hub name or local folder), "xcomposer" (InternLM-XComposer 2 or 2.5, named the
    same way), "bridge" (a folder of ``vignette train bridge`` or ``lora``, which sees) or "server" (any that speaks
    OpenAI's API at ``address``; ``model`` may be left out where it serves one). ``threads`` 0 means one a
    core. ``adapter`` of a "hub" model is a folder of ``vignette train lora``. ``device`` "auto" is the CPU for "gguf",
    and CUDA where there is one for "hub" and "xcomposer".
    ``key_variable`` names the environment variable with the server's key, ``timeout_s`` its longest silence,
    ``at_once`` the requests it gets side by side.
    """

    kind: str = "gguf"
    model: str = ""
    device: str = "auto"
    dtype: str = "auto"
    quantization: str = "none"
    adapter: str = ""
    context_tokens: int = 8192
    threads: int = 0
    address: str = ""
    key_variable: str = "VIGNETTE_SERVER_KEY"
    timeout_s: float = 120.0
    at_once: int = 8

    def __post_init__(self) -> None:
        _one_of("kind", self.kind, ("gguf", "hub", "xcomposer", "bridge", "server"))
        if self.kind == "gguf" and not self.model:
            object.__setattr__(self, "model", "qwen2.5-coder-1.5b-instruct")
        if self.kind == "server" and not self.address.strip():
            raise UsageError("server_address_missing")
        _at_least("timeout_s", self.timeout_s, 1)
        _between("at_once", self.at_once, 1, 256)
        _one_of("quantization", self.quantization, ("none", "4bit", "8bit"))
        if self.adapter and self.kind != "hub":
            raise UsageError("adapter_needs_hub", kind=self.kind)
        _at_least("context_tokens", self.context_tokens, 1024)
        _at_least("threads", self.threads, 0)


@dataclass(frozen=True, slots=True)
class EncoderSettings:
    """Which encoder indexes and searches: "embedded", or "open_clip" with a model name or local folder."""

    kind: str = "embedded"
    model: str = ""
    pretrained: str = ""
    device: str = "auto"

    def __post_init__(self) -> None:
        _one_of("kind", self.kind, ("embedded", "open_clip"))
        if self.kind == "open_clip" and not self.model:
            raise UsageError("encoder_model_missing")


@dataclass(frozen=True, slots=True)
class WritingSettings:
    """How text is drawn, and whether the plan may look at what the library holds.

    ``drafts`` are made of every section, as one batch. With ``plan_from_library`` above
    0 the library has a say between headings that belong to the subject equally: those it has pictures of come first.
    """

    temperature: float = 0.5
    top_p: float = 0.9
    repetition_penalty: float = 1.05
    drafts: int = 6
    plan_from_library: int = 1

    def __post_init__(self) -> None:
        _between("temperature", self.temperature, 0.0, 2.0)
        _between("top_p", self.top_p, 0.01, 1.0)
        _between("repetition_penalty", self.repetition_penalty, 1.0, 2.0)
        _between("drafts", self.drafts, 1, 12)
        _at_least("plan_from_library", self.plan_from_library, 0)


@dataclass(frozen=True, slots=True)
class IllustrationSettings:
    """Where pictures stand and which are good enough.

    ``words_per_picture`` sets the number of slots when it is left to Vignette. ``candidates`` are looked at for each
    slot. ``min_fused`` is the retrieval score in [0, 1] below which a picture is not shown; ``judge_weight`` in
    [0, 1] is the share of the model's judgement against the retrieval score, and with 0 no model is asked. The judge's
    log-odds count ``judge_slope`` times, with ``judge_offset`` added. With ``fitted_judge`` these three are what
    ``vignette eval slots`` found for the profile's models, where it was run.
    ``library_weight`` is that of what the library has for a place beside the learned weights of the place itself.
    """

    words_per_picture: int = 95
    candidates: int = 8
    min_fused: float = 0.3
    judge_weight: float = 0.3
    judge_slope: float = 1.0
    judge_offset: float = 0.0
    fitted_judge: bool = True
    library_weight: float = 1.0

    def __post_init__(self) -> None:
        _at_least("words_per_picture", self.words_per_picture, 30)
        _between("candidates", self.candidates, 1, 20)
        _between("min_fused", self.min_fused, 0.0, 1.0)
        _between("judge_weight", self.judge_weight, 0.0, 1.0)
        _between("judge_slope", self.judge_slope, 0.0, 1e6)
        _between("judge_offset", self.judge_offset, -1e6, 1e6)
        _between("library_weight", self.library_weight, 0.0, 10.0)


@dataclass(frozen=True, slots=True)
class JudgeFit:
    """How much a judge counts beside a search, and what it gained a slot on ``slots`` labelled ones.

    ``gain`` is the share of slots whose true picture comes first, with the judge less without; ``low`` and ``high`` are
    its 95 % interval.
    """

    weight: float
    slope: float
    offset: float
    gain: float
    low: float
    high: float
    slots: int


@dataclass(frozen=True, slots=True)
class Needs:
    """What a profile takes, in GB (1e9 bytes): on disk, and of free memory of the machine and of its GPU.

    Estimates of the same kind as ``composer.profiles.memory`` makes of files; 0 is unknown, or none.
    """

    download_gb: float = 0.0
    memory_gb: float = 0.0
    gpu_gb: float = 0.0


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a profile may set. ``name`` is the profile's; ``own_judge`` None has the writer judge.

    ``judge_fit`` is what was fitted for these models, where ``pictures`` is of it.
    """

    name: str
    description: str = ""
    writer: LanguageSettings = field(default_factory=LanguageSettings)
    own_judge: LanguageSettings | None = None
    encoder: EncoderSettings = field(default_factory=EncoderSettings)
    writing: WritingSettings = field(default_factory=WritingSettings)
    pictures: IllustrationSettings = field(default_factory=IllustrationSettings)
    judge_fit: JudgeFit | None = None
    needs: Needs = field(default_factory=Needs)

    @property
    def judge(self) -> LanguageSettings:
        """Which model judges the candidates of a picture."""
        return self.own_judge or self.writer


_SECTIONS: dict[str, Any] = {
    "writer": LanguageSettings,
    "judge": LanguageSettings,
    "encoder": EncoderSettings,
    "writing": WritingSettings,
    "pictures": IllustrationSettings,
    "needs": Needs,
}


_EARLIER_WRITER = "language"  # the section's name before roles were apart


def profile_names() -> tuple[str, ...]:
    """The profiles that come with Vignette, the default first."""
    folder = resources.files("composer") / "profiles"
    names = sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".toml"))
    return (DEFAULT_PROFILE, PLAIN_PROFILE, *(name for name in names if name != PLAIN_PROFILE))


def load_settings(profile: str = PLAIN_PROFILE) -> Settings:
    """Read a profile by name or by the path of a .toml file. Raises UsageError naming what to change.

    ``auto`` has no file: see ``composer.profiles.choice.resolve``.
    """
    if profile.endswith(".toml"):
        path = Path(profile)
        if not path.is_file():
            raise UsageError("profile_missing", profile=profile)
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise UsageError("profile_not_toml", profile=profile, reason=str(error)) from error
    elif profile in profile_names()[1:]:
        text = (resources.files("composer") / "profiles" / f"{profile}.toml").read_text(encoding="utf-8")
    else:
        raise UsageError("profile_unknown", profile=profile, known=list(profile_names()))
    try:
        return parse_settings(Path(profile).stem, tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise UsageError("profile_not_toml", profile=profile, reason=str(error)) from error
    except UsageError as error:
        raise UsageError("profile_wrong", profile=profile, reason=error) from error


def parse_settings(name: str, values: Mapping[str, Any]) -> Settings:
    """Settings from parsed TOML, strictly: unknown sections, keys and wrong types raise UsageError."""
    if _EARLIER_WRITER in values:
        if "writer" in values:
            raise UsageError("field_twice", field="writer", other=_EARLIER_WRITER)
        values = {"writer" if key == _EARLIER_WRITER else key: value for key, value in values.items()}
    check_known(values, ("description", *_SECTIONS))
    parts = {section: _section(section, values[section]) for section in _SECTIONS if section in values}
    own_judge = parts.pop("judge", None)
    return Settings(name, str(values.get("description", "")), own_judge=own_judge, **parts)


def _section(name: str, values: Any) -> Any:
    kind = _SECTIONS[name]
    values = typed(name, values, dict)
    defaults = {f.name: f.default for f in fields(kind)}
    check_known(values, defaults, f"{name}.")
    try:
        return kind(**{key: typed(f"{name}.{key}", value, type(defaults[key])) for key, value in values.items()})
    except UsageError as error:
        field = str(error.values.get("field", ""))
        if not field or "." in field:
            raise
        raise UsageError(error.key, **error.values | {"field": f"{name}.{field}"}) from error


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UsageError("field_choice", field=name, given=value, known=list(known))


def _at_least(name: str, value: float, low: int) -> None:
    if value < low:
        raise UsageError("field_too_low", field=name, given=value, least=low)


def _between(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise UsageError("field_range", field=name, given=value, least=low, most=high)
