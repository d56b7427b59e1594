"""Settings become models; what cannot run as it should says so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from composer.errors import UsageError
from composer.i18n import localize
from composer.pipeline.loading import load_language_model
from composer.pipeline.model_pool import ModelPool, for_many_callers
from composer.settings import load_settings, parse_settings
from tests.composer.small_pipeline import make_library
from tests.fakes import ColourEncoder
from tests.vision.served.stand_in import NAME, StandIn
from tests.vision.tiny_gguf import write_tiny_gguf
from vision.interfaces import Message, Sampling


def test_without_a_compiler_transformers_runs_a_gguf_file_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf")
    monkeypatch.setenv("VIGNETTE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr("shutil.which", lambda name: None)
    model = load_language_model(replace(load_settings("tiny").writer, model=str(path)))
    notice = model.notice  # type: ignore[attr-defined]
    assert notice.key == "slow_without_kernels"
    assert "pip install ziglang" in localize(notice, "en")
    assert len(model.score([Message.of("user", "hi")], ["a"])) == 1


def test_a_profile_names_a_server_and_every_article_of_a_batch_asks_it_at_once(tmp_path: Path) -> None:
    with StandIn(sees=True) as server:
        profile = tmp_path / "served.toml"
        profile.write_text(f'[writer]\nkind = "server"\naddress = "{server.url}/"\nat_once = 3\ntimeout_s = 10\n')
        model = load_language_model(load_settings(str(profile)).writer)
        pool = ModelPool(load_settings(str(profile)), for_many_callers(model), ColourEncoder())
        assert (pool.workers, model.identity.name, model.sees_images) == (3, NAME, True)
        with make_library(tmp_path / "walls", ColourEncoder()) as library:
            pipeline = pool.pipeline(library.folder)
        text = "".join(chunk.text for chunk in pipeline.model.stream([Message.of("user", "hi")], Sampling()))
        assert text == server.answer
        assert (pipeline.model.usage.generated_tokens, pool.usage.generated_tokens) == (6, 6)
        pool.close()


def test_a_server_without_an_address_is_refused() -> None:
    with pytest.raises(UsageError) as refused:
        parse_settings("served", {"writer": {"kind": "server"}})
    assert refused.value.key == "server_address_missing"
