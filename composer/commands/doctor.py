"""``vignette doctor``: what this machine is, which profiles it can run and why, and whether each part works."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from composer.commands.options import add_command

if TYPE_CHECKING:
    from composer.commands.options import Subparsers
    from composer.profiles.machine import Machine

EXAMPLES = """\
examples:
  vignette doctor                     the profile that is picked here, and why
  vignette doctor --profile laptop    another one, tried in the same way

Exit code 0: every part works; 1: one does not, and its line says what to do.
"""


def register(subparsers: Subparsers) -> None:
    about = "show what this machine can run, and try each part"
    parser = add_command(subparsers, "doctor", about, run, examples=EXAMPLES)
    parser.add_argument(
        "--profile", metavar="NAME", default="auto", help="a profile's name or .toml file to try (default: auto)"
    )


def run(args: argparse.Namespace) -> int:
    from composer.commands.terminal import printable, say, table
    from composer.pipeline.trial import try_parts
    from composer.profiles.choice import resolve, see_machine

    resolved = resolve(args.profile)
    machine = see_machine(ask_hub=True)
    print(table(machine_rows(machine)))
    header = [say(f"doctor_{name}") for name in ("profile", "memory", "gpu", "download", "state")]
    print("\n" + table(profile_rows(machine), header, right=(1, 2, 3)))
    notes = [printable(said) for said in resolved.notes] or [say("doctor_given", profile=resolved.settings.name)]
    print("\n" + "\n".join(notes) + "\n")
    failed = False
    for trial in try_parts(resolved.settings):
        failed |= trial.failed
        state = say("doctor_failed" if trial.failed else "doctor_works")
        print(f"{say(f'doctor_part_{trial.part}'):<8} {state}: {printable(trial.said)}", flush=True)
    return 1 if failed else 0


def machine_rows(machine: Machine) -> list[tuple[str, str]]:
    from composer.commands.terminal import say
    from composer.profiles.choice import GB
    from composer.profiles.machine import hub_address
    from vision.downloads.store import home

    memory = say("doctor_memory_of", free=machine.free_bytes / GB, total=machine.memory_bytes / GB)
    gpu = say("doctor_no_gpu")
    if machine.gpu:
        gpu = say("doctor_gpu_of", name=machine.gpu, free=machine.gpu_free_bytes / GB, total=machine.gpu_bytes / GB)
    return [
        (say("doctor_memory"), memory),
        (say("doctor_gpu"), gpu),
        (say("doctor_cores"), str(machine.cores)),
        (say("doctor_faiss"), faiss_found()),
        (say("doctor_disk"), say("doctor_disk_of", free=machine.disk_free_bytes / GB, folder=home())),
        (say("doctor_hub"), say(f"doctor_hub_{machine.hub}", hub=hub_address())),
    ]


def faiss_found() -> str:
    """The build of FAISS that is loaded here, as it says of itself, or why none can be."""
    from composer.commands.terminal import printable, say
    from retrieval.faiss_build import faiss_build
    from vision.errors import KeyedError

    try:
        build = faiss_build()
    except KeyedError as error:
        return printable(error)
    return say(
        "doctor_faiss_of",
        package=build.distribution,
        version=build.version,
        options=build.options,
        gpus=build.gpus,
    )


def profile_rows(machine: Machine) -> list[tuple[str, ...]]:
    """What each profile that comes with Vignette takes, and what stands in its way here."""
    from composer.commands.terminal import printable, say
    from composer.profiles.choice import fitted, lacking, out_of_reach
    from composer.profiles.machine import hub_address
    from composer.profiles.wanted import wanted
    from composer.settings import profile_names

    rows = []
    for name in profile_names()[1:]:
        settings = fitted(name, machine)
        needs, missing = settings.needs, wanted(settings).missing()
        if reason := lacking(settings, machine):
            state = printable(reason)
        elif settings.writer.kind == "server":
            state = say("doctor_at_a_server", address=settings.writer.address)
        elif missing.nothing:
            state = say("doctor_ready")
        elif missing.parts and machine.hub != "answers":
            state = say(f"doctor_missing_{machine.hub}", missing=", ".join(missing.names), hub=hub_address())
        elif missing.parts and (reason := out_of_reach(settings, machine)):
            state = say("doctor_missing_for", missing=", ".join(missing.names), reason=reason)
        else:
            state = say("doctor_missing", missing=", ".join(missing.names), profile=name)
        sizes = (needs.memory_gb, needs.gpu_gb, needs.download_gb)
        rows.append((name, *(f"{size:.1f} GB" if size else "-" for size in sizes), state))
    return rows
