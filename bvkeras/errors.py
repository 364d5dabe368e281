"""The failures a user can meet, one class for each kind.

Every message is one line: what was wrong, where (argument, file, row), and
what was expected. The command line prints that line and no traceback.
"""

# Characters kept of a message that quotes a long value: first and last ones.
_FIRST, _LAST = 600, 200


class BvkerasError(Exception):
    """Base class of every error this package raises on purpose.

    Args:
        message: str. Of one that is very long, because a value in it is, the
            middle is left out.
    """

    def __init__(self, message: str = ""):
        if len(message) > _FIRST + _LAST:
            left_out = len(message) - _FIRST - _LAST
            message = (
                f"{message[:_FIRST]}… ({left_out:,} characters more) "
                f"…{message[-_LAST:]}"
            )
        super().__init__(message)


class ArgumentError(BvkerasError, ValueError):
    """An argument has a value that cannot be used."""


class DivergedError(ArgumentError):
    """Training came to a loss that is no number: its rate was too high."""


class DataError(BvkerasError, ValueError):
    """An input file or data set is not what its task says it is."""


class BackboneError(BvkerasError, ValueError):
    """An encoder or its tokenizer cannot be loaded."""


class CacheError(BvkerasError, ValueError):
    """A hidden-state cache is damaged, incomplete, or somebody else's."""


class RunError(BvkerasError, RuntimeError):
    """A run's directory cannot be used: in use, or made by other settings."""


class MissingPackageError(BvkerasError, ImportError):
    """An optional package is needed and not installed."""


class NativeLibraryError(BvkerasError, RuntimeError):
    """The native library is asked for and cannot be used."""


class BackendError(BvkerasError, ImportError):
    """Keras runs on another backend than TensorFlow."""


class CheckError(BvkerasError, AssertionError):
    """A head, pooler or task does not keep what `bvkeras.testing` checks."""
