"""``auto``: the best profile that this machine can run, and why; and the encoder that a library was made with.

Everything is decided from a ``Machine``. Figures are the profiles' own estimates (``[needs]``); what is loaded is
estimated again from its files (``composer.profiles.memory``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from composer.profiles import machine as machines
from composer.profiles.machine import Machine
from composer.profiles.wanted import wanted
from composer.settings import DEFAULT_PROFILE, PLAIN_PROFILE, EncoderSettings, Needs, Settings, load_settings
from vision.errors import Phrase
from vision.joint_encoder.checkpoint import SHIPPED_NAME

GB = 1e9
BEST_FIRST = ("gpu", "desktop", "laptop")  # what auto chooses from, before what needs no hub
FITTED = (*BEST_FIRST, "server")  # profiles that differ from machine to machine
# What `gpu` holds, largest first: free memory of the GPU, model, quantization.
GPU_WRITERS = (
    (21.5, "Qwen/Qwen3-VL-8B-Instruct", "none", 19.0),
    (13.0, "Qwen/Qwen3-VL-4B-Instruct", "none", 10.5),
    (7.0, "Qwen/Qwen3-VL-4B-Instruct", "4bit", 10.5),
)
# Chinese on Crossmodal-3600, mean of recall at 1, 5 and 10: 72.5, the best SigLIP 2 67.8
# (https://github.com/immich-app/immich, docs/docs/features/searching.md).
CHINESE_ENCODER = EncoderSettings("open_clip", "hf-hub:laion/CLIP-ViT-B-32-xlm-roberta-base-laion5B-s13B-b90k")


@dataclass(frozen=True, slots=True)
class Resolved:
    """The settings to load, and what to say of how they came about. ``chosen``: by the machine, not by its name."""

    settings: Settings
    notes: tuple[Phrase, ...] = ()
    chosen: bool = False


def resolve(profile: str, library: Path | None = None, *, ask_hub: bool = True) -> Resolved:
    """The profile of that name or file; for ``auto`` the best for this machine, with the encoder of ``library``.

    Without ``ask_hub`` what is not here already counts as out of reach. Raises UsageError as ``load_settings``.
    """
    if profile != DEFAULT_PROFILE:
        return Resolved(fitted(profile, machines.look()) if profile in FITTED else load_settings(profile))
    settings, reason = pick(this_machine() if ask_hub else with_what_is_here(machines.look()))
    notes = [Phrase("profile_picked", {"profile": settings.name, "reason": reason})]
    kept = library_encoder(library) if library is not None else None
    if kept is not None and kept != encoder_name(settings.encoder):
        settings = replace(settings, encoder=encoder_named(kept))
        values = {"encoder": kept, "library": str(library), "profile": settings.name}
        notes.append(Phrase("library_keeps_encoder", values))
    return Resolved(settings, tuple(notes), chosen=True)


@cache
def this_machine() -> Machine:
    """This machine, looked at once a process. The hub is asked only where the answer matters."""
    return see_machine()


def see_machine(*, ask_hub: bool = False) -> Machine:
    """This machine as it is now. The hub is asked where the answer matters, or with ``ask_hub``; never offline."""
    seen = with_what_is_here(machines.look())
    if seen.hub == "unasked" and (ask_hub or hub_matters(seen)):
        seen = replace(seen, hub="answers" if machines.hub_answers() else "silent")
    return seen


def with_what_is_here(machine: Machine) -> Machine:
    return replace(machine, here=profiles_here(machine))


def profiles_here(machine: Machine) -> frozenset[str]:
    """The profiles of ``BEST_FIRST`` whose models are all on this machine."""
    return frozenset(name for name in BEST_FIRST if wanted(fitted(name, machine)).missing().nothing)


def hub_matters(machine: Machine) -> bool:
    """Whether a profile that would run is better than those whose models are here."""
    running = [name for name in BEST_FIRST if lacking(fitted(name, machine), machine) is None]
    return bool(running) and running[0] not in machine.here


def pick(machine: Machine) -> tuple[Settings, Phrase]:
    """The best profile for a machine, and why it and no better one."""
    refused: Phrase | None = None
    for name in BEST_FIRST:
        settings = fitted(name, machine)
        why_not = lacking(settings, machine) or out_of_reach(settings, machine)
        if why_not is None:
            return settings, _fits(settings, machine, refused)
        refused = Phrase("profile_refused", {"profile": name, "reason": why_not})
    assert refused is not None
    return load_settings(PLAIN_PROFILE), refused


def fitted(name: str, machine: Machine) -> Settings:
    """A shipped profile as it is on this machine: ``gpu`` by the GPU's memory, the encoder by the system's language."""
    settings = load_settings(name)
    if name == "gpu":
        for gpu_gb, model, quantization, download_gb in GPU_WRITERS:
            if machine.gpu_free_bytes >= gpu_gb * GB:
                writer = replace(settings.writer, model=model, quantization=quantization)
                needs = Needs(download_gb, settings.needs.memory_gb, gpu_gb)
                settings = replace(settings, writer=writer, needs=needs)
                break
    if machine.chinese and name in FITTED:
        settings = replace(settings, encoder=CHINESE_ENCODER)
    return settings


def lacking(settings: Settings, machine: Machine) -> Phrase | None:
    """What this machine lacks to run a profile; None where it has all of it."""
    needs = settings.needs
    if needs.gpu_gb and not machine.gpu:
        return Phrase("no_gpu")
    if machine.gpu_free_bytes < needs.gpu_gb * GB:
        return Phrase("gpu_short", {"gpu": machine.gpu, "need": needs.gpu_gb, "free": machine.gpu_free_bytes / GB})
    if settings.writer.quantization != "none" and not machine.quantizes:
        return Phrase("no_quantization")
    if machine.free_bytes < needs.memory_gb * GB:
        values = {"need": needs.memory_gb, "free": machine.free_bytes / GB, "total": machine.memory_bytes / GB}
        return Phrase("memory_short", values)
    return None


def out_of_reach(settings: Settings, machine: Machine) -> Phrase | None:
    """Why the models of a profile cannot be had; None where they are here or can be fetched."""
    if settings.name in machine.here:
        return None
    if machine.hub != "answers":
        return (
            Phrase("hub_offline") if machine.hub == "offline" else Phrase("hub_silent", {"hub": machines.hub_address()})
        )
    if machine.disk_free_bytes < settings.needs.download_gb * GB:
        return Phrase("disk_short", {"need": settings.needs.download_gb, "free": machine.disk_free_bytes / GB})
    return None


def _fits(settings: Settings, machine: Machine, refused: Phrase | None) -> Phrase:
    values: dict[str, object] = {
        "models": Phrase("models_are_here" if settings.name in machine.here else "hub_answers_now")
    }
    if settings.needs.gpu_gb:
        key = "fits_gpu"
        values |= {"gpu": machine.gpu, "need": settings.needs.gpu_gb, "free": machine.gpu_free_bytes / GB}
    else:
        key = "fits_memory"
        values |= {"need": settings.needs.memory_gb, "free": machine.free_bytes / GB}
    fits = Phrase(key, values)
    return fits if refused is None else Phrase("fits_and_no_better", {"fits": fits, "refused": refused})


def library_encoder(folder: Path) -> str | None:
    """The name of the encoder that a library was made with; None where there is no library."""
    from image_db.default_library import is_library
    from image_db.errors import LibraryMissing
    from image_db.library import Library
    from image_db.stores.addresses import is_address
    from image_db.stores.opening import open_library

    if is_address(folder):
        try:
            with open_library(folder) as store:
                return store.encoder.name
        except LibraryMissing:  # it is about to be filled
            return None
    if not is_library(folder.expanduser()):
        return None
    try:
        with Library.open(folder, None, for_repair=True) as library:
            return library.encoder.name
    except LibraryMissing:  # one that was never finished
        return None


def encoder_name(encoder: EncoderSettings) -> str:
    """As ``EncoderIdentity.name`` has it."""
    if encoder.kind == "embedded":
        return SHIPPED_NAME
    return f"{encoder.model}:{encoder.pretrained}" if encoder.pretrained else encoder.model


def encoder_named(name: str) -> EncoderSettings:
    """The settings of an encoder by its identity's name."""
    if name == SHIPPED_NAME:
        return EncoderSettings()
    model, _, pretrained = name.rpartition(":")
    if not model or name.startswith(("hf-hub:", "local-dir:")) or Path(name).is_dir():
        return EncoderSettings("open_clip", name)
    return EncoderSettings("open_clip", model, pretrained)
