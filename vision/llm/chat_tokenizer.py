"""Conversations to token ids, and ids back to text, with the chat template a GGUF file carries.

What people wrote never becomes a control token: a template's own ``<|im_end|>`` ends a turn, the same letters in a
message are just letters.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vision.errors import ModelError

if TYPE_CHECKING:
    from vision.interfaces import Message
    from vision.llm.template_sandbox import ChatProgram

# Private-use characters that stand for a message while the template is rendered, see ``_render_apart``.
_OPEN, _CLOSE = "\ue0f0", "\ue0f1"


class ChatTokenizer:
    """A tokenizer with its chat template. Rendering follows transformers' conventions for templates.

    Threads may share one.
    """

    def __init__(self, tokenizer_json: Path, chat_template: str, special: Mapping[str, Any], name: str) -> None:
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(tokenizer_json))
        # Whether control tokens are letters is a setting of the tokenizer, not of a call.
        self._setting = threading.Lock()
        self._special = special
        self._template = chat_template
        self._program: ChatProgram | None = None  # compiled when first needed
        self._name = name
        self._control = [
            added.content for added in self._tokenizer.get_added_tokens_decoder().values() if added.special
        ]
        self.end_ids = frozenset(special["end_ids"])

    def encode(self, text: str) -> list[int]:
        """Ids of plain text: nothing added, and control tokens spelled out in it are letters."""
        return self._ids(text, plain=True)

    def _ids(self, text: str, *, plain: bool) -> list[int]:
        with self._setting:
            self._tokenizer.encode_special_tokens = plain
            ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids, special tokens left out; an incomplete character at the end becomes U+FFFD."""
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=True)
        return text

    def prompt_ids(self, prompt: Sequence[Message]) -> tuple[list[int], int]:
        """Ids of the conversation, and how many at its end are an answer already begun."""
        if not prompt:
            raise ModelError("prompt_empty")
        if any(not isinstance(part, str) for message in prompt for part in message.content):
            raise ModelError("model_sees_nothing", model=self._name)
        begun = self.encode(prompt[-1].text) if prompt[-1].role == "assistant" else []
        turns = [(str(m.role), m.text) for m in (prompt[:-1] if prompt[-1].role == "assistant" else prompt)]
        if any(token in text for _, text in turns for token in self._control):
            ids = self._render_apart(turns)
        else:
            ids = self._ids(self._render(turns), plain=False)
        bos = self._ids(self._special["bos"], plain=False) if self._special["add_bos"] else []
        if bos and ids[: len(bos)] != bos:
            ids = bos + ids
        return ids + begun, len(begun)

    def _render_apart(self, turns: list[tuple[str, str]]) -> list[int]:
        """Template and messages encoded separately, so that what a message spells cannot end its turn."""
        marked = [(role, f"{_OPEN}{i}{_CLOSE}") for i, (role, _) in enumerate(turns)]
        ids: list[int] = []
        for i, part in enumerate(re.split(f"{_OPEN}([0-9]+){_CLOSE}", self._render(marked))):
            ids += self._ids(part, plain=False) if i % 2 == 0 else self.encode(turns[int(part)][1])
        return ids

    def _render(self, turns: list[tuple[str, str]]) -> str:
        if self._program is None:
            from vision.llm.template_sandbox import ChatProgram

            if not self._template:
                raise ModelError("template_missing", model=self._name)
            self._program = ChatProgram(self._template, self._name)
        return self._program.render(
            [{"role": role, "content": text} for role, text in turns],
            add_generation_prompt=True,
            bos_token=self._special["bos"],
            eos_token=self._special["eos"],
            tools=None,
        )
