"""A training run of the caption bridge: data and recipe in, a folder out that ``CaptionBridge.load`` reads.

First by text alone: a text's own vector in the joint space, with noise, and the text after it (CapDec,
arXiv:2211.00575). The noise is what pictures' vectors had beside those of their texts, taken from one picture and added
to another's text, so that it has the size and the directions of what the bridge will meet. Then the pictures
themselves, by the vectors that a joint encoder gives them which has not seen their books: as new pictures look, not as
learned ones.

Both come from the shipped encoder's kernel without a picture being read: it is ridge regression, and holds for each
training picture what it looks like, and with all of them together what was said of it. Import it lazily: torch comes
with it.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from vision.bridge.caption_bridge import CaptionBridge, CaptionBridgeConfig
from vision.downloads.files import read_json, write_atomic
from vision.downloads.store import locate
from vision.errors import DataError
from vision.joint_encoder.checkpoint import SHIPPED, ShippedCheckpoint
from vision.joint_encoder.kernel_regression import REGRESSION_PREFIX, KernelRegression, nearness
from vision.llm.batch_runner import SequenceInput
from vision.llm.gguf import read_gguf
from vision.llm.model import GgufModel, load_gguf_model
from vision.training import Progress
from vision.training.batches import batches_of
from vision.training.bridge.holdout import held_back_books
from vision.training.bridge.train import REPORT_FILE, RunReport
from vision.training.captions.recipe import CaptionRecipe
from vision.training.captions.texts import ABOUT_PICTURES, CaptionText, caption_texts, tag_words
from vision.training.charts import require_charts
from vision.training.dataset import Figure, figures_of, read_articles
from vision.training.joint.cross_validation import book_folds
from vision.training.loop import Loss, run_steps
from vision.vectors import unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

_READ_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class PictureVectors:
    """Of each training picture (n, D), unit length: ``said`` what was said of it, ``unseen`` what a kernel says of it
    that has not seen its book.
    """

    said: Array
    unseen: Array


@dataclass(frozen=True, slots=True)
class ReadTexts:
    """What the language model made of all texts, side by side: ``states`` (m, width) before each token, the token's id
    and whether it may be learned, and where text i ``start``s; ``start`` has one more, the end.
    """

    states: NDArray[np.float16]
    tokens: NDArray[np.int64]
    counts: NDArray[np.bool_]
    start: NDArray[np.int64]

    def rows(self, texts: Sequence[int]) -> NDArray[np.int64]:
        return np.concatenate([np.arange(self.start[i], self.start[i + 1]) for i in texts])


def train_captions(data: Path, out: Path, recipe: CaptionRecipe, progress: Progress = lambda *_: None) -> RunReport:
    """Train on all, then measure the same on books held back. Raises DataError where the shipped encoder learned from
    other data.
    """
    require_charts()
    started = time.monotonic()
    figures = figures_of(read_articles(data, "train"))
    held_back = held_back_books(figures)
    checkpoint = ShippedCheckpoint()
    vectors = picture_vectors(checkpoint, [figure.book for figure in figures])
    path = locate(recipe.language_model)
    model = load_gguf_model(path, context_tokens=1024)
    texts = caption_texts(figures)
    read = read_texts(model, recipe, texts, out / "cache", progress)
    weights = read_gguf(path).tensors
    embeddings = weights["output.weight" if "output.weight" in weights else "token_embd.weight"].floats()
    config = CaptionBridgeConfig(
        checkpoint.name, checkpoint.sha256, recipe.language_model, model.identity.sha256, recipe.lead
    )
    unseen = np.array([figures[text.figure].book in held_back for text in texts])
    run = _CaptionRun(recipe, figures, texts, read, vectors, embeddings, config, out, progress)
    run.fit(np.arange(len(texts)), "all").save(out)
    own, other = run.nats(run.fit(np.flatnonzero(~unseen), "held"), np.flatnonzero(unseen))
    report = RunReport(
        "captions",
        asdict(recipe),
        len(texts),
        len({text.figure for text in texts}),
        len({figure.book for figure in figures}),
        held_back,
        {"caption": own},
        {"caption": other},
        2 * round((recipe.text_epochs + recipe.epochs) * len(texts) / recipe.batch),
        round(time.monotonic() - started, 1),
    )
    write_atomic(out / REPORT_FILE, (json.dumps(asdict(report), indent=2) + "\n").encode())
    return report


def picture_vectors(checkpoint: ShippedCheckpoint, books: Sequence[str]) -> PictureVectors:
    """Both kinds of vectors of the encoder's training pictures, whose ``books`` are given in their order.

    Ridge regression solves (K + penalty) answers = said; what was said is the left side again, and what a fit without a
    book says comes from the same system without its rows. Raises DataError where there are more pictures than examples.
    """
    kernel = KernelRegression.of(checkpoint.tensors(REGRESSION_PREFIX))
    if len(books) > len(kernel.examples):
        raise DataError("encoder_of_other_data", pictures=len(books), examples=len(kernel.examples))
    recipe = read_json(SHIPPED / "training.json")["recipe"]
    count = len(books)
    near = nearness(kernel.examples, kernel.examples, kernel.sharpness, len(kernel.widths))
    worth = np.concatenate([np.ones(count), np.full(len(near) - count, recipe["class_share"])])
    system = near.copy()
    system[np.diag_indices(len(system))] += (recipe["penalty"] / worth).astype(np.float32)
    said = system @ kernel.answers
    unseen = np.zeros((count, said.shape[1]), np.float32)
    for fold in book_folds(books):
        rest = np.setdiff1d(np.arange(len(system)), fold)
        answers = np.linalg.solve(system[np.ix_(rest, rest)], said[rest])
        unseen[fold] = near[np.ix_(fold, rest)] @ answers
    return PictureVectors(unit(said[:count]), unit(unseen))


def read_texts(
    model: GgufModel,
    recipe: CaptionRecipe,
    texts: Sequence[CaptionText],
    cache: Path,
    progress: Progress = lambda *_: None,
) -> ReadTexts:
    """Each text once through the language model, after the lead; an end follows what is a whole sentence."""
    key = hashlib.sha256(json.dumps([model.identity.sha256, recipe.lead, [asdict(t) for t in texts]]).encode())
    file = cache / f"states-{key.hexdigest()[:20]}.npz"
    if file.is_file():
        with np.load(file) as kept:
            return ReadTexts(**{name: kept[name] for name in kept})
    lead, end = model.tokenizer.encode(recipe.lead), min(model.tokenizer.end_ids)
    parts: list[np.ndarray] = []
    tokens: list[int] = []
    counts: list[bool] = []
    start = [0]
    for first in range(0, len(texts), _READ_AT_ONCE):
        some = [(text, model.tokenizer.encode(f" {text.text}")) for text in texts[first : first + _READ_AT_ONCE]]
        opened = [model.runner.cache.open(lead) for _ in some]
        inputs = [
            SequenceInput(sequence, [*lead, *ids][len(sequence) :], [*ids, end])
            for sequence, (_, ids) in zip(opened, some, strict=True)
        ]
        parts += [states.astype(np.float16) for states in model.runner.states(inputs)]
        for sequence in opened:
            model.runner.cache.close(sequence, remember=False)
        for text, ids in some:
            tokens += [*ids, end]
            counts += [*_counting(text, [model.tokenizer.decode([id_]) for id_ in ids]), text.is_whole]
            start.append(len(tokens))
        progress("texts", len(start) - 1, len(texts))
    read = ReadTexts(np.concatenate(parts), np.array(tokens), np.array(counts), np.array(start))
    cache.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(".partial.npz")
    np.savez(draft, **asdict(read))
    draft.replace(file)
    return read


def _counting(text: CaptionText, pieces: Sequence[str]) -> list[bool]:
    """Of each token whether the word it belongs to may be learned."""
    word, counts = -1, []
    for piece in pieces:
        word += piece.startswith(" ")
        counts.append(text.counts[min(max(word, 0), len(text.counts) - 1)])
    return counts


class _Network(nn.Module):
    """The trainable part, on standardised states and pictures' vectors of length √D."""

    def __init__(self, recipe: CaptionRecipe, width: int, dim: int, tokens: int) -> None:
        super().__init__()
        self.state = nn.Linear(width, recipe.width)
        self.picture = nn.Linear(dim, recipe.width, bias=False)
        self.out = nn.Linear(recipe.width, width)
        self.direct = nn.Linear(dim, width, bias=False)
        self.token_bias = nn.Parameter(torch.zeros(tokens))
        self.dropout = nn.Dropout(recipe.dropout)
        for layer in (self.out, self.direct):
            nn.init.normal_(layer.weight, std=0.01)
        nn.init.zeros_(self.out.bias)
        self.stretch = dim**0.5

    def forward(self, states: torch.Tensor, pictures: torch.Tensor) -> torch.Tensor:
        """How the states move, in their own standard deviations."""
        pictures = pictures * self.stretch
        hidden = functional.gelu(0.5 * self.state(states) + self.picture(pictures))
        out: torch.Tensor = self.out(self.dropout(hidden)) + self.direct(pictures)
        return out


@dataclass(frozen=True, slots=True)
class _CaptionRun:
    recipe: CaptionRecipe
    figures: Sequence[Figure]
    texts: Sequence[CaptionText]
    read: ReadTexts
    vectors: PictureVectors
    embeddings: Array
    config: CaptionBridgeConfig
    out: Path
    progress: Progress

    def fit(self, chosen: NDArray[np.int64], name: str) -> CaptionBridge:
        """A bridge that knows the chosen texts and their pictures alone."""
        recipe, read = self.recipe, self.read
        rows = read.rows(chosen.tolist())
        seen = Counter(read.tokens[rows[read.counts[rows]]].tolist())
        vocabulary = np.array(sorted(token for token, count in seen.items() if count >= recipe.token_texts))
        place = self._places(vocabulary)
        figures = np.unique([self.texts[i].figure for i in chosen])
        states = read.states[rows].astype(np.float32)
        mean, spread = states.mean(0), states.std(0)
        torch.manual_seed(recipe.seed)
        network = _Network(recipe, states.shape[1], self.vectors.said.shape[1], len(vocabulary))
        words = torch.from_numpy(self.embeddings[vocabulary])
        pictures = _PictureSampler(self.vectors, figures, recipe.jitter)
        scale = float(spread.mean())

        def loss(stage: str) -> Loss:
            def of(samples: Sequence[int]) -> tuple[torch.Tensor, float]:
                rows, owners = self._learned(chosen[list(samples)], place)
                own = torch.from_numpy(read.states[rows].astype(np.float32))
                moved = own + scale * network(
                    (own - torch.from_numpy(mean)) / torch.from_numpy(spread), pictures(owners, stage)
                )
                logits = moved @ words.T + network.token_bias
                wanted = torch.from_numpy(place[read.tokens[rows]])
                return functional.cross_entropy(logits.float(), wanted, reduction="sum"), float(len(rows))

            return of

        network.train()
        lengths = np.diff(read.start)[chosen].tolist()
        batches = batches_of(lengths, recipe.batch, recipe.seed)
        key = self._key(chosen)
        parameters = dict(network.named_parameters())
        for stage, epochs in (("texts", recipe.text_epochs), ("pictures", recipe.epochs)):
            if epochs:
                some = replace(recipe, epochs=epochs)
                run_steps(f"{name}-{stage}", parameters, batches, loss(stage), some, key, self.out, self.progress)
        return self._bridge(network, vocabulary, mean, spread, scale, figures)

    def nats(self, bridge: CaptionBridge, chosen: NDArray[np.int64]) -> tuple[float, float]:
        """The mean loss a token of these texts with their own pictures, and with their neighbours'."""
        read, sums = self.read, np.zeros(2)
        place = self._places(bridge.tokens)
        rows, owners = self._learned(chosen, place)
        figures = np.unique(owners)
        shifted = dict(zip(figures.tolist(), np.roll(figures, 1).tolist(), strict=True))
        others = np.array([shifted[owner] for owner in owners.tolist()])
        for first in range(0, len(rows), 512):
            some = slice(first, first + 512)
            wanted = place[read.tokens[rows[some]]]
            for side, shown in enumerate((owners[some], others[some])):
                log_probs = bridge.log_probs(read.states[rows[some]].astype(np.float32), self.vectors.unseen[shown])
                sums[side] -= log_probs[np.arange(len(wanted)), wanted].sum()
        own, other = sums / max(1, len(rows))
        return float(own), float(other)

    def _places(self, vocabulary: NDArray[np.int64]) -> NDArray[np.int64]:
        """Of each of the language model's tokens its place in the vocabulary, or -1."""
        place = np.full(len(self.embeddings), -1)
        place[vocabulary] = np.arange(len(vocabulary))
        return place

    def _learned(
        self, chosen: NDArray[np.int64], place: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows of the chosen texts' tokens that may be learned and have a place, and the figure of each."""
        read = self.read
        rows = read.rows(chosen.tolist())
        owners = np.repeat([self.texts[i].figure for i in chosen], np.diff(read.start)[chosen])
        known = read.counts[rows] & (place[read.tokens[rows]] >= 0)
        return rows[known], owners[known]

    def _bridge(
        self,
        network: _Network,
        vocabulary: NDArray[np.int64],
        mean: Array,
        spread: Array,
        scale: float,
        figures: NDArray[np.int64],
    ) -> CaptionBridge:
        """The network with everything around it folded into its weights."""
        trained = {name: value.detach().float().numpy() for name, value in network.state_dict().items()}
        inward = 0.5 * trained["state.weight"] / spread
        weights = {
            "state.weight": inward,
            "state.bias": 0.5 * trained["state.bias"] - inward @ mean,
            "picture.weight": trained["picture.weight"] * network.stretch,
            "out.weight": trained["out.weight"] * scale,
            "out.bias": trained["out.bias"] * scale,
            "direct.weight": trained["direct.weight"] * network.stretch * scale,
            "token_bias": trained["token_bias"],
            "embeddings": self.embeddings[vocabulary],
        }
        tags, tag_weights = self._tags(figures)
        ordinary = Counter(word for text in self.texts for word in _plain_words(text))
        known = tuple(sorted({word for word, count in ordinary.items() if count > 1} - ABOUT_PICTURES | set(tags)))
        return CaptionBridge(replace(self.config, tags=tags, words=known), vocabulary, weights | tag_weights)

    def _tags(self, figures: NDArray[np.int64]) -> tuple[tuple[str, ...], dict[str, Array]]:
        """Which words a picture's description holds, by ridge regression on its vector; rare words count for more."""
        recipe = self.recipe
        said = tag_words([self.figures[i] for i in figures])
        found = Counter(word for words in said for word in words)
        tags = tuple(sorted(word for word, count in found.items() if count >= recipe.tag_pictures))
        column = {word: place for place, word in enumerate(tags)}
        present = np.zeros((len(figures), len(tags)), np.float32)
        for row, words in enumerate(said):
            present[row, [column[word] for word in words if word in column]] = 1
        seen = self.vectors.unseen[figures]
        share, mean = present.mean(0), seen.mean(0)
        spread = (seen - mean).T @ (seen - mean) + recipe.tag_penalty * np.eye(seen.shape[1], dtype=np.float32)
        weight = np.linalg.solve(spread, (seen - mean).T @ (present - share)).T / (share**recipe.tag_rarity)[:, None]
        return tags, {"tag_weight": weight, "tag_bias": -(weight @ mean)}

    def _key(self, chosen: NDArray[np.int64]) -> str:
        # Tags are fitted afterwards, in closed form.
        steps = {name: value for name, value in asdict(self.recipe).items() if not name.startswith("tag_")}
        seal = hashlib.sha256(json.dumps([steps, self.config.language_sha256], sort_keys=True).encode())
        for part in (chosen, self.read.tokens, self.vectors.said, self.vectors.unseen):
            seal.update(np.ascontiguousarray(part).tobytes())
        return seal.hexdigest()


class _PictureSampler:
    """Vectors that stand for pictures, drawn anew each time they are asked for."""

    def __init__(self, vectors: PictureVectors, figures: NDArray[np.int64], jitter: float) -> None:
        said, unseen = vectors.said[figures], vectors.unseen[figures]
        # How much of what is said a picture tells, and what it tells beside.
        self._told = float((said * unseen).sum() / (said * said).sum())
        self._beside = torch.from_numpy(unseen - self._told * said)
        self._said, self._unseen = torch.from_numpy(vectors.said), torch.from_numpy(vectors.unseen)
        self._jitter = jitter

    def __call__(self, figures: NDArray[np.int64], stage: str) -> torch.Tensor:
        rows = torch.from_numpy(figures)
        if stage == "texts":
            drawn = torch.randint(len(self._beside), (len(rows),))
            return functional.normalize(self._told * self._said[rows] + self._beside[drawn], dim=1)
        own = self._unseen[rows]
        return functional.normalize(own + self._jitter * torch.randn_like(own), dim=1)


def _plain_words(text: CaptionText) -> list[str]:
    return [
        word.strip(".,;:!?()–—-").lower() for word, counts in zip(text.words, text.counts, strict=True) if counts
    ]  # fmt: skip
