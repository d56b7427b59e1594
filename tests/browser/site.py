"""The page on a free port of this machine, with a real library, search and drafts, and a model that answers by rule."""

from __future__ import annotations

import json
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from composer.pipeline.events import Event
from composer.pipeline.model_pool import ModelPool
from composer.pipeline.pipeline import Pipeline
from composer.request import ComposeRequest
from composer.settings import IllustrationSettings, Settings
from composer.studio.draft_store import DraftStore
from composer.studio.studio import Studio
from composer.web.access_control import check_access
from image_db.indexing import index_paths
from image_db.library import Library
from tests.composer.fake_pipeline import FakePipeline
from tests.composer.scripted_model import ScriptedModel
from tests.fakes import PALETTE, ColourEncoder
from tests.live_server import Hosted
from vision.interfaces import Prompt, Sampling

COLOURS = ("red", "green", "blue", "yellow", "purple", "orange", "pink", "brown")
HAN = ("红色", "绿色", "蓝色", "黄色", "紫色", "橙色", "粉色", "棕色")
SIZES = ((1600, 1000), (500, 400), (640, 480), (900, 700))
CAPTIONS = tuple(f"A {colour} wall in the old town" for colour in COLOURS)
REWRITTEN = "Dawn comes early here, well before the sun has cleared the poplars. "


def paint(path: Path, colour: str, size: tuple[int, int] = (900, 700)) -> Path:
    """A picture with light and shade of its own, so that no two are near-duplicates."""
    import numpy as np

    path.parent.mkdir(parents=True, exist_ok=True)
    shades = np.random.default_rng(list(path.name.encode())).uniform(0.85, 1.0, (6, 8, 1))
    blocks = (np.array(PALETTE[colour]) * shades).astype(np.uint8)
    Image.fromarray(blocks).resize(size, Image.Resampling.NEAREST).save(path)
    return path


def answer(prompt: Prompt, _: Sampling) -> str:
    """Rewrites, captions and answers, by what is asked."""
    asked = "\n".join(message.text for message in prompt).lower()
    told = prompt[-1].text if prompt[-1].role == "assistant" else ""
    if "cannot see the picture." in asked:
        return "It is **a wall** in the old town. Three children play football in front of it."
    if "editor. answer questions" in asked:
        return "It tells of **a farm** and its day."
    if "翻译" in asked or "译成" in asked:
        return "清晨来得很早，太阳还没有越过白杨树，院子里就已经热闹起来。大家都忙着自己的活。"
    if "caption" in asked and "paragraph" not in asked:
        return " A wall that glows in the evening"
    return (" " if told else "") + REWRITTEN * 3


class QuickModels(ModelPool):
    """Writes articles by rule and does everything else as the real one. ``step`` is called after each word."""

    def __init__(self, settings: Settings, model: ScriptedModel, encoder: ColourEncoder) -> None:
        super().__init__(settings, model, encoder)
        self.step: Callable[[], None] = lambda: None
        self.writer = FakePipeline([], step=lambda: self.step())

    def pipeline(self, library_dir: Path, settings: Settings | None = None) -> Pipeline:
        pipeline = super().pipeline(library_dir, settings)
        self.writer.pictures = tuple(pipeline.library.records())

        class Quick(Pipeline):
            def events(_, request: ComposeRequest) -> Iterator[Event]:
                return self.writer.events(request)

            def outline(_, request: ComposeRequest) -> Iterator[Event]:
                return self.writer.outline(request)

        return Quick(pipeline.settings, pipeline.model, pipeline.encoder, pipeline.library, pipeline.searcher)


class Server(Hosted):
    """The app in this process. ``pace`` is cleared to hold the writer up."""

    def __init__(
        self, folder: Path, *, library: bool = True, drafts: Path | None = None, port: int = 0, root: str = ""
    ) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.folder = folder
            self.work_dir = folder / f"work-{time.monotonic_ns()}"
            (self.work_dir / "uploads").mkdir(parents=True)
            self.pace = threading.Event()
            self.pace.set()
            self.encoder = ColourEncoder()
            self.model = ScriptedModel(answer)
            settings = Settings("test", pictures=IllustrationSettings(min_fused=0.0001, judge_weight=0.0))
            self.workshop = QuickModels(settings, self.model, self.encoder)
            self.workshop.step = self.keep_pace
            libraries = [self._library()] if library else []
            self.drafts = DraftStore(drafts or folder / "drafts")
            self.studio = Studio.make(
                lambda: self.workshop, libraries, self.work_dir, folder / "home", self.drafts, root=root
            )
            access = check_access("127.0.0.1", public=False, login="", root=root)
            self.host(self.work_dir, port=port, access=access)
        self.url = f"http://127.0.0.1:{self.port}"

    @property
    def writer(self) -> FakePipeline:
        return self.workshop.writer

    def keep_pace(self, wait_s: float = 30) -> None:
        self.pace.wait(wait_s)

    def hold_after(self, words: int, wait_s: float = 30) -> None:
        """Let the writer write so many words, and then wait until ``pace`` is set, or so long before each word."""
        written = iter(range(words))
        self.pace.clear()
        self.workshop.step = lambda: None if next(written, None) is not None else self.keep_pace(wait_s)

    def made(self, owner: str, instruction: str) -> str:
        """The draft of an article that is made before anyone looks."""
        library = self.folder / "walls"
        session = self.studio.sessions.begin(owner, ComposeRequest(instruction), library)
        if session.running is not None and session.running.job is not None:
            assert session.running.job.wait(60)
        return session.draft.id

    def _library(self) -> Path:
        folder = self.folder / "walls"
        if folder.exists():
            return folder
        pictures = self.folder / "pictures"
        for number, colour in enumerate(COLOURS):
            path = paint(pictures / f"{colour}.jpg", colour, SIZES[number % len(SIZES)])
            words: dict[str, Any] = {"caption": CAPTIONS[number], "author": "A. Author", "license": "CC BY 4.0"}
            words["captions"] = {"zh": f"{HAN[number]}的墙"}
            path.with_suffix(".json").write_text(json.dumps(words), encoding="utf-8")
        (pictures / "broken.jpg").write_bytes(b"this is no picture")
        with Library.create(folder, self.encoder.identity) as library:
            index_paths(library, self.encoder, [pictures])
        return folder

    def close(self) -> None:
        super().close()
        self.workshop.close()
