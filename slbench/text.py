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


def minutes(seconds: float) -> str:
    """Return "1:02:03" or "2:03"."""
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"
