"""The decoder in PyTorch: runs where the C kernels cannot (no compiler; a CUDA device), and they are tested by it.

Same blocks, same tables, same results as ``kernels.binding.Kernels``, several times slower on a CPU: there 4-bit
layouts use PyTorch's packed int4 kernel, 6- and 8-bit ones its int8 kernel (rounded again, one scale an output).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import torch
from torch.nn.functional import embedding, linear, rms_norm, scaled_dot_product_attention, silu

from vision.errors import ModelError
from vision.llm.config import rope_tables
from vision.llm.model_cache import Converted, MatrixView
from vision.llm.repack import BLOCK, Layout
from vision.llm.unpacking import unpack_affine, unpack_floats

Product: TypeAlias = Callable[[torch.Tensor], torch.Tensor]
BLOCK_TOKENS = 32


class TorchEngine:
    """``exact`` keeps dequantised float32 weights instead of the packed ones, on the CPU."""

    def __init__(
        self, model: Converted, device: str, *, threads: int, context_tokens: int, blocks: int, exact: bool = False
    ) -> None:
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise ModelError(f"device {device} asks for CUDA, but PyTorch finds none; use cpu")
        if device == "cpu":
            torch.set_num_threads(threads)
        self._arch, self._device = model.architecture, torch.device(device)
        self.vocabulary = self._arch.vocabulary
        self._dtype = torch.float32 if exact else torch.bfloat16
        self._packed = device == "cpu" and not exact
        shape = (blocks, self._arch.layers, self._arch.kv_heads, BLOCK_TOKENS, self._arch.head_size)
        self._keys = torch.zeros(shape, dtype=self._dtype, device=self._device)
        self._values = torch.zeros_like(self._keys)
        tables = rope_tables(self._arch, context_tokens, model.vectors.get("rope_freqs.weight"))
        self._cosine, self._sine = (torch.from_numpy(table).to(self._device) for table in tables)
        self._vectors = {
            name: torch.from_numpy(v.copy()).to(self._device, self._dtype) for name, v in model.vectors.items()
        }
        self._embedding = self._floats(model.matrices["token_embd.weight"])
        self._products = {
            name: self._product(view) for name, view in model.matrices.items() if name != "token_embd.weight"
        }
        if "output.weight" not in self._products:
            self._products["output.weight"] = lambda x: linear(x, self._embedding)

    def _floats(self, view: MatrixView) -> torch.Tensor:
        values = unpack_floats(view.layout, view.outputs, view.inputs, view.data)
        return torch.from_numpy(values).to(self._device, self._dtype)

    def _product(self, view: MatrixView) -> Product:
        if not self._packed:
            weight = self._floats(view)
            return lambda x: linear(x, weight)
        if view.layout in (Layout.P4, Layout.P4K):
            quants, scale, offset = unpack_affine(view.layout, view.outputs, view.inputs, view.data)
            packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(torch.from_numpy(quants.astype(np.int32)), 2)
            scales, offsets = (torch.from_numpy(part[:, ::2].copy()) for part in (scale, offset))
            # The kernel computes (quant - 8) * scale + zero.
            both = torch.stack([scales, offsets + 8 * scales], -1).transpose(0, 1).contiguous().to(self._dtype)
            return lambda x: torch.ops.aten._weight_int4pack_mm_for_cpu(x, packed, BLOCK, both)
        floats = torch.from_numpy(unpack_floats(view.layout, view.outputs, view.inputs, view.data))
        largest = floats.abs().amax(1).clamp(min=1e-12) / 127
        rounded = (floats / largest[:, None]).round().to(torch.int8)
        largest = largest.to(self._dtype)
        return lambda x: torch.ops.aten._weight_int8pack_mm(x, rounded, largest)

    @torch.inference_mode()
    def decode(
        self, token: np.ndarray, position: np.ndarray, sequence: np.ndarray, table: np.ndarray, output_row: np.ndarray
    ) -> np.ndarray:
        """See ``vision.llm.batch_runner.Engine``."""
        rows = [torch.from_numpy(part).long().to(self._device) for part in (token, position, sequence)]
        ids, places, owners = rows
        tables = torch.from_numpy(table).long().to(self._device)
        slots = tables[owners, places // BLOCK_TOKENS], places % BLOCK_TOKENS
        x = embedding(ids, self._embedding)
        for layer in range(self._arch.layers):
            x = self._layer(x, layer, places, owners, tables, slots)
        last = self._norm(x[torch.from_numpy(output_row).long().to(self._device)], "output_norm")
        logits = self._products["output.weight"](last)[:, : self.vocabulary]
        return np.array(logits.float().cpu().numpy())

    def _norm(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return rms_norm(x, x.shape[-1:], self._vectors[f"{name}.weight"], self._arch.epsilon)

    def _layer(
        self,
        x: torch.Tensor,
        layer: int,
        places: torch.Tensor,
        owners: torch.Tensor,
        tables: torch.Tensor,
        slots: tuple[torch.Tensor, torch.Tensor],
    ) -> torch.Tensor:
        arch, name = self._arch, f"blk.{layer}"
        narrow = self._norm(x, f"{name}.attn_norm")
        q, k, v = (self._heads(narrow, f"{name}.attn_{part}", places) for part in "qkv")
        self._keys[slots[0], layer, :, slots[1]] = k
        self._values[slots[0], layer, :, slots[1]] = v
        attended = torch.empty_like(q)
        for owner in range(len(tables)):
            mine = (owners == owner).nonzero()[:, 0]
            if len(mine):
                attended[mine] = self._attend(q[mine], layer, tables[owner], places[mine])
        x = x + self._products[f"{name}.attn_output.weight"](attended.flatten(1))
        narrow = self._norm(x, f"{name}.ffn_norm")
        gate, up = (self._products[f"{name}.ffn_{part}.weight"](narrow) for part in ("gate", "up"))
        down: torch.Tensor = x + self._products[f"{name}.ffn_down.weight"](silu(gate) * up)
        assert down.shape[-1] == arch.width
        return down

    def _heads(self, x: torch.Tensor, name: str, places: torch.Tensor) -> torch.Tensor:
        """(rows, heads, head_size); queries and keys normed where the model does so, and turned."""
        heads = self._products[f"{name}.weight"](x)
        if f"{name}.bias" in self._vectors:
            heads = heads + self._vectors[f"{name}.bias"]
        heads = heads.unflatten(-1, (-1, self._arch.head_size))
        if name.endswith("v"):
            return heads
        if f"{name}_norm.weight" in self._vectors:
            heads = self._norm(heads, f"{name}_norm")
        cosine, sine = self._cosine[places, None], self._sine[places, None]
        if self._arch.interleaved_rope:
            a, b = heads[..., 0::2].float(), heads[..., 1::2].float()
            return torch.stack([a * cosine - b * sine, a * sine + b * cosine], -1).flatten(-2).to(heads.dtype)
        a, b = heads.float().chunk(2, -1)
        return torch.cat([a * cosine - b * sine, a * sine + b * cosine], -1).to(heads.dtype)

    def _attend(self, q: torch.Tensor, layer: int, table: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        tokens = int(places.max()) + 1
        blocks = table[: -(-tokens // BLOCK_TOKENS)]
        k, v = (cache[blocks, layer].transpose(0, 1).flatten(1, 2)[:, :tokens] for cache in (self._keys, self._values))
        mask = torch.arange(tokens, device=q.device)[None] <= places[:, None]
        out = scaled_dot_product_attention(
            q.transpose(0, 1)[None], k[None], v[None], attn_mask=mask[None, None], enable_gqa=True
        )
        return out[0].transpose(0, 1)

    def copy_block(self, source: int, target: int) -> None:
        self._keys[target] = self._keys[source]
        self._values[target] = self._values[source]
