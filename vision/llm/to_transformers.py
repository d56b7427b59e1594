"""The same GGUF model as a transformers ``ForCausalLM``: for training, and as the reference the engine is held to.

Takes embeddings in and lets gradients through, which the C engine does not. Weights are dequantised, so memory is
that of the dtype.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vision.llm.config import ModelConfig, model_config
from vision.llm.gguf import GGUF, Tensor, read_gguf

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

_MODULES = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}
_OUTSIDE = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}


def as_transformers(path: Path, dtype: torch.dtype) -> PreTrainedModel:
    """A ``LlamaForCausalLM``, ``Qwen2ForCausalLM`` or ``Qwen3ForCausalLM`` on the CPU, in evaluation mode.

    Raises WeightsError and ModelError as ``load_gguf_model`` does.
    """
    import torch
    from transformers import AutoModelForCausalLM

    gguf = read_gguf(path)
    config = model_config(gguf)
    tied = "output.weight" not in gguf.tensors
    with torch.device("meta"):
        model: Any = AutoModelForCausalLM.from_config(_config(config, gguf, tied), dtype=dtype)
    state = {}
    for name, tensor in gguf.tensors.items():
        if (target := _module_name(name)) is not None:
            state[target] = torch.from_numpy(_values(tensor, config)).to(dtype)
    if tied:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model.load_state_dict(state, assign=True)
    model.tie_weights()
    model.model.rotary_emb = type(model.model.rotary_emb)(model.config)  # its buffers are not in the state
    if factors := gguf.tensors.get("rope_freqs.weight"):
        model.model.rotary_emb.inv_freq /= torch.from_numpy(factors.floats().copy())
    return model.eval()


def _config(config: ModelConfig, gguf: GGUF, tied: bool) -> Any:
    from transformers import AutoConfig

    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": config.rope_base}
    if config.rope_scale != 1.0:
        rope |= {"rope_type": "linear", "factor": config.rope_scale}
    special = {
        f"{name}_token_id": gguf.metadata.get(f"tokenizer.ggml.{key}_token_id")
        for name, key in (("bos", "bos"), ("eos", "eos"), ("pad", "padding"))
    }
    return AutoConfig.for_model(
        config.name,
        vocab_size=config.vocabulary,
        hidden_size=config.width,
        intermediate_size=config.hidden,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.kv_heads,
        head_dim=config.head_size,
        max_position_embeddings=config.trained_context_tokens,
        rms_norm_eps=config.epsilon,
        rope_parameters=rope,
        tie_word_embeddings=tied,
        **special,
    )


def _module_name(name: str) -> str | None:
    """GGUF's name in transformers' terms; None for what transformers computes itself."""
    if name == "rope_freqs.weight" or name.endswith("attn_rot_embd.freqs"):
        return None
    if name == "output.weight":
        return "lm_head.weight"
    if name in _OUTSIDE:
        return _OUTSIDE[name]
    _, layer, module, kind = name.split(".")
    return f"model.layers.{layer}.{_MODULES[module]}.{kind}"


def _values(tensor: Tensor, config: ModelConfig) -> np.ndarray:
    values = tensor.floats()
    if not config.interleaved_rope or not tensor.name.endswith(("attn_q.weight", "attn_k.weight")):
        return values.copy()
    # GGUF orders the rows of llama's heads so that RoPE turns neighbours; transformers turns halves.
    return values.reshape(-1, config.head_size // 2, 2, config.width).swapaxes(1, 2).reshape(values.shape).copy()
