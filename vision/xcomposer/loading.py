"""Loads InternLM-XComposer 2.5, 2-4KHD and 2 by hub name or folder, without running code of theirs."""

from __future__ import annotations

from vision.errors import ModelError, Phrase
from vision.huggingface.chat_template import ChatTemplate
from vision.huggingface.loading import checkpoint_folder, choose_device, choose_dtype, weights_sha256
from vision.huggingface.model import HubModel
from vision.interfaces import ModelIdentity
from vision.xcomposer.checkpoint import load_weights, other_modes, tensor_shapes, weight_files
from vision.xcomposer.config import read_config
from vision.xcomposer.prompt_encoding import XComposerPromptEncoder
from vision.xcomposer.tokenizer import InternLM2Tokenizer


def load_xcomposer(
    name_or_path: str,
    *,
    revision: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    context_tokens: int | None = None,
) -> HubModel:
    """Load ``owner/name`` of the hub (at ``revision``) or a folder, as ``vision.huggingface.loading.load_hub_model``.

    ``dtype`` auto is as for a checkpoint there. Raises ModelError where the checkpoint cannot be
    had, is no InternLM-XComposer of the second generation, or its tensors are not those of its settings.
    """
    place = choose_device(device)
    folder = checkpoint_folder(name_or_path, revision, older_weights=True)
    files = weight_files(folder, name_or_path)
    shapes = tensor_shapes(files, name_or_path)
    config = read_config(folder, shapes, name_or_path)
    if context_tokens is not None and context_tokens < 1:
        raise ModelError("option_below_one", option="context_tokens", given=context_tokens)
    tokenizer = InternLM2Tokenizer(folder, name_or_path)
    if len(tokenizer) > config.vocab_size:
        raise ModelError("xcomposer_vocabulary", model=name_or_path, tokens=len(tokenizer), rows=config.vocab_size)
    chosen = choose_dtype(dtype, place, config.dtype)
    model = load_weights(config, files, shapes, name_or_path, config.dtype if chosen == "auto" else chosen, place)
    chat = ChatTemplate(tokenizer, tokenizer, pictures=True, name=name_or_path)
    set_aside = other_modes(shapes)
    return HubModel(
        identity=ModelIdentity(name_or_path, weights_sha256(folder, files)),
        model=model,
        tokenizer=tokenizer,
        encoder=XComposerPromptEncoder(tokenizer, model, chat, name_or_path),
        sees_images=True,
        # Within it dynamic scaling changes nothing, so that a cache may be gone on with.
        context_tokens=min(context_tokens or config.max_positions, config.max_positions),
        ends=frozenset({tokenizer.eos_token_id, tokenizer.end_of_turn_id}),
        never=(),
        notice=Phrase("xcomposer_other_modes", {"tensors": set_aside}) if set_aside else None,
    )
