"""Which models a profile is made of, and which of them are here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from composer.settings import LanguageSettings, Settings
from vision.downloads import checkpoints
from vision.downloads.checkpoints import HubPart
from vision.downloads.store import is_here, manifest
from vision.joint_encoder.checkpoint import shipped_towers


@dataclass(frozen=True, slots=True)
class Wanted:
    """``models`` are names of ``vignette models list``, ``parts`` files of the hub."""

    models: tuple[str, ...]
    parts: tuple[HubPart, ...]

    def missing(self) -> Wanted:
        """What of it is not on this machine, as far as can be told without the hub."""
        models = tuple(name for name in self.models if not is_here(name))
        return Wanted(models, tuple(part for part in self.parts if not checkpoints.is_here(part)))

    @property
    def nothing(self) -> bool:
        return not self.models and not self.parts

    @property
    def names(self) -> list[str]:
        """Each model once, as a person calls it."""
        return list(dict.fromkeys([*self.models, *(part.repository for part in self.parts)]))


def wanted(settings: Settings, *, encoder_only: bool = False, ask_hub: bool = False) -> Wanted:
    """Everything a profile loads, or its encoder alone; folders and files of one's own apart.

    With ``ask_hub`` configurations that name further files are fetched. Raises ModelError where that fails.
    """
    models: list[str] = []
    parts: list[HubPart] = []
    for language in () if encoder_only else filter(None, (settings.writer, settings.own_judge)):
        models += _models(language)
        parts += language_parts(language)
    encoder = settings.encoder
    if encoder.kind == "embedded":
        models += shipped_towers()
    else:
        from vision.joint_encoder.hub_files import encoder_parts

        parts += encoder_parts(encoder.model, encoder.pretrained, ask_hub=ask_hub)
    return Wanted(tuple(dict.fromkeys(models)), tuple(dict.fromkeys(parts)))


def _models(language: LanguageSettings) -> list[str]:
    return [language.model] if language.kind == "gguf" and language.model in manifest() else []


def language_parts(language: LanguageSettings) -> list[HubPart]:
    """What of the hub a writer or judge is loaded from."""
    if language.kind == "gguf":
        named = checkpoints.split_file(language.model) if language.model.endswith(".gguf") else None
        return [HubPart(named[0], (named[1],))] if named else []
    if language.kind not in ("hub", "xcomposer") or not is_hub_name(language.model):
        return []
    return [checkpoints.checkpoint_part(language.model)]


def is_hub_name(model: str) -> bool:
    """``owner/name``, and no folder of this machine."""
    return model.count("/") == 1 and not model.startswith(("/", ".", "~")) and not Path(model).is_dir()
