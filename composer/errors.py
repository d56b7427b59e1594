"""The exception tree of ``composer``.

ComposerError
├── UsageError           what was asked cannot be done as asked: exit code 2
│   └── SettingsError    a profile or setting is unknown or out of range
├── EditError            an edit does not fit the article: a bad index, or something locked
├── DraftError           a draft is gone, or its folder cannot be used
├── OutputExists         the output folder holds something: exit code 1
├── ExportError          an article cannot become the format that was asked for
└── WritingFailed        the model gave nothing usable
"""


class ComposerError(Exception):
    """Base of everything ``composer`` raises on purpose.

    ``key`` names what happened and ``values`` what it happened to, for whoever says it in other words than the
    message's: see ``composer.i18n.errors``.
    """

    def __init__(self, message: str = "", key: str = "", **values: object) -> None:
        super().__init__(message)
        self.key = key
        self.values = values


class UsageError(ComposerError):
    """What was asked cannot be done as asked; the message names the flag to change."""


class SettingsError(UsageError):
    """A profile or a setting is unknown or out of range."""


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
