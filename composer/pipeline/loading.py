"""A profile's settings to models, library and pipeline. Heavy packages are imported only inside its functions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from composer.errors import UsageError
from composer.pipeline.wordless import SharedDrafting
from composer.settings import LanguageSettings, Settings
from vision.errors import KernelsUnavailable, ModelError, Phrase

if TYPE_CHECKING:
    from composer.pipeline.pipeline import Pipeline
    from image_db.metadata.generate import Captioner, Drafting, Labeller
    from image_db.stores.opening import AnyLibrary
    from retrieval.search import Searcher
    from vision.interfaces import JointEncoder, VisionLanguageModel


def load_encoder(settings: Settings) -> JointEncoder:
    """The profile's joint encoder. Raises WeightsError or ModelError saying what to fetch or change."""
    from vision.joint_encoder.encoder import load_embedded_encoder, load_open_clip_encoder

    encoder = settings.encoder
    if encoder.kind == "embedded":
        return load_embedded_encoder(device="cpu" if encoder.device == "auto" else encoder.device)
    return load_open_clip_encoder(encoder.model, encoder.pretrained or None, device=_device(encoder.device))


def load_judge(settings: Settings) -> VisionLanguageModel | None:
    """The profile's judge, None where the writer judges. Errors as ``load_language_model``."""
    return load_language_model(settings.own_judge) if settings.own_judge else None


def load_language_model(language: LanguageSettings) -> VisionLanguageModel:
    """A profile's writer or judge. Raises WeightsError or ModelError saying what to fetch or change."""
    if language.kind == "hub":
        from vision.huggingface.loading import load_hub_model

        return load_hub_model(
            language.model,
            device=language.device,
            dtype=language.dtype,
            quantization=language.quantization,  # type: ignore[arg-type]  # checked by LanguageSettings
            context_tokens=language.context_tokens,
            adapter=Path(language.adapter).expanduser() if language.adapter else None,
        )
    if language.kind == "xcomposer":
        from vision.xcomposer.loading import load_xcomposer

        if language.quantization != "none":
            raise ModelError("quantization_unsupported", given=language.quantization, kind=language.kind)
        return load_xcomposer(
            language.model,
            device=language.device,
            dtype=language.dtype,
            context_tokens=language.context_tokens,
        )
    if language.kind == "bridge":
        from vision.bridge.bridged_model import load_bridged_model

        return load_bridged_model(
            Path(language.model).expanduser(),
            device=_device(language.device),
            context_tokens=language.context_tokens,
        )
    if language.kind == "server":
        from vision.served.model import load_served_model

        return load_served_model(
            language.address,
            language.model,
            key_variable=language.key_variable,
            context_tokens=language.context_tokens,
            timeout_s=language.timeout_s,
            at_once=language.at_once,
        )
    # Not through _device(): the embedded engine needs no torch, and importing it takes seconds.
    from vision.downloads.checkpoints import gguf_file
    from vision.llm.model import load_gguf_model

    path = gguf_file(language.model)
    device, slow = "cpu" if language.device == "auto" else language.device, None
    if device == "cpu":
        try:
            return load_gguf_model(path, threads=language.threads or None, context_tokens=language.context_tokens)
        except KernelsUnavailable as error:
            slow = Phrase("slow_without_kernels", {"reason": error})
    from vision.huggingface.loading import load_gguf_in_transformers

    return load_gguf_in_transformers(path, device=device, context_tokens=language.context_tokens, notice=slow)


def load_drafting(settings: Settings, encoder: JointEncoder) -> Drafting:
    """What drafts captions from pictures' vectors.

    Raises ModelError where the encoder is not the embedded one, WeightsError where the small language model is not on
    this machine, KernelsUnavailable where the engine cannot be compiled.
    """
    from vision.bridge.drafting import load_drafter

    return load_drafter(encoder.identity, threads=settings.writer.threads or None).draft


def load_describer(how: str, settings: Settings) -> tuple[Labeller | None, Captioner | None]:
    """What gives words to pictures: "labels", the folder of a bridge, or a vision-language checkpoint's name.

    Raises ModelError or WeightsError where it cannot be had or does not see.
    """
    if how == "labels":
        from vision.joint_encoder.imagenet_labels import ImageLabeller

        return ImageLabeller().guess, None
    from vision.huggingface.captioning import write_captions

    model = load_seeing_model(how, settings)
    return None, lambda images: write_captions(model, images)


def load_seeing_model(name: str, settings: Settings) -> VisionLanguageModel:
    """The profile's InternLM-XComposer, a folder of ``vignette train bridge``, or any checkpoint of transformers."""
    judge = settings.judge
    if judge.kind == "xcomposer" and name == judge.model:
        return load_language_model(judge)
    folder = Path(name).expanduser()
    if (folder / "bridge.json").is_file():
        from vision.bridge.bridged_model import load_bridged_model

        return load_bridged_model(folder, device=_device(judge.device))
    from vision.huggingface.loading import load_hub_model

    return load_hub_model(name, device=judge.device)


def check_fits(settings: Settings) -> None:
    """Raise ModelError where the profile's models do not fit the memory that is free, naming what would."""
    from composer.profiles.machine import look
    from composer.profiles.memory import check_memory

    check_memory(settings, look())  # which asks no hub


def load_pipeline(settings: Settings, library_dir: Path) -> Pipeline:
    """Everything a request needs. The library is opened first: what is wrong with it is known at once."""
    from image_db.stores.opening import open_library
    from retrieval.search import Searcher

    if not str(library_dir):
        raise UsageError("library_not_named")
    open_library(library_dir).close()
    check_fits(settings)
    encoder = load_encoder(settings)
    library = open_library(library_dir, encoder.identity)
    draft = SharedDrafting(settings, encoder)
    return load_pipeline_over(settings, encoder, library, Searcher(library, encoder), draft)


def load_pipeline_over(
    settings: Settings,
    encoder: JointEncoder,
    library: AnyLibrary,
    searcher: Searcher,
    draft: Drafting | None = None,
) -> Pipeline:
    """Writer and judge of the profile, the judge weighed as was measured, over a library that is open."""
    from composer.pipeline.judge_fits import with_judge_fit
    from composer.pipeline.pipeline import Pipeline

    writer, judge = load_language_model(settings.writer), load_judge(settings)
    settings = with_judge_fit(settings, (judge or writer).identity, encoder.identity)
    return Pipeline(settings, writer, encoder, library, searcher, judge, draft=draft)


def _device(name: str) -> str:
    if name != "auto":
        return name
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
