"""Brings a library up to date with folders of pictures: reader threads → encoder → library, committing as it goes.

A second run looks at directory listings only. A kill loses at most the last few seconds; the next run goes on from
there. Rows are written in the order of the walk, whatever the threads' timing.
"""

from __future__ import annotations

import os
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from image_db.corrections import corrected
from image_db.errors import LibraryError
from image_db.files import Failure, FileStamp, KnownFile
from image_db.library import Library, NewImage, encoder_mismatch
from image_db.metadata.description import sentence_vectors
from image_db.metadata.reading import ReadPicture, UnusableFile, describe, read_picture
from image_db.metadata.record import ImageRecord
from image_db.metadata.sidecars import SidecarReader
from image_db.scan import Exclusion, FoundFile, Listings, UnusablePath, WalkCoverage, find, walk
from vision import own_version
from vision.errors import KeyedError, Phrase, phrase_to_json
from vision.interfaces import JointEncoder
from vision.malloc import memory_kept

if TYPE_CHECKING:
    from PIL.Image import Image

Progress: TypeAlias = Callable[[int, int], None]  # pictures done, pictures to do
Reason: TypeAlias = Phrase | KeyedError
Labeller: TypeAlias = "Callable[[Sequence[Image]], Sequence[Sequence[str]]]"

COMMIT_PICTURES = 256
COMMIT_AFTER_S = 3.0
_LEAST_KNOWN_S = 2.0


@dataclass(frozen=True, slots=True)
class IndexReport:
    """What a run did, in pictures.

    ``added`` were encoded, ``linked`` are files whose picture the library held already (moved, copied or back again),
    ``updated_text`` got other words, ``removed`` are gone from the folders. ``failed`` names the files that could
    not be used, ``warnings`` descriptions that could not be read in full, each with its reason. ``paired``,
    ``excluded`` and ``skipped`` are what was left out on purpose (``scan.WalkCoverage``). ``emptied`` are folders of
    which nothing is left: they were emptied, or are where a drive is that is not connected.
    """

    added: int
    unchanged: int
    updated_text: int
    linked: int
    removed: int
    failed: tuple[tuple[Path, Reason], ...]
    warnings: tuple[tuple[Path, Reason], ...]
    seconds: float
    paired: int = 0
    excluded: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)
    emptied: tuple[Path, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether the run changed anything of what the library shows."""
        return bool(self.added or self.updated_text or self.linked or self.removed)

    @property
    def usable(self) -> int:
        """Files whose pictures the library can show after the run."""
        return self.added + self.unchanged + self.linked


@dataclass(slots=True)
class IndexTiming:
    """What a run's own thread spends its seconds on, up to date while it goes on: waiting for files to be read and
    decoded, which other threads do meanwhile, encoding, and writing to the library.
    """

    reading_s: float = 0.0
    encoding_s: float = 0.0
    writing_s: float = 0.0

    @property
    def slowest(self) -> str:
        """ "reading", "encoding" or "writing"; empty while too little is known."""
        spent = {"reading": self.reading_s, "encoding": self.encoding_s, "writing": self.writing_s}
        name = max(spent, key=lambda each: spent[each])
        return name if spent[name] > _LEAST_KNOWN_S else ""

    @contextmanager
    def spent(self, name: Literal["reading_s", "encoding_s", "writing_s"]) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            setattr(self, name, getattr(self, name) + time.perf_counter() - start)


def index_paths(
    library: Library,
    encoder: JointEncoder,
    paths: Iterable[Path | str],
    *,
    progress: Progress | None = None,
    batch_size: int = 32,
    labeller: Labeller | None = None,
    exclude: Iterable[str] = (),
    timing: IndexTiming | None = None,
) -> IndexReport:
    """Index folders and single files; see IndexReport for what becomes of each.

    ``labeller`` guesses tags of pictures that have no words at all; ``exclude`` are globs of what to leave out
    (``scan.Exclusion``); ``timing`` is filled while the run goes on. An interruption (Ctrl-C) commits what is encoded
    and goes on upwards. Raises EncoderMismatch where the encoder is not the library's, LibraryError where the library
    cannot be written.
    """
    if encoder.identity.sha256 != library.encoder.sha256:
        raise encoder_mismatch(library.folder, library.encoder, encoder.identity)
    started = time.perf_counter()
    with memory_kept(), warnings.catch_warnings():
        # Pillow warns of odd metadata; the decoder has its own limits, and threads cannot silence it one by one.
        warnings.filterwarnings("ignore", module="PIL")
        plan = _plan(library, paths, Exclusion(exclude))
        run = _IndexRun(library, encoder, batch_size, labeller, timing or IndexTiming())
        run.begin(plan)
        try:
            run.work(plan, progress)
        except LibraryError:
            raise
        except BaseException:
            run.commit()
            raise
        run.end(plan)
    return IndexReport(
        added=run.added,
        unchanged=plan.unchanged,
        updated_text=run.updated_text,
        linked=run.linked + len(plan.returned),
        removed=library.files.count_gone({known.image_id for known in plan.vanished.values()}),
        failed=tuple((Path(path), reason) for path, reason in run.failed.items()),
        warnings=tuple((Path(path), run.sidecars.problems[path]) for path in sorted(run.sidecars.problems)),
        seconds=time.perf_counter() - started,
        paired=plan.walked.paired,
        excluded=plan.walked.excluded,
        skipped=dict(plan.walked.skipped),
        emptied=tuple(map(Path, plan.emptied)),
    )


@dataclass(slots=True)
class _IndexPlan:
    """What the listings say is to be done."""

    to_read: list[FoundFile] = field(default_factory=list)
    to_describe: list[tuple[FoundFile, str]] = field(default_factory=list)
    circumstances_only: set[str] = field(default_factory=set)  # of those pictures, that keep their words
    returned: list[str] = field(default_factory=list)
    failed_before: list[Failure] = field(default_factory=list)
    vanished: dict[str, KnownFile] = field(default_factory=dict)
    emptied: list[str] = field(default_factory=list)
    problems: list[UnusablePath] = field(default_factory=list)
    unchanged: int = 0
    walked: WalkCoverage = field(default_factory=WalkCoverage)


def _plan(library: Library, paths: Iterable[Path | str], exclude: Exclusion) -> _IndexPlan:
    plan = _IndexPlan()
    known: dict[str, KnownFile] = {}
    failures = {str(failure.path): failure for failure in library.failures() if failure.seen is not None}
    version = own_version()
    outdated = library.without_circumstances()
    seen_alone: set[str] = set()
    roots_loaded = 0
    for item in walk(paths, plan.walked, exclude):
        if roots_loaded < len(plan.walked.roots):
            for root in plan.walked.roots[roots_loaded:]:
                known.update(library.files.under(root))
            roots_loaded = len(plan.walked.roots)
        if isinstance(item, UnusablePath):
            plan.problems.append(item)
            continue
        path, size_bytes, mtime_ns, sidecar_stamp = item.stamp
        before = known.pop(path, None)
        if before is None and not plan.walked.covers(path):
            before = library.files.known(path)
            seen_alone.add(path)
        failure = failures.get(path)
        if failure is not None and failure.seen == (size_bytes, mtime_ns, version):
            plan.failed_before.append(failure)
            continue
        if before is None or before.size_bytes != size_bytes or before.mtime_ns != mtime_ns:
            plan.to_read.append(item)
            continue
        if before.missing:
            plan.returned.append(path)
        else:
            plan.unchanged += 1
        if before.sidecar_stamp != sidecar_stamp:
            plan.to_describe.append((item, before.image_id))
            plan.circumstances_only.discard(before.image_id)
        elif before.image_id in outdated:
            plan.to_describe.append((item, before.image_id))
            plan.circumstances_only.add(before.image_id)
            outdated.discard(before.image_id)
    for root in plan.walked.roots[roots_loaded:]:  # those in which nothing was found
        known.update(library.files.under(root))
    plan.vanished = {
        path: file
        for path, file in known.items()
        if not file.missing and path not in seen_alone and plan.walked.covers(path)
    }
    if plan.vanished:
        plan.emptied = [root for root in plan.walked.roots if _is_emptied(library, root, plan)]
    plan.to_describe += _copies_left(library, plan.vanished)
    return plan


def _is_emptied(library: Library, root: str, plan: _IndexPlan) -> bool:
    """Whether every file that the library knows of a folder has vanished, and no other came."""
    known = {path for path, file in library.files.under(root).items() if not file.missing}
    if not known or not plan.vanished.keys() >= known:
        return False
    within = WalkCoverage(roots=[root])
    return not any(within.covers(found.stamp.path) for found in plan.to_read)


def _copies_left(library: Library, vanished: dict[str, KnownFile]) -> Iterator[tuple[FoundFile, str]]:
    """A file of every picture of which another copy has vanished: its words are now those of the copies left."""
    listings: Listings = {}
    for image_id in dict.fromkeys(known.image_id for known in vanished.values()):
        for other in library.files.of(image_id):
            found = find(other, listings) if str(other) not in vanished else None
            if isinstance(found, FoundFile):
                yield found, image_id
                break


class _IndexRun:
    """The state of one run: what is encoded but not committed, and what was counted."""

    def __init__(
        self,
        library: Library,
        encoder: JointEncoder,
        batch_size: int,
        labeller: Labeller | None,
        timing: IndexTiming,
    ) -> None:
        self.library = library
        self.timing = timing
        self.encoder = encoder
        self.batch_size = batch_size
        self.labeller = labeller
        self.sidecars = SidecarReader()
        self.failed: dict[str, Reason] = {}
        self.added = self.linked = self.updated_text = 0
        self._stamps: dict[str, FileStamp] = {}  # of files that reading again would not make usable
        self._sources: dict[str, FoundFile] = {}  # of the pictures that are encoded
        self._moved: dict[str, int] = {}  # pictures that turned up elsewhere, by the folder that moved
        self._batch: dict[str, ReadPicture] = {}
        self._encoded: dict[str, NewImage] = {}
        self._links: dict[str, tuple[FoundFile, str]] = {}
        self._read: set[str] = set()
        self._listings: Listings = {}
        self._old_failures = library.failures()
        self._circumstances_only: set[str] = set()
        self._committed_at = time.monotonic()

    def begin(self, plan: _IndexPlan) -> None:
        self.failed.update((problem.path, problem.reason) for problem in plan.problems)
        for failure in plan.failed_before:
            self.failed[str(failure.path)] = failure.reason
        if plan.vanished or plan.returned:
            with self.library.transaction():
                self.library.files.mark_missing(plan.vanished)
                self.library.files.mark_missing(plan.returned, missing=False)

    def work(self, plan: _IndexPlan, progress: Progress | None) -> None:
        total = len(plan.to_read) + len(plan.to_describe)
        self._circumstances_only = plan.circumstances_only
        done = 0
        for result in self._results(plan.to_read):
            self._take(result)
            if len(self._batch) >= self.batch_size:
                with self.timing.spent("encoding_s"):
                    self._encode()
            if self._due():
                self.commit()
            done += 1
            if progress is not None:
                progress(done, total)
        self._encode()
        for found, image_id in plan.to_describe:
            self._links[found.stamp.path] = (found, image_id)
            if self._due():
                self.commit()
            done += 1
            if progress is not None:
                progress(done, total)
        self.commit()

    def _results(self, files: Sequence[FoundFile]) -> Iterator[ReadPicture | UnusableFile]:
        """Read in threads, a bounded number of pictures ahead, given out in order."""
        waiting: deque[Future[ReadPicture | UnusableFile]] = deque()
        threads = min(8, os.cpu_count() or 1)
        pool = ThreadPoolExecutor(threads, thread_name_prefix="vignette-reader")
        try:
            for found in files:
                waiting.append(pool.submit(read_picture, found, self.sidecars, self.library))
                if len(waiting) >= self.batch_size + 2 * threads:
                    yield self._awaited(waiting.popleft())
            while waiting:
                yield self._awaited(waiting.popleft())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _awaited(self, result: Future[ReadPicture | UnusableFile]) -> ReadPicture | UnusableFile:
        with self.timing.spent("reading_s"):
            return result.result()

    def _take(self, result: ReadPicture | UnusableFile) -> None:
        path = result.found.stamp.path
        if isinstance(result, UnusableFile):
            self.failed[path] = result.reason
            if result.reason.key != "not_readable":
                self._stamps[path] = result.found.stamp
            return
        self._read.add(path)
        if result.image is None or result.sha256 in self._encoded or result.sha256 in self._batch:
            self._links[path] = (result.found, result.sha256)
            self.linked += 1
        else:
            self._batch[result.sha256] = result

    def _encode(self) -> None:
        pictures, self._batch = list(self._batch.values()), {}
        if not pictures:
            return
        images = [picture.image for picture in pictures if picture.image is not None]
        records = [picture.record for picture in pictures if picture.record is not None]
        visual = self.encoder.encode_images(images)
        if self.labeller is not None:
            wordless = [i for i, record in enumerate(records) if not record.text]
            labels = self.labeller([images[i] for i in wordless]) if wordless else []
            for i, tags in zip(wordless, labels, strict=True):
                records[i] = replace(records[i], guessed_tags=tuple(tags))
        records = [corrected(record, self.library.correction(record.id)) for record in records]
        textual = self._sentences(records)
        for i, (picture, record) in enumerate(zip(pictures, records, strict=True)):
            if not np.isfinite(visual[i]).all():
                self.failed[picture.found.stamp.path] = Phrase("no_vector")
                continue
            self._encoded[record.id] = NewImage(record, visual[i], textual[i], picture.phash, picture.found.stamp)
            self._sources[record.id] = picture.found

    def _sentences(self, records: Sequence[ImageRecord]) -> list[np.ndarray | None]:
        return sentence_vectors(records, self.encoder, self.batch_size)

    def _due(self) -> bool:
        waiting = len(self._encoded) + len(self._links)
        return waiting >= COMMIT_PICTURES or (waiting > 0 and time.monotonic() - self._committed_at > COMMIT_AFTER_S)

    def commit(self) -> None:
        """Everything that is encoded and known goes into the library as one transaction."""
        if self._encoded or self._links:
            with self.timing.spent("writing_s"):
                self._commit()

    def _commit(self) -> None:
        # A copy of a picture that waits in the batch is linked when that picture is added.
        links = {path: link for path, link in self._links.items() if link[1] not in self._batch}
        links = {path: link for path, link in links.items() if link[1] in self._encoded or link[1] in self.library}
        rewritten = self._redescribed(links)
        vectors = self._sentences(rewritten)
        with self.library.transaction():
            # Another run may have added a picture since, with the words it found: ours are as new as our stamp.
            late = {id_: self._sources[id_] for id_ in self._encoded if id_ in self.library}
            self.added += self.library.add(list(self._encoded.values()))
            for found, image_id in links.values():
                self.library.files.link(found.stamp, image_id)
                self._note_moved(found.stamp.path, image_id)
            self.library.update_texts(zip(rewritten, vectors, strict=True))
            for id_ in late:
                del self._encoded[id_]
            again = self._redescribed({found.stamp.path: (found, id_) for id_, found in late.items()})
            self.library.update_texts(zip(again, self._sentences(again), strict=True))
            self.library.note_circumstances({image_id for _, image_id in links.values()})
        self.linked += len(late)
        self.updated_text += sum(
            record.id not in self._encoded and record.id not in self._circumstances_only for record in rewritten
        )
        self._encoded, self._sources = {}, {}
        self._links = {path: link for path, link in self._links.items() if link[1] in self._batch}
        self._committed_at = time.monotonic()

    def _redescribed(self, links: dict[str, tuple[FoundFile, str]]) -> list[ImageRecord]:
        """The pictures of ``links`` whose words change, by what all their files say together."""
        by_image: dict[str, dict[str, FoundFile]] = {}
        for path, (found, image_id) in links.items():
            by_image.setdefault(image_id, {})[path] = found
        changed = []
        for image_id, files in by_image.items():
            new = self._encoded.get(image_id)
            old = new.record if new is not None else self.library.record(image_id)
            others = {str(old.path)} if new is not None else {str(path) for path in self.library.files.of(image_id)}
            for path in others - set(links):
                other = find(Path(path), self._listings)
                if isinstance(other, FoundFile):
                    files[path] = other
            said = describe((files[path] for path in sorted(files)), self.sidecars)
            if image_id in self._circumstances_only:
                record = said.circumstances_of(old)
            else:
                record = corrected(said.applied_to(old), self.library.correction(image_id))
            if record != old:
                changed.append(record)
        return changed

    def _note_moved(self, path: str, image_id: str) -> None:
        """A file that held the picture before and is not there any more was moved."""
        vanished = [old for old in self.library.files.of(image_id) if not os.path.lexists(old)]
        self.library.files.mark_missing(str(old) for old in vanished)
        for old in vanished:
            before, after = list(old.parts), list(Path(path).parts)
            while before and after and before[-1] == after[-1]:
                del before[-1], after[-1]
            if len(before) < len(old.parts):
                folder = str(Path(*before))
                self._moved[folder] = self._moved.get(folder, 0) + 1

    def _forget_moved(self) -> None:
        """What a moved folder held and its new place does not is gone, too.

        A folder counts as moved where it is not there any more and at least half of its pictures turned up again: the
        others of a drive that is not connected stay.
        """
        for old, count in self._moved.items():
            left = [path for path, known in self.library.files.under(old).items() if not known.missing]
            if left and count >= len(left) and not os.path.lexists(old):
                with self.library.transaction():
                    self.library.files.mark_missing(left)

    def end(self, plan: _IndexPlan) -> None:
        """Remember what failed and forget what does no longer."""
        self._forget_moved()
        problems = self.sidecars.problems
        healed = [
            str(old.path)
            for old in self._old_failures
            if (path := str(old.path)) not in self.failed
            and path not in problems
            and (
                path in self._read or plan.walked.covers(path)
                if old.kind == "picture"
                else path in self.sidecars.read or not old.path.exists()
            )
        ]
        noted = {str(old.path): phrase_to_json(old.reason) for old in self._old_failures}
        unusable = {path: said for path, said in self.failed.items() if noted.get(path) != phrase_to_json(said)}
        if not (unusable or problems or healed):
            return
        with self.library.transaction():
            files = self.library.files
            files.forget_failures(healed)
            for path, reason in unusable.items():
                stamp = self._stamps.get(path)
                seen = (stamp.size_bytes, stamp.mtime_ns, own_version()) if stamp is not None else None
                files.note_failure(path, "picture", reason, seen)
            for path, reason in problems.items():
                files.note_failure(path, "sidecar", reason)
            # What such a file held before is not there any more.
            files.mark_missing(unusable)
