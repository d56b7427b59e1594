"""The real server in this process, with real libraries and searches and a scripted model, on a free port."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from composer.pipeline.model_pool import ModelPool
from composer.settings import IllustrationSettings, Settings
from composer.studio.draft_store import DraftStore
from composer.studio.studio import Studio
from composer.web.access_control import Access
from composer.web.server import launch
from tests.composer.pipeline.test_pipeline import answer
from tests.composer.scripted_model import ScriptedModel
from tests.composer.small_pipeline import make_library
from tests.fakes import ColourEncoder

EASY = Settings("test", pictures=IllustrationSettings(min_fused=0.0001, judge_weight=0.0))


class Hosted:
    """A page served by this process.

    Gradio keeps uploads in one folder a process: the latest page's, until it is closed. What Gradio and starlette warn
    of is their own: deprecations while they start, and event loops that they leave to the collector, which is called
    here so that no test meets them.
    """

    page: Any
    port: int
    studio: Studio

    def host(self, work_dir: Path, *, port: int = 0, **options: Any) -> None:
        import app

        self._uploads_before = os.environ.get("GRADIO_TEMP_DIR")
        os.environ["GRADIO_TEMP_DIR"] = str(work_dir / "uploads")
        self.port = port or free_port()
        self.page = launch(app.build, self.studio, host="127.0.0.1", port=self.port, **options)
        gc.collect()

    def close(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.page.close(verbose=False)
            asyncio.set_event_loop(None)  # where Gradio left one for this thread
            gc.collect()
        if self._uploads_before is None:
            del os.environ["GRADIO_TEMP_DIR"]
        else:
            os.environ["GRADIO_TEMP_DIR"] = self._uploads_before


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class LiveServer(Hosted):
    """``model`` answers; ``libraries`` are folders already made, by default one of six coloured walls."""

    def __init__(
        self,
        folder: Path,
        *,
        model: Any = None,
        libraries: Sequence[Path] | None = None,
        access: Access | None = None,
        mcp: bool = False,
        port: int = 0,
    ) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.folder = folder
            self.model = model or ScriptedModel(answer)
            encoder = ColourEncoder()
            if libraries is None:
                with make_library(folder / "walls", encoder) as library:
                    libraries = [library.folder]
            self.libraries = list(libraries)
            workshop = ModelPool(EASY, self.model, encoder)
            self.drafts = DraftStore(folder / "drafts")
            self.work_dir = folder / "work"
            roots = access.roots if access is not None else None
            self.studio = Studio.make(
                lambda: workshop,
                self.libraries,
                self.work_dir,
                folder / "home",
                self.drafts,
                roots,
                access.root if access is not None else "",
            )
            self.host(self.work_dir, port=port, access=access, mcp=mcp)
        self.url = f"http://127.0.0.1:{self.port}/"
