"""The profile that a run of tuning leaves in its folder, so that the tuned model is one ``--profile`` away."""

from __future__ import annotations

from pathlib import Path

import tomlkit

from vision.downloads.files import write_atomic
from vision.huggingface.loading import is_gguf


def write_profile(folder: Path, model: str, method: str, name: str) -> Path:
    """Writes ``folder/name`` and gives its path. A model that is a path is named whole, wherever one stands then."""
    path = Path(model).expanduser()
    whole = str(path.resolve()) if path.exists() and (path.is_dir() or is_gguf(model)) else model
    language = {"kind": "hub", "model": whole, "adapter": str(folder.resolve())}
    if method == "qlora":
        language["quantization"] = "4bit"
    file = folder / name
    write_atomic(file, tomlkit.dumps({"description": f"{model}, tuned", "writer": language}))
    return file
