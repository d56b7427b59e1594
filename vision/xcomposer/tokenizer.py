"""The published tokenizer, ``tokenizer.model``, read by SentencePiece, and the chat format of InternLM-XComposer.

Splits as the published class does: tokens that ``tokenizer_config.json`` adds stand alone, the text between two of them
is encoded for itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vision.errors import ModelError

PLACEHOLDER = "<ImageHere>"
_START, _END = "[UNUSED_TOKEN_146]", "[UNUSED_TOKEN_145]"
_UNUSED = re.compile(r"\[UNUSED_TOKEN_\d+\]|<\|\w+\|>")


class InternLM2Tokenizer:
    """What ``vision.huggingface`` asks of a tokenizer and of a processor."""

    bos_token, image_token = "<s>", PLACEHOLDER
    # ``[UNUSED_TOKEN_146]user`` and the words, a picture as ``<ImageHere>``, then ``[UNUSED_TOKEN_145]``.
    chat_template = (
        "{% for message in messages %}{{ '" + _START + "' + message['role'] + '\\n' }}"
        "{% for part in message['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }}"
        "{% else %}" + PLACEHOLDER + "{% endif %}{% endfor %}{{ '" + _END + "\\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '" + _START + "assistant\\n' }}{% endif %}"
    )
    special_tokens_map: Mapping[str, str] = {}  # the template names none

    def __init__(self, folder: Path, name: str) -> None:
        """Raises ModelError where the files are missing or lack the tokens of the chat format."""
        from sentencepiece import SentencePieceProcessor

        file = folder / "tokenizer.model"
        try:
            self._pieces = SentencePieceProcessor(model_file=str(file))
            self._added = _added_tokens(folder)
        except (OSError, RuntimeError, ValueError) as error:
            raise ModelError("xcomposer_tokenizer", model=name, reason=str(error)) from error
        vocabulary = {self._pieces.id_to_piece(number): number for number in range(len(self._pieces))}
        self._added |= {token: vocabulary[token] for token in ("<unk>", "<s>", "</s>") if token in vocabulary}
        known = vocabulary | self._added
        if absent := [token for token in (_START, _END) if token not in known]:
            raise ModelError("xcomposer_tokenizer", model=name, reason=", ".join(absent))
        self.bos_token_id, self.eos_token_id = self._pieces.bos_id(), self._pieces.eos_id()
        self.end_of_turn_id = known[_END]
        # In a reader's text they are broken up, so that no text ends its own turn or stands for a picture.
        unused = [token for token in known if _UNUSED.fullmatch(token)]
        self.all_special_tokens = list(dict.fromkeys([PLACEHOLDER, *self._added, *unused]))
        self._special_ids = {self.bos_token_id, self.eos_token_id, *self._added.values()}
        self._split = re.compile(f"({'|'.join(map(re.escape, sorted(self._added, key=len, reverse=True)))})")

    def __len__(self) -> int:
        return max(len(self._pieces), *(number + 1 for number in self._added.values()))

    def __call__(self, text: str, *, add_special_tokens: bool = False) -> dict[str, list[int]]:
        ids = [self.bos_token_id] if add_special_tokens else []
        for part in self._split.split(text):
            if part in self._added:
                ids.append(self._added[part])
            elif part:
                ids += self._pieces.encode(part)
        return {"input_ids": ids}

    def decode(self, ids: Sequence[int], **_options: Any) -> str:
        """Without start, end and added tokens."""
        return str(self._pieces.decode([number for number in ids if number not in self._special_ids]))


def _added_tokens(folder: Path) -> dict[str, int]:
    """Text → id of the tokens that the tokenizer's settings add to those of SentencePiece."""
    added: dict[str, int] = {}
    if (file := folder / "added_tokens.json").is_file():
        added |= json.loads(file.read_text(encoding="utf-8"))
    if (file := folder / "tokenizer_config.json").is_file():
        settings = json.loads(file.read_text(encoding="utf-8"))
        for number, token in settings.get("added_tokens_decoder", {}).items():
            added[token["content"]] = int(number)
    return added
