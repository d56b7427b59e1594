"""The exception tree of ``image_db``.

LibraryError
├── LibraryMissing       no library in that folder
├── EncoderMismatch      the library's vectors were made by another encoder
├── LibraryDamaged       catalogue and vectors disagree, or a file is unreadable
└── SampleUnavailable    the sample library cannot be fetched on this system
"""

from vision.errors import KeyedError


class LibraryError(KeyedError):
    """Base of everything ``image_db`` raises on purpose."""


class LibraryMissing(LibraryError):
    """No library in that folder."""


class EncoderMismatch(LibraryError):
    """The library's vectors were made by another encoder."""


class LibraryDamaged(LibraryError):
    """Catalogue and vectors disagree, or a file cannot be read."""


class SampleUnavailable(LibraryError):
    """The sample library cannot be fetched on this system."""
