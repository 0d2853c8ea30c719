"""The paper-style table: a row for each backbone and method, a column for each data set."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from slbench.errors import StoreError
from slbench.measured import Throughput
from slbench.methods import row_title
from slbench.report.caption import AccuracyName, caption, distinct
from slbench.report.rows import tidy, varying
from slbench.store import RunRecord
from slbench.study import StudyRun


@dataclass(frozen=True)
class Accuracy:
    """Top-1 of one experiment over its seeds, in percent."""

    mean: float
    std: float | None  # sample standard deviation; None for one seed
    n: int
    expected: int  # seeds that the study asks for
    best: bool = False  # of its column, if that can be said


@dataclass(frozen=True)
class Row:
    """A line of the table. Costs are one value for each kind of images among the data sets."""

    title: str
    backbone: str
    method: str
    settings: tuple[str, ...]  # values of the table's extra columns
    images_per_second: tuple[float, ...]
    macs: tuple[int, ...]
    params: tuple[int, ...]
    accuracies: tuple[Accuracy | None, ...]  # one for each of the table's columns; None if there is no value


@dataclass(frozen=True)
class Table:
    """What is printed, before it is Markdown, CSV or LaTeX."""

    name: str
    settings: tuple[str, ...]  # extra columns that tell rows apart
    columns: tuple[tuple[str, AccuracyName], ...]  # data set, and which accuracy on it
    rows: tuple[Row, ...]
    caption: tuple[str, ...]  # sentences
    notes: tuple[str, ...]  # what a reader must know before comparing


def make_table(
    name: str,
    title: str,
    runs: Sequence[StudyRun],
    records: Sequence[RunRecord],
    speeds: dict[str, Throughput],
    *,
    accuracies: Sequence[AccuracyName] = (),
) -> Table:
    """The table of a study, finished or not.

    Args:
        runs: all that the study asks for, in the order of the table.
        records: those that are finished, labelled as the study labels them.
        speeds: measured alone, by run id.
        accuracies: which to show; unless given the final one, and beside it the best one where every run
            follows protocol paper.
    Raises:
        StoreError: if runs on what should be one data set were trained on different images.
    """
    check_data(records)
    if not accuracies:
        accuracies = ("final", "best") if {run.spec.protocol for run in runs} == {"paper"} else ("final",)
    frame = tidy(records)
    settings = varying(frame)
    columns = [(name, accuracy) for name in distinct(run.labels.dataset for run in runs) for accuracy in accuracies]
    expected = Counter(run.spec.cell_id for run in runs)
    of_cell = defaultdict(list)
    for record, (_, line) in zip(records, frame.iterrows(), strict=True):
        key = (record.labels.backbone, record.labels.method, *(text(line[column]) for column in settings))
        of_cell[key].append(record)
    order = [(run.labels.backbone, run.labels.method) for run in runs]
    keys = sorted(of_cell, key=lambda key: order.index((key[0], key[1])))
    rows = [make_row(key, of_cell[key], columns, expected, speeds) for key in keys]
    return Table(
        name,
        tuple(settings),
        tuple(columns),
        tuple(mark_best(rows)),
        tuple(caption(title, records, speeds, accuracies)),
        tuple(notes(runs, records)),
    )


def check_data(records: Sequence[RunRecord]) -> None:
    """Raise StoreError where the same data set of two records was loaded with different content."""
    loaded: dict[str, RunRecord] = {}
    for record in records:
        first = loaded.setdefault(repr(record.spec.dataset), record)
        if first.data_sha256 != record.data_sha256:
            raise StoreError(
                f"runs {first.run_id} and {record.run_id} on {record.labels.dataset} were trained on different images "
                f"(data_sha256 {first.data_sha256[:12]} and {record.data_sha256[:12]}): they are not averaged; "
                "delete the folder of the wrong one and run it again"
            )


def make_row(
    key: tuple[str, ...],
    records: Sequence[RunRecord],
    columns: Sequence[tuple[str, AccuracyName]],
    expected: Counter[str],
    speeds: dict[str, Throughput],
) -> Row:
    """A line from all the runs of a backbone and a method, on whatever data sets."""
    backbone, method, *settings = key
    by_dataset = defaultdict(list)
    for record in records:
        by_dataset[record.labels.dataset].append(record)
    measured = [speeds[record.run_id].median for record in records if record.run_id in speeds]
    return Row(
        title=row_title(backbone, method),
        backbone=backbone,
        method=method,
        settings=tuple(settings),
        images_per_second=distinct(measured),
        macs=distinct(record.macs for record in records),
        params=distinct(record.params for record in records),
        accuracies=tuple(summary(by_dataset.get(name, []), expected, accuracy) for name, accuracy in columns),
    )


def summary(records: Sequence[RunRecord], expected: Counter[str], accuracy: AccuracyName) -> Accuracy | None:
    """Mean and spread over the seeds of one experiment; None without a value.

    The records of a cell are repetitions: whatever else differs has become a column before.
    """
    assert len({record.spec.cell_id for record in records}) <= 1
    values = pd.Series([getattr(record, f"{accuracy}_test_top1") for record in records], dtype="float64").dropna()
    if values.empty:
        return None
    std = float(values.std(ddof=1)) if len(values) > 1 else None
    return Accuracy(float(values.mean()), std, len(values), expected[records[0].spec.cell_id])


def mark_best(rows: Sequence[Row]) -> list[Row]:
    """The highest mean of each data set marked, where all rows have all their seeds, and the same number."""
    marked = list(rows)
    for column in range(len(rows[0].accuracies) if rows else 0):
        cells = [row.accuracies[column] for row in marked]
        present = [cell for cell in cells if cell is not None]
        if (
            len(present) < 2
            or any(cell.n != cell.expected for cell in present)
            or len({cell.n for cell in present}) > 1
        ):
            continue
        top = max(cell.mean for cell in present)
        for index, cell in enumerate(cells):
            if cell is not None and cell.mean == top:
                accuracies = list(marked[index].accuracies)
                accuracies[column] = replace(cell, best=True)
                marked[index] = replace(marked[index], accuracies=tuple(accuracies))
    return marked


def notes(runs: Sequence[StudyRun], records: Sequence[RunRecord]) -> list[str]:
    """What is missing from the table."""
    done = {record.run_id for record in records}
    missing = [run for run in runs if run.spec.run_id not in done]
    if not missing:
        return []
    seeds = defaultdict(list)
    for run in missing:
        seeds[f"{row_title(run.labels.backbone, run.labels.method)} on {run.labels.dataset}"].append(str(run.spec.seed))
    finished = len(runs) - len(missing)
    head = f"Unfinished: {finished} of {len(runs)} runs. Cells marked (n of N) lack seeds and are not comparable."
    return [head, *(f"Missing: {name}, seed {', '.join(dict.fromkeys(numbers))}." for name, numbers in seeds.items())]


def text(value: object) -> str:
    """A setting as a table shows it."""
    if isinstance(value, float):
        return "–" if pd.isna(value) else repr(value).removesuffix(".0")
    return str(value)
