"""metrics.csv of a run: a row per epoch, and the results that a record takes from it."""

import csv
import dataclasses
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slbench.files import read_regular, write_atomic


@dataclass(frozen=True, kw_only=True)
class EpochMetrics:
    """Metrics of one epoch; a row of metrics.csv. Accuracies in percent, losses per image."""

    epoch: int  # counted from 1
    lr: float  # of the epoch's last step
    train_loss: float  # mean over the epoch's steps, with label smoothing
    val_loss: float | None  # cross entropy without smoothing, like test_loss
    val_top1: float | None
    test_loss: float
    test_top1: float
    test_top5: float
    scales_below_zero: int  # number of negative learned temperatures, which invert the attention scores
    train_seconds: float  # of the steps, without evaluation


NAMES = [field.name for field in dataclasses.fields(EpochMetrics)]
WHOLE = ("epoch", "scales_below_zero")  # integers
OPTIONAL = ("val_loss", "val_top1")


def write_history(path: Path, history: Sequence[EpochMetrics]) -> None:
    """Write a row per epoch, atomically, so that no epoch is duplicated after a crash."""
    text = io.StringIO()
    writer = csv.DictWriter(text, NAMES)
    writer.writeheader()
    writer.writerows(dataclasses.asdict(metrics) for metrics in history)
    write_atomic(path, text.getvalue().encode())


def read_history(path: Path) -> list[EpochMetrics]:
    """Return the epochs of a metrics.csv.

    Raises:
        OSError: if the file cannot be read.
        ValueError: in one line, for content that is not a row per epoch from 1 on.
    """
    try:
        heads, *rows = list(csv.reader(io.StringIO(read_regular(path).decode()))) or [[]]
    except csv.Error as error:
        raise ValueError(str(error)) from error
    if heads != NAMES:
        raise ValueError(f"columns are not {', '.join(NAMES)}")
    history = [epoch_of(row, number) for number, row in enumerate(rows, start=1)]
    if [metrics.epoch for metrics in history] != list(range(1, len(history) + 1)):
        raise ValueError("epochs are not 1, 2, 3, ...")
    return history


def epoch_of(row: Sequence[str], number: int) -> EpochMetrics:
    """Return a row of metrics.csv. Raises ValueError for anything but numbers."""
    try:
        values = {name: parsed(name, text) for name, text in zip(NAMES, row, strict=True)}
    except ValueError as error:
        raise ValueError(f"row {number} is not {len(NAMES)} numbers") from error
    return EpochMetrics(**values)


def parsed(name: str, text: str) -> Any:
    if name in OPTIONAL and not text:
        return None
    return int(text) if name in WHOLE else float(text)


def results_of(history: Sequence[EpochMetrics]) -> dict[str, Any]:
    """Return the results of a record; of equally good epochs the first counts."""
    last = history[-1]
    best = max(history, key=lambda metrics: metrics.test_top1)
    selected = None if last.val_top1 is None else max(history, key=lambda metrics: metrics.val_top1 or 0.0)
    return {
        "final_test_top1": last.test_top1,
        "final_test_top5": last.test_top5,
        "final_test_loss": last.test_loss,
        "final_val_top1": last.val_top1,
        "final_train_loss": last.train_loss,
        "scales_below_zero": max(metrics.scales_below_zero for metrics in history),
        "selected_test_top1": None if selected is None else selected.test_top1,
        "selected_epoch": None if selected is None else selected.epoch,
        "best_test_top1": best.test_top1,
        "best_test_epoch": best.epoch,
    }
