"""Frames as CSV that no spreadsheet takes for formulas, and back."""

import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slbench.errors import InputError, unreadable
from slbench.files import read_regular
from slbench.text import one_line, printable

if TYPE_CHECKING:
    import pandas as pd

FORMULA = re.compile(r"'*[=+\-@\t]")  # how a text begins that a spreadsheet may evaluate
NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")


def to_csv(frame: "pd.DataFrame") -> str:
    """Return a frame as CSV in full precision, without its index.

    A text or a head that begins with "=", "+", "-", "@" or a tab and is no number gets an apostrophe in front, and so
    does one that begins with apostrophes and then these; `read_csv` takes one away. Control characters are left out.
    """
    return mapped(frame, quoted).to_csv(index=False)


def mapped(frame: "pd.DataFrame", function: Callable[[Any], Any]) -> "pd.DataFrame":
    """Return a frame with a function applied to its heads and to its columns that may have texts."""
    changed: pd.DataFrame = frame.rename(columns=function)
    if not frame.empty:
        changed = changed.apply(lambda column: column if column.dtype.kind in "biuf" else column.map(function))
    return changed


def quoted(value: Any) -> Any:
    """Return a text as it stands in a CSV; other values as they are."""
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if FORMULA.match(text) and not NUMBER.fullmatch(text) else text


def unquoted(value: Any) -> Any:
    """Return the text that `quoted` was given; other values as they are."""
    return value[1:] if isinstance(value, str) and value.startswith("'") and FORMULA.match(value) else value


def read_csv(path: Path, *, texts: Collection[str]) -> "pd.DataFrame":
    """Return the frame of a CSV that `to_csv` made; an empty field is a missing value.

    Args:
        texts: columns that are text even if all their values look like numbers.
    Raises:
        InputError: if the file cannot be read or is no CSV.
    """
    import io

    import pandas as pd

    try:
        frame = pd.read_csv(
            io.BytesIO(read_regular(path)),
            dtype=dict.fromkeys(texts, "str"),
            keep_default_na=False,
            na_values=[""],
        )
    except OSError as error:
        raise unreadable(path, error) from error
    except ValueError as error:  # of pandas' parser, or of UTF-8
        raise InputError(f"{path}: not a CSV file: {one_line(str(error))}") from error
    return mapped(frame, unquoted)
