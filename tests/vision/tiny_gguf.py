"""Writes tiny random GGUF models with the gguf package: every architecture and kind of tensor in a few kilobytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter
from gguf.quants import quantize
from tokenizers import pre_tokenizers

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
MERGES = ("Ġ t", "h e", "Ġt he", "i n", "e r")


def random_bytes(kind: str, outputs: int, inputs: int, rng: np.random.Generator) -> np.ndarray:
    """Valid quantised rows, (outputs, bytes); kinds that the gguf package cannot quantise are drawn byte by byte."""
    if kind in ("F32", "F16", "Q4_0", "Q4_1", "Q8_0", "BF16", "Q5_0"):
        weights = (rng.standard_normal((outputs, inputs)) / np.sqrt(inputs)).astype(np.float32)
        return np.ascontiguousarray(quantize(weights, GGMLQuantizationType[kind])).view(np.uint8).reshape(outputs, -1)
    size, halves, typical = {"Q4_K": (144, (0, 2), 240), "Q5_K": (176, (0, 2), 480), "Q6_K": (210, (208,), 1300)}[kind]
    rows = rng.integers(0, 256, (outputs, inputs // 256, size), dtype=np.uint8)
    for at in halves:
        values = (rng.random((outputs, inputs // 256, 1)) / typical / np.sqrt(inputs)).astype(np.float16)
        rows[..., at : at + 2] = values.view(np.uint8)
    return rows.reshape(outputs, -1)


def write_tiny_gguf(
    path: Path,
    architecture: str = "llama",
    kind: str = "Q8_0",
    *,
    width: int = 64,
    heads: int = 4,
    kv_heads: int = 2,
    head_size: int = 16,
    hidden: int = 0,
    seed: int = 0,
    name: str = "tiny",
) -> Path:
    """Two layers. ``kind`` is that of the matrices; K kinds want 256 wide."""
    rng = np.random.default_rng(seed)
    hidden = hidden or 2 * width
    writer = GGUFWriter(str(path), architecture)
    writer.add_name(name)
    writer.add_block_count(2)
    writer.add_context_length(512)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(hidden)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_key_length(head_size)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(10000.0)
    tokens = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *(m.replace(" ", "") for m in MERGES), *CONTROL]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types([1] * (len(tokens) - len(CONTROL)) + [3] * len(CONTROL))
    writer.add_token_merges(list(MERGES))
    writer.add_eos_token_id(tokens.index("<|im_end|>"))
    writer.add_chat_template(TEMPLATE)

    def matrix(tensor: str, outputs: int, inputs: int) -> None:
        which = kind if inputs % 256 == 0 or not kind.endswith("_K") else "Q8_0"
        data = random_bytes(which, outputs, inputs, rng)
        if which in ("F32", "F16"):
            data = data.view(np.dtype({"F32": "float32", "F16": "float16"}[which]))
            writer.add_tensor(tensor, data)
        else:
            writer.add_tensor(tensor, data, raw_dtype=GGMLQuantizationType[which])

    def vector(tensor: str, size: int, around: float) -> None:
        writer.add_tensor(tensor, (around + 0.1 * rng.standard_normal(size)).astype(np.float32))

    matrix("token_embd.weight", len(tokens), width)
    vector("output_norm.weight", width, 1)
    for layer in range(2):
        prefix = f"blk.{layer}."
        for part, outputs in (("q", heads), ("k", kv_heads), ("v", kv_heads)):
            matrix(f"{prefix}attn_{part}.weight", outputs * head_size, width)
            if architecture == "qwen2":
                vector(f"{prefix}attn_{part}.bias", outputs * head_size, 0)
            if architecture == "qwen3" and part != "v":
                vector(f"{prefix}attn_{part}_norm.weight", head_size, 1)
        matrix(f"{prefix}attn_output.weight", width, heads * head_size)
        matrix(f"{prefix}ffn_gate.weight", hidden, width)
        matrix(f"{prefix}ffn_up.weight", hidden, width)
        matrix(f"{prefix}ffn_down.weight", width, hidden)
        vector(f"{prefix}attn_norm.weight", width, 1)
        vector(f"{prefix}ffn_norm.weight", width, 1)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
