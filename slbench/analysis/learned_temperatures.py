"""Learned temperatures by layer and epoch, from the temperatures.csv of runs."""

import csv
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from slbench.differing import distinguished, flat
from slbench.errors import StoreError
from slbench.files import read_regular
from slbench.methods import model_title
from slbench.record import RunRecord
from slbench.run_paths import RunPaths

COLUMNS: dict[str, Callable[[str], int | float | str]] = {
    "epoch": int,  # 0 is before training
    "layer": str,
    "depth": int,  # from 1
    "head": int,  # from 1; 0: shared by all heads
    "scale": float,  # learned factor of the scores
    "temperature": float,  # 1 / scale
    "sqrt_dk": float,
    "multiple": float,  # temperature / sqrt(d_k)
}


def read_temperatures(folder: Path) -> pd.DataFrame | None:
    """Return the learned temperatures of a run, one row per epoch, layer and head; None without the file.

    Raises:
        StoreError: if the file is damaged.
    """
    path = RunPaths(folder).temperatures
    if not path.exists():
        return None
    try:
        head, *rows = csv.reader(read_regular(path).decode().splitlines(keepends=True), strict=True)
        if head != list(COLUMNS) or not rows:
            raise ValueError(f"expected the columns {', '.join(COLUMNS)} and at least one row")
        columns = zip(*rows, strict=True)  # pandas may round the last bit
        return pd.DataFrame(
            {name: list(map(kind, values)) for (name, kind), values in zip(COLUMNS.items(), columns, strict=True)}
        )
    except (OSError, ValueError, csv.Error) as error:
        raise StoreError(f"{path}: damaged: {' '.join(str(error).split())}") from error


def with_run_columns(record: RunRecord, frame: pd.DataFrame, line: str) -> pd.DataFrame:
    """Insert columns that identify the run; `line` is the title shared by runs of one experiment."""
    columns: dict[str, str | int] = {
        "run": record.run_id,
        "backbone": record.labels.backbone,
        "method": record.labels.method,
        "dataset": record.labels.dataset,
        "line": line,
        "seed": record.spec.seed,
    }
    for position, (column, value) in enumerate(columns.items()):
        frame.insert(position, column, value)
    return frame


def line_titles(records: Iterable[RunRecord]) -> dict[str, str]:
    """Return line titles by run id: method, data set and distinguishing fields; only seeds share a title."""
    records = list(records)
    cells = {record.spec.cell_id: record for record in records}
    titles = {
        cell: f"{model_title(record.labels.backbone, record.labels.method)}, {record.labels.dataset}"
        for cell, record in cells.items()
    }
    fields = {cell: flat({**record.spec.as_dict(), "seed": None}) for cell, record in cells.items()}
    named = distinguished(titles, fields)
    return {record.run_id: named[record.spec.cell_id] for record in records}


def final(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of each run's last epoch."""
    last: pd.Series[int] = frame.groupby("run")["epoch"].transform("max")
    return frame[frame["epoch"] == last]


def by_layer(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row per line and layer: the temperature before and after training, over heads and seeds.

    `mean` is over heads, then seeds; `std` is over seeds; `min` and `max` are of single heads. Heads with a scale
    <= 0 (negative or infinite temperature) are excluded and counted in `not_positive`.
    """
    rows = []
    last = final(frame)
    for (line, depth), group in last.groupby(["line", "depth"], sort=False):
        start = frame[(frame["line"] == line) & (frame["depth"] == depth) & (frame["epoch"] == 0)]
        positive = group[group["scale"] > 0]
        by_seed = positive.groupby("run")["temperature"].mean()
        first = group.iloc[0]
        rows.append(
            {
                **{
                    name: first[name] for name in ("backbone", "method", "dataset", "line", "layer", "depth", "sqrt_dk")
                },
                "epoch": first["epoch"],
                "seeds": group["run"].nunique(),
                "heads": group["head"].nunique(),
                "initial": start["temperature"].mean(),
                "mean": by_seed.mean(),
                "std": by_seed.std(),
                "min": positive["temperature"].min(),
                "max": positive["temperature"].max(),
                "multiple": by_seed.mean() / first["sqrt_dk"],
                "not_positive": len(group) - len(positive),
            }
        )
    return pd.DataFrame(rows)


def collect_temperatures(
    records: Sequence[RunRecord], folders: Mapping[str, Path]
) -> tuple[pd.DataFrame | None, list[RunRecord], list[str]]:
    """Return the temperatures of all runs with the file, the runs without it, and notes on damaged files.

    Runs whose method learns no temperature are skipped.
    """
    titles = line_titles(records)
    frames, without, notes = [], [], []
    for record in records:
        if not record.spec.method.learn_temperature:
            continue
        try:
            folder = folders.get(record.run_id)
            frame = None if folder is None else read_temperatures(folder)
        except StoreError as error:
            notes.append(f"left out: {error}")
            continue
        if frame is None:
            without.append(record)
        else:
            frames.append(with_run_columns(record, frame, titles[record.run_id]))
    return pd.concat(frames, ignore_index=True) if frames else None, without, notes


def nonpositive_note(frame: pd.DataFrame) -> str:
    """Return a note on heads with a scale <= 0; empty if there are none."""
    count = int((frame["scale"] <= 0).sum())
    if count == 0:
        return ""
    return (
        f"; {count} of {len(frame)} learned scales are <= 0, which inverts the scores: drawn as crosses, "
        "excluded from means"
    )


def of_positive(values: Iterable[float]) -> float:
    """Return the mean of the positive finite values; NaN if there are none."""
    positive = [value for value in values if 0 < value < math.inf]
    return sum(positive) / len(positive) if positive else math.nan
