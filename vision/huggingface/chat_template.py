"""A prompt as the checkpoint's own chat template writes it.

Handles what templates disagree on: a system role some refuse, an assistant turn that is continued rather
than closed, the placeholder of a picture. Text is untrusted: a special token written in it is broken up,
so that no message can end its own turn.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from vision.errors import ModelError
from vision.interfaces import Message, Prompt
from vision.llm.template_sandbox import ChatProgram

if TYPE_CHECKING:
    from PIL.Image import Image

_HERE = "VIGNETTE-CONTINUES-HERE"


@dataclass(frozen=True, slots=True)
class RenderedPrompt:
    """The text a tokenizer gets, the pictures of its placeholders in order, and the turn it continues."""

    text: str
    images: tuple[Image, ...]
    continued: str


class ChatTemplate:
    """Renders prompts with the chat template of ``owner``, a processor (``pictures``) or a tokenizer.

    The template is a stranger's program and runs as one of a GGUF file does (``vision.llm.template_sandbox``). An owner
    with ``flat_turns`` prepares the conversation for it. Raises WeightsError for a template that cannot be read.
    """

    def __init__(self, owner: Any, tokenizer: Any, *, pictures: bool, name: str) -> None:
        source = getattr(owner, "chat_template", None)
        if isinstance(source, dict):
            source = source.get("default")
        if not source:
            raise ModelError("template_missing", model=name)
        self._program = ChatProgram(source, name)
        self._flat: Callable[..., Any] = getattr(owner, "flat_turns", lambda conversation: conversation)
        self._variables: dict[str, Any] = {key: str(token) for key, token in tokenizer.special_tokens_map.items()}
        self._pictures = pictures
        self._name = name
        specials = sorted((token for token in tokenizer.all_special_tokens if len(token) > 2), key=len, reverse=True)
        self._specials = re.compile("|".join(map(re.escape, specials))) if specials else None
        # A template either knows thinking or ignores the name; articles are written without it.
        self._variables |= {"enable_thinking": False}
        self._takes_system = self._probe_system_role()

    def end_of_turn(self) -> str:
        """What the template writes after an assistant's words."""
        turns = [Message.of("user", "Hello"), Message.of("assistant", _HERE)]
        return self._apply(self._conversation(turns), generation=False).rpartition(_HERE)[2]

    def render(self, prompt: Prompt) -> RenderedPrompt:
        """Errors: ModelError where the template refuses the prompt or the model cannot see its pictures."""
        if not prompt:
            raise ModelError("prompt_empty")
        messages = list(prompt) if self._takes_system else merge_system(prompt)
        images = tuple(part for message in messages for part in message.content if not isinstance(part, str))
        if images and not self._pictures:
            raise ModelError("model_sees_nothing", model=self._name)
        if messages[-1].role != "assistant":
            return RenderedPrompt(self._apply(self._conversation(messages), generation=True), images, "")
        continued = messages[-1].content[-1] if messages[-1].content else ""
        before = messages[-1].content[:-1] if isinstance(continued, str) else messages[-1].content
        continued = self._harmless(continued) if isinstance(continued, str) else ""
        # Templates trim or move a turn's text, so a marker stands in its place and is replaced afterwards.
        marked = [*messages[:-1], Message("assistant", (*before, _HERE))]
        head, found, _ = self._apply(self._conversation(marked), generation=False).rpartition(_HERE)
        if not found:
            raise ModelError("template_drops_answer", model=self._name)
        return RenderedPrompt(head + continued, images, continued)

    def _apply(self, conversation: list[dict[str, Any]], *, generation: bool) -> str:
        return self._program.render(
            self._flat(conversation),
            add_generation_prompt=generation,
            tools=None,
            documents=None,
            strftime_now=_today,
            **self._variables,
        )

    def _conversation(self, messages: list[Message]) -> list[dict[str, Any]]:
        if not self._pictures:
            return [{"role": message.role, "content": self._harmless(message.text)} for message in messages]
        return [
            {
                "role": message.role,
                "content": [
                    {"type": "text", "text": self._harmless(part)} if isinstance(part, str) else {"type": "image"}
                    for part in message.content
                ],
            }
            for message in messages
        ]

    def _harmless(self, text: str) -> str:
        """The text with every special token broken up by a space."""
        return self._specials.sub(lambda match: f"{match[0][0]} {match[0][1:]}", text) if self._specials else text

    def _probe_system_role(self) -> bool:
        turns = [Message.of("system", _HERE), Message.of("user", "Hello")]
        try:
            return _HERE in self._apply(self._conversation(turns), generation=True)
        except ModelError:
            return False


def _today(form: str) -> str:
    """The date, which some templates tell the model."""
    return datetime.now().strftime(form[:32])


def merge_system(prompt: Prompt) -> list[Message]:
    """The same messages with the system's words at the head of the first user message."""
    orders = "\n\n".join(message.text for message in prompt if message.role == "system")
    messages = [message for message in prompt if message.role != "system"]
    if not orders:
        return messages
    for position, message in enumerate(messages):
        if message.role == "user":
            messages[position] = Message("user", (orders + "\n\n", *message.content))
            return messages
    return [Message.of("user", orders), *messages]
