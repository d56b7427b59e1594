"""Checkpoints of the hub in huggingface_hub's own cache: which files are needed and here, their sizes, getting them.

transformers and open_clip load from the same cache, so what is fetched here is found by them. A file is fetched into
the cache's folder of blobs, going on from where an earlier fetch was cut off (``snapshot_download`` does not, since
huggingface_hub 2), and becomes a blob once its hash is the one that the hub gives; ``snapshot_download`` then only
links it.
"""

from __future__ import annotations

import errno
import fnmatch
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from vision.downloads.files import file_sha256
from vision.downloads.hub import append_from_hub, endpoint
from vision.downloads.transfer import DISK_FULL, ArrivedBytes, Transfer, check_room, not_stored
from vision.errors import ModelError, WeightsError

HUB_TIMEOUT_S = 30.0  # without a word from the hub
CHECKPOINT_FILES = ("*.json", "*.safetensors", "*.jinja", "*.model", "*.txt")
OLDER_WEIGHTS = ("pytorch_model*.bin",)
OTHER_COPIES = ("*/*", "consolidated*")  # the same weights for other programs
TOKENIZER_FILES = ("*.json", "*.txt", "*.model")
OPEN_CLIP_CONFIG = "open_clip_config.json"
OPEN_CLIP_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")  # the first of them that is there
_DISK = (*DISK_FULL, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)

Progress = Callable[[str, int, int], None]  # file, bytes done, bytes in all


@dataclass(frozen=True, slots=True)
class HubPart:
    """Files of a repository: those that match ``files`` and none of ``without``; of ``first_of`` the first there is."""

    repository: str
    files: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    first_of: tuple[str, ...] = ()

    def matches(self, path: str) -> bool:
        return _among(path, self.files) and not _among(path, self.without)


@dataclass(frozen=True, slots=True)
class HubFile:
    """``digest`` is the SHA-256 of a large file, else git's SHA-1 of a small one; the cache names its blobs by it."""

    repository: str
    path: str
    size_bytes: int
    digest: str


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a part as the hub lists them at one commit."""

    part: HubPart
    commit: str
    files: tuple[HubFile, ...]

    @property
    def missing(self) -> tuple[HubFile, ...]:
        folder = snapshots(self.part.repository) / self.commit
        return tuple(file for file in self.files if not (folder / file.path).exists())


def checkpoint_part(repository: str) -> HubPart:
    """What transformers loads."""
    return HubPart(repository, CHECKPOINT_FILES, OTHER_COPIES)


def open_clip_parts(repository: str, config: dict[str, Any] | None) -> list[HubPart]:
    """What open_clip loads for ``hf-hub:repository``; without its ``config`` only what names it."""
    parts = [HubPart(repository, (OPEN_CLIP_CONFIG,), first_of=OPEN_CLIP_WEIGHTS)]
    text = (config or {}).get("model_cfg", {}).get("text_cfg", {})
    if tokenizer := text.get("hf_tokenizer_name"):
        parts.append(HubPart(tokenizer, TOKENIZER_FILES, ("*/*", "*.index.json", OPEN_CLIP_CONFIG)))
    if (tower := text.get("hf_model_name")) and tower != tokenizer:
        parts.append(HubPart(tower, ("config.json",)))
    return parts


def split_file(name: str) -> tuple[str, str] | None:
    """``owner/name/FILE.gguf`` as repository and file; None for what is no file of the hub."""
    owner, _, rest = name.partition("/")
    repository, _, file = rest.partition("/")
    if not file or name.startswith(("/", ".", "~")) or Path(name).expanduser().exists():
        return None
    return f"{owner}/{repository}", file


def gguf_file(name: str) -> Path:
    """The file of a GGUF model: a name of the manifest, a path, or ``owner/name/FILE.gguf`` of the hub, fetched.

    Raises WeightsError or ModelError where it is not here and cannot be had.
    """
    from vision.downloads.store import locate

    if not name.endswith(".gguf"):
        return locate(name)
    named = split_file(name)
    if named is None:
        return Path(name).expanduser()
    folder = cached_snapshot(named[0])
    if folder is None or not (folder / named[1]).exists():
        folder = fetch(listing(HubPart(named[0], (named[1],))))
    return folder / named[1]


def snapshots(repository: str) -> Path:
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    return Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repository, repo_type="model") / "snapshots"


def cached_snapshot(repository: str) -> Path | None:
    """The folder of the commit that was fetched last; None where nothing was. Asks no network."""
    folder = snapshots(repository)
    try:
        commit = (folder.parent / "refs" / "main").read_text(encoding="utf-8").strip()
    except OSError:
        return None
    return folder / commit if commit and (folder / commit).is_dir() else None


def is_here(part: HubPart) -> bool:
    """Whether the cache holds the part whole, as far as can be told without the hub."""
    folder = cached_snapshot(part.repository)
    if folder is None:
        return False
    if part.first_of and not any((folder / name).exists() for name in part.first_of):
        return False
    exact = [name for name in part.files if not set(name) & set("*?[")]
    if not all((folder / name).exists() for name in exact):
        return False
    if exact or "*.safetensors" not in part.files:
        return bool(exact) or any(part.matches(path.name) for path in folder.iterdir())
    index = folder / "model.safetensors.index.json"
    if index.exists():
        shards = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        return (folder / "config.json").exists() and all((folder / name).exists() for name in set(shards))
    return (folder / "config.json").exists() and any(folder.glob("*.safetensors"))


def listing(part: HubPart) -> Listing:
    """The part's files as the hub lists them now. Raises ModelError where it cannot be asked, or holds none of them."""
    from huggingface_hub import HfApi

    bound_requests()
    with hub_errors(part.repository):
        api = HfApi(endpoint=endpoint(), library_name="vignette")
        commit = cast(str, api.repo_info(part.repository).sha)
        found: dict[str, Any] = {
            entry.path: entry
            for entry in api.list_repo_tree(part.repository, recursive=True, revision=commit)
            if hasattr(entry, "blob_id")
        }
    names = [name for name in found if part.matches(name)]
    names += [name for name in part.first_of if name in found][:1]
    if not names or (part.first_of and names[-1] not in part.first_of):
        raise ModelError("hub_lacks_files", model=part.repository, files=[*part.files, *part.first_of])
    files = []
    for name in names:
        entry = found[name]
        large = entry.lfs
        digest = large.sha256 if large is not None else entry.blob_id
        files.append(HubFile(part.repository, name, large.size if large is not None else entry.size, digest))
    return Listing(part, commit, tuple(files))


def fetch_json(repository: str, name: str) -> dict[str, Any]:
    """A small file of the hub, from the cache where it is there. Raises ModelError."""
    from huggingface_hub import hf_hub_download

    folder = cached_snapshot(repository)
    path = folder / name if folder is not None and (folder / name).exists() else None
    if path is None:
        bound_requests()
        with hub_errors(repository):
            path = Path(hf_hub_download(repository, name, endpoint=endpoint()))
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def fetch(wanted: Listing, progress: Progress = lambda *_: None) -> Path:
    """Have the listed files in the cache; returns the snapshot's folder.

    Raises ModelError where the hub does not give them, WeightsError where the disk has no room or a file arrives other
    than the hub says it is.
    """
    import filelock
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    repository, blobs = wanted.part.repository, snapshots(wanted.part.repository).parent / "blobs"
    bound_requests()
    with hub_errors(repository):
        blobs.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(blobs.parent / ".vignette.lock"):
            for file in wanted.missing:
                if not (blobs / file.digest).exists():
                    _fetch_blob(file, wanted.commit, blobs, progress)
            names = [file.path for file in wanted.files]
            shown = not are_progress_bars_disabled()
            disable_progress_bars()  # nothing is transferred any more
            try:
                return Path(snapshot_download(repository, allow_patterns=names, endpoint=endpoint()))
            finally:
                if shown:
                    enable_progress_bars()


def _fetch_blob(file: HubFile, commit: str, blobs: Path, progress: Progress) -> None:
    from huggingface_hub import hf_hub_url

    part = blobs / f"{file.digest}.vignette-part"
    have = part.stat().st_size if part.exists() else 0
    if have > file.size_bytes:
        part.unlink()
        have = 0
    check_room(blobs, file.size_bytes - have, "checkpoint_no_room", name=file.repository, folder=blobs.parent)
    name = f"{file.repository}/{file.path}"
    transfer = Transfer(lambda done: progress(name, done, file.size_bytes))
    transfer.set(name, have)
    url = hf_hub_url(file.repository, file.path, revision=commit, endpoint=endpoint())
    append_from_hub(url, part, file.size_bytes, ArrivedBytes(name, have, transfer))
    if _digest(part, file) != file.digest:
        part.unlink()
        raise WeightsError("checkpoint_other_hash", name=file.repository, file=file.path)
    part.replace(blobs / file.digest)


def _digest(path: Path, file: HubFile) -> str:
    if len(file.digest) == 64:
        return file_sha256(path)
    return hashlib.sha1(b"blob %d\0" % file.size_bytes + path.read_bytes()).hexdigest()


def _among(path: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)


def bound_requests() -> None:
    """Some requests of the library's wait for ever for a hub that takes a connection and never answers: bound them."""
    from huggingface_hub import get_session

    session = get_session()
    if _bounded not in session.event_hooks["request"]:
        session.event_hooks = {**session.event_hooks, "request": [*session.event_hooks["request"], _bounded]}


def _bounded(request: Any) -> None:
    limits = request.extensions.get("timeout") or {}
    names = ("connect", "read", "write", "pool")
    request.extensions["timeout"] = {name: limits.get(name) or HUB_TIMEOUT_S for name in names}


@contextmanager
def hub_errors(model: str, revision: str | None = None) -> Iterator[None]:
    """What fetching ``model`` may raise, as ModelError that says what to do, or WeightsError of the disk."""
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError as error:
        raise ModelError("hub_gated", model=model) from error
    except errors.RevisionNotFoundError as error:
        raise ModelError("hub_no_revision", model=model, revision=revision) from error
    except errors.RepositoryNotFoundError as error:
        raise ModelError("hub_no_model", model=model) from error
    except errors.HFValidationError as error:
        raise ModelError("checkpoint_folder_missing", folder=model) from error
    except (OSError, ValueError, _transport_error(), errors.RevisionResolutionError, errors.XetDownloadError) as error:
        if isinstance(error, OSError) and error.errno in _DISK:
            raise not_stored(model, snapshots(model).parent, error) from error
        raise hub_failure(model, error) from error


def _transport_error() -> type[Exception]:
    """Of the library's HTTP client: httpx, or httpx2, which took its place and shares no errors with it."""
    from huggingface_hub import errors

    found: type[Exception] = errors.HTTPError  # type: ignore[attr-defined]
    return found


def hub_failure(name: str, error: Exception) -> ModelError:
    """What to tell of a fetch that failed. What was answered is often the cause of another error."""
    from huggingface_hub import errors

    causes: list[BaseException] = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None:
        causes.append(cause)
    for cause in causes:
        if isinstance(cause, errors.HfHubHTTPError) and cause.response is not None:
            return ModelError("hub_answers", model=name, status=cause.response.status_code)
    if any(isinstance(cause, errors.OfflineModeIsEnabled) for cause in causes):
        return ModelError("hub_not_asked", model=name)
    if any(isinstance(cause, (_transport_error(), ConnectionError)) for cause in causes):
        return ModelError("hub_unreachable", model=name)
    return ModelError("hub_fetch_failed", model=name, reason=" ".join(str(error).split())[:300])
