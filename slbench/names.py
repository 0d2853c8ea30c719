"""Look names up in a table, with suggestions for unknown ones."""

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar

from slbench.errors import InputError
from slbench.text import choices, shown

T = TypeVar("T")


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return the end of an error line: the closest known name, if any, and all allowed names."""
    names = list(known)
    if not names:
        return ""
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    hint = f"; did you mean '{close[0]}'?" if close else ";"
    return f"{hint} allowed: {', '.join(names)}"


def lookup(table: Mapping[str, T], name: str, kind: str, *, where: str = "") -> T:
    """Return the entry of the table under `name`.

    Args:
        kind: singular noun for the entries in the error ("backbone").
        where: file and key, or flag, for the error.
    Raises:
        InputError: with the name, all allowed names and the closest one.
    """
    if name in table:
        return table[name]
    head = f"{where}: " if where else ""
    raise InputError(f"{head}unknown {kind} (got {shown(name)}){choices(table, name)}")
