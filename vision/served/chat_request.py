"""Prompts as the bodies of ``/v1/chat/completions``.

Texts are untrusted: what looks like a token that ends a turn is broken up, as the server would read it as one.
A turn of the model's own that is to be continued stays open where the server can (vLLM, SGLang, llama.cpp, Ollama);
elsewhere it is closed and the model is asked to go on where it ends.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vision.errors import ModelError
from vision.huggingface.chat_template import merge_system
from vision.interfaces import Message, Prompt, Sampling

if TYPE_CHECKING:
    from PIL.Image import Image

_MARKS = re.compile(
    r"<\|[^|<>\s]{1,40}\|>|<｜[^｜<>]{1,40}｜>|</?s>|\[/?INST\]|<</?SYS>>|</?(?:start|end)_of_(?:turn|image)>|</?image>|"
    r"<bos>|<eos>|</?think>",
    re.IGNORECASE,
)
_HAN = re.compile(r"[\u3400-\u9fff]")
_GO_ON = "Go on exactly where your text ends. Repeat nothing of it."
_GO_ON_ZH = "请从你的文字结束的地方直接接着写，不要重复。"
_JPEG_QUALITY = 90
_REMEMBERED_PICTURES = 64
PICTURE_TOKENS = 1200  # of a picture of LOOK_PX on the shorter side, at the most that common models take
_MESSAGE_TOKENS = 8
_CHARS_PER_TOKEN = 3.2  # English 4.5, code and names less; rather too few than too many


@dataclass(frozen=True, slots=True)
class ServerTraits:
    """What a server and its model can do, found out by asking (``vision.served.probing``).

    ``extras``: it takes fields that OpenAI's own API does not know. ``continues``: it leaves the last turn open.
    """

    extras: bool = True
    log_probs: bool = True
    system_role: bool = True
    continues: bool = True
    sees_images: bool = False


class RequestWriter:
    """Writes bodies for one model of a server. Keeps what pictures became, as each comes with many questions."""

    def __init__(self, model: str, traits: ServerTraits) -> None:
        self.model, self.traits = model, traits
        self._pictures: OrderedDict[bytes, str] = OrderedDict()

    def body(self, prompt: Prompt, sampling: Sampling, *, written: str = "", stream: bool = False) -> dict[str, Any]:
        """``written`` is what the model has said already, from where it goes on."""
        if not prompt:
            raise ModelError("prompt_empty")
        messages = list(prompt) if self.traits.system_role else merge_system(prompt)
        if written:
            last = messages[-1]
            continued = last.role == "assistant"
            messages = [
                *(messages[:-1] if continued else messages),
                Message("assistant", (*last.content, written) if continued else (written,)),
            ]
        is_open = messages[-1].role == "assistant"
        turns = [self._turn(message) for message in messages]
        if is_open and not self.traits.continues:
            turns.append({"role": "user", "content": _GO_ON_ZH if _HAN.search(_asked(messages)) else _GO_ON})
        body: dict[str, Any] = {
            "model": self.model,
            "messages": turns,
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": sampling.seed,
        }
        if sampling.stop:
            body["stop"] = list(sampling.stop)
        if stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        if self.traits.extras:
            body["chat_template_kwargs"] = {"enable_thinking": False}  # articles are written without
            if sampling.repetition_penalty != 1.0:
                # vLLM and SGLang know the first name, llama.cpp and Ollama the second.
                body |= dict.fromkeys(("repetition_penalty", "repeat_penalty"), sampling.repetition_penalty)
            if is_open and self.traits.continues:
                body |= {"continue_final_message": True, "add_generation_prompt": False}
        return body

    def begun(self, prompt: Prompt, written: str = "") -> str:
        """The words that an answer may repeat although it was asked not to; empty where turns stay open."""
        if self.traits.continues:
            return ""
        own = prompt[-1].text if prompt[-1].role == "assistant" else ""
        return (own + written).rpartition("\n")[2].strip()

    def _turn(self, message: Message) -> dict[str, Any]:
        if all(isinstance(part, str) for part in message.content):
            return {"role": message.role, "content": harmless(message.text)}
        if not self.traits.sees_images:
            raise ModelError("model_sees_nothing", model=self.model)
        return {"role": message.role, "content": [self._part(part) for part in message.content]}

    def _part(self, part: str | Image) -> dict[str, Any]:
        if isinstance(part, str):
            return {"type": "text", "text": harmless(part)}
        return {"type": "image_url", "image_url": {"url": self._data_url(part)}}

    def _data_url(self, image: Image) -> str:
        key = hashlib.blake2b(f"{image.mode}{image.size}".encode() + image.tobytes(), digest_size=16).digest()
        found = self._pictures.get(key)
        if found is None:
            buffer = io.BytesIO()
            image.convert("RGB").save(buffer, "JPEG", quality=_JPEG_QUALITY)
            found = f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
            self._pictures[key] = found
            while len(self._pictures) > _REMEMBERED_PICTURES:
                self._pictures.popitem(last=False)
        return found


def harmless(text: str) -> str:
    """The text with everything that chat templates use as a mark broken up by a space."""
    return _MARKS.sub(lambda mark: f"{mark[0][0]} {mark[0][1:]}", text)


def estimated_tokens(prompt: Prompt) -> int:
    """Tokens of a prompt, rather too many than too few: the server's tokenizer is not here."""
    total = 0.0
    for message in prompt:
        han = len(_HAN.findall(message.text))
        pictures = sum(not isinstance(part, str) for part in message.content)
        total += _MESSAGE_TOKENS + han + (len(message.text) - han) / _CHARS_PER_TOKEN + pictures * PICTURE_TOKENS
    return int(total)


def _asked(messages: Sequence[Message]) -> str:
    return next((message.text for message in reversed(messages) if message.role == "user"), "")
