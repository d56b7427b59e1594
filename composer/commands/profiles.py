"""The profile that a command runs with: chosen where that is left to Vignette, its missing models fetched."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from composer.settings import Settings
    from vision.downloads.checkpoints import HubPart, Listing

DICTIONARY = "gcide"  # the only entry that comes from Debian's servers, and the only one that writing does without


def check_profile(profile: str) -> None:
    """Raise UsageError for a profile that there is not, before anything is fetched or loaded."""
    from composer.settings import DEFAULT_PROFILE, load_settings

    if profile != DEFAULT_PROFILE:
        load_settings(profile)


def settings_for(
    profile: str, library: Path | None = None, *, encoder_only: bool = False, drafts: bool = False
) -> Settings:
    """The settings of ``--profile``; for ``auto`` says what was picked and why, and fetches what is missing of it.

    ``library`` keeps the encoder it was made with. With ``encoder_only`` writer and judge are not needed, but with
    ``drafts`` what drafts words for pictures: a library that is there has settled the encoder, so the hub is not asked,
    and which writer would be picked is not told.
    Raises UsageError, and ModelError and WeightsError where a fetch fails.
    """
    from composer.commands.terminal import note, printable
    from composer.profiles.choice import resolve
    from composer.profiles.machine import is_offline
    from composer.profiles.wanted import wanted
    from image_db.default_library import is_library
    from vision.bridge.caption_bridge import shipped_language_model

    settled = encoder_only and library is not None and is_library(library)
    resolved = resolve(profile, library, ask_hub=not settled)
    for said in resolved.notes:
        if not settled or said.key != "profile_picked":
            note(printable(said))
    settings = resolved.settings
    missing = wanted(settings, encoder_only=encoder_only).missing()
    if resolved.chosen and not missing.nothing and not is_offline():
        loaded = wanted(settings).models
        extras = [name for name in needed(settings) if name not in loaded]
        if encoder_only:
            extras = [name for name in extras if drafts and name == shipped_language_model()]
        fetch(missing.models, wanted(settings, encoder_only=encoder_only, ask_hub=True).parts, extras)
    return settings


def needed(settings: Settings) -> list[str]:
    """The models of the manifest that a profile and drafts use, fonts of PDFs, and dictionaries for gguf writers."""
    from composer.export.pdf_fonts import CHINESE, SCRIPTS
    from composer.pipeline.writing.encyclopedia import NAME as ENCYCLOPEDIA
    from composer.profiles.wanted import wanted
    from retrieval.cedict import NAME as CHINESE_DICTIONARY
    from vision.bridge.caption_bridge import shipped_language_model

    models = [*wanted(settings).models, *([shipped_language_model()] if settings.encoder.kind == "embedded" else [])]
    dictionaries = [CHINESE_DICTIONARY, ENCYCLOPEDIA, DICTIONARY] if settings.writer.kind == "gguf" else []
    return [*dict.fromkeys(models), CHINESE, SCRIPTS, *dictionaries]


def fetch(models: Sequence[str], parts: Sequence[HubPart], extras: Sequence[str] = ()) -> dict[str, Path]:
    """Fetch models of the manifest and parts of hub repositories, saying sizes first; where each is, by its name.

    ``extras`` are models of the manifest, too: one that fails is said, and holds up nothing. Raises ModelError where
    the hub does not list a part, and WeightsError where anything else cannot be fetched.
    """
    from composer.commands.terminal import note, progress, say
    from vision.downloads.checkpoints import fetch as fetch_listed
    from vision.downloads.checkpoints import listing
    from vision.downloads.store import PullProgress, is_here, manifest, pull_all
    from vision.errors import WeightsError

    listed = [listing(part) for part in parts]
    sizes = {name: manifest()[name].size_bytes for name in (*models, *extras) if not is_here(name)}
    for one in listed:
        name = one.part.repository
        sizes[name] = sizes.get(name, 0) + sum(file.size_bytes for file in one.missing)
    sizes = {name: size for name, size in sizes.items() if size}
    if sizes:
        each = ", ".join(say("fetch_size", name=name, mb=size / 1e6) for name, size in sizes.items())
        note(say("fetching", each=each, mb=sum(sizes.values()) / 1e6))
    _check_room(listed)
    found: dict[str, Path] = {}
    failures: dict[str, WeightsError] = {}
    with progress(sizes=True) as draw:

        def tell(pulled: PullProgress) -> None:
            draw(say(f"pull_{pulled.stage}", name=pulled.name), pulled.done_bytes, pulled.total_bytes)

        found |= zip(models, pull_all(models, tell), strict=True)
        for one in listed:
            found[one.part.repository] = fetch_listed(one, draw)
        for name in extras:
            try:
                found |= {name: pull_all([name], tell)[0]}
            except WeightsError as error:
                failures[name] = error
    for name, failure in failures.items():
        note(say("dictionary_not_fetched" if name == DICTIONARY else "extra_not_fetched", reason=failure))
    return found


def _check_room(listed: Sequence[Listing]) -> None:
    """Raise WeightsError where the cache's disk has no room for all that is missing."""
    from vision.downloads.checkpoints import snapshots
    from vision.downloads.transfer import check_room

    missing = [file for one in listed for file in one.missing]
    if not missing:
        return
    folder = snapshots(missing[0].repository).parents[1]
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        need = sum(file.size_bytes for file in missing)
        check_room(folder, need, "checkpoint_no_room", name=missing[0].repository, folder=folder)
