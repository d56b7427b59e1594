"""Libraries in Milvus from the command line: copied, looked into, searched, and refused where a folder is needed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from composer import cli
from composer.pipeline import loading
from image_db.library import Library
from tests.fakes import ColourEncoder
from tests.retrieval.small_library import Shown, put

pytest.importorskip("milvus_lite", reason="pip install 'vignette-studio[cluster]'")


def test_a_library_goes_into_milvus_and_is_searched_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = ColourEncoder()
    monkeypatch.setattr(loading, "load_encoder", lambda settings: encoder)
    with Library.create(tmp_path / "own", encoder.identity) as library:
        put(library, encoder, [Shown("red", "a red wall"), Shown("blue", "a boat"), Shown("green")])
    address = f"milvus+file://{tmp_path}/store"

    def said(*words: str, code: int = 0) -> str:
        assert cli.main(list(words)) == code
        printed = capsys.readouterr()
        return printed.err if code else printed.out

    assert "3 pictures copied" in said("library", "copy", str(tmp_path / "own"), address)
    facts = json.loads(said("library", "info", "--library", address, "--json"))
    assert (facts["pictures"], facts["with_text"], facts["encoder"]) == (3, 2, encoder.identity.name)
    found = said("library", "search", "a boat", "--library", address, "--json").splitlines()
    assert json.loads(found[0])["caption"] == "a boat"
    assert "holds a library already" in said("library", "copy", str(tmp_path / "own"), address, code=1)
    for words in (("library", "verify"), ("index", str(tmp_path))):
        told = said(*words, "--library", address, code=1)
        assert "library copy" in told
        assert told.count("\n") == 1
