"""The families of language models that are tried, each as a tiny random checkpoint of transformers' own class.

``docs/models.md`` has the table that ``families_table`` makes of them; ``tests/composer/pipeline/test_families.py``
holds every row to what it says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tests.tiny_models import TEXT_TEMPLATE, tiny_settings, tiny_tokenizer

_HEAD = {"head_dim": 8}
_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
_ROUTED = {"n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "n_group": 1, "topk_group": 1}
_LATENT = {"q_lora_rank": 8, "kv_lora_rank": 8, "qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 8}
_GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 2048}
_LINEAR = {
    "layer_types": ["linear_attention", "full_attention"],
    "linear_num_value_heads": 4,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
}

Reading = Literal["side by side", "of one length", "from copies"]


@dataclass(frozen=True, slots=True)
class Family:
    """``kind`` is transformers' model type. ``reading`` is how several prompts go on from what they begin with alike:
    side by side, side by side where they are of one length, or the latter from copies of a state.
    """

    models: str
    kind: str
    reading: Reading = "side by side"
    settings: Mapping[str, Any] = field(default_factory=dict)

    def build(self, folder: Path) -> Path:
        """A random checkpoint of two layers with tokenizer and chat template."""
        import torch
        from transformers import AutoConfig, AutoModelForCausalLM

        tokenizer = tiny_tokenizer(TEXT_TEMPLATE)
        torch.manual_seed(0)
        settings = tiny_settings(len(tokenizer), tokenizer.eos_token_id) | dict(self.settings)
        AutoModelForCausalLM.from_config(AutoConfig.for_model(self.kind, **settings)).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return folder


FAMILIES = (
    Family("LLaMA 1, 2 and 3, Code Llama, Vicuna, Alpaca, Yi, DeepSeek LLM and Coder, SmolLM", "llama"),
    Family("Mistral (with a sliding window)", "mistral", "of one length", _HEAD | {"sliding_window": 8}),
    Family("Mixtral", "mixtral", settings={"num_local_experts": 4, "num_experts_per_tok": 2}),
    Family("Falcon", "falcon", settings={"new_decoder_architecture": True, "num_kv_heads": 2}),
    Family("BLOOM, BLOOMZ", "bloom", "of one length", {"n_layer": 2, "n_head": 4}),
    Family("MPT", "mpt", "of one length", {"d_model": 32, "n_heads": 4, "n_layers": 2, "max_seq_len": 2048}),
    Family("GPT-NeoX, Pythia, RedPajama, Dolly v2", "gpt_neox"),
    Family("GPT-J", "gptj", settings=_GPT2 | {"rotary_dim": 4}),
    Family("OPT, OPT-IML, Galactica", "opt", settings={"ffn_dim": 64, "word_embed_proj_dim": 32}),
    Family("GPT-2, Cerebras-GPT", "gpt2", settings=_GPT2),
    Family("Gemma 1", "gemma", settings=_HEAD),
    Family("Gemma 2", "gemma2", "of one length", _HEAD | {"sliding_window": 16}),
    Family("Gemma 3 (1B, text only)", "gemma3_text", "of one length", _HEAD | {"sliding_window": 16}),
    Family(
        "Gemma 4 (text only)",
        "gemma4_text",
        "of one length",
        _HEAD
        | {
            "global_head_dim": 8,
            "sliding_window": 16,
            "layer_types": ["sliding_attention", "full_attention"],
            "vocab_size_per_layer_input": 420,
            "hidden_size_per_layer_input": 8,
        },
    ),
    Family("Qwen 1.5, 2 and 2.5", "qwen2"),
    Family("Qwen3", "qwen3", settings=_HEAD),
    Family("Qwen 1.5 and 2 MoE", "qwen2_moe", settings=_EXPERTS | {"shared_expert_intermediate_size": 16}),
    Family("Qwen3 MoE", "qwen3_moe", settings=_HEAD | _EXPERTS),
    Family(
        "Qwen3-Next", "qwen3_next", "from copies", _HEAD | _EXPERTS | _LINEAR | {"shared_expert_intermediate_size": 16}
    ),
    Family("Qwen3.5 (text only)", "qwen3_5_text", "from copies", _HEAD | _LINEAR),
    Family("GLM-4 (9B chat, of 2024)", "glm", settings=_HEAD),
    Family("GLM-4 and Z1 (0414)", "glm4", settings=_HEAD),
    Family("GLM-4.5 and 4.6", "glm4_moe", settings=_HEAD | _ROUTED),
    Family("DeepSeek-V2", "deepseek_v2", settings=_LATENT | _ROUTED | {"num_key_value_heads": 4}),
    Family(
        "DeepSeek-V3 and R1",
        "deepseek_v3",
        settings=_LATENT | _ROUTED | {"num_key_value_heads": 4, "first_k_dense_replace": 1},
    ),
    Family("Phi 1.5 and 2", "phi"),
    Family("Phi 3 and 4", "phi3"),
    Family("Phi 3.5 MoE", "phimoe", settings={"num_local_experts": 4}),
    Family("InternLM3", "internlm3"),
    Family("LFM2", "lfm2", "from copies", {"layer_types": ["conv", "full_attention"]}),
)
# Not in the list: any other class must do without a line of ours.
OTHERS = (
    Family("SmolLM3", "smollm3"),
    Family("StableLM", "stablelm"),
    Family("OLMo 2", "olmo2"),
    Family("Granite", "granite"),
    Family("Command R", "cohere"),
    Family("StarCoder 2", "starcoder2"),
    Family("Exaone 4", "exaone4", "of one length"),
    Family("Mamba", "mamba", "from copies"),
)


def families_table() -> str:
    """The rows of ``docs/models.md``."""
    rows = [f"| {family.models} | `{family.kind}` | {family.reading} |" for family in (*FAMILIES, *OTHERS)]
    return "\n".join(["| models | class | prompts go on from one beginning |", "|---|---|---|", *rows])
