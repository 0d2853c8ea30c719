"""Runs behind the numbers of a page, and unfinished runs."""

import itertools
import json
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from slbench.differing import flat
from slbench.methods import model_title
from slbench.provenance import commit_text, device_text
from slbench.record import RunRecord
from slbench.report.cells import Row
from slbench.report.columns import Column, DatasetColumn
from slbench.report.html.cells import provenance_id
from slbench.report.html.curves import LearningCurve, max_epochs, read_curve
from slbench.report.html.inline_svg import Chart
from slbench.report.inputs import ReportInputs
from slbench.report.table import Table, text
from slbench.report.tidy import tidy_row
from slbench.run_paths import RunPaths
from slbench.spec import to_dict
from slbench.study import StudyRun
from slbench.text import NOTHING, distinct

Facts = dict[str, str]  # by columns of runs.csv
RESULTS = ("final_", "selected_", "best_", "weights_")  # columns shown for each run even if all runs share the value
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
        """Cells of its row."""
        spec = self.run.spec
        return (str(spec.seed), spec.run_id, self.title, self.run.labels.dataset, self.state, self.reason)


@dataclass(frozen=True)
class RunDetails:
    """A finished run of a cell; without facts, curve and charts on a page of more than MAX_DETAILED runs."""

    record: RunRecord
    facts: Facts = field(default_factory=dict)  # that differ between the runs of the cell
    curve: LearningCurve | None = None
    charts: str = ""  # HTML

    @property
    def texts(self) -> tuple[str, ...]:
        """Results: final, selected and best top-1, top-5, NLL, device and code."""
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
    """Runs behind the numbers of a row on one data set."""

    id: str
    title: str
    dataset: str
    facts: tuple[tuple[str, str], ...]
    shared: Facts  # spec and environment common to all runs
    runs: tuple[RunDetails, ...]  # by seed
    missing: tuple[UnfinishedRun, ...]
    definitions: str  # SVG; axes and lines that the charts refer to
    charts: str  # HTML; of all runs if there are several


def cell_provenance(inputs: ReportInputs, table: Table, *, detailed: bool) -> list[CellProvenance]:
    """Return the runs behind each row and data set with a number.

    Args:
        detailed: with spec, environment, results and learning curve of every run.
    """
    records = {record.run_id: record for record in inputs.records}
    missing = defaultdict[str, list[UnfinishedRun]](list)
    for run in unfinished_runs(inputs, table):
        missing[run.run.spec.cell_id].append(run)
    cells_with_runs = []
    for number, row in enumerate(table.rows):
        for dataset in distinct(column.dataset for column in table.columns if column.dataset):
            columns = [column for column in table.columns if column.dataset == dataset]
            cells = [row.cells[key] for column in columns if (key := (dataset, column.name)) in row.cells]
            if not cells:
                continue
            finished = [records[run_id] for run_id in cells[0].run_ids]
            id_ = provenance_id(number, table, dataset)
            runs, shared = details(finished, inputs) if detailed else (list(map(RunDetails, finished)), {})
            runs, charts = with_charts(runs, id_)
            numbers = range(len([run for run in runs if run.curve is not None]))
            cells_with_runs.append(
                CellProvenance(
                    id=id_,
                    title=with_settings(row.title, table.settings, row.settings),
                    dataset=dataset,
                    facts=tuple(full_numbers(row, columns)),
                    shared=shared,
                    runs=tuple(runs),
                    missing=tuple(missing[finished[0].spec.cell_id]),
                    definitions="".join(chart.definitions for chart in charts),
                    charts=figures(charts, numbers) if len(numbers) > 1 else "",
                )
            )
    return cells_with_runs


def details(records: Sequence[RunRecord], inputs: ReportInputs) -> tuple[list[RunDetails], Facts]:
    """Return the runs of a cell with their differing facts, and the shared facts."""
    limit = max_epochs(len(inputs.records))
    specs = dict[str, dict[str, Any]]()
    facts = [run_facts(record, specs) for record in records]
    shared = {
        name: value
        for name, value in facts[0].items()
        if not name.startswith(RESULTS) and all(facts_of_run.get(name) == value for facts_of_run in facts)
    }
    runs = []
    for record, facts_of_run in zip(records, facts, strict=True):
        differing = {name: value for name, value in facts_of_run.items() if name not in shared}
        curve = None
        if folder := inputs.folders.get(record.run_id):
            differing["folder"] = folder.name.encode(errors="replace").decode()
            curve = read_curve(RunPaths(folder).history, limit=limit)
        runs.append(RunDetails(record, differing, curve))
    return runs, shared


def run_facts(record: RunRecord, specs: dict[str, dict[str, Any]]) -> Facts:
    """Return the columns of a run in runs.csv, with results rounded and a column per package version."""
    columns = tidy_row(record, specs)
    exact = specs[record.spec.cell_id]
    values = {name: value if name in exact else rounded(value) for name, value in columns.items()}
    del values["code_versions"]
    values |= {f"code_{package}": version for package, version in record.code.versions.items()}
    return {name: value_text(value) for name, value in values.items()}


def value_text(value: Any) -> str:
    """Return a value as JSON, text without quotes."""
    if isinstance(value, str):
        return value
    return "none" if value is None else str(value) if type(value) in (int, float) else json.dumps(value)


def rounded(value: Any) -> Any:
    """Return a result to four decimals, one below 0.1 to four digits."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.4f}" if abs(value) >= 0.1 else f"{value:.4g}")


def with_charts(runs: Sequence[RunDetails], id_: str) -> tuple[list[RunDetails], list[Chart]]:
    """Return the runs of a cell with their figures, and the charts of accuracy and loss that these refer to."""
    curves = [run.curve for run in runs if run.curve is not None]
    charts = [Chart(f"{id_}{letter}", title, CHARTS[title], curves) for letter, title in zip("ab", CHARTS, strict=True)]
    numbers = itertools.count()
    return [replace(run, charts=figures(charts, [next(numbers)])) if run.curve else run for run in runs], charts


def figures(charts: Sequence[Chart], numbers: Sequence[int]) -> str:
    """Return the HTML of the charts of some runs, by number."""
    return f'<div class="charts">{"".join(chart.figure(numbers) for chart in charts)}</div>'


def with_settings(title: str, names: Sequence[str], values: Sequence[str]) -> str:
    """Return the title of a row with its settings."""
    return ", ".join((title, *(f"{name} {value}" for name, value in zip(names, values, strict=True))))


def full_numbers(row: Row, columns: Sequence[Column]) -> Iterator[tuple[str, str]]:
    """Yield the unrounded numbers of a row, with n and source."""
    for column in columns:
        if isinstance(column, DatasetColumn) and (explained := column.hint(row)):
            yield column.term, f"{column.text(row)}: {explained}"


def unfinished_runs(inputs: ReportInputs, table: Table) -> list[UnfinishedRun]:
    """Return the runs without a record in the order of the study, with the reason of the last failure."""
    done, folders = {record.run_id for record in inputs.records}, store_folders(inputs)
    unfinished = []
    for run in inputs.runs:
        if run.spec.run_id in done:
            continue
        fields = flat(to_dict(run.spec)) if table.settings else {}
        values = [NOTHING if fields.get(name) is None else text(fields[name]) for name in table.settings]
        title = with_settings(model_title(run.labels.backbone, run.labels.method), table.settings, values)
        failure = inputs.failures.get(run.spec.run_id)
        state, reason = ("not finished", "") if failure is None else (f"failed ({failure.kind})", failure.reason)
        unfinished.append(UnfinishedRun(run, title, state, without_folders(reason, folders)))
    return unfinished


def store_folders(inputs: ReportInputs) -> tuple[str, ...]:
    """Return the folders on this machine that hold runs."""
    return distinct(f"{folder.parent}{os.sep}" for folder in inputs.folders.values())


def without_folders(line: str, folders: Sequence[str]) -> str:
    """Return a line without local folders, so that pages are the same on every machine."""
    for folder in folders:
        line = line.replace(folder, "")
    return line
