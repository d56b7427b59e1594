"""Loads any vision-language or causal language checkpoint of transformers, by hub name or folder.

Files come from the hub's cache or are fetched into it (``HF_HOME``, ``HF_TOKEN`` and ``HF_HUB_OFFLINE`` mean what they
mean everywhere); only safetensors are read, never pickles, and code that a checkpoint brings along is never run.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from vision.downloads.checkpoints import CHECKPOINT_FILES, OLDER_WEIGHTS, OTHER_COPIES, bound_requests, hub_errors
from vision.downloads.files import file_sha256
from vision.errors import ModelError, Phrase
from vision.huggingface.adapters import attach_adapter
from vision.huggingface.chat_template import ChatTemplate
from vision.huggingface.model import HubModel
from vision.huggingface.prompt_encoding import PromptEncoder
from vision.interfaces import ModelIdentity
from vision.joint_encoder.precision import computes_bfloat16

Quantization = Literal["none", "4bit", "8bit"]

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_NO_LIMIT = 10**9  # tokenizers without a limit give a number of this size


def load_hub_model(
    name_or_path: str,
    *,
    revision: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    quantization: Quantization = "none",
    context_tokens: int | None = None,
    adapter: Path | None = None,
) -> HubModel:
    """Load ``name_or_path``: ``owner/name`` on the hub (at ``revision``), a folder, or a GGUF file, dequantised.

    ``device`` auto is CUDA, else Apple's MPS, else the CPU. ``dtype`` auto is the checkpoint's own on a GPU; on the
    CPU bfloat16 for one of 16 bits where the processor computes in it, else float32. ``quantization`` needs CUDA and
    bitsandbytes. ``context_tokens`` defaults to what the checkpoint was made for; a smaller number bounds the memory
    of its cache. ``adapter`` is a folder that ``vignette train lora`` or PEFT wrote. A checkpoint without eyes loads as
    well, with ``sees_images`` false.

    Raises ModelError with what to do where the checkpoint cannot be had, is of another kind, or an option
    does not fit this machine.
    """
    if is_gguf(name_or_path):
        return _load_named_gguf(name_or_path, device, dtype, quantization, context_tokens, adapter)
    place = choose_device(device)
    choose_dtype(dtype, place, None)  # wrong ones are told before anything is fetched
    if place.type == "cpu":  # transformers names packages for CUDA, of which a CPU has no use
        logging.getLogger("transformers.integrations.hub_kernels").setLevel(logging.ERROR)
    folder = checkpoint_folder(name_or_path, revision)
    config = _config(folder, name_or_path)
    load_options = _load_options(choose_dtype(dtype, place, _own_dtype(config)), quantization, place)
    sees_images = _sees_images(config, name_or_path)
    model, tokenizer, processor = _parts(folder, name_or_path, sees_images, load_options)
    if quantization == "none":
        model.to(place)
    model.eval()
    chat = ChatTemplate(processor or tokenizer, tokenizer, pictures=sees_images, name=name_or_path)
    shown_name = name_or_path if quantization == "none" else f"{name_or_path} ({quantization})"
    hub_model = HubModel(
        identity=ModelIdentity(shown_name, weights_sha256(folder)),
        model=model,
        tokenizer=tokenizer,
        encoder=PromptEncoder(processor, tokenizer, model, chat, name_or_path),
        sees_images=sees_images,
        context_tokens=_context_tokens(config, tokenizer, context_tokens, name_or_path),
        ends=_end_ids(model, tokenizer, chat),
        never=_placeholder_ids(config, processor),
    )
    hub_model.forward.check(_plain_ids(tokenizer), name_or_path)
    return hub_model if adapter is None else tuned(hub_model, adapter, merge=quantization == "none")


def _plain_ids(tokenizer: Any) -> list[int]:
    """Sixteen tokens of a plain text."""
    ids: list[int] = tokenizer("The red boats lie at the quay " * 4, add_special_tokens=False)["input_ids"]
    return ids[:16]


def is_gguf(name: str) -> bool:
    """Whether a model's name is that of a GGUF file, or of one of ``vignette models list``."""
    from vision.downloads.store import manifest

    return name.endswith(".gguf") or name in manifest()


def _load_named_gguf(
    name: str, device: str, dtype: str, quantization: Quantization, context_tokens: int | None, adapter: Path | None
) -> HubModel:
    if quantization != "none":
        raise ModelError("quantization_unsupported", given=quantization, kind="gguf")
    from vision.downloads.checkpoints import gguf_file

    return load_gguf_in_transformers(
        gguf_file(name), device=device, dtype=dtype, context_tokens=context_tokens, adapter=adapter
    )


def tuned(model: HubModel, folder: Path, *, merge: bool = True) -> HubModel:
    """The model with the adapter in ``folder``; what was given must not be used any more. Errors: ``attach_adapter``.

    Its name and hash tell that it is another model.
    """
    name, base = model.identity.name, model.identity.sha256
    found = attach_adapter(model.network, folder, name, base, merge=merge)
    model.encoder.opening = found.opening
    sha256 = hashlib.sha256(f"{base}\n{found.sha256}".encode()).hexdigest()
    model.use_network(found.model, ModelIdentity(f"{name} + {folder.name}", sha256))
    return model


def open_causal(name_or_path: str, dtype: torch.dtype) -> tuple[str, Any, Any]:
    """Hash, model and tokenizer of a causal language checkpoint, on the CPU. Errors as ``load_hub_model``."""
    folder = checkpoint_folder(name_or_path, None)
    if _sees_images(_config(folder, name_or_path), name_or_path):
        raise ModelError("bridge_needs_language_model", model=name_or_path)
    model, tokenizer, _ = _parts(folder, name_or_path, False, {"dtype": dtype})
    return weights_sha256(folder), model, tokenizer


def load_gguf_in_transformers(
    path: Path,
    *,
    device: str,
    context_tokens: int | None,
    notice: Phrase | None = None,
    dtype: str = "auto",
    adapter: Path | None = None,
) -> HubModel:
    """A GGUF file through transformers, dequantised: float32 on the CPU, bfloat16 elsewhere.

    For GPUs, and for machines that cannot compile the C kernels of ``vision.llm``, where it takes several times the
    memory and time; ``notice`` says so. Errors as ``vision.llm.model.load_gguf_model``.
    """
    place, name = choose_device(device), path.stem
    chosen = choose_dtype(dtype, place, None)
    sha256, model, tokenizer = open_gguf(path, name, torch.bfloat16 if chosen == "auto" else chosen)
    model.to(place)
    chat = ChatTemplate(tokenizer, tokenizer, pictures=False, name=name)
    hub_model = HubModel(
        identity=ModelIdentity(f"{name} (transformers)", sha256),
        model=model,
        tokenizer=tokenizer,
        encoder=PromptEncoder(None, tokenizer, model, chat, name),
        sees_images=False,
        context_tokens=_context_tokens(model.config, tokenizer, context_tokens, name),
        ends=_end_ids(model, tokenizer, chat),
        never=(),
        notice=notice,
    )
    return hub_model if adapter is None else tuned(hub_model, adapter)


def empty_model(name_or_path: str) -> Any:
    """A checkpoint's model without its weights, to see how large it would be. Errors as ``load_hub_model``."""
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    config = _config(checkpoint_folder(name_or_path, None), name_or_path)
    kind = AutoModelForImageTextToText if _sees_images(config, name_or_path) else AutoModelForCausalLM
    with torch.device("meta"):
        return kind.from_config(config)


def open_gguf(path: Path, name: str, dtype: torch.dtype) -> tuple[str, Any, Any]:
    """Hash, model and tokenizer of a GGUF file, on the CPU. Raises WeightsError and ModelError."""
    from transformers import PreTrainedTokenizerFast

    from vision.downloads.store import home
    from vision.llm.config import model_config
    from vision.llm.gguf import read_gguf
    from vision.llm.gguf_tokenizer import build_tokenizer, special_tokens
    from vision.llm.model_cache import remembered_sha256
    from vision.llm.to_transformers import as_transformers

    gguf = read_gguf(path)
    metadata = gguf.metadata
    tokens, special = build_tokenizer(metadata, model_config(gguf).vocabulary), special_tokens(metadata)
    template = gguf.text("tokenizer.chat_template")
    if not template:
        raise ModelError("template_missing", model=name)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=tokens,
        bos_token=special["bos"] or None,
        eos_token=special["eos"] or None,
        extra_special_tokens=[t.content for t in tokens.get_added_tokens_decoder().values() if t.special],
        clean_up_tokenization_spaces=False,
    )
    # The file says whether texts start with BOS, where the template does not write it itself.
    starts = special["add_bos"] and "bos_token" not in template
    tokenizer.chat_template = "{{ bos_token }}" + template if starts else template
    return remembered_sha256(path, home() / "converted"), as_transformers(path, dtype), tokenizer


def weights_sha256(folder: Path, files: Sequence[Path] | None = None) -> str:
    """SHA-256 over ``config.json`` and the sorted names and hashes of the weight files (all safetensors by default).

    In the hub's cache a large file is a link to a blob named by its SHA-256, which is taken as it is; other files are
    read, about a second a gigabyte.
    """
    seal = hashlib.sha256((folder / "config.json").read_bytes())
    for path in sorted(folder.glob("*.safetensors") if files is None else files):
        blob = path.resolve().name
        if not re.fullmatch(r"[0-9a-f]{64}", blob):
            blob = file_sha256(path)
        seal.update(f"\n{path.name} {blob}".encode())
    return seal.hexdigest()


def choose_device(device: str) -> torch.device:
    """Raises ModelError for one that is unknown or not here."""
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        place = torch.device(device)
    except RuntimeError as error:
        raise ModelError("device_unknown", device=device) from error
    if place.type == "cuda" and not torch.cuda.is_available():
        raise ModelError("no_cuda", device=device)
    return place


def choose_dtype(dtype: str, place: torch.device, own: torch.dtype | None) -> torch.dtype | Literal["auto"]:
    """``auto`` for a checkpoint of type ``own``: stays on a GPU, which takes that; on the CPU, 16 bits as bfloat16
    where the processor has instructions for it (four times as fast as float32), else float32.

    Raises ModelError for one that is unknown.
    """
    if dtype == "auto":
        if place.type != "cpu":
            return "auto"
        halved = own in (torch.bfloat16, torch.float16) and computes_bfloat16("cpu")
        return torch.bfloat16 if halved else torch.float32
    if dtype not in _DTYPES:
        raise ModelError("dtype_unknown", dtype=dtype, known=["auto", *_DTYPES])
    return _DTYPES[dtype]


def _own_dtype(config: Any) -> torch.dtype | None:
    own = getattr(config, "dtype", None) or getattr(config.get_text_config(), "dtype", None)
    return own if isinstance(own, torch.dtype) else None


def _load_options(
    chosen: torch.dtype | Literal["auto"], quantization: Quantization, place: torch.device
) -> dict[str, Any]:
    if quantization == "none":
        return {"dtype": chosen}
    if quantization not in ("4bit", "8bit"):
        raise ModelError("quantization_unknown", given=quantization)
    if place.type != "cuda":
        raise ModelError("quantization_needs_cuda", given=quantization, device=str(place))
    from importlib.util import find_spec

    for package in ("bitsandbytes", "accelerate"):
        if find_spec(package) is None:
            raise ModelError("quantization_needs_package", given=quantization, package=package)
    from transformers import BitsAndBytesConfig

    four = quantization == "4bit"
    bits = BitsAndBytesConfig(
        load_in_4bit=four,
        load_in_8bit=not four,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=torch.bfloat16 if chosen == "auto" else chosen,
    )
    return {"dtype": chosen, "quantization_config": bits, "device_map": {"": str(place)}}


def checkpoint_folder(name: str, revision: str | None, *, older_weights: bool = False) -> Path:
    """A local folder with the checkpoint's files; fetched where ``name`` is not a folder.

    With ``older_weights`` a checkpoint of the hub that has no safetensors comes with its PyTorch files.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ModelError("not_a_checkpoint", folder=str(path))
        return path
    if name.startswith(("/", ".", "~")) or name.count("/") > 1:
        raise ModelError("checkpoint_folder_missing", folder=name)
    from huggingface_hub import snapshot_download

    bound_requests()
    with hub_errors(name, revision):
        files, without = list(CHECKPOINT_FILES), list(OTHER_COPIES)
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=files, ignore_patterns=without))
        if older_weights and not list(folder.glob("*.safetensors")):
            folder = Path(snapshot_download(name, revision=revision, allow_patterns=list(OLDER_WEIGHTS)))
        return folder


def _config(folder: Path, name: str) -> Any:
    from transformers import AutoConfig

    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    try:
        return AutoConfig.from_pretrained(folder)
    except (ValueError, KeyError, OSError) as error:
        kind = settings.get("model_type", "unnamed")
        if "xcomposer" in str(settings.get("auto_map")).lower():
            raise ModelError("checkpoint_is_xcomposer", model=name) from error
        raise ModelError(
            "checkpoint_brings_code" if "auto_map" in settings else "checkpoint_kind_unknown", model=name, kind=kind
        ) from error


def _sees_images(config: Any, name: str) -> bool:
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

    kind = type(config)
    if not getattr(config, "is_encoder_decoder", False):
        if kind in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
            return True
        if kind in MODEL_FOR_CAUSAL_LM_MAPPING:
            return False
    raise ModelError("checkpoint_does_not_write", model=name, kind=config.model_type)


def _parts(folder: Path, name: str, sees_images: bool, load_options: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Model, tokenizer, and processor (None without eyes)."""
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, AutoProcessor, AutoTokenizer

    if not list(folder.glob("*.safetensors")):
        raise ModelError("checkpoint_without_safetensors", model=name)
    kind = AutoModelForImageTextToText if sees_images else AutoModelForCausalLM
    try:
        processor = AutoProcessor.from_pretrained(folder) if sees_images else None
        tokenizer = processor.tokenizer if processor is not None else AutoTokenizer.from_pretrained(folder)
        model, report = kind.from_pretrained(folder, use_safetensors=True, output_loading_info=True, **load_options)
    except ImportError as error:
        raise ModelError("checkpoint_needs_package", model=name, reason=" ".join(str(error).split())) from error
    except torch.cuda.OutOfMemoryError as error:
        raise ModelError("gpu_memory", model=name) from error
    except (OSError, ValueError, KeyError, RuntimeError, AttributeError, SafetensorError) as error:
        raise ModelError("checkpoint_not_loaded", model=name, reason=" ".join(str(error).split())) from error
    if report["missing_keys"]:
        # transformers fills such weights with random numbers and goes on.
        absent = sorted(report["missing_keys"])
        raise ModelError("checkpoint_incomplete", model=name, missing=len(absent), first=absent[0])
    return model, tokenizer, processor


def _context_tokens(config: Any, tokenizer: Any, asked: int | None, name: str) -> int:
    text = config.get_text_config()
    made_for = getattr(text, "max_position_embeddings", None) or tokenizer.model_max_length
    known = made_for < _NO_LIMIT
    if asked is None and not known:
        raise ModelError("context_unknown", model=name)
    if asked is not None and asked < 1:
        raise ModelError("option_below_one", option="context_tokens", given=asked)
    # As with GGUF files: a limit of the user's, never more than the model was trained for.
    return int(made_for if asked is None else min(asked, made_for) if known else asked)


def _end_ids(model: Any, tokenizer: Any, chat: ChatTemplate) -> frozenset[int]:
    """Tokens that end a turn: what the checkpoint names, and what its template writes after a turn."""
    named = getattr(model.generation_config, "eos_token_id", None)
    ids = set(named) if isinstance(named, list) else {named}
    ids.add(tokenizer.eos_token_id)
    closing = tokenizer(chat.end_of_turn(), add_special_tokens=False)["input_ids"]
    if closing and closing[0] in tokenizer.all_special_ids:
        ids.add(closing[0])
    return frozenset(token for token in ids if token is not None)


def _placeholder_ids(config: Any, processor: Any) -> list[int]:
    """Tokens that stand for pictures and films; written as text they would be taken for some."""
    holders = [config, processor] if processor is not None else []
    names = ("image_token_id", "video_token_id", "image_token_index")
    ids = {getattr(holder, name, None) for holder in holders for name in names}
    return sorted(token for token in ids if isinstance(token, int))
