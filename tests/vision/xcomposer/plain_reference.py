"""The forward pass of InternLM-XComposer once more, token by token and patch by patch in float64, to compare with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

Weights = Mapping[str, np.ndarray]
TOWER = "vit.vision_tower.vision_model"


def logits(
    weights: Weights, config: Mapping[str, object], parts: Sequence[list[int] | np.ndarray], patch: int
) -> np.ndarray:
    """(n, V) for a prompt of token ids and pictures, each (3, H, W) of normalised pixels."""
    rows, seen = [], []
    for part in parts:
        if isinstance(part, list):
            rows += [weights["model.tok_embeddings.weight"][token] for token in part]
            seen += [False] * len(part)
        else:
            vectors = picture(weights, part, patch)
            rows += list(vectors)
            seen += [True] * len(vectors)
    states = np.array(rows)
    for layer in range(int(str(config["num_hidden_layers"]))):
        states = decoder_layer(weights, config, layer, states, seen)
    return norm(states, weights["model.norm.weight"], config) @ weights["output.weight"].T


def decoder_layer(
    weights: Weights, config: Mapping[str, object], layer: int, states: np.ndarray, seen: Sequence[bool]
) -> np.ndarray:
    heads, kv_heads = int(str(config["num_attention_heads"])), int(str(config["num_key_value_heads"]))
    width = states.shape[1] // heads
    name = f"model.layers.{layer}"

    def linear(which: str, x: np.ndarray, picture: bool) -> np.ndarray:
        out = weights[f"{name}.{which}.weight"] @ x + weights.get(f"{name}.{which}.bias", np.zeros(1))
        if picture:  # rank 256, alpha 256
            out = out + weights[f"{name}.{which}.Plora_B.weight"] @ (weights[f"{name}.{which}.Plora_A.weight"] @ x)
        return out

    normed = norm(states, weights[f"{name}.attention_norm.weight"], config)
    queries, keys, values = [], [], []
    for place, x in enumerate(normed):
        split = linear("attention.wqkv", x, seen[place]).reshape(kv_heads, heads // kv_heads + 2, width)
        queries.append(
            [
                turned(split[h // (heads // kv_heads), h % (heads // kv_heads)], place, len(states), config)
                for h in range(heads)
            ]
        )
        keys.append([turned(split[h, -2], place, len(states), config) for h in range(kv_heads)])
        values.append(split[:, -1])
    out = []
    for place in range(len(states)):
        mixed = []
        for head in range(heads):
            group = head // (heads // kv_heads)
            odds = np.array([queries[place][head] @ keys[past][group] for past in range(place + 1)]) / math.sqrt(width)
            odds = np.exp(odds - odds.max())
            mixed.append(sum(o * values[past][group] for past, o in enumerate(odds / odds.sum())))
        out.append(states[place] + linear("attention.wo", np.concatenate(mixed), seen[place]))
    after = []
    for place, (state, x) in enumerate(
        zip(out, norm(np.array(out), weights[f"{name}.ffn_norm.weight"], config), strict=True)
    ):
        gate, up = (linear(f"feed_forward.{which}", x, seen[place]) for which in ("w1", "w3"))
        after.append(state + linear("feed_forward.w2", gate / (1 + np.exp(-gate)) * up, seen[place]))
    return np.array(after)


def turned(x: np.ndarray, place: int, length: int, config: Mapping[str, object]) -> np.ndarray:
    width, base, most = len(x), float(str(config["rope_theta"])), int(str(config["max_position_embeddings"]))
    scaling = config.get("rope_scaling")
    kind, factor = (scaling["type"], scaling["factor"]) if isinstance(scaling, dict) else ("", 1.0)
    if kind == "dynamic" and length > most:
        base *= (factor * length / most - (factor - 1)) ** (width / (width - 2))
    out = np.empty_like(x)
    for i in range(width // 2):
        angle = place / (factor if kind == "linear" else 1.0) / base ** (2 * i / width)
        a, b = x[i], x[i + width // 2]
        out[i] = a * math.cos(angle) - b * math.sin(angle)
        out[i + width // 2] = b * math.cos(angle) + a * math.sin(angle)
    return out


def norm(x: np.ndarray, weight: np.ndarray, config: Mapping[str, object]) -> np.ndarray:
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + float(str(config["rms_norm_eps"]))) * weight


def picture(weights: Weights, pixels: np.ndarray, patch: int) -> np.ndarray:
    """(N, width): for 2.5 the small view, then the tiles' rows across the whole picture; for 2 the one square."""
    grid = math.isqrt(len(weights[f"{TOWER}.embeddings.position_embedding.weight"]) - 1)
    px = grid * patch
    if "plora_sub_GN" not in weights:
        return projected(weights, tower(weights, pixels, grid, patch).reshape(grid * grid, -1))
    end, between = weights["plora_sub_GN"].ravel(), weights["plora_glb_GN"].ravel()
    rows = [*merged_rows(tower(weights, shrunk(pixels, px), grid, patch), end), between]
    columns = pixels.shape[2] // px
    for row in range(pixels.shape[1] // px):
        line = [pixels[:, row * px : (row + 1) * px, c * px : (c + 1) * px] for c in range(columns)]
        rows += merged_rows(np.concatenate([tower(weights, tile, grid, patch) for tile in line], axis=1), end)
    return projected(weights, np.array(rows))


def merged_rows(seen: np.ndarray, end: np.ndarray) -> list[np.ndarray]:
    """(rows, columns, C) patches two by two, each row of them closed by ``end``."""
    out = []
    for y in range(0, seen.shape[0], 2):
        for x in range(0, seen.shape[1], 2):
            out.append(np.concatenate([seen[y, x], seen[y, x + 1], seen[y + 1, x], seen[y + 1, x + 1]]))
        out.append(end)
    return out


def projected(weights: Weights, x: np.ndarray) -> np.ndarray:
    inner = x @ weights["vision_proj.0.weight"].T + weights["vision_proj.0.bias"]
    inner = inner * 0.5 * (1 + np.vectorize(math.erf)(inner / math.sqrt(2)))
    return inner @ weights["vision_proj.2.weight"].T + weights["vision_proj.2.bias"]


def shrunk(pixels: np.ndarray, px: int) -> np.ndarray:
    """Bicubic without smoothing (a = -0.75), centres aligned, edges repeated."""

    def kernel(distance: float) -> float:
        d = abs(distance)
        if d <= 1:
            return 1.25 * d**3 - 2.25 * d**2 + 1
        return -0.75 * (d**3 - 5 * d**2 + 8 * d - 4) if d < 2 else 0.0

    def matrix(length: int) -> np.ndarray:
        out = np.zeros((px, length))
        for i in range(px):
            centre = (i + 0.5) * length / px - 0.5
            for j in range(math.floor(centre) - 1, math.floor(centre) + 3):
                out[i, min(max(j, 0), length - 1)] += kernel(centre - j)
        return out

    return np.einsum("yh,chw,xw->cyx", matrix(pixels.shape[1]), pixels, matrix(pixels.shape[2]))


def tower(weights: Weights, pixels: np.ndarray, grid: int, patch: int) -> np.ndarray:
    """(3, px, px) → (grid, grid, C): CLIP's last layer without its norm and class token."""
    kernel = weights[f"{TOWER}.embeddings.patch_embedding.weight"].reshape(-1, 3 * patch * patch)
    cells = [
        kernel @ pixels[:, y * patch : (y + 1) * patch, x * patch : (x + 1) * patch].ravel()
        for y in range(grid)
        for x in range(grid)
    ]
    x = np.array([weights[f"{TOWER}.embeddings.class_embedding"], *cells])
    x = x + weights[f"{TOWER}.embeddings.position_embedding.weight"]
    x = layer_norm(weights, "pre_layrnorm", x)
    heads = x.shape[1] // 64
    layer = 0
    while f"{TOWER}.encoder.layers.{layer}.mlp.fc1.weight" in weights:
        name = f"encoder.layers.{layer}"
        normed = layer_norm(weights, f"{name}.layer_norm1", x)
        q, k, v = (affine(weights, f"{name}.self_attn.{part}_proj", normed) for part in ("q", "k", "v"))
        mixed = []
        for head in range(heads):
            part = slice(64 * head, 64 * head + 64)
            odds = q[:, part] @ k[:, part].T / 8
            odds = np.exp(odds - odds.max(-1, keepdims=True))
            mixed.append(odds / odds.sum(-1, keepdims=True) @ v[:, part])
        x = x + affine(weights, f"{name}.self_attn.out_proj", np.concatenate(mixed, axis=1))
        inner = affine(weights, f"{name}.mlp.fc1", layer_norm(weights, f"{name}.layer_norm2", x))
        x = x + affine(weights, f"{name}.mlp.fc2", inner / (1 + np.exp(-1.702 * inner)))
        layer += 1
    return x[1:].reshape(grid, grid, -1)


def affine(weights: Weights, name: str, x: np.ndarray) -> np.ndarray:
    return x @ weights[f"{TOWER}.{name}.weight"].T + weights[f"{TOWER}.{name}.bias"]


def layer_norm(weights: Weights, name: str, x: np.ndarray) -> np.ndarray:
    centred = x - x.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    return scaled * weights[f"{TOWER}.{name}.weight"] + weights[f"{TOWER}.{name}.bias"]
