"""Finds out what a server can do by asking it small things, since servers that speak the same API differ.

Six or seven requests of one token each. What counts is the number of tokens a server says it has read: a turn that
stays open costs only its words, and two pictures of one size cost the same only where they are looked at.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image

from vision.errors import ModelError, VisionError
from vision.interfaces import Message, Prompt, Sampling
from vision.served.chat_request import RequestWriter, ServerTraits
from vision.served.connection import ServerConnection

CHAT, MODELS = "/chat/completions", "/models"
TOP_LOG_PROBS = 20  # what OpenAI, vLLM and Ollama give at most
_ONE = Sampling(max_tokens=1, temperature=0.0, top_p=1.0)
_PROMPT: Prompt = (Message.of("system", "Be brief."), Message.of("user", "Say yes."))
_OPEN_TOKENS = 2  # a turn that was closed and opened again costs more
_PICTURE_PX = 64


@dataclass(frozen=True, slots=True)
class ServedCard:
    """What ``/v1/models`` says of a model. ``context_tokens`` is None where it says nothing."""

    name: str
    context_tokens: int | None
    card: dict[str, Any]


async def find_model(connection: ServerConnection, wanted: str) -> ServedCard:
    """The model of that name; the only one served where ``wanted`` is empty. Raises ModelError naming those there."""
    try:
        listed = (await connection.ask(MODELS)).get("data")
    except ModelError as error:
        if error.key == "server_refuses":
            raise ModelError("server_no_api", address=connection.address, said=error.values["said"]) from error
        raise
    cards = [card for card in listed if isinstance(card, dict)] if isinstance(listed, list) else []
    known = [str(card.get("id", "")).strip() for card in cards]
    if not known:
        raise ModelError("server_serves_nothing", address=connection.address)
    wanted = wanted.strip()
    if not wanted and len(known) > 1:
        raise ModelError("server_model_unnamed", address=connection.address, known=known)
    # Ollama leaves its tag out where it is the default one.
    for name in (wanted or known[0], f"{wanted}:latest"):
        if name in known:
            card = cards[known.index(name)]
            return ServedCard(name, _context_tokens(card), card)
    raise ModelError("server_model_unknown", address=connection.address, model=wanted, known=known)


def _context_tokens(card: dict[str, Any]) -> int | None:
    """vLLM and SGLang say what they were started with; llama.cpp the model's own, which may be more than it reads."""
    given = card.get("max_model_len")
    return given if isinstance(given, int) and given > 0 else None


async def find_traits(connection: ServerConnection, model: str) -> ServerTraits:
    """What the server takes and gives. Raises ModelError where it refuses even the plainest request."""
    traits, read = await _plainest(connection, model)
    if read is None:
        return replace(traits, continues=False)
    once, often = [
        await _read(connection, model, traits, (*_PROMPT, Message.of("assistant", words)))
        for words in ("yes", "yes yes yes yes yes")
    ]
    continues = once is not None and often is not None and once - read <= (often - once) / 4 + _OPEN_TOKENS
    traits = replace(traits, continues=continues)
    return replace(traits, sees_images=await _sees(connection, model, traits, read))


async def _plainest(connection: ServerConnection, model: str) -> tuple[ServerTraits, int | None]:
    """The most that the server takes, by leaving out one thing after the other; and the tokens it read."""
    attempts = [
        ServerTraits(extras=extras, log_probs=log_probs, system_role=system_role)
        for system_role in (True, False)
        for extras, log_probs in ((True, True), (False, True), (True, False), (False, False))
    ]
    refusal: ModelError | None = None
    for traits in attempts:
        body = RequestWriter(model, traits).body(_PROMPT, _ONE)
        if traits.log_probs:
            body |= {"logprobs": True, "top_logprobs": TOP_LOG_PROBS}
        try:
            # A server that has no log-probabilities may fail instead of refusing.
            answer = await connection.ask(CHAT, body, tries=2 if traits.log_probs else None)
        except ModelError as error:
            if error.key in ("server_refuses_key", "server_wants_key"):
                raise
            refusal = refusal or error
            continue
        return replace(traits, log_probs=traits.log_probs and bool(first_log_probs(answer))), tokens_read(answer)
    assert refusal is not None
    raise refusal


async def _read(connection: ServerConnection, model: str, traits: ServerTraits, prompt: Prompt) -> int | None:
    try:
        return tokens_read(await connection.ask(CHAT, RequestWriter(model, traits).body(prompt, _ONE), tries=2))
    except VisionError:
        return None


async def _sees(connection: ServerConnection, model: str, traits: ServerTraits, read: int) -> bool:
    """Whether pictures are looked at, rather than refused, dropped, or read as the text of their address."""
    seeing = replace(traits, sees_images=True)
    noise = random.Random(0).randbytes(3 * _PICTURE_PX * _PICTURE_PX)
    pictures = (
        Image.new("RGB", (_PICTURE_PX, _PICTURE_PX), "grey"),
        Image.frombytes("RGB", (_PICTURE_PX, _PICTURE_PX), noise),
    )
    found = [
        await _read(connection, model, seeing, (*_PROMPT[:-1], Message("user", ("Say yes.", picture))))
        for picture in pictures
    ]
    return found[0] is not None and found[0] == found[1] and found[0] > read + 1


def tokens_read(answer: dict[str, Any]) -> int | None:
    """Of the prompt, as the server counts them."""
    count = (answer.get("usage") or {}).get("prompt_tokens")
    return count if isinstance(count, int) and count > 0 else None


def first_log_probs(answer: dict[str, Any]) -> dict[str, float]:
    """Natural-log probabilities of the likeliest first tokens, by their text; empty where there are none."""
    try:
        listed = answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
        return {str(entry["token"]): float(entry["logprob"]) for entry in reversed(listed)}
    except (KeyError, IndexError, TypeError, ValueError):
        return {}
