"""Which files of the hub an open_clip encoder is loaded from, by the names that a profile gives it."""

from __future__ import annotations

from vision.downloads.checkpoints import (
    OPEN_CLIP_CONFIG,
    OPEN_CLIP_WEIGHTS,
    HubPart,
    cached_snapshot,
    fetch_json,
    open_clip_parts,
)
from vision.downloads.files import read_json

HUB = "hf-hub:"


def encoder_parts(name: str, pretrained: str, *, ask_hub: bool) -> list[HubPart]:
    """The parts of an open_clip model; none for a folder.

    Tokenizers and text towers of other repositories are named in its configuration: where that is not here, it is
    fetched with ``ask_hub`` (raising ModelError where that fails), and they are left out without.
    """
    if name.startswith(HUB):
        repository = name.removeprefix(HUB)
        folder = cached_snapshot(repository)
        if folder is not None and (folder / OPEN_CLIP_CONFIG).exists():
            return open_clip_parts(repository, read_json(folder / OPEN_CLIP_CONFIG))
        return open_clip_parts(repository, fetch_json(repository, OPEN_CLIP_CONFIG) if ask_hub else None)
    if not pretrained:
        return []
    import open_clip  # its list of names: torch comes with it

    source = (open_clip.get_pretrained_cfg(name, pretrained) or {}).get("hf_hub", "")
    repository, _, file = source.rpartition("/")
    if not repository:
        return []
    _, *others = open_clip_parts(repository, {"model_cfg": open_clip.get_model_config(name)})
    return [HubPart(repository, (file,)) if file else HubPart(repository, first_of=OPEN_CLIP_WEIGHTS), *others]
