"""What stands behind a page's numbers: the runs of each, and those that have no record."""

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from slbench.differing import flat
from slbench.methods import model_title
from slbench.provenance import code_text, commit_text, device_text
from slbench.record import RunRecord
from slbench.report.columns import Column
from slbench.report.inputs import ReportInputs
from slbench.report.pagecells import behind_id, gain_in_full, in_full
from slbench.report.render import gain_text, measure_text
from slbench.report.sections import NOTHING
from slbench.report.table import Cell, Table, text
from slbench.spec import to_dict
from slbench.text import distinct


@dataclass(frozen=True)
class Unfinished:
    """A run without a record."""

    run_id: str
    cell_id: str
    title: str
    dataset: str
    seed: int
    state: str  # "failed" or "not finished"
    reason: str  # empty unless it failed


@dataclass(frozen=True)
class Behind:
    """What stands behind the numbers of one row on one data set."""

    id: str
    title: str
    dataset: str
    facts: tuple[tuple[str, str], ...]
    records: tuple[RunRecord, ...]  # by seed
    missing: tuple[Unfinished, ...]

    @property
    def runs(self) -> list[tuple[RunRecord, str, str]]:
        """Each run with its device and its code, in words."""
        return [(record, device_text(record), commit_text(record.code)) for record in self.records]

    @property
    def selects(self) -> bool:
        """Whether some run has an epoch that was selected by validation."""
        return any(record.selected_test_top1 is not None for record in self.records)


def groups(gathered: ReportInputs, table: Table) -> list[Behind]:
    """What stands behind each row and data set that has a number."""
    records = {record.run_id: record for record in gathered.records}
    missing = defaultdict[str, list[Unfinished]](list)
    for run in unfinished(gathered, table):
        missing[run.cell_id].append(run)
    found = []
    for number, row in enumerate(table.rows):
        title = titled(row.title, table.settings, row.settings)
        for dataset in distinct(column.dataset for column in table.columns if column.dataset):
            columns = [column for column in table.columns if column.dataset == dataset]
            cells = [
                (column, row.cells[dataset, column.name]) for column in columns if (dataset, column.name) in row.cells
            ]
            if cells:
                own = tuple(records[run_id] for run_id in cells[0][1].run_ids)
                facts = (*numbers_in_full(cells), *origins(own))
                where = behind_id(number, table, dataset)
                found.append(Behind(where, title, dataset, facts, own, tuple(missing[own[0].spec.cell_id])))
    return found


def titled(title: str, names: Sequence[str], values: Sequence[str]) -> str:
    """A row's title with the settings that tell it from others."""
    return ", ".join((title, *(f"{name} {value}" for name, value in zip(names, values, strict=True))))


def numbers_in_full(cells: Sequence[tuple[Column, Cell]]) -> Iterator[tuple[str, str]]:
    """What a table rounds, in full, and where what it cites comes from."""
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
    """With what runs were made, each thing once."""
    yield "trained on", "; ".join(distinct(map(device_text, records)))
    yield "made with", "; ".join(distinct(map(made_with, records)))
    yield "data sha256", "; ".join(distinct(record.data_sha256 for record in records))


def made_with(record: RunRecord) -> str:
    """The code of a run."""
    return f"{code_text(record.code)}, Python {record.code.python}"


def unfinished(gathered: ReportInputs, table: Table) -> list[Unfinished]:
    """The runs that have no record, in the order of the study, with why the last attempt failed."""
    done, places = {record.run_id for record in gathered.records}, places_of(gathered)
    found = []
    for run in gathered.runs:
        if run.spec.run_id in done:
            continue
        fields = flat(to_dict(run.spec)) if table.settings else {}
        values = [NOTHING if fields.get(name) is None else text(fields[name]) for name in table.settings]
        failure = gathered.failures.get(run.spec.run_id)
        found.append(
            Unfinished(
                run_id=run.spec.run_id,
                cell_id=run.spec.cell_id,
                title=titled(model_title(run.labels.backbone, run.labels.method), table.settings, values),
                dataset=run.labels.dataset,
                seed=run.spec.seed,
                state="not finished" if failure is None else f"failed ({failure.kind})",
                reason="" if failure is None else without(failure.reason, places),
            )
        )
    return found


def places_of(gathered: ReportInputs) -> tuple[str, ...]:
    """Where on this machine the runs lie."""
    return distinct(f"{folder.parent}{os.sep}" for folder in gathered.folders.values())


def without(line: str, places: Sequence[str]) -> str:
    """A line without where on this machine the store lies: a page says the same wherever it was made."""
    for place in places:
        line = line.replace(place, "")
    return line
