"""The page in this process, for scripts that look at it. Loads no model."""

from __future__ import annotations

import os
import socket
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def served(folder: Path, libraries: Sequence[Path] = ()) -> Iterator[tuple[Any, str]]:
    """The site and its address, until the block is left. Uploads and drafts go below ``folder``."""
    warnings.simplefilter("ignore")
    os.environ["GRADIO_TEMP_DIR"] = str(folder / "uploads")
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    import app
    from composer.drafts import DraftStore

    site = app.make_site(_no_models, list(libraries), folder, folder / "home", DraftStore(folder / "drafts"))
    page = app.build(site)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    app.launch(page, site, host="127.0.0.1", port=port, block=False)
    try:
        yield site, f"http://127.0.0.1:{port}/"
    finally:
        page.close(verbose=False)


def _no_models() -> Any:
    raise RuntimeError("nothing done here asks a model")
