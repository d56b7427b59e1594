"""Qwen3.5 checkpoints with random weights, made in memory: times do not depend on what the numbers are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from vision.huggingface.chat_template import ChatTemplate
from vision.huggingface.loading import choose_device, choose_dtype
from vision.huggingface.model import HubModel
from vision.huggingface.prompt_encoding import PromptEncoder
from vision.interfaces import ModelIdentity

_VOCABULARY = 248_320
_SPECIAL = {
    "image_token_id": "<|image_pad|>",
    "video_token_id": "<|video_pad|>",
    "vision_start_token_id": "<|vision_start|>",
    "vision_end_token_id": "<|vision_end|>",
}
_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@dataclass(frozen=True, slots=True)
class Shape:
    """A hybrid of three layers of linear attention to one of full attention, and its vision tower."""

    hidden_size: int
    intermediate_size: int
    tower_depth: int
    tower_width: int
    layers: int = 24


# https://huggingface.co/Qwen/Qwen3.5-0.8B and -2B, config.json
SHAPES = {
    "0.8B": Shape(hidden_size=1024, intermediate_size=3584, tower_depth=12, tower_width=768),
    "2B": Shape(hidden_size=2048, intermediate_size=6144, tower_depth=24, tower_width=1024),
}


@dataclass(frozen=True, slots=True)
class RandomModel:
    """The model as Vignette runs it, with the transformers model and the prompt encoder within."""

    hub: HubModel
    inner: Any
    encoder: PromptEncoder


def random_model(shape: Shape, text: str) -> RandomModel:
    """On the CPU, in the type a bfloat16 checkpoint would be loaded in; its vocabulary is learned from ``text``."""
    from transformers import Qwen2VLImageProcessor, Qwen3_5Config, Qwen3_5ForConditionalGeneration, Qwen3VLProcessor
    from transformers.models.qwen3_vl.video_processing_qwen3_vl import Qwen3VLVideoProcessor

    tokenizer = _tokenizer(text)
    place = choose_device("cpu")
    dtype = choose_dtype("auto", place, torch.bfloat16)
    assert dtype != "auto"  # that is for GPUs
    config = Qwen3_5Config(
        text_config={
            "vocab_size": _VOCABULARY,
            "hidden_size": shape.hidden_size,
            "intermediate_size": shape.intermediate_size,
            "num_hidden_layers": shape.layers,
            "num_attention_heads": 8,
            "num_key_value_heads": 2,
            "head_dim": 256,
            "linear_num_key_heads": 16,
            "linear_num_value_heads": 16,
            "tie_word_embeddings": True,
            "pad_token_id": tokenizer.pad_token_id,
        },
        vision_config={
            "depth": shape.tower_depth,
            "hidden_size": shape.tower_width,
            "intermediate_size": 4 * shape.tower_width,
            "num_heads": shape.tower_width // 64,
            "out_hidden_size": shape.hidden_size,
        },
        tie_word_embeddings=True,
        **{name: tokenizer.convert_tokens_to_ids(token) for name, token in _SPECIAL.items()},
    )
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        inner = Qwen3_5ForConditionalGeneration(config).eval()
    finally:
        torch.set_default_dtype(before)
    patches = {"patch_size": 16, "merge_size": 2, "temporal_patch_size": 2}
    processor = Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(size={"shortest_edge": 65_536, "longest_edge": 16_777_216}, **patches),
        tokenizer=tokenizer,
        video_processor=Qwen3VLVideoProcessor(**patches),
        chat_template=_TEMPLATE,
    )
    name = "random"
    encoder = PromptEncoder(
        processor, tokenizer, inner, ChatTemplate(processor, tokenizer, pictures=True, name=name), name
    )
    hub = HubModel(
        identity=ModelIdentity(name, ""),
        model=inner,
        tokenizer=tokenizer,
        encoder=encoder,
        sees_images=True,
        context_tokens=32_768,
        ends=frozenset(),
        never=(),
    )
    return RandomModel(hub, inner, encoder)


def _tokenizer(text: str) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *_SPECIAL.values()]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    raw.train_from_iterator(
        [text],
        trainers.BpeTrainer(vocab_size=2000, special_tokens=special, initial_alphabet=alphabet, show_progress=False),
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw,
        pad_token="<|endoftext|>",
        eos_token="<|im_end|>",
        model_max_length=32_768,
        clean_up_tokenization_spaces=False,
        extra_special_tokens={"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"},
    )
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|vision_start|>", "<|vision_end|>"]})
    return tokenizer
