"""The exception tree of ``vision``.

VisionError
├── WeightsError        a model file is missing, damaged or cannot be fetched
├── ModelError          a checkpoint is of a kind this program cannot run
├── ImageError          a picture cannot be decoded safely
├── DataError           training data or a recipe is missing or malformed
└── PromptTooLong       a prompt does not fit the model's context window

Every message says what failed, the value, and what to do next.
"""


class VisionError(Exception):
    """Base of everything ``vision`` raises on purpose."""


class WeightsError(VisionError):
    """A model file is missing, damaged, or cannot be fetched."""


class ModelError(VisionError):
    """A checkpoint is of a kind this program cannot run, or an option does not fit it."""


class ImageError(VisionError):
    """A picture cannot be decoded, or is too large to decode safely."""


class PromptTooLong(VisionError):
    """A prompt does not fit the model's context window."""


class DataError(VisionError):
    """Training data or a recipe is missing or malformed."""
