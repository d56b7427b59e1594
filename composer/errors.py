"""The exception tree of ``composer``.

ComposerError
├── UsageError           what was asked cannot be done as asked: exit code 2
├── EditError            an edit does not fit the article: a bad index, or something locked
├── DraftError           a draft is gone, or its folder cannot be used
├── OutputExists         the output folder holds something: exit code 1
├── SourceError          a document to write from cannot be used
├── ExportError          an article cannot become the format that was asked for
└── WritingFailed        the model gave nothing usable
"""

from vision.errors import KeyedError


class ComposerError(KeyedError):
    """Base of everything ``composer`` raises on purpose."""


class UsageError(ComposerError):
    """What was asked cannot be done as asked."""


class EditError(ComposerError):
    """An edit does not fit the article as it is; the article is unchanged."""


class DraftError(ComposerError):
    """A draft is gone, or its folder cannot be used."""


class OutputExists(ComposerError):
    """The output folder is not empty."""


class ExportError(ComposerError):
    """An article cannot become the format that was asked for."""


class WritingFailed(ComposerError):
    """The model gave nothing usable."""


class SourceError(ComposerError):
    """A document to write from cannot be used."""
