"""Words of a picture as a person corrected them: they outlive the picture, and lead whatever its files say.

Only the fields that were changed are kept: the others go on following sidecars and metadata.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from image_db.library import Library
from image_db.metadata.description import sentence_vectors
from image_db.metadata.record import ImageRecord
from vision.interfaces import JointEncoder

FIELDS = ("caption", "caption_zh", "alt", "tags", "author", "license", "source_url")


def correct(
    library: Library, encoder: JointEncoder, image_id: str, given: Mapping[str, str], *, all_meant: bool = False
) -> ImageRecord:
    """Note other words for a picture, at once searchable, by FIELDS; tags are separated by commas.

    A drafted caption that is given as it is counts as a person's from now on. A form gives fields that nobody touched;
    with ``all_meant`` those that are as before are corrections, too. Raises LibraryError for an unknown id.
    """
    with library.transaction():
        record = library.record(image_id)
        shown = fields_of(record)
        changed = {
            name: text
            for name, text in given.items()
            if all_meant or text != shown[name] or (name == "caption" and text and record.caption_origin == "generated")
        }
        corrected_ = corrected(record, changed)
        (vector,) = sentence_vectors([corrected_], encoder)
        library.note_correction(image_id, {**library.correction(image_id), **changed})
        library.update_text(corrected_, vector)
    return library.record(image_id)


def corrected(record: ImageRecord, given: Mapping[str, str]) -> ImageRecord:
    """The record with the fields that were given; a caption a person wrote or kept is no model's, and with tags of a
    person nothing is guessed.
    """
    captions = dict(record.captions)
    if "caption_zh" in given:
        captions.pop("zh", None)
        if given["caption_zh"]:
            captions["zh"] = given["caption_zh"]
    return replace(
        record,
        caption=given.get("caption", record.caption),
        caption_origin="given" if "caption" in given else record.caption_origin,
        captions=tuple(sorted(captions.items())),
        alt=given.get("alt", record.alt),
        tags=_tags(given["tags"]) if "tags" in given else record.tags,
        guessed_tags=() if "tags" in given else record.guessed_tags,
        author=given.get("author", record.author),
        license=given.get("license", record.license),
        source_url=given.get("source_url", record.source_url),
    )


def draft_of(record: ImageRecord) -> tuple[str, str]:
    """The field that holds a picture's drafted words, and them: a model's caption, or what is guessed of a picture
    that nobody described; the words are empty where none are drafted.
    """
    if record.caption_origin == "generated" and record.caption:
        return "caption", record.caption
    return "tags", "" if record.is_described else ", ".join(record.guessed_tags)


def keep_draft(library: Library, encoder: JointEncoder, image_id: str) -> ImageRecord:
    """Make a picture's drafted words a person's own. Raises LibraryError for an unknown id."""
    record = library.record(image_id)
    field, draft = draft_of(record)
    return correct(library, encoder, image_id, {field: draft}, all_meant=True) if draft else record


def fields_of(record: ImageRecord) -> dict[str, str]:
    """FIELDS as a person sees them in a form."""
    return {
        "caption": record.caption,
        "caption_zh": dict(record.captions).get("zh", ""),
        "alt": record.alt,
        "tags": ", ".join(record.tags),
        "author": record.author,
        "license": record.license,
        "source_url": record.source_url,
    }


def _tags(text: str) -> tuple[str, ...]:
    return tuple(tag.strip() for tag in re.split(r"[,，、]", text) if tag.strip())
