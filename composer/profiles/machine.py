"""The machine as far as it decides which profile it can run, as one frozen value. Imports neither torch nor the hub.

NVIDIA's driver is asked through NVML (https://docs.nvidia.com/deploy/nvml-api/), which comes with it.
"""

from __future__ import annotations

import ctypes
import importlib.util
import locale
import os
import re
import shutil
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vision import usable_cores

HubState = Literal["answers", "silent", "offline", "unasked"]

HUB_ANSWERS_WITHIN_S = 2.0
_OF_FOUR_BITS = ("accelerate", "bitsandbytes")


@dataclass(frozen=True, slots=True)
class Machine:
    """``memory`` is the main memory, or what a container may have of it; ``free`` is what can be had without swapping.

    ``gpu`` is empty without one that torch can use. ``quantizes``: the packages for four bits are installed.
    ``bfloat16``: the processor computes in it. ``here`` names the shipped profiles all of whose models are on this
    machine. ``chinese``: the system's language is.
    """

    memory_bytes: int
    free_bytes: int
    disk_free_bytes: int
    cores: int = 1
    gpu: str = ""
    gpu_bytes: int = 0
    gpu_free_bytes: int = 0
    quantizes: bool = False
    bfloat16: bool = False
    hub: HubState = "unasked"
    here: frozenset[str] = frozenset()
    chinese: bool = False


def look() -> Machine:
    """What can be seen without the network. ``hub`` is "offline" or "unasked"; ``here`` is empty."""
    import psutil

    from vision.downloads.store import home

    memory = psutil.virtual_memory()
    total, free = memory.total, memory.available
    if (limit := _container_limit()) is not None:
        total, free = min(total, limit[0]), min(free, limit[0] - limit[1])
    name, gpu_bytes, gpu_free = _gpu() or ("", 0, 0)
    return Machine(
        memory_bytes=total,
        free_bytes=max(free, 0),
        disk_free_bytes=_disk_free(home()),
        cores=usable_cores(),
        gpu=name,
        gpu_bytes=gpu_bytes,
        gpu_free_bytes=gpu_free,
        quantizes=all(importlib.util.find_spec(package) is not None for package in _OF_FOUR_BITS),
        bfloat16=_computes_bfloat16(),
        hub="offline" if is_offline() else "unasked",
        chinese=_system_language().startswith("zh"),
    )


def hub_address() -> str:
    """The hub's address: $HF_ENDPOINT, or huggingface.co."""
    from huggingface_hub import constants

    from vision.downloads.hub import endpoint

    return endpoint() or constants.ENDPOINT


def hub_answers() -> bool:
    """Whether the hub answers anything within two seconds, name look-up included."""
    answered: list[bool] = []

    def ask() -> None:
        import urllib.error
        import urllib.request

        request = urllib.request.Request(hub_address(), method="HEAD")
        try:
            with urllib.request.urlopen(request, timeout=HUB_ANSWERS_WITHIN_S):
                answered.append(True)
        except urllib.error.HTTPError as error:
            answered.append(error.code < 500)
        except (OSError, ValueError):
            answered.append(False)

    # Looking up a name has no timeout of its own; the thread may outlive us.
    asking = threading.Thread(target=ask, daemon=True, name="vignette-hub")
    asking.start()
    asking.join(HUB_ANSWERS_WITHIN_S)
    return any(answered)


def is_offline() -> bool:
    """Whether the hub may not be asked: HF_HUB_OFFLINE=1."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def _system_language() -> str:
    for variable in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if value := os.environ.get(variable):
            return value.lower()
    return (locale.getlocale()[0] or "").lower().replace("chinese", "zh")


def _disk_free(folder: Path) -> int:
    """Of the disk that a folder is on, or would be."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _computes_bfloat16() -> bool:
    """As ``vision.joint_encoder.precision`` has torch say, without importing it: Linux names the instructions."""
    try:
        return " avx512_bf16" in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


def _container_limit() -> tuple[int, int] | None:
    """The memory a control group may use, and uses, in bytes (Linux, cgroup v2); None without a limit."""
    group = Path("/sys/fs/cgroup")
    try:
        limit = (group / "memory.max").read_text(encoding="ascii").strip()
        if limit == "max":
            return None
        used = int((group / "memory.current").read_text(encoding="ascii"))
        # What was read of files is given back when memory is short.
        cached = re.search(r"^inactive_file (\d+)$", (group / "memory.stat").read_text(encoding="ascii"), re.MULTILINE)
        return int(limit), used - (int(cached[1]) if cached else 0)
    except (OSError, ValueError):
        return None


class _Memory(ctypes.Structure):
    _fields_ = [("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong)]


def _gpu() -> tuple[str, int, int] | None:
    """Name, memory and free memory in bytes of the first NVIDIA GPU that torch would take; None without one."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if (visible is not None and not re.fullmatch(r"\d+(,.*)?", visible.strip())) or not _torch_has_cuda():
        return None
    try:
        nvml = ctypes.CDLL("nvml.dll" if os.name == "nt" else "libnvidia-ml.so.1")
    except OSError:
        return None
    if nvml.nvmlInit_v2() != 0:
        return None
    try:
        handle, memory, name = ctypes.c_void_p(), _Memory(), ctypes.create_string_buffer(96)
        index = int(visible.split(",")[0]) if visible else 0
        if nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(handle)) != 0:
            return None
        if nvml.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory)) != 0:
            return None
        nvml.nvmlDeviceGetName(handle, name, len(name))
        return name.value.decode(errors="replace") or "GPU", memory.total, memory.free
    finally:
        nvml.nvmlShutdown()


def _torch_has_cuda() -> bool:
    """Whether the installed torch was built for CUDA, without the seconds that importing it takes."""
    torch = importlib.util.find_spec("torch")
    if torch is None or torch.origin is None:
        return False
    try:
        text = (Path(torch.origin).parent / "version.py").read_text(encoding="utf-8")
    except OSError:
        return False
    return re.search(r"^cuda\b[^=\n]*= *['\"]", text, re.MULTILINE) is not None
