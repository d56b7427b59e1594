"""A language model that answers by rules a test gives, behind the real protocol. Counts what it was asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from vision.errors import PromptTooLong
from vision.interfaces import Chunk, ModelIdentity, Prompt, Sampling, Usage

Answer = Callable[[Prompt, Sampling], str]
Scores = Callable[[Prompt, Sequence[str]], list[float]]


class ScriptedModel:
    """``answer`` gives the full continuation of a prompt; it is streamed in pieces and cut at stop strings and at
    ``max_tokens`` words, as a model would. ``scores`` gives log-probabilities of options. A token is a word.
    """

    sees_images = False

    def __init__(self, answer: Answer, scores: Scores | None = None, context_tokens: int = 4096) -> None:
        self.identity = ModelIdentity("scripted", "0" * 64)
        self.context_tokens = context_tokens
        self.usage = Usage()
        self.asked: list[Prompt] = []
        self.samplings: list[Sampling] = []
        self._answer = answer
        self._scores = scores or (lambda prompt, options: [-1.0] * len(options))

    def count_tokens(self, prompt: Prompt) -> int:
        return sum(len(message.text.split()) for message in prompt)

    def stream(self, prompt: Prompt, sampling: Sampling) -> Iterator[Chunk]:
        used = self.count_tokens(prompt)
        if used >= self.context_tokens:
            raise PromptTooLong(f"the prompt has {used} tokens; the model reads {self.context_tokens}")
        self.usage.prompt_tokens += used
        self.asked.append(prompt)
        self.samplings.append(sampling)
        text, finish = self._answer(prompt, sampling), "stop"
        cuts = [at for stop in sampling.stop if (at := text.find(stop)) >= 0]
        text = text[: min(cuts)] if cuts else text
        pieces = [text[i : i + 3] for i in range(0, len(text), 3)]
        words = 0
        for piece in pieces:
            words += piece.count(" ")
            if words >= sampling.max_tokens:
                finish = "length"
                break
            self.usage.generated_tokens += 1
            yield Chunk(piece)
        yield Chunk("", finish=finish)

    def stream_batch(self, prompts: Sequence[Prompt], samplings: Sequence[Sampling]) -> Iterator[Chunk]:
        for index, (prompt, sampling) in enumerate(zip(prompts, samplings, strict=True)):
            for chunk in self.stream(prompt, sampling):
                yield Chunk(chunk.text, index, chunk.finish)

    def score(self, prompt: Prompt, options: Sequence[str]) -> list[float]:
        self.usage.prompt_tokens += self.count_tokens(prompt)
        self.asked.append(prompt)
        return self._scores(prompt, options)

    def score_batch(self, prompts: Sequence[Prompt], options: Sequence[Sequence[str]]) -> list[list[float]]:
        return [self.score(prompt, own) for prompt, own in zip(prompts, options, strict=True)]


def question(prompt: Prompt) -> str:
    """The last thing a user said."""
    return next(message.text for message in reversed(prompt) if message.role == "user")
