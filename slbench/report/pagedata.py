"""What a page holds of each run, once: specs and machines shared, curves thinned and rounded, as one block of JSON."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slbench.record import RunRecord
from slbench.report.inputs import ReportInputs

if TYPE_CHECKING:
    from slbench.report.pagebehind import Behind

HISTORY = "metrics.csv"
SERIES = {  # columns of it that are drawn, and what they are multiplied by before they are rounded
    "train_loss": 1_000,
    "val_loss": 1_000,
    "test_loss": 1_000,
    "val_top1": 100,
    "test_top1": 100,
}
MAX_EPOCHS, MIN_EPOCHS = 200, 30  # of a run's curve that are kept
EPOCHS_IN_ALL = 100_000  # of all curves together, some 3 MB
OF_SPEC = ("backbone", "method", "dataset", "recipe", "numerics")
NETWORK = ("macs", "norm_operations", "uncounted_operators", "params")  # of a record; the same over its seeds
ELSEWHERE = {
    *NETWORK,
    "run_id",
    "spec",
    "labels",
    "code",
    "host",
    "device",
    "device_name",
    "threads",
    "precision",
    "history",
}
FIELDS = [name for name in RunRecord.model_fields if name not in ELSEWHERE]
SAFE = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


@dataclass(frozen=True)
class Curve:
    """What a run did by epoch, for a drawing."""

    epochs: list[int]  # those that are kept
    total: int  # epochs that there are
    series: list[list[int | None] | int]  # of each of SERIES, rounded, less the one before; 0 without any value


class Pool:
    """Values that many runs share, each kept once."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._places: dict[str, int] = {}

    def place(self, value: Any) -> int:
        """Where a value stands."""
        key = json.dumps(value)
        if key not in self._places:
            self._places[key] = len(self.values)
            self.values.append(value)
        return self._places[key]


def embedded(gathered: ReportInputs, behind: "Sequence[Behind]") -> str:
    """JSON of the runs behind the numbers, which no text in it can end or turn into a tag.

    `parts` are the pools, `cells` specs without seeds as places in them, `runs` what `entry` gives, by id.
    """
    pools = {name: Pool() for name in (*OF_SPEC, "network", "code", "host", "device", "epochs")}
    records = [record for group in behind for record in group.records]
    most = max(MIN_EPOCHS, min(MAX_EPOCHS, EPOCHS_IN_ALL // max(1, len(records))))
    cells: dict[str, Any] = {}
    for record in records:
        if record.spec.cell_id not in cells:
            spec = record.spec.as_dict()
            shared = {name: pools[name].place(spec.pop(name)) for name in OF_SPEC}
            del spec["seed"]
            cells[record.spec.cell_id] = shared | spec
    runs = {record.run_id: entry(record, gathered.folders.get(record.run_id), pools, most=most) for record in records}
    parts = {name: pool.values for name, pool in pools.items()}
    series = {"names": list(SERIES), "scales": list(SERIES.values())}
    return dumped({"parts": parts, "cells": cells, "fields": FIELDS, "series": series, "runs": runs})


def entry(record: RunRecord, folder: Path | None, pools: Mapping[str, Pool], *, most: int) -> list[Any]:
    """A run: seed, cell, places of code, host, device, its folder's name, place of its network, its `FIELDS`, curve.

    A curve is the place of its epochs, how many there were, and each of SERIES.
    """
    found = None if folder is None else curve(folder / HISTORY, most=most)
    return [
        record.spec.seed,
        record.spec.cell_id,
        pools["code"].place(record.code.model_dump(mode="json")),
        pools["host"].place(record.host.model_dump(mode="json", exclude={"hostname"})),
        pools["device"].place([record.device, record.device_name, record.threads, record.precision]),
        "" if folder is None else folder.name.encode(errors="replace").decode(),
        pools["network"].place({name: getattr(record, name) for name in NETWORK}),
        [finite(getattr(record, name)) for name in FIELDS],
        None if found is None else [pools["epochs"].place(found.epochs), found.total, *found.series],
    ]


def dumped(content: Any) -> str:
    """JSON that may stand inside a script element: ASCII, without <, > and &."""
    return json.dumps(content, separators=(",", ":"), allow_nan=False).translate(SAFE)


def finite(value: Any) -> Any:
    """A value that JSON can hold: what is not a number is its name."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def curve(path: Path, *, most: int) -> Curve | None:
    """A run's curve at no more than so many epochs; None if its file is not there or not readable."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        names = lines[0].split(",")
        rows = [line.split(",") for line in thinned(lines[1:], most)]
        epochs = [int(row[names.index("epoch")]) for row in rows]
        columns = [[row[names.index(name)] for row in rows] for name in SERIES]
        series = [differences(column, scale) for column, scale in zip(columns, SERIES.values(), strict=True)]
    except (OSError, ValueError, IndexError):
        return None
    return Curve(epochs, len(lines) - 1, series) if epochs else None


def thinned(lines: Sequence[str], most: int) -> list[str]:
    """At most so many lines, evenly, the first and the last among them."""
    if len(lines) <= most:
        return list(lines)
    return [lines[round(place * (len(lines) - 1) / (most - 1))] for place in range(most)]


def differences(values: Iterable[str], scale: int) -> list[int | None] | int:
    """Rounded values less the one before; None where there is none, 0 if there is none at all."""
    found: list[int | None] = []
    last = 0
    for text in values:
        value = float(text) if text else math.nan
        if not math.isfinite(value):
            found.append(None)
            continue
        whole = round(value * scale)
        found.append(whole - last)
        last = whole
    return found if any(value is not None for value in found) else 0
