"""Learning curves of runs, thinned for a page."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from slbench.files import read_regular

EPOCHS_IN_ALL = 30_000  # of all curves of a page together
MIN_EPOCHS, MAX_EPOCHS = 30, 200  # of one curve


@dataclass(frozen=True)
class Series:
    """A column of metrics.csv that is drawn."""

    split: str  # "train", "val", "test"
    label: str
    digits: int


SERIES = {
    "train_loss": Series("train", "training", 3),
    "val_loss": Series("val", "validation", 3),
    "test_loss": Series("test", "test", 3),
    "val_top1": Series("val", "validation", 2),
    "test_top1": Series("test", "test", 2),
}


@dataclass(frozen=True)
class LearningCurve:
    """The series of one run by epoch."""

    epochs: tuple[int, ...]  # kept epochs
    total: int  # epochs in the file
    values: Mapping[str, tuple[float | None, ...]]  # by name of SERIES; series without values are omitted

    @property
    def table(self) -> str:
        """The rounded values as lines of tab-separated text, a dash where there is none."""
        lines = [("epoch", *self.values)]
        for number, epoch in enumerate(self.epochs):
            numbers = ((SERIES[name].digits, values[number]) for name, values in self.values.items())
            lines.append((str(epoch), *("–" if value is None else f"{value:.{digits}f}" for digits, value in numbers)))
        return "\n".join("\t".join(line) for line in lines)


def max_epochs(runs: int) -> int:
    """Return the number of epochs kept per curve on a page with `runs` runs."""
    return max(MIN_EPOCHS, min(MAX_EPOCHS, EPOCHS_IN_ALL // max(1, runs)))


def read_curve(path: Path, *, limit: int) -> LearningCurve | None:
    """Return the curve in a metrics.csv at up to `limit` epochs; None if it is missing or unreadable."""
    try:
        lines = read_regular(path).decode("utf-8").splitlines()
        names = lines[0].split(",")
        rows = [line.split(",") for line in thinned(lines[1:], limit)]
        epochs = tuple(int(row[names.index("epoch")]) for row in rows)
        columns = {name: tuple(number(row[names.index(name)]) for row in rows) for name in SERIES}
    except (OSError, ValueError, IndexError):
        return None
    values = {name: column for name, column in columns.items() if any(value is not None for value in column)}
    return LearningCurve(epochs, len(lines) - 1, values) if epochs else None


def number(text: str) -> float | None:
    """Return a cell as a number; None if it is empty, not finite, or too large to be drawn."""
    value = float(text) if text else math.nan
    return value if abs(value) < 1e100 else None


def thinned(lines: Sequence[str], limit: int) -> list[str]:
    """Return at most `limit` lines, evenly spaced, with the first and the last."""
    if len(lines) <= limit:
        return list(lines)
    return [lines[round(index * (len(lines) - 1) / (limit - 1))] for index in range(limit)]
