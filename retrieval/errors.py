"""The exception tree of ``retrieval``.

RetrievalError
└── IndexUnusable     the index on disk does not fit the library or this machine
"""

from vision.errors import KeyedError


class RetrievalError(KeyedError):
    """Base of everything ``retrieval`` raises on purpose."""


class IndexUnusable(RetrievalError):
    """The index on disk does not fit the library or this machine."""
