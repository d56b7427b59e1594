"""The families of vision-language models that are tried, each a tiny random checkpoint of transformers' own classes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.tiny_models import PICTURE_TEMPLATE, build_tiny_qwen_vl, build_tiny_vlm, tiny_settings, tiny_tokenizer

_ROTARY = {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [1, 1, 2]}
_INTERLEAVED = _ROTARY | {"mrope_interleaved": True}
_SIGLIP = {
    "model_type": "siglip_vision_model",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
    "vision_use_head": False,
    "initializer_range": 0.3,
}


@dataclass(frozen=True, slots=True)
class SeeingFamily:
    models: str
    kind: str
    build: Callable[[Path], Path]


def _with_pictures(placeholder: str, **extra: str) -> Any:
    """A tokenizer whose template writes ``placeholder`` for a picture, with further named special tokens."""
    from transformers import PreTrainedTokenizerFast

    plain = tiny_tokenizer(PICTURE_TEMPLATE.replace("PLACEHOLDER", placeholder))
    if not extra:
        return plain
    plain.add_tokens(list(extra.values()), special_tokens=True)
    return PreTrainedTokenizerFast(
        tokenizer_object=plain.backend_tokenizer,
        pad_token=plain.pad_token,
        eos_token=plain.eos_token,
        chat_template=plain.chat_template,
        model_max_length=plain.model_max_length,
        clean_up_tokenization_spaces=False,
        extra_special_tokens=extra,
    )


def build_idefics3(folder: Path) -> Path:
    import torch
    from transformers import Idefics3Config, Idefics3ForConditionalGeneration, Idefics3ImageProcessor, Idefics3Processor

    tokenizer = _with_pictures("<image>")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<end_of_utterance>"]})
    torch.manual_seed(0)
    config = Idefics3Config(
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        text_config={"model_type": "llama", **tiny_settings(len(tokenizer), tokenizer.eos_token_id)},
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 32,
            "patch_size": 8,
            "initializer_range": 0.3,
        },
        pad_token_id=0,
    )
    Idefics3ForConditionalGeneration(config).save_pretrained(folder)
    Idefics3Processor(
        image_processor=Idefics3ImageProcessor(size={"longest_edge": 64}, max_image_size={"longest_edge": 32}),
        tokenizer=tokenizer,
        image_seq_len=4,
        chat_template=tokenizer.chat_template,
    ).save_pretrained(folder)
    return folder


def _build_qwen(
    folder: Path, config_class: Any, model_class: Any, processor_class: Any, config: dict[str, Any]
) -> Path:
    import torch
    from transformers import Qwen2VLImageProcessor
    from transformers.models.qwen2_vl.video_processing_qwen2_vl import Qwen2VLVideoProcessor
    from transformers.models.qwen3_vl.video_processing_qwen3_vl import Qwen3VLVideoProcessor

    tokenizer = _with_pictures("<|vision_start|><|image_pad|><|vision_end|>")
    tokenizer.image_token, tokenizer.video_token = "<|image_pad|>", "<|video_pad|>"
    torch.manual_seed(0)
    names = {
        "image_token_id": "<|image_pad|>",
        "video_token_id": "<|video_pad|>",
        "vision_start_token_id": "<|vision_start|>",
        "vision_end_token_id": "<|vision_end|>",
    }
    ids = {name: tokenizer.convert_tokens_to_ids(token) for name, token in names.items()}
    text = tiny_settings(len(tokenizer), tokenizer.eos_token_id) | config.pop("text_config")
    model_class(config_class(text_config=text, **ids, **config)).save_pretrained(folder)
    patches = {"patch_size": 4, "merge_size": 2, "temporal_patch_size": 2}
    video = Qwen3VLVideoProcessor if processor_class.__name__ == "Qwen3VLProcessor" else Qwen2VLVideoProcessor
    processor_class(
        image_processor=Qwen2VLImageProcessor(size={"shortest_edge": 16 * 16, "longest_edge": 48 * 48}, **patches),
        tokenizer=tokenizer,
        video_processor=video(**patches),
        chat_template=tokenizer.chat_template,
    ).save_pretrained(folder)
    return folder


def build_qwen2_5_vl(folder: Path) -> Path:
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor

    vision = {
        "depth": 1,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_heads": 2,
        "patch_size": 4,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "window_size": 16,
        "fullatt_block_indexes": [0],
        "out_hidden_size": 32,
        "initializer_range": 0.3,
    }
    return _build_qwen(
        folder,
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLProcessor,
        {"text_config": {"rope_parameters": _ROTARY}, "vision_config": vision},
    )


_QWEN3_VISION = {
    "depth": 1,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_heads": 2,
    "patch_size": 4,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
    "out_hidden_size": 32,
    "num_position_embeddings": 144,
    "initializer_range": 0.3,
}


def build_qwen3_vl(folder: Path) -> Path:
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration, Qwen3VLProcessor

    config = {
        "text_config": {"head_dim": 8, "rope_parameters": _INTERLEAVED},
        "vision_config": _QWEN3_VISION | {"deepstack_visual_indexes": [0]},
    }
    return _build_qwen(folder, Qwen3VLConfig, Qwen3VLForConditionalGeneration, Qwen3VLProcessor, config)


def build_qwen3_5(folder: Path) -> Path:
    from transformers import Qwen3_5Config, Qwen3_5ForConditionalGeneration, Qwen3VLProcessor

    linear = {
        "layer_types": ["linear_attention", "full_attention"],
        "linear_num_value_heads": 4,
        "linear_num_key_heads": 2,
        "linear_key_head_dim": 8,
        "linear_value_head_dim": 8,
    }
    rotary = _INTERLEAVED | {"partial_rotary_factor": 1.0}
    config = {
        "text_config": {"head_dim": 8, "rope_parameters": rotary, **linear},
        "vision_config": dict(_QWEN3_VISION),
    }
    return _build_qwen(folder, Qwen3_5Config, Qwen3_5ForConditionalGeneration, Qwen3VLProcessor, config)


def build_llava_onevision(folder: Path) -> Path:
    import torch
    from transformers import (
        LlavaOnevisionConfig,
        LlavaOnevisionForConditionalGeneration,
        LlavaOnevisionImageProcessor,
        LlavaOnevisionProcessor,
    )
    from transformers.models.llava_onevision.video_processing_llava_onevision import LlavaOnevisionVideoProcessor

    tokenizer = _with_pictures("<image>", image_token="<image>", video_token="<video>")
    torch.manual_seed(0)
    pinpoints = [[32, 32], [32, 64], [64, 32], [64, 64]]
    config = LlavaOnevisionConfig(
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=pinpoints,
        vision_config=_SIGLIP,
        text_config={"model_type": "qwen2", **tiny_settings(len(tokenizer), tokenizer.eos_token_id)},
    )
    LlavaOnevisionForConditionalGeneration(config).save_pretrained(folder)
    LlavaOnevisionProcessor(
        image_processor=LlavaOnevisionImageProcessor(size={"height": 32, "width": 32}, image_grid_pinpoints=pinpoints),
        tokenizer=tokenizer,
        video_processor=LlavaOnevisionVideoProcessor(size={"height": 32, "width": 32}),
        num_image_tokens=16,
        vision_feature_select_strategy="full",
        chat_template=tokenizer.chat_template,
    ).save_pretrained(folder)
    return folder


def build_internvl(folder: Path) -> Path:
    import torch
    from transformers import GotOcr2ImageProcessor, InternVLConfig, InternVLForConditionalGeneration, InternVLProcessor
    from transformers.models.internvl.video_processing_internvl import InternVLVideoProcessor

    names = {
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    }
    tokenizer = _with_pictures("<IMG_CONTEXT>", **names)
    torch.manual_seed(0)
    config = InternVLConfig(
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=4,
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": [32, 32],
            "patch_size": [8, 8],
            "initializer_range": 0.3,
        },
        text_config={"model_type": "qwen2", **tiny_settings(len(tokenizer), tokenizer.eos_token_id)},
    )
    InternVLForConditionalGeneration(config).save_pretrained(folder)
    InternVLProcessor(
        image_processor=GotOcr2ImageProcessor(size={"height": 32, "width": 32}, crop_to_patches=True, max_patches=4),
        tokenizer=tokenizer,
        video_processor=InternVLVideoProcessor(size={"height": 32, "width": 32}),
        image_seq_length=4,
        chat_template=tokenizer.chat_template,
    ).save_pretrained(folder)
    return folder


_GEMMA = {"image_token": "<image_soft_token>", "boi_token": "<start_of_image>", "eoi_token": "<end_of_image>"}


def build_gemma3(folder: Path) -> Path:
    import torch
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration, Gemma3ImageProcessor, Gemma3Processor

    tokenizer = _with_pictures("<start_of_image>", **_GEMMA)
    torch.manual_seed(0)
    text = tiny_settings(len(tokenizer), tokenizer.eos_token_id) | {"head_dim": 8, "sliding_window": 16}
    config = Gemma3Config(
        mm_tokens_per_image=4,
        boi_token_index=tokenizer.convert_tokens_to_ids("<start_of_image>"),
        eoi_token_index=tokenizer.convert_tokens_to_ids("<end_of_image>"),
        image_token_index=tokenizer.convert_tokens_to_ids("<image_soft_token>"),
        vision_config=_SIGLIP,
        text_config=text,
    )
    model = Gemma3ForConditionalGeneration(config)
    torch.nn.init.normal_(model.model.multi_modal_projector.mm_input_projection_weight, std=0.3)  # else it is zero
    model.save_pretrained(folder)
    Gemma3Processor(
        image_processor=Gemma3ImageProcessor(size={"height": 32, "width": 32}),
        tokenizer=tokenizer,
        image_seq_length=4,
        chat_template=tokenizer.chat_template,
    ).save_pretrained(folder)
    return folder


def build_gemma4(folder: Path) -> Path:
    import torch
    from transformers import (
        Gemma4AudioFeatureExtractor,
        Gemma4Config,
        Gemma4ForConditionalGeneration,
        Gemma4ImageProcessor,
        Gemma4Processor,
    )
    from transformers.models.gemma4.video_processing_gemma4 import Gemma4VideoProcessor

    names = {"image_token": "<|image|>", "boi_token": "<|image>", "eoi_token": "<image|>"}
    # Its processor refuses a tokenizer without tokens for speech.
    speech = {"audio_token": "<|audio|>", "boa_token": "<|audio>", "eoa_token": "<audio|>"}
    tokenizer = _with_pictures("<|image|>", **names, **speech, video_token="<|video|>")
    torch.manual_seed(0)
    ids = {f"{name}_id": tokenizer.convert_tokens_to_ids(token) for name, token in names.items()}
    text = tiny_settings(len(tokenizer), tokenizer.eos_token_id) | {
        "head_dim": 8,
        "global_head_dim": 8,
        "sliding_window": 16,
        "layer_types": ["sliding_attention", "full_attention"],
        "vocab_size_per_layer_input": len(tokenizer),
        "hidden_size_per_layer_input": 8,
    }
    vision = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "patch_size": 4,
        "pooling_kernel_size": 2,
        "position_embedding_size": 64,
        "initializer_range": 0.3,
    }
    config = Gemma4Config(
        text_config=text,
        vision_config=vision,
        audio_config=None,
        video_token_id=tokenizer.convert_tokens_to_ids("<|video|>"),
        audio_token_id=None,
        **ids,
    )
    Gemma4ForConditionalGeneration(config).save_pretrained(folder)
    patches = {"patch_size": 4, "pooling_kernel_size": 2, "max_soft_tokens": 70}
    Gemma4Processor(
        feature_extractor=Gemma4AudioFeatureExtractor(),
        image_processor=Gemma4ImageProcessor(**patches),
        tokenizer=tokenizer,
        video_processor=Gemma4VideoProcessor(**patches),
        image_seq_length=70,
        chat_template=tokenizer.chat_template,
    ).save_pretrained(folder)
    return folder


def build_minicpm(folder: Path) -> Path:
    import torch
    from transformers import (
        MiniCPMV4_6Config,
        MiniCPMV4_6ForConditionalGeneration,
        MiniCPMV4_6ImageProcessor,
        MiniCPMV4_6Processor,
    )
    from transformers.models.minicpmv4_6.video_processing_minicpmv4_6 import MiniCPMV4_6VideoProcessor

    names = {
        "image_token": "<|image_pad|>",
        "video_token": "<|video_pad|>",
        "image_start_token": "<image_start>",
        "image_end_token": "<image_end>",
        "slice_start_token": "<slice>",
        "slice_end_token": "</slice>",
        "image_id_start_token": "<image_id>",
        "image_id_end_token": "</image_id>",
    }
    tokenizer = _with_pictures("<|image_pad|>", **names)
    torch.manual_seed(0)
    config = MiniCPMV4_6Config(
        image_token_id=tokenizer.convert_tokens_to_ids("<|image_pad|>"),
        video_token_id=tokenizer.convert_tokens_to_ids("<|video_pad|>"),
        insert_layer_id=0,
        image_size=32,
        text_config={"model_type": "qwen2", **tiny_settings(len(tokenizer), tokenizer.eos_token_id)},
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 32,
            "patch_size": 4,
        },
    )
    MiniCPMV4_6ForConditionalGeneration(config).save_pretrained(folder)
    slices = {"max_slice_nums": 4, "scale_resolution": 32, "patch_size": 4}
    MiniCPMV4_6Processor(
        image_processor=MiniCPMV4_6ImageProcessor(**slices),
        video_processor=MiniCPMV4_6VideoProcessor(**slices),
        tokenizer=tokenizer,
        chat_template=tokenizer.chat_template,
    ).save_pretrained(folder)
    return folder


SEEING_FAMILIES = (
    SeeingFamily("SmolVLM", "smolvlm", build_tiny_vlm),
    SeeingFamily("Idefics3", "idefics3", build_idefics3),
    SeeingFamily("LLaVA-OneVision", "llava_onevision", build_llava_onevision),
    SeeingFamily("Qwen2-VL", "qwen2_vl", build_tiny_qwen_vl),
    SeeingFamily("Qwen2.5-VL", "qwen2_5_vl", build_qwen2_5_vl),
    SeeingFamily("Qwen3-VL", "qwen3_vl", build_qwen3_vl),
    SeeingFamily("Qwen3.5", "qwen3_5", build_qwen3_5),
    SeeingFamily("InternVL 3", "internvl", build_internvl),
    SeeingFamily("Gemma 3", "gemma3", build_gemma3),
    SeeingFamily("Gemma 4", "gemma4", build_gemma4),
    SeeingFamily("MiniCPM-V 4.6", "minicpmv4_6", build_minicpm),
)


def seeing_table() -> str:
    """The rows of ``docs/models.md``."""
    rows = [f"| {family.models} | `{family.kind}` |" for family in SEEING_FAMILIES]
    return "\n".join(["| models that see | class |", "|---|---|", *rows])
