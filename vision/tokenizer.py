"""Text to token ids and back, from what a GGUF file says: vocabulary, merges, chat template.

``build_tokenizer`` makes a ``tokenizers.Tokenizer`` equal to the model's own; ``ChatTokenizer`` lays out a
conversation with the model's template. Knows nothing of weights.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vision.errors import ModelError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from vision.protocol import Message

_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
# What a GGUF calls the pre-tokenizer, to the pattern that splits the text (None: GPT-2's own).
_PATTERNS = {
    "qwen2": f"{_CONTRACTIONS}|{_WORDS % ''}",
    "llama-bpe": f"{_CONTRACTIONS}|{_WORDS % '{1,3}'}",
    "smollm": None,
    "gpt-2": None,
}
_CONTROL, _USER_DEFINED, _BYTE = 3, 4, 6


def special_tokens(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What the template and the end of generation need: bos, eos and all ids that end a turn."""
    tokens = metadata["tokenizer.ggml.tokens"]
    bos, eos = metadata.get("tokenizer.ggml.bos_token_id"), metadata.get("tokenizer.ggml.eos_token_id")
    enders = {"<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "</s>", "<|end|>"}
    types = metadata.get("tokenizer.ggml.token_type", [])
    ids = {i for i, kind in enumerate(types) if kind == _CONTROL and tokens[i] in enders}
    ids |= {metadata[key] for key in ("tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id") if key in metadata}
    return {
        "bos": tokens[bos] if bos is not None else "",
        "eos": tokens[eos] if eos is not None else "",
        "add_bos": bool(metadata.get("tokenizer.ggml.add_bos_token", metadata["tokenizer.ggml.model"] == "llama")),
        "end_ids": sorted(ids),
    }


def build_tokenizer(metadata: Mapping[str, Any]) -> Tokenizer:
    """Raises ModelError for a kind of vocabulary that is not known."""
    kind = metadata.get("tokenizer.ggml.model", "(none)")
    if kind == "gpt2":
        tokenizer = _byte_level(metadata)
    else:
        raise ModelError(f"the GGUF file has a tokenizer of kind {kind!r}; the engine knows gpt2")
    from tokenizers import AddedToken

    tokens, types = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.token_type"]
    for wanted, special in ((_CONTROL, True), (_USER_DEFINED, False)):
        chosen = [
            AddedToken(token, special=special, normalized=False)
            for token, type_ in zip(tokens, types, strict=True)
            if type_ == wanted
        ]
        (tokenizer.add_special_tokens if special else tokenizer.add_tokens)(chosen)
    return tokenizer


def _byte_level(metadata: Mapping[str, Any]) -> Tokenizer:
    from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers
    from tokenizers.models import BPE

    name = metadata.get("tokenizer.ggml.pre", "gpt-2")
    if name not in _PATTERNS:
        raise ModelError(f"the GGUF file names the pre-tokenizer {name!r}; the engine knows {', '.join(_PATTERNS)}")
    vocabulary = {token: i for i, token in enumerate(metadata["tokenizer.ggml.tokens"])}
    merges = [tuple(merge.split(" ", 1)) for merge in metadata["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(BPE(vocabulary, merges, ignore_merges=name == "llama-bpe", fuse_unk=False))
    if name == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    pattern = _PATTERNS[name]
    if pattern:
        split = pre_tokenizers.Split(Regex(pattern), "isolated")
        parts = [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    else:
        parts = [pre_tokenizers.ByteLevel(add_prefix_space=False)]
        if name == "smollm":
            parts.insert(0, pre_tokenizers.Digits(individual_digits=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(parts)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


class ChatTokenizer:
    """A tokenizer with its chat template. Rendering follows transformers' conventions for templates."""

    def __init__(self, tokenizer_json: Path, chat_template: str, special: Mapping[str, Any], name: str) -> None:
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(tokenizer_json))
        self._special = special
        self._template_text = chat_template
        self._template: Any = None
        self._name = name
        self.end_ids = frozenset(special["end_ids"])

    def encode(self, text: str) -> list[int]:
        """Ids of plain text, nothing added."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids, special tokens left out; an incomplete character at the end becomes U+FFFD."""
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=True)
        return text

    def prompt_ids(self, prompt: Sequence[Message]) -> tuple[list[int], list[int]]:
        """Ids of the conversation up to the answer, and those of an answer already begun."""
        if not prompt:
            raise ModelError("the prompt holds no message; give at least one")
        if any(not isinstance(part, str) for message in prompt for part in message.content):
            raise ModelError(
                f"{self._name} reads text only, but the prompt holds a picture; choose a profile that sees"
            )
        begun = prompt[-1].text if prompt[-1].role == "assistant" else ""
        turns = prompt[:-1] if prompt[-1].role == "assistant" else prompt
        text = self._render([{"role": message.role, "content": message.text} for message in turns])
        ids = self.encode(text)
        if self._special["add_bos"] and not text.startswith(self._special["bos"]):
            ids = self.encode(self._special["bos"]) + ids
        return ids, self.encode(begun) if begun else []

    def _render(self, turns: list[dict[str, str]]) -> str:
        if self._template is None:
            self._template = _compile_template(self._template_text, self._name)
        from jinja2 import TemplateError

        try:
            text: str = self._template.render(
                messages=turns,
                add_generation_prompt=True,
                bos_token=self._special["bos"],
                eos_token=self._special["eos"],
                tools=None,
            )
        except TemplateError as error:
            raise ModelError(f"the chat template of {self._name} refuses this conversation: {error}") from error
        return text


def _compile_template(text: str, name: str) -> Any:
    if not text:
        raise ModelError(f"{name} has no chat template in its GGUF file; use an instruction-tuned model")
    from jinja2 import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def refuse(message: str) -> None:
        raise TemplateError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = lambda value, **options: json.dumps(value, ensure_ascii=False, **options)
    environment.globals["raise_exception"] = refuse
    try:
        return environment.from_string(text)
    except TemplateError as error:
        raise ModelError(f"the chat template of {name} cannot be read: {error}") from error
