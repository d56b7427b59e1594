"""From installed to an illustrated article with one command, on a machine of 8 GB with a hub in reach.

The hub is a folder served over loopback, which has tiny random checkpoints under the names that the profile gives.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from composer import cli
from composer.export.article_folder import load_article
from composer.profiles import choice, machine
from composer.settings import load_settings
from tests.composer.profiles.test_choice import machine_of
from tests.composer.small_pipeline import paint
from tests.hub_stand_in import HubStandIn, use_hub
from tests.seeing_families import build_qwen3_5
from tests.tiny_models import TEXT_TEMPLATE, build_tiny_open_clip, tiny_tokenizer

COLOURS = ("red", "blue", "green")
TEXT = "\n\n".join(f"The {c} wall stands in the old town where it was painted many years ago." for c in COLOURS)


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, laptop = tmp_path_factory.mktemp("repositories"), load_settings("laptop")
    build_qwen3_5(folder / laptop.writer.model)
    name = laptop.encoder.model.removeprefix("hf-hub:")
    clip = build_tiny_open_clip(folder / name)
    tiny_tokenizer(TEXT_TEMPLATE).save_pretrained(clip)
    config = json.loads((clip / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"]["hf_tokenizer_name"] = name
    (clip / "open_clip_config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def hub(repositories: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubStandIn]:
    monkeypatch.setenv("VIGNETTE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(machine, "look", lambda: replace(machine_of(8), hub="unasked"))
    # Fonts, which come from elsewhere where the hub has none.
    monkeypatch.setattr("vision.downloads.store.pull_all", lambda names, _: [Path(name) for name in names])
    choice.this_machine.cache_clear()
    with HubStandIn(repositories) as served:
        use_hub(served, tmp_path / "cache", monkeypatch)
        yield served
    choice.this_machine.cache_clear()


def test_one_command_picks_fetches_indexes_writes_and_illustrates_and_the_next_asks_the_hub_nothing(
    hub: HubStandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for colour in COLOURS:
        paint(tmp_path / "pictures" / f"{colour}.png", colour, f"a {colour} wall")
    (tmp_path / "walls.md").write_text(TEXT)
    made = ["compose", "--illustrate", str(tmp_path / "walls.md"), "--images", "2", "--quiet"]
    assert cli.main([*made, "--pictures", str(tmp_path / "pictures"), "--out", str(tmp_path / "one")]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{tmp_path / 'one/article.html'}\n"
    picked, fetching = [line for line in captured.err.splitlines() if line.startswith("vignette: ")][1:3]
    assert picked.startswith("vignette: profile laptop: takes 6.0 GB of memory, 7.2 GB are free, the hub answers")
    assert "Qwen/Qwen3.5-0.8B (" in fetching
    assert "timm/ViT-B-32-SigLIP2-256 (" in fetching
    article = load_article(tmp_path / "one")
    assert article.provenance["profile"] == "laptop"
    assert article.provenance["models"]["language"]["name"] == "Qwen/Qwen3.5-0.8B"
    assert article.provenance["library"]["pictures"] == 3
    assert any(c.log_prob is not None for p in article.placements for c in p.candidates)

    monkeypatch.setattr(machine, "hub_answers", lambda: pytest.fail("the hub was asked"))
    hub.fetched.clear()
    choice.this_machine.cache_clear()
    assert cli.main([*made, "--out", str(tmp_path / "two")]) == 0
    assert hub.fetched == []
    assert "its models are here" in capsys.readouterr().err


def test_models_pull_fetches_just_what_a_profile_needs(
    hub: HubStandIn, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli.main(["models", "pull", "--profile", "laptop"]) == 0
    captured = capsys.readouterr()
    assert [line.split("\t")[0] for line in captured.out.splitlines()] == [
        "noto-chinese-fonts",
        "noto-script-fonts",
        "Qwen/Qwen3.5-0.8B",
        "timm/ViT-B-32-SigLIP2-256",
    ]
    sizes = {path.relative_to(hub.folder).as_posix(): path.stat().st_size for path in hub.folder.rglob("*.*")}
    fetched = {path for path, _ in hub.fetched}
    assert {path for path in sizes if path.endswith(".safetensors")} <= fetched <= set(sizes)
    assert len(fetched) == len(hub.fetched)
    assert captured.err.startswith("vignette: fetching ")
    assert "noto-chinese-fonts (" in captured.err


def test_a_pull_without_a_hub_is_one_line(
    hub: HubStandIn, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "hub_answers", lambda: False)
    assert cli.main(["models", "pull", "--profile", "hub"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "the hub cannot be reached" in line
    assert hub.fetched == []


def test_a_pull_offline_names_all_that_is_missing_and_the_variable(
    hub: HubStandIn, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "is_offline", lambda: True)
    monkeypatch.setattr(machine, "hub_answers", lambda: pytest.fail("the hub was asked"))
    assert cli.main(["models", "pull", "--profile", "laptop"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    for said in ("HF_HUB_OFFLINE is set", "Qwen/Qwen3.5-0.8B", "timm/ViT-B-32-SigLIP2-256"):
        assert said in line
    assert hub.fetched == []


def test_doctor_tries_each_part_and_fails_with_what_to_do_where_one_is_missing(
    hub: HubStandIn, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli.main(["models", "pull", "--profile", "laptop"]) == 0
    capsys.readouterr()
    code = cli.main(["doctor"])
    said = capsys.readouterr().out
    assert "profile laptop: takes 6.0 GB of memory" in said
    states = [line.split(":")[0].split() for line in said.split("\n\n")[-1].splitlines()]
    assert [name for name, _ in states] == ["memory", "writer", "judge", "encoder", "search"]
    assert {state for name, state in states if name != "search"} == {"works"}
    assert code == ("FAILED" in said)

    assert cli.main(["doctor", "--profile", "embedded"]) == 1
    said = capsys.readouterr().out
    assert "writer   FAILED: model qwen2.5-coder-1.5b-instruct is not in" in said
    assert "vignette models pull" in said
