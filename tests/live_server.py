"""The real server in this process, with real libraries and searches and a scripted model, on a free port."""

from __future__ import annotations

import gc
import os
import socket
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from composer.drafts import DraftStore
from composer.server_guard import Access
from composer.settings import PictureSettings, Settings
from composer.workshop import Workshop
from tests.composer.scripted_model import ScriptedModel
from tests.composer.studio import make_library
from tests.composer.test_pipeline import answer
from tests.fakes import ColourEncoder

EASY = Settings("test", pictures=PictureSettings(min_fused=0.0001, judge_weight=0.0))


class LiveServer:
    """``model`` answers; ``libraries`` are folders already made, by default one of six coloured walls."""

    def __init__(
        self,
        folder: Path,
        *,
        model: Any = None,
        libraries: Sequence[Path] | None = None,
        access: Access | None = None,
        mcp: bool = False,
    ) -> None:
        # Gradio and starlette warn of their own deprecations while they are imported and started.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import app

            self.folder = folder
            self.model = model or ScriptedModel(answer)
            encoder = ColourEncoder()
            if libraries is None:
                with make_library(folder / "walls", encoder) as library:
                    libraries = [library.folder]
            self.libraries = list(libraries)
            workshop = Workshop(EASY, self.model, encoder)
            self.drafts = DraftStore(folder / "drafts")
            self.work_dir = folder / "work"
            self.site = app.make_site(lambda: workshop, self.libraries, self.work_dir, folder / "home", self.drafts)
            self._before = os.environ.get("GRADIO_TEMP_DIR")
            os.environ["GRADIO_TEMP_DIR"] = str(self.work_dir / "uploads")
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self.port = probe.getsockname()[1]
            self.page = app.build(self.site)
            app.launch(self.page, self.site, host="127.0.0.1", port=self.port, block=False, access=access, mcp=mcp)
        self.url = f"http://127.0.0.1:{self.port}/"

    def close(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.page.close(verbose=False)
            gc.collect()  # Gradio and its client leave event loops to the collector; here, not in some later test
        if self._before is None:
            del os.environ["GRADIO_TEMP_DIR"]
        else:
            os.environ["GRADIO_TEMP_DIR"] = self._before
