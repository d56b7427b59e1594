"""What the rest of Vignette may ask of a model: two protocols and the values that cross them.

Deliberately knows nothing of how a model is stored or run: the embedded engine, a transformers
checkpoint and a remote server stand behind ``VisionLanguageModel`` alike, and any open_clip
checkpoint behind ``JointEncoder``. Imports neither torch nor transformers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

Role: TypeAlias = Literal["system", "user", "assistant"]
FinishReason: TypeAlias = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """Names exactly one set of weights.

    ``name`` is what a person calls it, ``sha256`` the hash of its weights (of the config and sorted
    file hashes where there are several files).
    """

    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation. ``content`` mixes texts and pictures in reading order.

    Where the last message of a prompt has role ``assistant``, the model continues that text instead
    of opening a new turn: the way to force the start of an answer.
    """

    role: Role
    content: tuple[str | Image, ...]

    @classmethod
    def of(cls, role: Role, text: str) -> Message:
        return cls(role, (text,))

    @property
    def text(self) -> str:
        return "".join(part for part in self.content if isinstance(part, str))


Prompt: TypeAlias = Sequence[Message]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to draw tokens. ``temperature`` 0 is greedy.

    ``repetition_penalty`` follows CTRL (arXiv:1909.05858) and covers generated tokens and, of the
    prompt, only an assistant turn being continued. ``stop`` strings end generation and are not part of
    the text. The same seed and prompt give the same tokens on the same machine.
    """

    max_tokens: int = 512
    temperature: float = 0.7
    top_p: float = 0.9
    repetition_penalty: float = 1.0
    seed: int = 0
    stop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise ValueError(f"max_tokens is {self.max_tokens}; it must be at least 1")
        if self.temperature < 0:
            raise ValueError(f"temperature is {self.temperature}; it must be 0 or more")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p is {self.top_p}; it must be in (0, 1]")
        if self.repetition_penalty <= 0:
            raise ValueError(f"repetition_penalty is {self.repetition_penalty}; it must be above 0")


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of generated text: valid Unicode, never half a character.

    ``index`` says which prompt of a batch it belongs to. The last chunk of each prompt has ``finish``
    set (its text may be empty): ``stop`` at an end-of-turn token or stop string, ``length`` at
    ``max_tokens`` or a full context window.
    """

    text: str
    index: int = 0
    finish: FinishReason | None = None


@dataclass(slots=True)
class Usage:
    """Running totals since the model was loaded; a stage's cost is the difference of two copies."""

    prompt_tokens: int = 0
    cached_tokens: int = 0  # of prompt_tokens, those found in the key-value cache
    generated_tokens: int = 0

    def copy(self) -> Usage:
        return Usage(self.prompt_tokens, self.cached_tokens, self.generated_tokens)

    def add(self, more: Usage) -> None:
        self.prompt_tokens += more.prompt_tokens
        self.cached_tokens += more.cached_tokens
        self.generated_tokens += more.generated_tokens

    def since(self, earlier: Usage) -> Usage:
        return Usage(
            self.prompt_tokens - earlier.prompt_tokens,
            self.cached_tokens - earlier.cached_tokens,
            self.generated_tokens - earlier.generated_tokens,
        )


@runtime_checkable
class VisionLanguageModel(Protocol):
    """A model that writes and judges. Implementations reuse the key-value cache of a shared prefix.

    One instance serves one caller at a time; callers that share one take turns with ``lock`` of their own.
    """

    identity: ModelIdentity
    sees_images: bool
    context_tokens: int
    usage: Usage

    def count_tokens(self, prompt: Prompt) -> int:
        """Tokens the prompt takes up, chat template included."""
        ...

    def stream(self, prompt: Prompt, sampling: Sampling) -> Iterator[Chunk]:
        """Generate one continuation. Closing the iterator cancels between tokens.

        Raises PromptTooLong where the prompt leaves no room for a single token, ModelError where it holds
        pictures and ``sees_images`` is false.
        """
        ...

    def stream_batch(self, prompts: Sequence[Prompt], samplings: Sequence[Sampling]) -> Iterator[Chunk]:
        """Generate for several prompts at once; chunks interleave and carry ``index``. Errors as ``stream``."""
        ...

    def score(self, prompt: Prompt, options: Sequence[str]) -> list[float]:
        """Natural-log probability of each option as the continuation of the prompt, summed over its tokens.

        Not normalised over the options or by length. The option's tokens alone count, not an end of turn.
        """
        ...

    def score_batch(self, prompts: Sequence[Prompt], options: Sequence[Sequence[str]]) -> list[list[float]]:
        """``score`` for several prompts in one pass over their shared prefix."""
        ...


@dataclass(frozen=True, slots=True)
class EncoderIdentity:
    """Which encoder made a library's vectors; a library refuses vectors of another one.

    ``visual_dim`` is D of ``encode_images`` and ``encode_texts``; ``textual_dim`` that of
    ``encode_sentences``.
    """

    name: str
    sha256: str
    visual_dim: int
    textual_dim: int


@runtime_checkable
class JointEncoder(Protocol):
    """Texts and images in one space, and texts among themselves in a second one.

    ``languages`` are the ISO 639-1 codes its text tower reads; None means it is multilingual.
    All vectors are unit length, float32, C-contiguous; of a text that holds nothing the encoder knows, all zeros.
    """

    identity: EncoderIdentity
    languages: frozenset[str] | None

    def encode_images(self, images: Sequence[Image]) -> np.ndarray:
        """RGB pictures of any size to (n, visual_dim)."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """What a picture should show to (n, visual_dim), comparable with ``encode_images``."""
        ...

    def encode_sentences(self, texts: Sequence[str]) -> np.ndarray:
        """Queries and captions alike to (n, textual_dim), comparable with each other."""
        ...
