"""Look names up in a table, with suggestions for unknown ones."""

from collections.abc import Mapping
from typing import TypeVar

from slbench.errors import InputError
from slbench.text import choices, shown

T = TypeVar("T")


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
