"""The tokenizer of a GGUF file as a ``tokenizers.Tokenizer``: byte-level BPE (gpt2) and SentencePiece BPE (llama)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vision.errors import ModelError, VisionError, WeightsError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
# What a GGUF calls the pre-tokenizer, to the pattern that splits the text (None: GPT-2's own).
_PATTERNS = {
    "qwen2": f"{_CONTRACTIONS}|{_WORDS % ''}",
    "llama-bpe": f"{_CONTRACTIONS}|{_WORDS % '{1,3}'}",
    "smollm": None,
    "gpt-2": None,
}
_TYPES = "tokenizer.ggml.token_type"
_UNKNOWN, _CONTROL, _USER_DEFINED = 2, 3, 4
_BOS, _EOS, _EOT = (f"tokenizer.ggml.{name}_token_id" for name in ("bos", "eos", "eot"))
LONGEST_TOKEN = 1024  # characters; a merge has two of them and a space
_TURN_ENDS = ("<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "</s>", "<|end|>")


def special_tokens(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What templates and the end of generation need: bos, eos, and the ids that end a turn.

    For metadata that ``build_tokenizer`` accepted.
    """
    tokens = metadata["tokenizer.ggml.tokens"]
    ids = {i for i, kind in enumerate(metadata[_TYPES]) if kind == _CONTROL and tokens[i] in _TURN_ENDS}
    ids |= {metadata[key] for key in (_EOS, _EOT) if key in metadata}
    return {
        "bos": tokens[metadata[_BOS]] if _BOS in metadata else "",
        "eos": tokens[metadata[_EOS]] if _EOS in metadata else "",
        "add_bos": bool(metadata.get("tokenizer.ggml.add_bos_token", metadata["tokenizer.ggml.model"] == "llama")),
        "end_ids": sorted(ids),
    }


def build_tokenizer(metadata: Mapping[str, Any], vocabulary: int) -> Tokenizer:
    """The tokenizer of a model with ``vocabulary`` embeddings.

    Raises ModelError for a kind of vocabulary that is not known, WeightsError for one that cannot be.
    """
    kind = str(metadata.get("tokenizer.ggml.model", "(none)"))
    builders = {"gpt2": _byte_level, "llama": _sentence_piece}
    if kind not in builders:
        raise ModelError("tokenizer_unknown", kind=kind, known=list(builders))
    tokens = _texts(metadata, "tokenizer.ggml.tokens", vocabulary)
    types = metadata.get(_TYPES)
    if not isinstance(types, list) or len(types) != len(tokens):
        raise WeightsError("gguf_value_wrong", field=_TYPES, value=repr(types)[:80])
    for key in (_BOS, _EOS, _EOT):
        if key in metadata and (type(metadata[key]) is not int or not 0 <= metadata[key] < len(tokens)):
            raise WeightsError("gguf_value_wrong", field=key, value=repr(metadata[key])[:80])
    try:
        return _with_added_tokens(builders[kind](metadata), tokens, types)
    except VisionError:
        raise
    except Exception as error:  # the Rust of tokenizers raises nothing more exact
        raise WeightsError("tokenizer_damaged", reason=str(error)[:200]) from error


def _texts(metadata: Mapping[str, Any], key: str, most: int) -> list[str]:
    found = metadata.get(key)
    if isinstance(found, list) and 0 < len(found) <= most:
        texts = [text for text in found if isinstance(text, str) and len(text) <= LONGEST_TOKEN]
        if len(texts) == len(found):
            return texts
    raise WeightsError("gguf_value_wrong", field=key, value=repr(found)[:80])


def _with_added_tokens(tokenizer: Tokenizer, tokens: list[str], types: list[int]) -> Tokenizer:
    from tokenizers import AddedToken

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
        raise ModelError("pre_tokenizer_unknown", kind=name, known=list(_PATTERNS))
    vocabulary = {token: i for i, token in enumerate(metadata["tokenizer.ggml.tokens"])}
    pairs = [merge.partition(" ") for merge in _texts(metadata, "tokenizer.ggml.merges", 1 << 31)]
    merges = [(left, right) for left, _, right in pairs]
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


def _sentence_piece(metadata: Mapping[str, Any]) -> Tokenizer:
    """SentencePiece's BPE has no list of merges: any two pieces that make a piece may merge, best score first."""
    from tokenizers import Tokenizer, decoders, normalizers
    from tokenizers.models import BPE

    tokens, scores = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.scores"]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    merges = []
    for i, token in enumerate(tokens):
        halves = [(token[:cut], token[cut:]) for cut in range(1, len(token))]
        merges += [
            (-scores[i], vocabulary[a], vocabulary[b], a, b) for a, b in halves if a in vocabulary and b in vocabulary
        ]
    unknown = next((t for t, kind in zip(tokens, metadata[_TYPES], strict=True) if kind == _UNKNOWN), None)
    pairs = [(a, b) for *_, a, b in sorted(merges)]
    tokenizer = Tokenizer(BPE(vocabulary, pairs, unk_token=unknown, fuse_unk=True, byte_fallback=True))
    prefix = metadata.get("tokenizer.ggml.add_space_prefix", True)
    steps = [normalizers.Prepend("▁")] if prefix else []
    tokenizer.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", "▁")])
    ends = [decoders.Strip(" ", 1, 0)] if prefix else []
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *ends])
    return tokenizer
