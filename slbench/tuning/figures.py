"""The figures of a search, from its record."""

from pathlib import Path

from slbench.tuning.record import SearchRecord


def draw(record: SearchRecord, folder: Path) -> list[str]:
    return []
