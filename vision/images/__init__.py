"""Picture files: which formats are read, and pictures decoded safely into what a person would see."""

from vision.images.decoding import (
    MAX_AREA,
    MAX_ASPECT,
    MAX_PIXELS,
    ImageSource,
    exif_of,
    image_size,
    load_display_image,
    load_image,
    opened_for_words,
)

__all__ = [
    "MAX_AREA",
    "MAX_ASPECT",
    "MAX_PIXELS",
    "ImageSource",
    "exif_of",
    "image_size",
    "load_display_image",
    "load_image",
    "opened_for_words",
]
