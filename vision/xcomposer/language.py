"""InternLM2 with Partial LoRA: low-rank weights of their own at the positions of pictures, none at those of words.

Shapes, order of heads, rotations and masks are those of the original code (InternLM-XComposer-2.5-OmniLive, ``base``,
modeling_internlm2.py and build_mlp.py; Partial LoRA: arXiv:2401.16420). Modules bear the published tensors' names.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from vision.xcomposer.config import ALPHA, RANK, XComposerConfig


class PartialLoRALinear(nn.Linear):
    """(B, n, inputs) → (B, n, outputs). ``places`` are the flat positions, of B · n, that stand for pictures."""

    def __init__(self, inputs: int, outputs: int, *, bias: bool) -> None:
        super().__init__(inputs, outputs, bias=bias)
        self.Plora_A = nn.Linear(inputs, RANK, bias=False)
        self.Plora_B = nn.Linear(RANK, outputs, bias=False)

    def forward(self, x: torch.Tensor, places: torch.Tensor | None = None) -> torch.Tensor:
        out = super().forward(x)
        if places is not None:
            # Added at these rows alone, so that all others are the plain layer's to the bit.
            seen = self.Plora_B(self.Plora_A(x.flatten(0, 1)[places])) * (ALPHA / RANK)
            out.flatten(0, 1).index_add_(0, places, seen)
        return out


class InternLM2Norm(nn.Module):
    """Root mean square norm, computed in float32."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wide = x.float()
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)
        return self.weight * wide.to(x.dtype)


def rotations(config: XComposerConfig, positions: torch.Tensor, length: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines (B, 1, n, head width), float32, of positions (B, n) in a sequence of ``length`` tokens.

    Linear scaling divides positions; dynamic NTK widens the base where the sequence is longer than trained for.
    """
    width, base = config.head_width, config.rope_theta
    if config.rope_kind == "dynamic" and length > config.max_positions:
        stretch = config.rope_factor * length / config.max_positions - (config.rope_factor - 1)
        base *= stretch ** (width / (width - 2))
    places = positions.float()
    if config.rope_kind == "linear":
        places = places / config.rope_factor
    steps = torch.arange(0, width, 2, device=positions.device).float() / width
    angles = places[:, None, :, None] * (1.0 / base**steps)
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos(), angles.sin()


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Turns the pairs (i, i + half) of the last axis."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


class InternLM2Attention(nn.Module):
    """Grouped-query attention; ``wqkv`` holds, for each key-value head, its queries, then key, then value."""

    def __init__(self, config: XComposerConfig, layer: int) -> None:
        super().__init__()
        self.layer, self.kv_heads, self.head_width = layer, config.kv_heads, config.head_width
        self.groups = config.heads // config.kv_heads
        outputs = (config.heads + 2 * config.kv_heads) * config.head_width
        self.wqkv = PartialLoRALinear(config.hidden_size, outputs, bias=config.bias)
        self.wo = PartialLoRALinear(config.hidden_size, config.hidden_size, bias=config.bias)

    def forward(
        self,
        x: torch.Tensor,
        places: torch.Tensor | None,
        turn: tuple[torch.Tensor, torch.Tensor],
        mask: torch.Tensor | None,
        cache: Any,
    ) -> torch.Tensor:
        batch, length, width = x.shape
        heads = self.wqkv(x, places).view(batch, length, self.kv_heads, self.groups + 2, self.head_width)
        queries = rotate(heads[..., : self.groups, :].flatten(2, 3).transpose(1, 2), *turn)
        keys, values = rotate(heads[..., -2, :].transpose(1, 2), *turn), heads[..., -1, :].transpose(1, 2)
        if cache is not None:
            keys, values = cache.update(keys, values, self.layer)
        keys, values = (part.repeat_interleave(self.groups, dim=1) for part in (keys, values))
        # Without a mask every query is the last token, or all tokens are here and see what stands before them.
        out = functional.scaled_dot_product_attention(
            queries, keys, values, attn_mask=mask, is_causal=mask is None and length > 1
        )
        return self.wo(out.transpose(1, 2).reshape(batch, length, width), places)


class InternLM2FeedForward(nn.Module):
    def __init__(self, config: XComposerConfig) -> None:
        super().__init__()
        self.w1 = PartialLoRALinear(config.hidden_size, config.intermediate_size, bias=False)
        self.w3 = PartialLoRALinear(config.hidden_size, config.intermediate_size, bias=False)
        self.w2 = PartialLoRALinear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x: torch.Tensor, places: torch.Tensor | None) -> torch.Tensor:
        return self.w2(functional.silu(self.w1(x, places)) * self.w3(x, places), places)


class InternLM2Layer(nn.Module):
    def __init__(self, config: XComposerConfig, layer: int) -> None:
        super().__init__()
        self.attention = InternLM2Attention(config, layer)
        self.feed_forward = InternLM2FeedForward(config)
        self.attention_norm = InternLM2Norm(config.hidden_size, config.norm_eps)
        self.ffn_norm = InternLM2Norm(config.hidden_size, config.norm_eps)

    def forward(
        self,
        x: torch.Tensor,
        places: torch.Tensor | None,
        turn: tuple[torch.Tensor, torch.Tensor],
        mask: torch.Tensor | None,
        cache: Any,
    ) -> torch.Tensor:
        x = x + self.attention(self.attention_norm(x), places, turn, mask, cache)
        return x + self.feed_forward(self.ffn_norm(x), places)


class InternLM2(nn.Module):
    """Embeddings (B, n, width) → the last layer's normed states, of the same shape."""

    def __init__(self, config: XComposerConfig) -> None:
        super().__init__()
        self.settings = config
        self.tok_embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(InternLM2Layer(config, number) for number in range(config.layers))
        self.norm = InternLM2Norm(config.hidden_size, config.norm_eps)

    def forward(
        self,
        x: torch.Tensor,
        here: torch.Tensor,
        positions: torch.Tensor,
        attention_mask: torch.Tensor | None,
        cache: Any,
    ) -> torch.Tensor:
        """``here`` (B, n) marks pictures; ``attention_mask`` (B, cached + n) is 0 at padding."""
        past = 0 if cache is None else int(cache.get_seq_length())
        turn = rotations(self.settings, positions, past + x.shape[1])
        cos, sin = (part.to(x.dtype) for part in turn)
        mask = _visible(attention_mask, past, x)
        places = here.flatten().nonzero().flatten() if bool(here.any()) else None
        for layer in self.layers:
            x = layer(x, places, (cos, sin), mask, cache)
        normed: torch.Tensor = self.norm(x)
        return normed


def _visible(attention_mask: torch.Tensor | None, past: int, x: torch.Tensor) -> torch.Tensor | None:
    """(B, 1, n, past + n), true where a query may look; None where plain causal attention says the same."""
    length = x.shape[1]
    padded = attention_mask is not None and not bool(attention_mask.bool().all())
    if not padded and (past == 0 or length == 1):
        return None
    order = torch.arange(past + length, device=x.device)
    visible = (order[None, :] <= order[past:, None])[None, None]
    if padded:
        assert attention_mask is not None
        visible = visible & attention_mask.bool()[:, None, None, :].to(x.device)
    return visible
