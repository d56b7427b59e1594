"""The bridge from a vision tower to a language model: a grid of features in, a few word-like vectors out.

Two kinds. The perceive sampler (InternLM-XComposer, arXiv:2309.15112; after the Q-Former, arXiv:2301.12597) lets K
learned queries attend to the grid. The MLP projector (LLaVA 1.5, arXiv:2310.03744) maps each place of the grid. A
picture stands in a text between a learned start and end vector. Import it lazily: torch comes with it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import nn
from torch.nn import functional

from vision.errors import ModelError

BridgeKind = Literal["sampler", "mlp"]
CONFIG_FILE, WEIGHTS_FILE = "bridge.json", "bridge.safetensors"


@dataclass(frozen=True, slots=True)
class BridgeConfig:
    """What a bridge connects, and its size.

    ``tower`` and ``language_model`` are names, their ``sha256`` those of the exact weights it was trained for;
    ``data`` says what it was trained on. ``grid_tokens`` × ``grid_width`` is the tower's grid, ``language_width`` the
    width of the model's embeddings. ``queries``, ``layers``, ``heads`` and ``dropout`` are of the sampler; ``width``
    is that inside either kind.
    """

    tower: str
    tower_sha256: str
    grid_tokens: int
    grid_width: int
    language_model: str
    language_sha256: str
    language_width: int
    kind: BridgeKind = "sampler"
    queries: int = 32
    layers: int = 2
    heads: int = 8
    width: int = 512
    dropout: float = 0.0
    data: str = ""

    def __post_init__(self) -> None:
        if self.kind not in get_args(BridgeKind):
            raise ModelError("bridge_kind_unknown", kind=self.kind, known=get_args(BridgeKind))
        for name in ("grid_tokens", "grid_width", "language_width", "queries", "layers", "heads", "width"):
            if getattr(self, name) < 1:
                raise ModelError("option_below_one", option=name, given=getattr(self, name))
        if self.width % self.heads:
            raise ModelError("bridge_width", width=self.width, heads=self.heads)

    @property
    def picture_tokens(self) -> int:
        """Positions a picture takes in a text, start and end included."""
        return 2 + (self.queries if self.kind == "sampler" else self.grid_tokens)


class SamplerLayer(nn.Module):
    """Queries attend to each other, then to the grid, then think: pre-norm throughout."""

    def __init__(self, config: BridgeConfig) -> None:
        super().__init__()
        width, heads, dropout = config.width, config.heads, config.dropout
        self.norm_self, self.norm_cross, self.norm_mlp = (nn.LayerNorm(width) for _ in range(3))
        self.among = nn.MultiheadAttention(width, heads, dropout, batch_first=True)
        self.across = nn.MultiheadAttention(width, heads, dropout, batch_first=True)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * width, width)
        )

    def forward(self, queries: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
        own = self.norm_self(queries)
        queries = queries + self.among(own, own, own, need_weights=False)[0]
        queries = queries + self.across(self.norm_cross(queries), grid, grid, need_weights=False)[0]
        return queries + self.mlp(self.norm_mlp(queries))


class PerceiveSampler(nn.Module):
    """(B, N, grid_width) → (B, queries, language_width)."""

    def __init__(self, config: BridgeConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.grid_width)
        self.inward = nn.Linear(config.grid_width, config.width)
        self.places = nn.Parameter(torch.randn(config.grid_tokens, config.width) * 0.02)
        self.queries = nn.Parameter(torch.randn(config.queries, config.width) * 0.5)
        self.layers = nn.ModuleList(SamplerLayer(config) for _ in range(config.layers))
        self.norm_out = nn.LayerNorm(config.width)
        self.outward = nn.Linear(config.width, config.language_width)

    def forward(self, grid: torch.Tensor) -> torch.Tensor:
        seen = self.inward(self.norm(grid)) + self.places
        queries = self.queries.expand(len(grid), -1, -1)
        for layer in self.layers:
            queries = layer(queries, seen)
        out: torch.Tensor = self.outward(self.norm_out(queries))
        return out


class MLPProjector(nn.Module):
    """(B, N, grid_width) → (B, N, language_width), each place alone."""

    def __init__(self, config: BridgeConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.grid_width)
        self.inward = nn.Linear(config.grid_width, config.width)
        self.norm_out = nn.LayerNorm(config.width)
        self.outward = nn.Linear(config.width, config.language_width)

    def forward(self, grid: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.outward(self.norm_out(functional.gelu(self.inward(self.norm(grid)))))
        return out


class Bridge(nn.Module):
    """(B, N, grid_width) → (B, picture_tokens, language_width): start, what the picture says, end."""

    def __init__(self, config: BridgeConfig) -> None:
        super().__init__()
        self.config = config
        self.body: nn.Module = PerceiveSampler(config) if config.kind == "sampler" else MLPProjector(config)
        self.start = nn.Parameter(torch.randn(config.language_width) * 0.02)
        self.end = nn.Parameter(torch.randn(config.language_width) * 0.02)

    def forward(self, grid: torch.Tensor) -> torch.Tensor:
        wanted = (self.config.grid_tokens, self.config.grid_width)
        if grid.dim() != 3 or grid.shape[1:] != wanted:
            raise ModelError("bridge_grid", tower=self.config.tower, wanted=wanted, given=tuple(grid.shape[1:]))
        inner = self.body(grid)
        start, end = (vector.expand(len(grid), 1, -1) for vector in (self.start, self.end))
        return torch.cat([start, inner, end], dim=1)

    @torch.no_grad()
    def match(self, embeddings: torch.Tensor) -> None:
        """Start where the language model's own word embeddings (V, language_width) lie: their mean and spread.

        A frozen model understands nothing far from them; training then moves within what it knows.
        """
        mean, spread = embeddings.float().mean(0), embeddings.float().std(0)
        outward = self.body.outward
        assert isinstance(outward, nn.Linear)
        outward.weight.copy_(torch.randn_like(outward.weight) * spread[:, None] / outward.in_features**0.5)
        outward.bias.copy_(mean)
        for vector in (self.start, self.end):
            vector.copy_(mean + spread * torch.randn_like(mean))

    def save_pretrained(self, folder: Path, *, half: bool = True) -> None:
        """Write ``bridge.json`` and ``bridge.safetensors`` (float16 unless told otherwise)."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        dtype = torch.float16 if half else torch.float32
        tensors = {name: value.detach().to("cpu", dtype).contiguous() for name, value in self.state_dict().items()}
        save_file(tensors, folder / WEIGHTS_FILE)
        (folder / CONFIG_FILE).write_text(json.dumps(asdict(self.config), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def from_pretrained(cls, folder: Path) -> Bridge:
        """In float32, in evaluation mode. Raises ModelError where the folder holds no bridge or one of another make."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        config = read_config(folder)
        with torch.device("meta"):
            bridge = cls(config)
        try:
            tensors = load_file(folder / WEIGHTS_FILE)
            bridge.load_state_dict({name: value.float() for name, value in tensors.items()}, assign=True)
        except (OSError, SafetensorError, RuntimeError) as error:
            raise ModelError("bridge_unreadable", file=str(folder / WEIGHTS_FILE), reason=str(error)) from error
        return bridge.eval()


def read_config(folder: Path) -> BridgeConfig:
    """Raises ModelError where there is none, or it has settings this version does not know."""
    file = folder / CONFIG_FILE
    try:
        values: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError("bridge_unreadable", file=str(file), reason=str(error)) from error
    known = {field.name for field in fields(BridgeConfig)}
    if strange := sorted(set(values) - known):
        raise ModelError("bridge_setting_unknown", file=str(file), setting=strange[0])
    try:
        return BridgeConfig(**values)
    except TypeError as error:
        raise ModelError("bridge_unreadable", file=str(file), reason=str(error)) from error
