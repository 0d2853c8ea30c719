"""Errors that a user can cause, each with a one-line message and an exit code.

A message reads `file or flag: key: problem (got X); allowed: A, B; did you mean 'A'?`, without the parts that make no
sense for it; a cure may follow.
"""

from itertools import islice
from pathlib import Path

from slbench.text import guess

MAX_NAMES = 1000  # of a folder, compared with a missing one


class SlbenchError(Exception):
    """Base class of errors that a user can cause or fix; shown as one line without a traceback."""

    exit_code = 1


class InputError(SlbenchError, ValueError):
    """Invalid flag, study file or value. Nothing has been written when it is raised.

    Also a ValueError, so that pydantic reports it like any other failed check.
    """

    exit_code = 2


class InapplicableError(InputError):
    """A method that does not apply to the requested backbone."""


class RetrofitWarning(UserWarning):
    """A method that leaves a part of a model as it was, or changes what its weights compute.

    Args:
        subject: model and method.
    """

    def __init__(self, subject: str, text: str) -> None:
        super().__init__(subject, text)
        self.text = text

    def __str__(self) -> str:
        return ": ".join(self.args)


class StoreError(SlbenchError):
    """A results folder or a file in it that cannot be used."""

    exit_code = 2


class TrainingError(SlbenchError):
    """A run that could not finish."""


class DivergedError(TrainingError):
    """A run whose loss became infinite or NaN. A retry would fail the same way."""


class EngineError(SlbenchError):
    """A scheduler that does not answer, or does not do what it was asked."""


class FetchError(SlbenchError):
    """A file that could not be downloaded as published."""


def unreadable(name: object, error: OSError) -> InputError:
    """Return the error for a file or folder that cannot be read, with a cure."""
    if isinstance(error, FileNotFoundError):
        return InputError(f"{name}: no such file{similar(Path(str(name))) or '; check the path or restore it'}")
    cure = "; grant read permission" if isinstance(error, PermissionError) else ""
    return InputError(f"{name}: cannot be read: {error.strerror}{cure}")


def similar(path: Path) -> str:
    """Return a suggestion of the file beside a missing path whose name is closest."""
    try:
        return guess(str(path), [str(path.parent / file.name) for file in islice(path.parent.iterdir(), MAX_NAMES)])
    except OSError:
        return ""
