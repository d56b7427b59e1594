"""A model of an OpenAI-compatible server behind ``vision.interfaces.VisionLanguageModel``.

A stream that breaks off goes on from the text it has brought: nothing that was written is lost or written twice. The
prompts of a batch are asked at once, as many as the connection allows; several callers share one model.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import queue
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Any, TypeAlias

from vision.errors import KeyedError, ModelError, Phrase
from vision.interfaces import Chunk, FinishReason, ModelIdentity, Prompt, Sampling, Usage
from vision.served.chat_request import RequestWriter, ServerTraits, estimated_tokens
from vision.served.connection import EventLoop, PassingFault, ServerConnection
from vision.served.probing import CHAT, TOP_LOG_PROBS, ServedCard, find_model, find_traits, first_log_probs
from vision.served.scoring import DRAWN_TOKENS, DRAWS, counted, follow, whole_answers

KEY_VARIABLE = "VIGNETTE_SERVER_KEY"
_Post: TypeAlias = "queue.SimpleQueue[Chunk | BaseException | None]"


def load_served_model(
    address: str,
    model: str = "",
    *,
    key_variable: str = KEY_VARIABLE,
    context_tokens: int = 8192,
    timeout_s: float = 120.0,
    at_once: int = 8,
    **options: Any,
) -> ServedModel:
    """Find ``model`` at ``address`` (with its ``/v1``) and what the server can do.

    The key is read from the environment variable ``key_variable``, where it is set. ``context_tokens`` is lowered to
    what the server says it reads. Raises ModelError saying what to change.
    """
    connection = ServerConnection(
        _checked(address),
        key=os.environ.get(key_variable, "").strip(),
        key_variable=key_variable,
        timeout_s=timeout_s,
        at_once=at_once,
        **options,
    )
    loop = EventLoop()
    try:
        card = loop.run(find_model(connection, model))
        traits = loop.run(find_traits(connection, card.name))
    except BaseException:
        loop.run(connection.close())
        loop.close()
        raise
    return ServedModel(connection, loop, card, traits, context_tokens, at_once)


def _checked(address: str) -> str:
    """``address`` without spaces and a slash at its end. Raises ModelError where it holds a password or no host."""
    import httpx

    address = address.strip().rstrip("/")
    try:
        url = httpx.URL(address)
    except httpx.InvalidURL as error:
        raise ModelError("server_address_wrong", address=address) from error
    if url.userinfo:
        raise ModelError("server_address_holds_key", host=url.host)
    if url.scheme not in ("http", "https") or not url.host:
        raise ModelError("server_address_wrong", address=address)
    return address


class ServedModel:
    """See ``load_served_model``. Serves several callers at once, each through ``caller()``."""

    def __init__(
        self,
        connection: ServerConnection,
        loop: EventLoop,
        card: ServedCard,
        traits: ServerTraits,
        context_tokens: int,
        at_once: int,
    ) -> None:
        self.identity = ModelIdentity(card.name, _sha256(connection.address, card))
        self.sees_images = traits.sees_images
        self.context_tokens = min(context_tokens, card.context_tokens or context_tokens)
        self.callers_at_once = at_once
        self.usage = Usage()
        self.notice = _notice(connection.address, traits)
        self.traits = traits
        self._connection, self._loop = connection, loop
        self._writer = RequestWriter(card.name, traits)

    def caller(self) -> ServedCaller:
        """A view for one caller, which counts its own ``usage``."""
        return ServedCaller(self)

    def close(self) -> None:
        """End the connection and what is under way. Safe to repeat."""
        with suppress(ModelError):  # it is closed
            self._loop.run(self._connection.close())
        self._loop.close()

    def count_tokens(self, prompt: Prompt) -> int:
        """An estimate, rather too many than too few."""
        return estimated_tokens(prompt)

    def stream(self, prompt: Prompt, sampling: Sampling) -> Iterator[Chunk]:
        return self.stream_batch([prompt], [sampling])

    def stream_batch(self, prompts: Sequence[Prompt], samplings: Sequence[Sampling]) -> Iterator[Chunk]:
        return self.answer(list(zip(prompts, samplings, strict=True)), [self.usage])

    def score(self, prompt: Prompt, options: Sequence[str]) -> list[float]:
        return self.score_batch([prompt], [options])[0]

    def score_batch(self, prompts: Sequence[Prompt], options: Sequence[Sequence[str]]) -> list[list[float]]:
        return self.judge(list(zip(prompts, options, strict=True)), [self.usage])

    def answer(self, asked: Sequence[tuple[Prompt, Sampling]], meters: Sequence[Usage]) -> Iterator[Chunk]:
        """For the views: ``meters`` count what is used."""
        post: _Post = queue.SimpleQueue()
        task = self._loop.start(self._write_all(asked, post, meters))
        try:
            while (chunk := post.get()) is not None:
                if isinstance(chunk, BaseException):
                    raise chunk
                yield chunk
        finally:
            task.cancel()

    def judge(self, asked: Sequence[tuple[Prompt, Sequence[str]]], meters: Sequence[Usage]) -> list[list[float]]:
        """For the views."""
        return self._loop.run(self._score_all(asked, meters))

    # Writing

    async def _write_all(self, asked: Sequence[tuple[Prompt, Sampling]], post: _Post, meters: Sequence[Usage]) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for index, (prompt, sampling) in enumerate(asked):
                    group.create_task(self._write(index, prompt, sampling, post, meters))
        except BaseExceptionGroup as errors:
            post.put(_told_first(errors))
        except BaseException as error:
            post.put(ModelError("model_closed") if isinstance(error, asyncio.CancelledError) else error)
            raise
        else:
            post.put(None)

    async def _write(
        self, index: int, prompt: Prompt, sampling: Sampling, post: _Post, meters: Sequence[Usage]
    ) -> None:
        """One text, begun again where it broke off, as long as every try brings something."""
        written, tokens = "", 0
        pauses = self._connection.pauses()
        while True:
            left = replace(sampling, max_tokens=max(1, sampling.max_tokens - tokens))
            body = self._writer.body(prompt, left, written=written, stream=True)
            begun = self._writer.begun(prompt, written)
            try:
                async with aclosing(self._pieces(body, begun, meters)) as pieces:
                    async for text, finish in pieces:
                        written += text
                        tokens += 1
                        pauses.progressed()
                        if text or finish:
                            post.put(Chunk(text, index, finish))
                        if finish:
                            return
            except PassingFault as fault:
                await pauses.after(fault)

    async def _pieces(
        self, body: dict[str, Any], begun: str, meters: Sequence[Usage]
    ) -> AsyncGenerator[tuple[str, FinishReason | None], None]:
        """Texts of one stream, the last with its finish. Raises PassingFault where it ends without one.

        Words of ``begun`` that come again at the start are left out.
        """
        finish: FinishReason | None = None
        held: str | None = "" if begun else None
        deltas, thought, usage = 0, False, None
        try:
            async with aclosing(self._connection.events(CHAT, body)) as events:
                async for event in events:
                    usage = event.get("usage") or usage
                    for choice in (event.get("choices") or [])[:1]:
                        delta = choice.get("delta") or {}
                        text = delta.get("content") or ""
                        thought |= bool(delta.get("reasoning_content") or delta.get("reasoning"))
                        deltas += bool(text)
                        if held is not None:
                            held += text
                            if len(held.lstrip()) <= len(begun) and not choice.get("finish_reason"):
                                continue
                            text, held = _without(begun, held), None
                        if text:
                            yield text, None
                        if choice.get("finish_reason"):
                            finish = "length" if choice["finish_reason"] == "length" else "stop"
        except PassingFault:
            if finish is None:  # of a text that was finished nothing is missing but the count of its tokens
                raise
        finally:
            _count(usage, deltas, meters)
        if finish is None:
            raise PassingFault(Phrase("server_cut"))
        if thought and not deltas:
            raise ModelError("server_only_thinks", model=self.identity.name)
        yield "", finish

    # Scoring

    async def _score_all(
        self, asked: Sequence[tuple[Prompt, Sequence[str]]], meters: Sequence[Usage]
    ) -> list[list[float]]:
        if any(not option for _, options in asked for option in options):
            raise ModelError("option_empty")
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._score(prompt, options, meters)) for prompt, options in asked]
        except BaseExceptionGroup as errors:
            raise _told_first(errors) from None
        return [task.result() for task in tasks]

    async def _score(self, prompt: Prompt, options: Sequence[str], meters: Sequence[Usage]) -> list[float]:
        if not options:
            return []
        if not self.traits.log_probs:
            return counted(options, await self._draw(prompt, meters))
        if not self.traits.continues and prompt[-1].role == "assistant":
            return whole_answers(options, await self._listed(prompt, "", meters))
        return await follow(options, lambda said: self._listed(prompt, said, meters))

    async def _listed(self, prompt: Prompt, said: str, meters: Sequence[Usage]) -> dict[str, float]:
        """The likeliest tokens after the prompt and what was said, by their text."""
        plain = Sampling(max_tokens=1, temperature=1.0, top_p=1.0)  # some servers' log-probabilities come after these
        body = self._writer.body(prompt, plain, written=said) | {"logprobs": True, "top_logprobs": TOP_LOG_PROBS}
        answer = await self._connection.ask(CHAT, body)
        _count(answer.get("usage"), 1, meters)
        found = first_log_probs(answer)
        if not found:
            raise ModelError("server_log_probs_gone", address=self._connection.address)
        return found

    async def _draw(self, prompt: Prompt, meters: Sequence[Usage]) -> list[str]:
        async def draw(seed: int) -> str:
            body = self._writer.body(prompt, Sampling(max_tokens=DRAWN_TOKENS, temperature=1.0, top_p=1.0, seed=seed))
            answer = await self._connection.ask(CHAT, body)
            _count(answer.get("usage"), DRAWN_TOKENS, meters)
            text = str((answer.get("choices") or [{}])[0].get("message", {}).get("content") or "")
            return _without(self._writer.begun(prompt), text)

        return list(await asyncio.gather(*(draw(seed) for seed in range(DRAWS))))


class ServedCaller:
    """One caller's view of a served model. See ``VisionLanguageModel``; a stream may be left at any token."""

    def __init__(self, model: ServedModel) -> None:
        self.identity, self.sees_images = model.identity, model.sees_images
        self.context_tokens, self.notice = model.context_tokens, model.notice
        self.usage = Usage()
        self._model = model

    def count_tokens(self, prompt: Prompt) -> int:
        return self._model.count_tokens(prompt)

    def stream(self, prompt: Prompt, sampling: Sampling) -> Iterator[Chunk]:
        return self.stream_batch([prompt], [sampling])

    def stream_batch(self, prompts: Sequence[Prompt], samplings: Sequence[Sampling]) -> Iterator[Chunk]:
        return self._model.answer(list(zip(prompts, samplings, strict=True)), [self.usage, self._model.usage])

    def score(self, prompt: Prompt, options: Sequence[str]) -> list[float]:
        return self.score_batch([prompt], [options])[0]

    def score_batch(self, prompts: Sequence[Prompt], options: Sequence[Sequence[str]]) -> list[list[float]]:
        return self._model.judge(list(zip(prompts, options, strict=True)), [self.usage, self._model.usage])


def _without(begun: str, text: str) -> str:
    """An answer as it goes on from ``begun``: without these words where it repeats them, else after a space."""
    stripped = text.lstrip()
    if begun and stripped.startswith(begun):
        return stripped[len(begun) :]
    return f" {stripped}" if begun and stripped[:1].isascii() and stripped[:1].isalnum() else text


def _count(usage: Any, deltas: int, meters: Sequence[Usage]) -> None:
    """What the server says it read and wrote; a piece counts as a token where it says nothing."""
    usage = usage if isinstance(usage, dict) else {}
    details = usage.get("prompt_tokens_details") or {}
    used = Usage(
        usage.get("prompt_tokens") or 0,
        details.get("cached_tokens") or 0,
        usage.get("completion_tokens") or deltas,
    )
    for meter in meters:
        meter.add(used)


def _told_first(errors: BaseExceptionGroup) -> BaseException:
    """What went wrong where several did at once: one of this program's own errors before any other."""
    flat: list[BaseException] = []
    for error in errors.exceptions:
        flat.append(_told_first(error) if isinstance(error, BaseExceptionGroup) else error)
    return next((error for error in flat if isinstance(error, KeyedError)), flat[0])


def _notice(address: str, traits: ServerTraits) -> Phrase | None:
    """What a user should know of a server that can less than others."""
    if not traits.log_probs:
        return Phrase("server_draws_scores", {"address": address, "draws": DRAWS})
    return None if traits.continues else Phrase("server_closes_turns", {"address": address})


def _sha256(address: str, card: ServedCard) -> str:
    """Of what the server tells of the model: its weights cannot be seen from here."""
    told = {name: value for name, value in card.card.items() if name not in ("created", "permission")}
    return hashlib.sha256(json.dumps([address, told], sort_keys=True).encode()).hexdigest()
