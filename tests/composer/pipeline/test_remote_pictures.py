"""Pictures in an object store are looked at and printed like those of a folder."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import fsspec
import pytest
from PIL import Image

from composer.pipeline.remote_pictures import brought, readable
from image_db.metadata.record import ImageRecord
from retrieval.candidates import Candidate

pytest.importorskip("pyarrow", reason="pip install 'vignette-studio[cluster]'")


def test_what_is_elsewhere_is_brought_once_and_what_is_lost_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIGNETTE_HOME", str(tmp_path / "home"))
    out = io.BytesIO()
    Image.new("RGB", (30, 20), "red").save(out, "PNG")
    memory = fsspec.filesystem("memory")
    memory.pipe("/remote-pictures/red.png", out.getvalue())
    (tmp_path / "here.png").write_bytes(out.getvalue())
    sha256 = hashlib.sha256(out.getvalue()).hexdigest()
    places = ["memory://remote-pictures/red.png", str(tmp_path / "here.png"), str(tmp_path / "gone.png")]
    places.append("memory://remote-pictures/none.png")
    ids = [sha256, sha256, sha256, "0" * 64]
    candidates = [
        Candidate(ImageRecord(id_, Path(place), 30, 20), 0.5, 0.5, 0.5) for id_, place in zip(ids, places, strict=True)
    ]
    lost: set[Path] = set()
    kept = readable(candidates, lost)
    assert lost == {Path(places[2])}
    red, here = brought(kept, lost)
    assert lost == {Path(places[2]), Path(places[3])}
    assert red.record.path.read_bytes() == out.getvalue()
    assert red.record.path.is_relative_to(tmp_path / "home")
    assert here == candidates[1]
    memory.rm("/remote-pictures/red.png")
    assert brought([candidates[0]], set())[0] == red
