"""Looking names up in a table, and what to say when one is not there."""

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar

from slbench.errors import InputError

T = TypeVar("T")


def suggestion(name: str, known: Iterable[str]) -> str:
    """The tail of an error line: the nearest known name, if one is near, and all that are known."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    hint = f"; did you mean '{near[0]}'?" if near else ";"
    return f"{hint} known: {', '.join(names)}"


def lookup(table: Mapping[str, T], name: str, kind: str) -> T:
    """The table's entry under `name`.

    Args:
        kind: what the table holds, in the singular, as the error names it ("backbone").
    Raises:
        InputError: naming the kind, the name, the nearest known one and all known ones.
    """
    if name in table:
        return table[name]
    raise InputError(f"unknown {kind} '{name}'{suggestion(name, table)}")
