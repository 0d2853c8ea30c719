"""What is behind the numbers of a page: the runs of each cell, and those that have no record."""

import json
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slbench.differing import flat
from slbench.methods import model_title
from slbench.provenance import code_text, device_text
from slbench.record import RunRecord
from slbench.report.columns import Column
from slbench.report.html.cells import gain_in_full, in_full, provenance_id
from slbench.report.html.curves import LearningCurve, max_epochs, read_curve
from slbench.report.html.inline_svg import line_chart
from slbench.report.inputs import ReportInputs
from slbench.report.render import gain_text, measure_text
from slbench.report.sections import NOTHING
from slbench.report.table import Cell, Table, text
from slbench.spec import RunSpec, to_dict
from slbench.text import distinct

Facts = dict[str, dict[str, str]]  # entries by heading
RESULT = "Result"
HISTORY = "metrics.csv"
NETWORK = ("macs", "norm_operations", "uncounted_operators", "params")  # fields of a record
DEVICE = ("device", "device_name", "threads", "precision")
CHARTS = {"Accuracy (top-1, %)": ("val_top1", "test_top1"), "Loss": ("train_loss", "val_loss", "test_loss")}


@dataclass(frozen=True)
class UnfinishedRun:
    """A run without a record."""

    run_id: str
    cell_id: str
    title: str
    dataset: str
    seed: int
    state: str  # "failed" or "not finished"
    reason: str  # empty unless it failed


@dataclass(frozen=True)
class RunDetails:
    """One finished run of a cell; without facts, curve and charts on a page of very many runs."""

    record: RunRecord
    facts: Facts = field(default_factory=dict)  # those that the runs of the cell do not share
    curve: LearningCurve | None = None
    charts: str = ""  # HTML


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
        missing[run.cell_id].append(run)
    found = []
    for number, row in enumerate(table.rows):
        for dataset in distinct(column.dataset for column in table.columns if column.dataset):
            columns = [column for column in table.columns if column.dataset == dataset]
            cells = [
                (column, row.cells[dataset, column.name]) for column in columns if (dataset, column.name) in row.cells
            ]
            if not cells:
                continue
            own = [records[run_id] for run_id in cells[0][1].run_ids]
            runs, shared = details(own, gathered) if detailed else (list(map(RunDetails, own)), {})
            curves = [run.curve for run in runs if run.curve is not None]
            found.append(
                CellProvenance(
                    id=provenance_id(number, table, dataset),
                    title=with_settings(row.title, table.settings, row.settings),
                    dataset=dataset,
                    facts=(*full_numbers(cells), *origins(own)),
                    shared=shared,
                    runs=tuple(runs),
                    missing=tuple(missing[own[0].spec.cell_id]),
                    charts=charts(curves) if len(curves) > 1 else "",
                )
            )
    return found


def details(records: Sequence[RunRecord], gathered: ReportInputs) -> tuple[list[RunDetails], Facts]:
    """Return the runs of a cell with what is their own, and what they share."""
    folders = [gathered.folders.get(record.run_id) for record in records]
    limit = max_epochs(len(gathered.records))
    curves = [None if folder is None else read_curve(folder / HISTORY, limit=limit) for folder in folders]
    facts = [run_facts(record, folder) for record, folder in zip(records, folders, strict=True)]
    same = {name for name in facts[0] if name != RESULT and all(each[name] == facts[0][name] for each in facts)}
    runs = [
        RunDetails(
            record,
            {name: entries for name, entries in each.items() if name not in same},
            curve,
            "" if curve is None else charts([curve]),
        )
        for record, each, curve in zip(records, facts, curves, strict=True)
    ]
    return runs, {name: facts[0][name] for name in facts[0] if name in same} | spec_facts(records[0].spec)


def run_facts(record: RunRecord, folder: Path | None) -> Facts:
    """Return result and environment of a run, by heading."""
    content = record.model_dump(mode="json", exclude={"run_id", "spec", "labels", "history"})
    code, host = content.pop("code"), content.pop("host")
    versions = code.pop("versions")
    del host["hostname"]
    network = {name: content.pop(name) for name in NETWORK}
    device = {name: content.pop(name) for name in DEVICE}
    name = {} if folder is None else {"folder": folder.name.encode(errors="replace").decode()}
    result = {key: rounded(value) for key, value in content.items()}
    parts = {RESULT: name | result, "Network": network, "Device and code": device | code | versions, "Machine": host}
    return {heading: texts(part) for heading, part in parts.items()}


def spec_facts(spec: RunSpec) -> Facts:
    """Return every field of a spec but the seed, by heading."""
    content = spec.as_dict()
    parts = {f"Spec: {name}": texts(value) for name, value in content.items() if isinstance(value, dict)}
    rest = {name: value for name, value in content.items() if not isinstance(value, dict) and name != "seed"}
    return {"Spec": texts({"cell_id": spec.cell_id} | rest)} | parts


def texts(values: Mapping[str, Any]) -> dict[str, str]:
    """Return values as a page shows them: JSON, but text without quotes."""
    return {
        name: value if isinstance(value, str) else "none" if value is None else json.dumps(value, ensure_ascii=False)
        for name, value in values.items()
    }


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


def full_numbers(cells: Sequence[tuple[Column, Cell]]) -> Iterator[tuple[str, str]]:
    """Yield the numbers that the table rounds, in full, and the sources of those it cites."""
    for column, cell in cells:
        if column.kind == "measure":
            yield column.measure.head, f"{measure_text(cell, column.measure.digits)}: {in_full(cell)}"
        elif column.kind == "gain" and cell.gain is not None:
            yield f"gain in {column.measure.head}", f"{gain_text(cell.gain)}: {gain_in_full(cell)}"
        elif column.kind == "published" and cell.judged is not None:
            number = cell.judged.published
            where = f"{number.model} {number.variant} on {number.dataset} in {number.table}"
            note = f"; {number.note}" if number.note else ""
            words = (
                f"{number.value:.2f} {number.unit}, {where}; confidence: {number.confidence}; source: {number.source}"
            )
            yield "published", words + note
            yield "verdict", f"{cell.judged.verdict}: {cell.judged.reason}"


def origins(records: Sequence[RunRecord]) -> Iterator[tuple[str, str]]:
    """Yield the devices, code and data of some runs, each once."""
    yield "trained on", "; ".join(distinct(map(device_text, records)))
    yield "made with", "; ".join(distinct(map(made_with, records)))
    yield "data sha256", "; ".join(distinct(record.data_sha256 for record in records))


def made_with(record: RunRecord) -> str:
    """The code of a run."""
    return f"{code_text(record.code)}, Python {record.code.python}"


def unfinished_runs(gathered: ReportInputs, table: Table) -> list[UnfinishedRun]:
    """Return the runs without a record in the order of the study, with why the last attempt failed."""
    done, folders = {record.run_id for record in gathered.records}, store_folders(gathered)
    found = []
    for run in gathered.runs:
        if run.spec.run_id in done:
            continue
        fields = flat(to_dict(run.spec)) if table.settings else {}
        values = [NOTHING if fields.get(name) is None else text(fields[name]) for name in table.settings]
        failure = gathered.failures.get(run.spec.run_id)
        found.append(
            UnfinishedRun(
                run_id=run.spec.run_id,
                cell_id=run.spec.cell_id,
                title=with_settings(model_title(run.labels.backbone, run.labels.method), table.settings, values),
                dataset=run.labels.dataset,
                seed=run.spec.seed,
                state="not finished" if failure is None else f"failed ({failure.kind})",
                reason="" if failure is None else without_folders(failure.reason, folders),
            )
        )
    return found


def store_folders(gathered: ReportInputs) -> tuple[str, ...]:
    """Return the folders on this machine that hold runs."""
    return distinct(f"{folder.parent}{os.sep}" for folder in gathered.folders.values())


def without_folders(line: str, folders: Sequence[str]) -> str:
    """Return a line without local folders, so that a page is the same wherever it was made."""
    for place in folders:
        line = line.replace(place, "")
    return line
