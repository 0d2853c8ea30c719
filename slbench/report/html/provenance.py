"""What is behind the numbers of a page: the runs of each cell, and those that have no record."""

import json
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from slbench.differing import flat
from slbench.methods import model_title
from slbench.provenance import commit_text, device_text
from slbench.record import RunRecord
from slbench.report.cells import Row
from slbench.report.columns import Column, DatasetColumn
from slbench.report.html.cells import provenance_id
from slbench.report.html.curves import LearningCurve, max_epochs, read_curve
from slbench.report.html.inline_svg import line_chart
from slbench.report.inputs import ReportInputs
from slbench.report.table import Table, text
from slbench.report.tidy import row as tidy_row
from slbench.spec import to_dict
from slbench.study import StudyRun
from slbench.text import NOTHING, distinct

Facts = dict[str, str]  # by columns of runs.csv
RESULTS = ("final_", "selected_", "best_", "weights_")  # columns of each run, also where runs have the same value
HISTORY = "metrics.csv"
CHARTS = {"Accuracy (top-1, %)": ("val_top1", "test_top1"), "Loss": ("train_loss", "val_loss", "test_loss")}


@dataclass(frozen=True)
class UnfinishedRun:
    """A run without a record."""

    HEADS: ClassVar = ("Seed", "Run", "Model", "Data", "State", "Reason")

    run: StudyRun
    title: str
    state: str  # "failed" or "not finished"
    reason: str  # empty unless it failed

    @property
    def texts(self) -> tuple[str, ...]:
        """Its line in a table."""
        spec = self.run.spec
        return (str(spec.seed), spec.run_id, self.title, self.run.labels.dataset, self.state, self.reason)


@dataclass(frozen=True)
class RunDetails:
    """One finished run of a cell; without facts, curve and charts on a page of very many runs."""

    record: RunRecord
    facts: Facts = field(default_factory=dict)  # those that the runs of the cell do not share
    curve: LearningCurve | None = None
    charts: str = ""  # HTML

    @property
    def texts(self) -> tuple[str, ...]:
        """Its results in a line: final, selected and best top-1, top-5, NLL, device and code."""
        record, selected = self.record, "–"
        if record.selected_test_top1 is not None:
            selected = f"{record.selected_test_top1:.2f} ({record.selected_epoch})"
        best = f"{record.best_test_top1:.2f} ({record.best_test_epoch})"
        made = f"{device_text(record)}; {commit_text(record.code)}"
        return (
            f"{record.final_test_top1:.2f}", selected, best, f"{record.final_test_top5:.2f}",
            f"{record.final_test_loss:.3f}", made,
        )  # fmt: skip


@dataclass(frozen=True)
class CellProvenance:
    """What is behind the numbers of one line of the table on one data set."""

    id: str
    title: str
    dataset: str
    facts: tuple[tuple[str, str], ...]
    shared: Facts  # spec and environment, as far as they are the same for all runs
    runs: tuple[RunDetails, ...]  # by seed
    missing: tuple[UnfinishedRun, ...]
    charts: str  # HTML; of all runs, if they are several


def cell_provenance(gathered: ReportInputs, table: Table, *, detailed: bool) -> list[CellProvenance]:
    """Return what is behind each line and data set that has a number.

    Args:
        detailed: with spec, environment, results and learning curve of every run.
    """
    records = {record.run_id: record for record in gathered.records}
    missing = defaultdict[str, list[UnfinishedRun]](list)
    for run in unfinished_runs(gathered, table):
        missing[run.run.spec.cell_id].append(run)
    found = []
    for number, row in enumerate(table.rows):
        for dataset in distinct(column.dataset for column in table.columns if column.dataset):
            columns = [column for column in table.columns if column.dataset == dataset]
            cells = [row.cells[key] for column in columns if (key := (dataset, column.name)) in row.cells]
            if not cells:
                continue
            own = [records[run_id] for run_id in cells[0].run_ids]
            runs, shared = details(own, gathered) if detailed else (list(map(RunDetails, own)), {})
            curves = [run.curve for run in runs if run.curve is not None]
            found.append(
                CellProvenance(
                    id=provenance_id(number, table, dataset),
                    title=with_settings(row.title, table.settings, row.settings),
                    dataset=dataset,
                    facts=tuple(full_numbers(row, columns)),
                    shared=shared,
                    runs=tuple(runs),
                    missing=tuple(missing[own[0].spec.cell_id]),
                    charts=charts(curves) if len(curves) > 1 else "",
                )
            )
    return found


def details(records: Sequence[RunRecord], gathered: ReportInputs) -> tuple[list[RunDetails], Facts]:
    """Return the runs of a cell with what differs between them, and what they share."""
    limit = max_epochs(len(gathered.records))
    specs = dict[str, dict[str, Any]]()
    facts = [run_facts(record, specs) for record in records]
    shared = {
        name: value
        for name, value in facts[0].items()
        if not name.startswith(RESULTS) and all(each.get(name) == value for each in facts)
    }
    runs = []
    for record, each in zip(records, facts, strict=True):
        own = {name: value for name, value in each.items() if name not in shared}
        curve = None
        if folder := gathered.folders.get(record.run_id):
            own["folder"] = folder.name.encode(errors="replace").decode()
            curve = read_curve(folder / HISTORY, limit=limit)
        runs.append(RunDetails(record, own, curve, charts([curve]) if curve else ""))
    return runs, shared


def run_facts(record: RunRecord, specs: dict[str, dict[str, Any]]) -> Facts:
    """Return the columns of a run in runs.csv, results rounded, and the version of each package by itself."""
    columns = tidy_row(record, specs)
    exact = specs[record.spec.cell_id]
    values = {name: value if name in exact else rounded(value) for name, value in columns.items()}
    del values["code_versions"]
    values |= {f"code_{package}": version for package, version in record.code.versions.items()}
    return {name: value_text(value) for name, value in values.items()}


def value_text(value: Any) -> str:
    """Return a value as a page shows it: JSON, but text without quotes."""
    if isinstance(value, str):
        return value
    return "none" if value is None else str(value) if type(value) in (int, float) else json.dumps(value)


def rounded(value: Any) -> Any:
    """Return a result to four decimals, one below 0.1 to four digits."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.4f}" if abs(value) >= 0.1 else f"{value:.4g}")


def charts(curves: Sequence[LearningCurve]) -> str:
    """Return the HTML of the accuracy and the loss by epoch of some runs."""
    drawn = "".join(line_chart(title, curves, names) for title, names in CHARTS.items())
    return f'<div class="charts">{drawn}</div>'


def with_settings(title: str, names: Sequence[str], values: Sequence[str]) -> str:
    """Return the title of a row with the settings that tell it apart."""
    return ", ".join((title, *(f"{name} {value}" for name, value in zip(names, values, strict=True))))


def full_numbers(row: Row, columns: Sequence[Column]) -> Iterator[tuple[str, str]]:
    """Yield the numbers that a row of the table rounds, in full, with n and source."""
    for column in columns:
        if isinstance(column, DatasetColumn) and (explained := column.hint(row)):
            yield column.term, f"{column.text(row)}: {explained}"


def unfinished_runs(gathered: ReportInputs, table: Table) -> list[UnfinishedRun]:
    """Return the runs without a record in the order of the study, with why the last attempt failed."""
    done, folders = {record.run_id for record in gathered.records}, store_folders(gathered)
    found = []
    for run in gathered.runs:
        if run.spec.run_id in done:
            continue
        fields = flat(to_dict(run.spec)) if table.settings else {}
        values = [NOTHING if fields.get(name) is None else text(fields[name]) for name in table.settings]
        title = with_settings(model_title(run.labels.backbone, run.labels.method), table.settings, values)
        failure = gathered.failures.get(run.spec.run_id)
        state, reason = ("not finished", "") if failure is None else (f"failed ({failure.kind})", failure.reason)
        found.append(UnfinishedRun(run, title, state, without_folders(reason, folders)))
    return found


def store_folders(gathered: ReportInputs) -> tuple[str, ...]:
    """Return the folders on this machine that hold runs."""
    return distinct(f"{folder.parent}{os.sep}" for folder in gathered.folders.values())


def without_folders(line: str, folders: Sequence[str]) -> str:
    """Return a line without local folders, so that a page is the same wherever it was made."""
    for place in folders:
        line = line.replace(place, "")
    return line
