"""Tries each part of a profile for ``vignette doctor``: a sentence written, pictures judged, encoded and found."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from composer.errors import ComposerError
from composer.pipeline.loading import check_fits, load_drafting, load_encoder, load_judge, load_language_model
from composer.pipeline.prompts import load_prompts
from composer.settings import Settings
from vision.errors import KeyedError, Phrase
from vision.interfaces import Message, Sampling, VisionLanguageModel

if TYPE_CHECKING:
    from PIL.Image import Image

    from vision.interfaces import JointEncoder

Part = Literal["memory", "writer", "judge", "encoder", "search", "drafts"]

TOKENS = 24
_TOO_SMALL = ("gpu_too_small", "memory_too_small")  # then nothing is loaded
# Drawn, so that nothing has to be fetched: words, and colour by (red, green, blue).
PICTURES = {"a red square": (200, 30, 30), "a blue square": (30, 60, 200), "a green square": (30, 160, 60)}


@dataclass(frozen=True, slots=True)
class Trial:
    """``said`` is what came of it, or the error that ended it."""

    part: Part
    said: Phrase | KeyedError

    @property
    def failed(self) -> bool:
        return isinstance(self.said, KeyedError)


def try_parts(settings: Settings) -> Iterator[Trial]:
    """One trial after the other, each as soon as it is done; what needs a part that failed is left out.

    Where memory cannot be estimated because a model is missing, the part that it belongs to says so.
    """
    fits = _attempt("memory", lambda: _fits(settings))
    if not fits.failed or fits.said.key in _TOO_SMALL:
        yield fits
        if fits.failed:
            return
    failed = False
    for trial in _parts(settings):
        failed |= trial.failed
        yield trial
    if fits.failed and not failed:
        yield fits


def _parts(settings: Settings) -> Iterator[Trial]:
    writers: list[VisionLanguageModel] = []
    yield _attempt("writer", lambda: _write(writers, settings))
    if settings.own_judge is not None or (writers and writers[0].sees_images):
        yield _attempt("judge", lambda: _judge(load_judge(settings) or writers[0]))
    encoders: list[JointEncoder] = []
    encoded = _attempt("encoder", lambda: _encode(encoders, settings))
    yield encoded
    if not encoded.failed:
        yield _attempt("search", lambda: _search(encoders[0]))
        if settings.encoder.kind == "embedded":
            yield _attempt("drafts", lambda: _draft(settings, encoders[0]))


def _attempt(part: Part, work: Callable[[], Phrase]) -> Trial:
    try:
        return Trial(part, work())
    except KeyedError as error:
        return Trial(part, error)
    except (RuntimeError, OSError, ImportError) as error:
        # Of torch, a driver or a disk: what they say is all that is known.
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        return Trial(part, ComposerError("trial_failed", reason=reason))


def _fits(settings: Settings) -> Phrase:
    from composer.profiles.choice import GB
    from composer.profiles.machine import look
    from composer.profiles.memory import estimate

    check_fits(settings)
    need = estimate(settings, look())
    if not need.gpu:
        return Phrase("tried_memory", {"memory": need.memory / GB})
    return Phrase("tried_memory_and_gpu", {"memory": need.memory / GB, "gpu": need.gpu / GB})


def _write(writers: list[VisionLanguageModel], settings: Settings) -> Phrase:
    writers.append(load_language_model(settings.writer))
    (model,) = writers
    began = time.perf_counter()
    prompt = (Message.of("user", "Write one short sentence about a red boat."), Message.of("assistant", ""))
    with closing(model.stream(prompt, Sampling(max_tokens=TOKENS))) as chunks:  # type: ignore[type-var]
        pieces = [chunk.text for chunk in chunks]
    text = " ".join("".join(pieces).split())
    if not text:
        raise ComposerError("trial_wrote_nothing", model=model.identity.name)
    return Phrase("tried_writer", {"text": text, "seconds": time.perf_counter() - began, "model": model.identity.name})


def _judge(model: VisionLanguageModel) -> Phrase:
    prompts = load_prompts("en")
    began = time.perf_counter()
    words, (colour, *_) = "a red square", PICTURES.values()
    shown = (_draw(colour),) if model.sees_images else (words,)
    question = Message("user", (*shown, f" Does this show {words}? Answer yes or no."))
    prompt = (question, Message.of("assistant", prompts.odds_prefix))
    yes, no = model.score(prompt, [prompts.odds_yes, prompts.odds_no])
    if not (abs(yes) < float("inf") and abs(no) < float("inf")):
        raise ComposerError("trial_judged_nothing", model=model.identity.name)
    key = "tried_judge_looking" if model.sees_images else "tried_judge_reading"
    return Phrase(key, {"odds": yes - no, "seconds": time.perf_counter() - began, "model": model.identity.name})


def _encode(encoders: list[JointEncoder], settings: Settings) -> Phrase:
    import numpy as np

    encoders.append(load_encoder(settings))
    (encoder,) = encoders
    began = time.perf_counter()
    vectors = encoder.encode_images([_draw(colour) for colour in PICTURES.values()])
    if not np.isfinite(vectors).all() or np.allclose(vectors[0], vectors[1]):
        raise ComposerError("trial_encoded_nothing", model=encoder.identity.name)
    seconds = (time.perf_counter() - began) / len(vectors)
    return Phrase("tried_encoder", {"seconds": seconds, "model": encoder.identity.name, "size": vectors.shape[1]})


def _search(encoder: JointEncoder) -> Phrase:
    """A library of three pictures in a temporary folder, searched by the words of one."""
    from image_db.indexing import index_paths
    from image_db.library import Library
    from retrieval.search import Searcher
    from retrieval.typed import typed_query

    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="vignette-doctor-") as folder:
        pictures = Path(folder, "pictures")
        pictures.mkdir()
        for words, colour in PICTURES.items():
            path = pictures / f"{words.replace(' ', '-')}.png"
            _draw(colour).save(path)
            path.with_suffix(".txt").write_text(words, encoding="utf-8")
        wanted = next(iter(PICTURES))
        with Library.create(Path(folder, "library"), encoder.identity) as library:
            index_paths(library, encoder, [pictures])
            found = Searcher(library, encoder).find(typed_query(wanted), 1)
        if not found or found[0].record.caption != wanted:
            raise ComposerError("trial_found_other", wanted=wanted, found=found[0].record.caption if found else "")
    return Phrase("tried_search", {"wanted": wanted, "count": len(PICTURES), "seconds": time.perf_counter() - began})


def _draft(settings: Settings, encoder: JointEncoder) -> Phrase:
    """A drawn picture without words is drafted, as indexing drafts it; what is said of a square matters little."""
    began = time.perf_counter()
    (drafted,) = load_drafting(settings, encoder)(encoder.encode_images([_draw(next(iter(PICTURES.values())))]))
    text = drafted.sentence or ", ".join(drafted.tags)
    return Phrase("tried_drafts", {"text": text, "seconds": time.perf_counter() - began})


def _draw(colour: tuple[int, int, int]) -> Image:
    from PIL import Image as images
    from PIL import ImageDraw

    picture = images.new("RGB", (256, 192), (235, 235, 225))
    ImageDraw.Draw(picture).rectangle((64, 32, 192, 160), fill=colour)
    return picture
