"""requirements/ satisfies pyproject.toml on every Python and system that make serves, by hash and from any index."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FILES = {path.name: path.read_text(encoding="utf-8") for path in sorted((ROOT / "requirements").glob("*.txt"))}
WITHOUT_HASHES = "torch-cpu.txt"  # PyTorch's own index, which has hashes of its own
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")
ENVIRONMENTS = {
    f"{python}-{system}-{machine}": {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": system,
        "platform_system": {"linux": "Linux", "darwin": "Darwin", "win32": "Windows"}[system],
        "platform_machine": machine,
        "os_name": "nt" if system == "win32" else "posix",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    for python in ("3.11", "3.12", "3.13")
    for system, machine in (("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64"), ("win32", "AMD64"))
}


@dataclass(frozen=True)
class Pin:
    requirement: Requirement
    hashes: tuple[str, ...]

    @property
    def name(self) -> str:
        return canonicalize_name(self.requirement.name)

    @property
    def version(self) -> str:
        (specifier,) = self.requirement.specifier
        assert specifier.operator == "=="
        return specifier.version

    def holds(self, environment: dict[str, str]) -> bool:
        return holds(self.requirement, environment)


def holds(requirement: Requirement, environment: dict[str, str]) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": "", **environment})


def pins(*names: str) -> list[Pin]:
    found = []
    for name in names:
        for entry in FILES[name].replace("\\\n", " ").splitlines():
            if not entry.startswith("#"):
                release, *hashes = re.split(r"\s+(?=--hash=)", entry.strip())
                found.append(Pin(Requirement(release), tuple(hashes)))
    return found


def versions(found: Iterable[Pin], environment: dict[str, str]) -> dict[str, str]:
    """Name → version where the environment has it. No name may have two."""
    active = [pin for pin in found if pin.holds(environment)]
    assert len({pin.name for pin in active}) == len(active), sorted(pin.name for pin in active)
    return {pin.name: pin.version for pin in active}


def asked(*extras: str) -> list[Requirement]:
    project = PYPROJECT["project"]
    lines = [*project["dependencies"], *PYPROJECT["build-system"]["requires"]]
    for extra in extras:
        lines += project["optional-dependencies"][extra]
    return [Requirement(line) for line in lines]


@pytest.mark.parametrize("name", [name for name in FILES if name != WITHOUT_HASHES])
def test_every_release_is_exact_and_has_its_hashes(name: str) -> None:
    assert pins(name)
    for pin in pins(name):
        assert pin.version
        assert pin.hashes, f"{pin.requirement} has no hash"
        assert all(HASH.fullmatch(value) for value in pin.hashes)


@pytest.mark.parametrize("name", FILES)
def test_no_index_is_named(name: str) -> None:
    for line in FILES[name].splitlines():
        assert "://" not in line
        assert set(re.findall(r"(?<!\S)--?\w[\w-]*", line)) <= {"--hash"}, "an option of pip"


@pytest.mark.parametrize("environment", ENVIRONMENTS.values(), ids=ENVIRONMENTS)
@pytest.mark.parametrize(("files", "extras"), [((), ()), (("dev.txt",), ("dev", "browser"))], ids=["runtime", "dev"])
def test_the_releases_lie_in_the_ranges_of_pyproject(
    files: tuple[str, ...], extras: tuple[str, ...], environment: dict[str, str]
) -> None:
    held = versions(pins("runtime.txt", "torch.txt", *files), environment) | versions(pins("build.txt"), environment)
    for requirement in asked(*extras):
        if holds(requirement, environment):
            version = held.get(canonicalize_name(requirement.name))
            assert version is not None, f"{requirement} is not in the lock; run `make lock`"
            assert requirement.specifier.contains(version), f"{requirement}, not {version}; run `make lock`"


def test_the_lock_holds_all_that_its_packages_need_here() -> None:
    """pip installs it without looking for dependencies. Asks the packages that are installed as they are locked."""
    environment = {key: str(value) for key, value in default_environment().items()}
    held = versions(pins("runtime.txt", "dev.txt", "torch.txt"), environment)
    installed = {canonicalize_name(d.name): d for d in importlib.metadata.distributions() if d.name}
    for name, version in held.items():
        if name in installed and installed[name].version == version:
            for line in installed[name].requires or ():
                needed = Requirement(line)
                if holds(needed, environment):
                    found = held.get(canonicalize_name(needed.name))
                    assert found is not None, f"{name} needs {needed}"
                    assert needed.specifier.contains(found), f"{name} needs {needed}, not {found}"


def test_pytorch_without_cuda_is_the_same_release_and_the_only_one_without_hashes() -> None:
    cpu = {pin.name: pin for pin in pins(WITHOUT_HASHES)}
    assert cpu.keys() == {"torch", "torchvision"}
    for pin in pins("torch.txt"):
        if pin.name in cpu:
            assert cpu[pin.name].version == f"{pin.version}+cpu"
    others = {pin.name for pin in pins("runtime.txt", "dev.txt", "build.txt", "compiler.txt")}
    assert not {name for name in others if name.startswith(("torch", "triton", "nvidia-", "cuda-"))}
