"""What a reader leaves beside the shards for the next one, should it die: a file that kills it is found and left out.

Nothing but a killed process tells of such a file, and Ray would try its unit for ever. A unit that is read has a note,
which goes when all of it is read. Who finds one knows that somebody died, and notes every file before it is read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from image_db.cluster.file_systems import opened
from image_db.cluster.shards import ShardFolder

SUFFIX = ".reading"
MOST_DEATHS = 2  # one may have been a machine's that was lost at that moment


@dataclass(slots=True)
class ReaderNote:
    """``deaths`` counts, by a file's number in its unit, the readers that died while they read it."""

    system: Any
    path: str
    careful: bool = False
    deaths: dict[int, int] = field(default_factory=dict)

    @classmethod
    def begin(cls, shards: ShardFolder, unit: str) -> ReaderNote:
        system, _, base = opened(shards.address)
        system.create_dir(base, recursive=True)
        note = cls(system, f"{base}/{unit}{SUFFIX}")
        try:
            with system.open_input_stream(note.path) as stream:
                said = json.loads(stream.read())
        except FileNotFoundError:
            said = None
        except ValueError:  # it died while it wrote this
            said = {"at": None, "deaths": {}}
        if said is not None:
            note.careful = True
            note.deaths = {int(number): count for number, count in said["deaths"].items()}
            if said["at"] is not None:
                note.deaths[said["at"]] = note.deaths.get(said["at"], 0) + 1
        note._write(None)
        return note

    def is_deadly(self, number: int) -> bool:
        return self.deaths.get(number, 0) >= MOST_DEATHS

    @contextmanager
    def reading(self, number: int) -> Iterator[None]:
        """Around the reading of a file."""
        if self.careful:
            self._write(number)
        yield
        if self.careful:
            self._write(None)

    def end(self) -> None:
        self.system.delete_file(self.path)

    def _write(self, number: int | None) -> None:
        with self.system.open_output_stream(self.path) as stream:
            stream.write(json.dumps({"at": number, "deaths": self.deaths}).encode())
