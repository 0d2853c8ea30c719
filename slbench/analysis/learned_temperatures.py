"""Learned temperatures by layer, before training and after each epoch, from the temperatures.csv of runs."""

import csv
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from slbench.differing import distinguished, flat
from slbench.errors import StoreError
from slbench.methods import model_title
from slbench.record import TEMPERATURES, RunRecord

COLUMNS: dict[str, Callable[[str], int | float | str]] = {
    "epoch": int,  # 0: before training
    "layer": str,
    "depth": int,  # from 1
    "head": int,  # from 1; 0: all heads share one
    "scale": float,  # learned; it multiplies
    "temperature": float,  # 1 / scale
    "sqrt_dk": float,
    "multiple": float,  # temperature / sqrt(d_k)
}


def read_temperatures(folder: Path) -> pd.DataFrame | None:
    """A run's learned temperatures from its folder, a row for each known epoch, layer and head; None without the file.

    Raises:
        StoreError: if the file is damaged.
    """
    path = folder / TEMPERATURES
    if not path.exists():
        return None
    try:
        with path.open(newline="", encoding="utf-8") as file:
            head, *rows = csv.reader(file, strict=True)
        if head != list(COLUMNS) or not rows:
            raise ValueError(f"must have the columns {', '.join(COLUMNS)}, and rows")
        columns = zip(*rows, strict=True)  # by hand, as pandas may round the last bit
        return pd.DataFrame(
            {name: list(map(kind, values)) for (name, kind), values in zip(COLUMNS.items(), columns, strict=True)}
        )
    except (OSError, ValueError, csv.Error) as error:
        raise StoreError(f"{path}: damaged: {' '.join(str(error).split())}") from error


def with_names(record: RunRecord, frame: pd.DataFrame, line: str) -> pd.DataFrame:
    """The rows of a run under its names. `line` says which runs repeat one experiment."""
    named: dict[str, str | int] = {
        "run": f"{record.labels.backbone}-{record.labels.method}-{record.labels.dataset}"
        f"-s{record.spec.seed}-{record.run_id}",
        "backbone": record.labels.backbone,
        "method": record.labels.method,
        "dataset": record.labels.dataset,
        "line": line,
        "seed": record.spec.seed,
    }
    for place, (column, value) in enumerate(named.items()):
        frame.insert(place, column, value)
    return frame


def line_titles(records: Iterable[RunRecord]) -> dict[str, str]:
    """What the line of each run is called, by run id: the row and the data set, and what else tells it from others.

    Runs that differ in nothing but their seed share a title, and no others do.
    """
    held = list(records)
    cells = {record.spec.cell_id: record for record in held}
    titles = {
        cell: f"{model_title(record.labels.backbone, record.labels.method)}, {record.labels.dataset}"
        for cell, record in cells.items()
    }
    fields = {cell: flat({**record.spec.as_dict(), "seed": None}) for cell, record in cells.items()}
    named = distinguished(titles, fields)
    return {record.run_id: named[record.spec.cell_id] for record in held}


def final(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of each run's last epoch."""
    last: pd.Series[int] = frame.groupby("run")["epoch"].transform("max")
    return frame[frame["epoch"] == last]


def by_layer(frame: pd.DataFrame) -> pd.DataFrame:
    """A row for each line and layer: the temperature before training, and after it over heads and seeds.

    `mean` is over heads, then over seeds; `std` that over the seeds, `min` and `max` those of single heads. Heads
    whose scale is not above zero are counted in `not_positive` and left out of all these: their temperature is
    negative or infinite, and a mean with it means nothing.
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


def gathered(
    records: Sequence[RunRecord], folders: Mapping[str, Path]
) -> tuple[pd.DataFrame | None, list[RunRecord], list[str]]:
    """The temperatures of those runs that have the file, under their names; the runs without; what was left out.

    Runs whose row learns no temperature are neither. A damaged file is left out with its line.
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
            frames.append(with_names(record, frame, titles[record.run_id]))
    return pd.concat(frames, ignore_index=True) if frames else None, without, notes


def negative_words(frame: pd.DataFrame) -> str:
    """How many of these heads have a scale that is not above zero; nothing where none has."""
    count = int((frame["scale"] <= 0).sum())
    if count == 0:
        return ""
    return (
        f"; {count} of {len(frame)} learned scales are not above zero, so that scores count the wrong way round: "
        "crosses, in no mean"
    )


def of_positive(values: Iterable[float]) -> float:
    """The mean of what is positive and finite; NaN if nothing is."""
    kept = [value for value in values if 0 < value < math.inf]
    return sum(kept) / len(kept) if kept else math.nan
