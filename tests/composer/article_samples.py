"""Articles and pictures that tests of exports, folders, batches and the app share. Pictures are real files."""

from __future__ import annotations

import hashlib
from pathlib import Path

from PIL import Image

from composer.article.credit import credit_line
from composer.article.model import Article, Placement, Section, Slot
from image_db.metadata.record import ImageRecord
from retrieval.candidates import Candidate
from vision.errors import Phrase

COLOURS = ("seagreen", "goldenrod", "steelblue", "indianred", "slategray", "orchid")


def record_of(path: Path, width_px: int, height_px: int, **values: object) -> ImageRecord:
    id_ = hashlib.sha256(path.read_bytes()).hexdigest()
    return ImageRecord(id=id_, path=path, width_px=width_px, height_px=height_px, **values)  # type: ignore[arg-type]


def picture(
    folder: Path, name: str, colour: str = "seagreen", size: tuple[int, int] = (960, 640), **values: object
) -> ImageRecord:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    Image.new("RGB", size, colour).save(path)
    values.setdefault("caption", path.stem.replace("_", " "))
    return record_of(path, *size, **values)


NOTHING_FITS = (Phrase("nothing_fits", {"best": 0.12, "needed": 0.21}),)


def said(text: str) -> tuple[Phrase, ...]:
    return (Phrase("verbatim", {"text": text}),)


def candidate(
    record: ImageRecord, fused: float = 0.5, log_prob: float | None = -0.7, why: tuple[Phrase, ...] = ()
) -> Candidate:
    return Candidate(record, visual=fused - 0.1, textual=fused + 0.1, fused=fused, log_prob=log_prob, why=why)


def placed(
    record: ImageRecord, after: int, caption: str, language: str = "en", others: tuple[ImageRecord, ...] = ()
) -> Placement:
    candidates = tuple(
        candidate(r, 0.6 - 0.1 * i, why=said(f"matches “{r.caption}”")) for i, r in enumerate((record, *others))
    )
    return Placement(
        slot=Slot(after, caption, caption, 1.2),
        candidates=candidates,
        chosen=record,
        reason=said("chosen 2.3× over the next"),
        caption=caption,
        alt=record.alt or record.caption,
        credit=credit_line(record, language),
    )


def farm_article(folder: Path) -> Article:
    hens = picture(
        folder,
        "hens.jpg",
        "goldenrod",
        (1200, 800),
        caption="Hens leave the barn",
        author="A. Author",
        license="CC BY-SA 3.0",
        source_url="https://example.org/hens",
    )
    cows = picture(
        folder, "cows.jpg", "seagreen", (500, 400), caption="Two cows at the fence", author="B. Both", license="CC0"
    )
    barn = picture(folder, "barn.png", "indianred", (640, 900), caption="A red barn")
    return Article(
        title="A day on the farm",
        language="en",
        sections=(
            Section("The morning begins early, long before the sun clears the poplars at the end of the lane."),
            Section("## Morning\n\nHens are the first to be let out, and *the last* to come home."),
            Section("- feed the hens\n- milk the cows\n- mend the fence"),
            Section("## Evening\n\n> The work is done when the gate is shut.\n", gap="\n"),
            Section("By nightfall the yard is quiet again.", gap="\n"),
        ),
        placements=(
            placed(hens, 1, "Hens leave the barn at sunrise.", others=(cows, barn)),
            placed(cows, 2, "Two cows wait at the fence.", others=(hens,)),
            Placement(Slot(3, "A closed gate"), (candidate(barn, 0.12),), None, NOTHING_FITS),
        ),
        provenance={"seed": 7, "models": {"writer": {"name": "fake", "sha256": "00"}}},
    )
