"""What a study says beyond its table: sections of words with a small table each."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Section:
    """One question and its answer."""

    title: str
    words: tuple[str, ...]  # sentences above the table
    heads: tuple[str, ...]  # of the columns
    lines: tuple[tuple[str, ...], ...]  # cells as they are shown
    notes: tuple[str, ...] = ()  # sentences below it
