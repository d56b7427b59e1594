"""What is kept of a model on disk: whole or made again, and never another user's code."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.vision.tiny_gguf import write_tiny_gguf
from vision.downloads.store import home
from vision.errors import KernelsUnavailable
from vision.llm.kernels.build import kernels_folder, load_kernels
from vision.llm.model_cache import open_cached


def built(folder: Path) -> Path:
    """The library of kernels in a folder, copied from where this machine has it."""
    sound = Path(load_kernels(home() / "converted")._name)
    own = kernels_folder(folder)
    own.mkdir(parents=True)
    for name in (sound.name, f"{sound.name}.sha256"):
        (own / name).write_bytes((sound.parent / name).read_bytes())
        (own / name).chmod(0o644)
    return own / sound.name


@pytest.mark.parametrize("name", ["model.json", "tokenizer.json", "weights.safetensors", "files.json"])
@pytest.mark.parametrize("damage", ["cut", "empty", "gone", "garbled"])
def test_a_converted_model_that_is_not_as_it_was_made_is_made_again(tmp_path: Path, name: str, damage: str) -> None:
    gguf = write_tiny_gguf(tmp_path / "tiny.gguf", "qwen3")
    made = open_cached(gguf, tmp_path / "cache")
    path = made.folder / name
    sound = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        garbled = sound[:40] + bytes(sound[40 + i] ^ 1 for i in range(9)) + sound[49:]
        path.write_bytes({"cut": sound[: len(sound) * 2 // 3], "empty": b"", "garbled": garbled}[damage])
    again = open_cached(gguf, tmp_path / "cache")
    assert again.folder == made.folder
    assert path.read_bytes() == sound
    assert again.matrices.keys() == made.matrices.keys()


def test_a_converted_model_is_on_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    rename = Path.rename

    def renamed(path: Path, target: Path) -> Path:
        done.append("renamed")
        return rename(path, target)

    def synced(paths: list[Path]) -> None:
        done.extend(path.name for path in paths)

    monkeypatch.setattr("vision.llm.model_cache.sync", synced)
    monkeypatch.setattr(Path, "rename", renamed)
    open_cached(write_tiny_gguf(tmp_path / "tiny.gguf"), tmp_path / "cache")
    before = set(done[: done.index("renamed")])
    assert before >= {"model.json", "tokenizer.json", "weights.safetensors", "files.json"}
    assert done[-1] == "cache"


def test_another_user_may_read_what_was_converted(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        made = open_cached(write_tiny_gguf(tmp_path / "tiny.gguf"), tmp_path / "cache")
    finally:
        os.umask(before)
    assert made.folder.stat().st_mode & 0o055 == 0o055
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in made.folder.iterdir())


def test_a_folder_that_cannot_be_written_is_read_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gguf = write_tiny_gguf(tmp_path / "tiny.gguf")
    made = open_cached(gguf, tmp_path / "cache")
    for note in (tmp_path / "cache" / "hashes").iterdir():
        note.unlink()

    def forbidden(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("vision.llm.model_cache.write_atomic", forbidden)
    assert open_cached(gguf, tmp_path / "cache").folder == made.folder


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What is compiled, without the seconds that it takes."""
    sound = Path(load_kernels(home() / "converted")._name)
    done: list[Path] = []

    def copied(_compiler: str, _flags: object, _sources: object, target: Path) -> None:
        done.append(target)
        target.unlink(missing_ok=True)
        target.write_bytes(sound.read_bytes())
        target.chmod(0o755)

    monkeypatch.setattr("vision.llm.kernels.build._compile", copied)
    return done


@pytest.mark.parametrize("left", [0, 100, 5_000])
def test_a_library_that_was_cut_short_is_compiled_again(tmp_path: Path, compiled: list[Path], left: int) -> None:
    library = built(tmp_path)
    load_kernels(tmp_path)
    assert not compiled
    library.write_bytes(library.read_bytes()[:left])
    load_kernels(tmp_path)
    assert compiled == [library]


def test_a_library_laid_under_the_expected_name_is_not_run(tmp_path: Path, compiled: list[Path]) -> None:
    library = built(tmp_path)
    source = tmp_path / "laid.c"
    mark = tmp_path / "it-ran"
    source.write_text(
        "#include <stdio.h>\n__attribute__((constructor)) static void run(void)"
        f' {{ FILE *file = fopen("{mark}", "w"); if (file) fclose(file); }}\n'
    )
    library.unlink()
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    load_kernels(tmp_path)
    assert not mark.exists()
    assert compiled == [library]


def test_nothing_is_loaded_from_or_built_in_a_folder_that_others_can_write(tmp_path: Path) -> None:
    library = built(tmp_path)
    library.parent.chmod(0o777)
    with pytest.raises(KernelsUnavailable) as caught:
        load_kernels(tmp_path)
    assert caught.value.key == "kernels_not_trusted"
    assert caught.value.values["folder"] == str(library.parent)


def test_a_library_that_others_can_write_is_compiled_again(tmp_path: Path, compiled: list[Path]) -> None:
    library = built(tmp_path)
    library.chmod(0o666)
    load_kernels(tmp_path)
    assert compiled == [library]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give a file away")
def test_a_library_of_another_owner_is_compiled_again(tmp_path: Path, compiled: list[Path]) -> None:
    library = built(tmp_path)
    os.chown(library, 65534, 65534)
    load_kernels(tmp_path)
    assert compiled == [library]


def test_each_user_of_a_shared_folder_has_libraries_of_their_own_beside_those_of_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1234)
    assert kernels_folder(tmp_path).name == "kernels-1234"
