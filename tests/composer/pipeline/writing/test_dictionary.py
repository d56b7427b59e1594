"""GCIDE as dictd has it: nouns and verbs in the public domain and in plain words, read chunk by chunk."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest

from composer.pipeline.writing.dictionary import Dictionary, Sense, read_entry

ENTRY = """Anvil \\An"vil\\ ([a^]n"v[i^]l), n.; pl. {Anvils} (-v[i^]lz). [OE. anvelt, anfilt
   [AS. onfilt]; fr. an + felt.]
   1. (Mach.) An iron block ({Incus ferreus}), usually with a steel face, upon
      which metals are hammered and shaped; as, the anvil of a smith; see Illust. of
      {Forge}. "An anvil of old iron."
      [1913 Webster]

            The hammer fell upon the anvil all day
            long.                                 --Nobody.
      [1913 Webster]

   Note: The anvil of a blacksmith has a horn at one end, on
         which bars are bent.
         [1913 Webster]

   2. A fellow who bears blows in patience. [Obs.]
      [1913 Webster]

   3. A free service of an anvil maker to all of his customers.
      [PJC]

   {Anvil cloud}, a cloud of that form.
      [1913 Webster]

"""


def test_an_entry_gives_its_usable_senses_without_etymology_label_example_quotation_or_compound() -> None:
    assert read_entry("anvil", "n", ENTRY) == [
        Sense(
            "anvil",
            "n",
            "An iron block, usually with a steel face, upon which metals are hammered and shaped",
            "The anvil of a blacksmith has a horn at one end, on which bars are bent",
        )
    ]


@pytest.mark.parametrize(("head", "part"), [("anvil", "v"), ("forge", "n")])
def test_other_parts_of_speech_and_entries_that_only_mention_a_word_give_nothing(head: str, part: str) -> None:
    assert read_entry(head, part, ENTRY) == []  # type: ignore[arg-type]


def test_letters_that_the_text_has_no_sign_for_are_kept() -> None:
    entry = "Roo \\Roo\\, n.\n   A jumping animal of the family Macropodid[ae] of the d['e]sert.\n   [1913 Webster]\n"
    assert read_entry("roo", "n", entry)[0].text == "A jumping animal of the family Macropodidae of the desert"


def test_a_sense_that_explains_a_word_by_itself_is_none() -> None:
    assert (
        read_entry(
            "sail", "n", "Sail \\Sail\\, n.\n   Anything resembling a sail, or regarded as one.\n   [1913 Webster]\n"
        )
        == []
    )


def test_long_senses_end_at_a_clause() -> None:
    entry = (
        "Net \\Net\\, n.\n   " + "A web of cords used to catch fish; " + "and again " * 60 + ".\n   [1913 Webster]\n"
    )
    assert read_entry("net", "n", entry)[0].text == "A web of cords used to catch fish"


def dictzip(texts: dict[str, str], folder: Path, chunk_bytes: int = 64) -> Path:
    """A dictionary in dictd's format, its text compressed in chunks of so many bytes."""
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

    def number(value: int) -> str:
        return (number(value // 64) if value >= 64 else "") + digits[value % 64]

    data, index = b"", ""
    for word, text in texts.items():
        index += f"{word}\t{number(len(data))}\t{number(len(text.encode()))}\n"
        data += text.encode()
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    chunks = [
        packer.compress(data[i : i + chunk_bytes]) + packer.flush(zlib.Z_FULL_FLUSH)
        for i in range(0, len(data), chunk_bytes)
    ]
    table = struct.pack(f"<HHH{len(chunks)}H", 1, chunk_bytes, len(chunks), *map(len, chunks))
    extra = b"RA" + struct.pack("<H", len(table)) + table
    header = b"\x1f\x8b\x08\x0c" + b"\0" * 6 + struct.pack("<H", len(extra)) + extra + b"gcide.dict\0"
    (folder / "gcide.dict.dz").write_bytes(header + b"".join(chunks) + packer.flush())
    (folder / "gcide.index").write_text(index, encoding="utf-8")
    return folder


def test_words_are_found_whatever_their_case_and_across_chunks(tmp_path: Path) -> None:
    other = "Net \\Net\\, n.\n   A web of cords used to catch fish.\n   [1913 Webster]\n"
    dictionary = Dictionary(dictzip({"Anvil": ENTRY, "Net": other}, tmp_path))
    assert [sense.head for sense in dictionary.senses("Anvil", "n")] == ["anvil"]
    assert dictionary.senses("net", "n")[0].text == "A web of cords used to catch fish"
    assert dictionary.senses("horseshoe", "n") == ()


def test_a_file_that_is_no_dictzip_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "gcide.dict.dz").write_bytes(zlib.compress(b"words"))
    (tmp_path / "gcide.index").write_text("")
    with pytest.raises(ValueError, match="dictzip"):
        Dictionary(tmp_path)
