"""Small pieces of text that messages, tables and captions share."""

from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")


def plural(count: int, noun: str) -> str:
    """Return "1 run", "2 runs"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def distinct(values: Iterable[T]) -> tuple[T, ...]:
    """Return the different values in the order of their first occurrence."""
    return tuple(dict.fromkeys(values))
