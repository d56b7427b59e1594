"""What deploy/ holds fits the program: every command is understood, every file is there, every release is the lock's.

Images, Kubernetes and compose themselves are not run: none of them is on the development machine.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from composer import cli
from composer.settings import load_settings
from composer.web.command_line import add_options
from image_db.stores.addresses import is_address, milvus_address

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
JOB: dict[str, Any] = yaml.safe_load((DEPLOY / "kuberay-index.yaml").read_text(encoding="utf-8"))


def understood(words: list[str]) -> None:
    if words[0] == "app":
        import argparse

        parser = argparse.ArgumentParser()
        add_options(parser)
        args = parser.parse_args(words[1:])
        libraries = args.library
    else:
        args = cli.build_parser().parse_args(words)
        libraries = [args.library]
    for library in libraries:
        assert is_address(library)
        milvus_address(library)


@pytest.mark.parametrize(
    "service", [name for name, given in COMPOSE["services"].items() if "vignette" in given["image"]]
)
def test_the_commands_of_compose_are_understood(service: str) -> None:
    understood(COMPOSE["services"][service]["command"])


def test_the_services_of_compose_fit_together() -> None:
    services = COMPOSE["services"]
    for given in services.values():
        assert set(given.get("depends_on", {})) <= set(services)
        assert ":" in given["image"] or given["image"].startswith("localhost/"), "an image without a release"
        for mounted in given.get("volumes", []):
            source = mounted.rsplit(":/", 1)[0]
            if source.startswith("./"):
                assert (DEPLOY / source).is_file()
            elif "$" not in source:
                assert source in COMPOSE["volumes"]
        for needed, how in given.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}
            assert services[needed]["healthcheck"]
    writer = load_settings(str(DEPLOY / "profile.toml")).writer
    assert re.fullmatch(r"http://(\w+):8000/v1", writer.address).group(1) in services  # type: ignore[union-attr]
    assert writer.key_variable in services["page"]["environment"]


def test_the_job_of_kuberay_is_understood_and_of_the_lock_s_ray() -> None:
    assert (JOB["apiVersion"], JOB["kind"]) == ("ray.io/v1", "RayJob")
    program, *words = shlex.split(JOB["spec"]["entrypoint"])
    assert program == "vignette"
    understood(words)
    cluster = JOB["spec"]["rayClusterSpec"]
    assert f"ray=={cluster['rayVersion']} " in (ROOT / "requirements/dev.txt").read_text(encoding="utf-8")
    encoders, gpus = (int(words[words.index(option) + 1]) for option in ("--encoders", "--gpus-each"))
    (group,) = cluster["workerGroupSpecs"]
    limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert encoders * gpus <= group["maxReplicas"] * int(limits["nvidia.com/gpu"])
    assert int(limits["cpu"]) >= 8 * gpus


@pytest.mark.parametrize("file", ["Containerfile", "deploy/Containerfile"])
def test_a_containerfile_copies_what_is_there_and_misses_no_package(file: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    known = {"FROM", "ARG", "RUN", "COPY", "USER", "ENV", "WORKDIR", "VOLUME", "EXPOSE", "ENTRYPOINT", "CMD"}
    assert {line.split()[0] for line in lines} <= known
    copied = [word for line in lines if line.startswith("COPY") for word in line.split()[1:-1]]
    assert all((ROOT / word).exists() for word in copied)
    assert {"vision/", "image_db/", "retrieval/", "composer/", "app.py", "vignette_studio.py"} <= set(copied)
    named = re.findall(r"/src/(requirements/[\w.-]+)", text)
    assert all((ROOT / name).is_file() for name in named)
