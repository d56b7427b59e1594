"""One set of models for many requests: composers that share them, each for one caller at a time.

Threads may share a workshop. Libraries are opened once, when they are first asked for. Knows no requests.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from composer.pipeline.sharing import InTurns, ServesMany, Turns, callers_at_once, shared
from vision.interfaces import Usage, VisionLanguageModel

if TYPE_CHECKING:
    from composer.pipeline.pipeline import Composer
    from composer.settings import Settings
    from image_db.library import Library
    from retrieval.search import Searcher
    from vision.interfaces import JointEncoder

WORKERS = 8  # articles at once, where the model decodes them together


class Workshop:
    """Models of one profile, and the libraries that its composers take pictures from."""

    def __init__(self, settings: Settings, model: VisionLanguageModel | ServesMany, encoder: JointEncoder) -> None:
        self.settings = settings
        self.encoder = encoder
        self._model = model
        self._turns = Turns()
        self._libraries: dict[Path, tuple[Library, Searcher]] = {}
        self._opening = threading.Lock()

    @classmethod
    def load(cls, settings: Settings) -> Workshop:
        """Load the profile's models. Raises WeightsError or ModelError saying what to fetch or change."""
        from composer.pipeline.loading import load_encoder, load_language_model

        return cls(settings, shared(load_language_model(settings)), load_encoder(settings))

    @property
    def workers(self) -> int:
        """How many requests at once are worth it with this model."""
        return min(WORKERS, callers_at_once(self._model))

    @property
    def usage(self) -> Usage:
        """What all composers used together since the model was loaded."""
        return self._model.usage.copy()

    def composer(self, library_dir: Path, settings: Settings | None = None) -> Composer:
        """A composer for one caller. ``settings`` may differ from the workshop's in all but the models.

        Raises LibraryError where the library cannot be opened or was made with another encoder.
        """
        from composer.pipeline.pipeline import Composer

        library, searcher = self._library(library_dir)
        model = self._model.caller() if isinstance(self._model, ServesMany) else InTurns(self._model, self._turns)
        return Composer(settings or self.settings, model, self.encoder, library, searcher)

    def close(self) -> None:
        with self._opening:
            for library, _ in self._libraries.values():
                library.close()
            self._libraries.clear()
        if isinstance(self._model, ServesMany):
            self._model.close()

    def _library(self, folder: Path) -> tuple[Library, Searcher]:
        from image_db.library import Library
        from retrieval.search import Searcher

        key = folder.expanduser().absolute()
        with self._opening:
            if key not in self._libraries:
                library = Library.open(key, self.encoder.identity)
                self._libraries[key] = (library, Searcher(library, self.encoder))
            return self._libraries[key]
