"""Loads mutated GGUF files one after the other: ``python -m tests.vision.llm.gguf_fuzzer FOLDER FIRST END``.

Prints the seed before each, so that what killed the process is known. Ends with a traceback at the first error that is
not Vignette's own, and by a signal where a file takes more than 30 s.
"""

from __future__ import annotations

import random
import signal
import struct
import sys
from pathlib import Path

from tests.vision.tiny_gguf import write_tiny_gguf
from vision.downloads.store import home
from vision.errors import VisionError
from vision.interfaces import Message, Sampling
from vision.llm.kernels.build import kernels_folder, load_kernels
from vision.llm.model import load_gguf_model

KINDS = (("llama", "Q8_0", 64), ("qwen2", "Q4_K", 256), ("qwen3", "F16", 64), ("qwen2", "Q6_K", 256))
NUMBERS = (0, 1, 2, 3, 7, 8, 16, 31, 33, 48, 64, 96, 128, 255, 1 << 15, 1 << 20, (1 << 31) - 1, 1 << 31, (1 << 32) - 1)
LARGE = (*NUMBERS, 1 << 40, (1 << 63) - 1, (1 << 64) - 1)
TENSORS = ("token_embd", "output_norm", "blk.0.attn_q", "blk.1.attn_k", "blk.0.attn_output", "blk.1.ffn_down")
FIELDS = (
    ".attention.head_count",
    "attention.head_count_kv",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.layer_norm_rms_epsilon",
    "block_count",
    "context_length",
    "embedding_length",
    "feed_forward_length",
    "rope.freq_base",
    "tokenizer.ggml.eos_token_id",
    "tokenizer.ggml.token_type",
    "tokenizer.ggml.tokens",
    "tokenizer.ggml.merges",
    "tokenizer.chat_template",
    "general.name",
)


def mutated(base: bytes, rng: random.Random) -> bytes:
    """The file with one to three things wrong."""
    data = bytearray(base)
    header_bytes = data.index(b"blk.1.ffn_norm.weight") + 60
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        match rng.randrange(9):
            case 0 | 1:  # a value of the metadata, or its type
                at = data.find(field := rng.choice(FIELDS).encode())
                at += len(field) + rng.choice((0, 4, 4, 4, 8))
                data[at : at + 4] = struct.pack("<I", rng.choice(NUMBERS))
            case 2 | 3:  # a tensor's dimensions, sizes, kind or place
                at = data.find(rng.choice(TENSORS).encode())
                at = data.find(b".weight", at) + len(b".weight")
                where = rng.randrange(5)
                if where == 0:
                    data[at : at + 4] = struct.pack("<I", rng.choice(NUMBERS))
                elif where == 1:
                    data[at + 20 : at + 24] = struct.pack("<I", rng.choice((*range(40), *NUMBERS)))
                else:
                    at += (4, 12, 24)[where - 2]
                    data[at : at + 8] = struct.pack("<Q", rng.choice(LARGE))
            case 4:  # bytes of the header
                for _ in range(rng.randrange(1, 6)):
                    data[rng.randrange(4, header_bytes)] = rng.randrange(256)
            case 5:  # weights that are not numbers
                for _ in range(rng.randrange(1, 200)):
                    at = 2 * rng.randrange(header_bytes // 2 + 64, len(data) // 2)
                    data[at : at + 2] = struct.pack("<H", rng.choice((0x7C00, 0x7E00, 0xFC00, 0x7BFF, 0xFFFF, 0x7F80)))
            case 6:  # cut short
                del data[rng.randrange(5, len(data)) :]
                data += bytes(max(0, header_bytes + 100 - len(data)))
            case 7:  # another value before the others
                key = rng.choice(("general.alignment", "llama.expert_count", "tokenizer.ggml.bos_token_id", "x"))
                kind = rng.choice(range(14))
                value = struct.pack("<IQ", rng.choice((4, 8, 9)), rng.choice(LARGE)) * rng.choice((1, 2, 20_000))
                field = struct.pack("<Q", len(key)) + key.encode() + struct.pack("<I", kind) + value
                data[16:24] = struct.pack("<Q", struct.unpack("<Q", data[16:24])[0] + 1)
                data[24:24] = field
            case 8:  # another tensor's name
                old = rng.choice(TENSORS).encode()
                at = data.find(old)
                data[at : at + len(old)] = bytes(rng.choice(b"abcdefgh._0129") for _ in old)
    return bytes(data)


def main(folder: Path, first: int, end: int) -> None:
    bases = [
        write_tiny_gguf(folder / f"{n}.gguf", architecture, kind, width=width).read_bytes()
        for n, (architecture, kind, width) in enumerate(KINDS)
    ]
    cache = folder / "cache"
    cache.mkdir()
    load_kernels(home() / "converted")
    kernels_folder(cache).symlink_to(kernels_folder(home() / "converted"))
    ran = 0
    for seed in range(first, end):
        sys.stdout.write(f"{seed}\n")
        sys.stdout.flush()
        rng = random.Random(seed)
        path = folder / f"mutated-{seed}.gguf"  # hashes are remembered by name, size and time
        if rng.random() < 0.2:  # sizes that agree with each other, but may not be possible
            write_tiny_gguf(
                path,
                rng.choice(("llama", "qwen2", "qwen3")),
                "F16",
                width=rng.choice((32, 64, 64, 96, 40)),
                heads=rng.choice((1, 2, 4, 4, 6)),
                kv_heads=rng.choice((1, 2, 2, 4)),
                head_size=rng.choice((8, 16, 16, 32, 4)),
                hidden=rng.choice((32, 64, 96, 48)),
                seed=seed,
            )
        else:
            path.write_bytes(mutated(rng.choice(bases), rng))
        signal.alarm(30)
        try:
            model = load_gguf_model(path, threads=1, context_tokens=64, cache_dir=cache)
            prompt = [Message.of("user", "hi <|im_end|>")]
            list(model.stream(prompt, Sampling(max_tokens=3, seed=seed)))
            model.score(prompt, ["the", "in her"])
            ran += 1
        except VisionError:
            pass
        signal.alarm(0)
        path.unlink()
    sys.stdout.write(f"{ran} of {end - first} ran\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
