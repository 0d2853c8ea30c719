"""What can go wrong through a person's doing, each with one line to say so and an exit code."""


class SlbenchError(Exception):
    """A condition a person can cause or mend. Its text is one line, shown without a traceback."""

    exit_code = 1


class InputError(SlbenchError, ValueError):
    """Bad input: a flag, a study file, a value. Nothing has been written when it is raised.

    It is also a ValueError, so that pydantic reports it like any other failed check.
    """

    exit_code = 2


class InapplicableError(InputError):
    """A row of an ablation that means nothing on the backbone it was asked for."""


class StoreError(SlbenchError):
    """A results folder that cannot be used, or a file in it that cannot be read."""

    exit_code = 2


class TrainingError(SlbenchError):
    """A run that could not be finished."""


class DivergedError(TrainingError):
    """A run whose loss is no longer a finite number. It would come to the same end again."""


class FetchError(SlbenchError):
    """A file that no server gave as it was published."""


def unreadable(name: object, error: OSError) -> InputError:
    """The line on a file or folder that the system would not give, with what helps."""
    if isinstance(error, FileNotFoundError):
        return InputError(f"{name}: no such file: check the path, or restore it")
    cure = ": give yourself the right to read it" if isinstance(error, PermissionError) else ""
    return InputError(f"{name}: cannot be read: {error.strerror}{cure}")
