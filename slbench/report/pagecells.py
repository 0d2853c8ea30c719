"""What a page shows of a table: heads in two rows, cells that sort by full numbers, and behind each its runs."""

import itertools
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from slbench.layout import BESIDE, COSTS
from slbench.methods import row_title
from slbench.report.caption import commit, distinct, package
from slbench.report.columns import Column
from slbench.report.footnotes import device
from slbench.report.gather import Gathered
from slbench.report.render import cell_text, cost_text, gain_text, measure_text
from slbench.report.table import Cell, Row, Table
from slbench.spec import RunSpec
from slbench.store import RunRecord

NUMBER = re.compile(r"[+-]?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?")


@dataclass(frozen=True)
class Head:
    """A head of one or more columns."""

    words: str
    hint: str = ""  # what the column is
    columns: int = 1
    rows: int = 1
    place: int | None = None  # of the one column that it sorts by, counted from 0
    is_text: bool = False
    ascending: bool = True  # the first time that it is sorted


@dataclass(frozen=True)
class Shown:
    """One place of the table."""

    text: str
    value: str = ""  # that it is sorted by, in full; empty: last
    behind: str = ""  # id of the runs behind it
    hint: str = ""
    best: bool = False
    whole: bool = True  # whether no seed is missing


@dataclass(frozen=True)
class Line:
    """One row of the table."""

    title: str
    marks: tuple[str, ...]
    settings: tuple[Shown, ...]
    cells: tuple[Shown, ...]


@dataclass(frozen=True)
class Unfinished:
    """A run without a record."""

    run_id: str
    title: str
    dataset: str
    seed: int
    state: str  # "failed" or "not finished"
    reason: str  # empty unless it failed
    when: str


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
        return [(record, device(record), commit(record)) for record in self.records]

    @property
    def selects(self) -> bool:
        """Whether some run has an epoch that was selected by validation."""
        return any(record.selected_test_top1 is not None for record in self.records)


def head_rows(table: Table) -> list[list[Head]]:
    """The heads, in one row or, with columns of data sets, in two."""
    sets = [column for column in table.columns if column.dataset]
    rows = 2 if sets else 1
    upper = [Head(name, rows=rows, place=place, is_text=True) for place, name in enumerate(("Model", *table.settings))]
    lower = []
    for dataset, group in itertools.groupby(
        enumerate(table.columns, start=len(upper)), key=lambda numbered: numbered[1].dataset
    ):
        columns = list(group)
        if dataset:
            upper.append(Head(dataset, columns=len(columns)))
            lower += [column_head(column, place) for place, column in columns]
        else:
            upper += [column_head(column, place, rows=rows) for place, column in columns]
    return [upper, lower] if lower else [upper]


def column_head(column: Column, place: int, *, rows: int = 1) -> Head:
    """The head of one column, under its data set if it has one."""
    if column.kind == "cost":
        return Head(COSTS[column.name], rows=rows, place=place, ascending=column.name != "images_per_second")
    words = column.measure.head if column.kind == "measure" else column.kind
    hint = column.measure.words if column.kind == "measure" else BESIDE[column.kind]
    return Head(words, hint=hint, place=place, ascending=column.measure.lowest_is_best)


def blocks(table: Table) -> list[list[Line]]:
    """The rows, those of each backbone together."""
    settings = [in_column([row.settings[place] for row in table.rows]) for place in range(len(table.settings))]
    lines = [
        Line(
            row.title,
            row.marks,
            tuple(column[number] for column in settings),
            tuple(shown(row, number, column, table) for column in table.columns),
        )
        for number, row in enumerate(table.rows)
    ]
    backbones = [row.backbone for row in table.rows]
    pairs = itertools.groupby(zip(backbones, lines, strict=True), key=lambda pair: pair[0])
    return [[line for _, line in group] for _, group in pairs]


def in_column(texts: Sequence[str]) -> list[Shown]:
    """The places of a column; it sorts by numbers if all that it tells begin with one, else by words."""
    values = [leading_number(text) for text in texts]
    is_number = all(value is not None or not text.strip("–- ") for text, value in zip(texts, values, strict=True))
    return [
        Shown(text, repr(value) if is_number and value is not None else "")
        for text, value in zip(texts, values, strict=True)
    ]


def shown(row: Row, number: int, column: Column, table: Table) -> Shown:
    """A row's place in a column."""
    if column.kind == "cost":
        costs = row.costs[column.name]
        return Shown(cost_text(row, column.name), value=repr(float(costs[0])) if costs else "")
    words = cell_text(row, column, lambda text: text)
    cell = row.cells.get((column.dataset, column.name))
    if cell is None:
        return Shown(words)
    value, hint, there = "", "", True
    if column.kind == "measure":
        value, hint = repr(cell.mean), in_full(cell)
    elif column.kind == "gain":
        there = cell.gain is not None
        value, hint = (repr(cell.gain.estimate), gain_in_full(cell)) if cell.gain else ("", "")
    elif cell.judged is None:
        there = False
    else:
        number_ = cell.judged.published
        value = repr(number_.value)
        hint = f"{cell.judged.verdict}: {cell.judged.reason} (published number: {number_.confidence}, {number_.source})"
    behind = behind_id(number, table, column.dataset) if there else ""
    best = cell.best and column.kind == "measure"
    return Shown(words, value, behind, hint, best, cell.is_whole or column.kind != "measure")


def behind_id(number: int, table: Table, dataset: str) -> str:
    """The id of the runs behind a row's numbers on a data set."""
    return f"runs-{number}-{distinct(column.dataset for column in table.columns).index(dataset)}"


def groups(gathered: Gathered, table: Table) -> list[Behind]:
    """What stands behind each row and data set that has a number."""
    records = {record.run_id: record for record in gathered.records}
    missing = defaultdict[str, list[Unfinished]](list)
    for spec, run in zip(
        (run.spec for run in gathered.runs if run.spec.run_id not in records), unfinished(gathered), strict=True
    ):
        missing[spec.cell_id].append(run)
    found = []
    for number, row in enumerate(table.rows):
        for dataset in distinct(column.dataset for column in table.columns if column.dataset):
            shown_here = [column for column in table.columns if column.dataset == dataset]
            cells = [(c, row.cells[dataset, c.name]) for c in shown_here if (dataset, c.name) in row.cells]
            if not cells:
                continue
            own = tuple(records[run_id] for run_id in cells[0][1].run_ids)
            settings = (f"{name} {value}" for name, value in zip(table.settings, row.settings, strict=True))
            found.append(
                Behind(
                    id=behind_id(number, table, dataset),
                    title=", ".join((row.title, *settings)),
                    dataset=dataset,
                    facts=(*numbers_in_full(cells), *origins(own)),
                    records=own,
                    missing=tuple(missing[own[0].spec.cell_id]),
                )
            )
    return found


def numbers_in_full(cells: Sequence[tuple[Column, Cell]]) -> Iterator[tuple[str, str]]:
    """What a table rounds, in full, and where what it cites comes from."""
    for column, cell in cells:
        if column.kind == "measure":
            yield column.measure.head, f"{measure_text(cell, column.measure.digits)}: {in_full(cell)}"
        elif column.kind == "gain" and cell.gain is not None:
            yield f"gain in {column.measure.head}", f"{gain_text(cell.gain)}: {gain_in_full(cell)}"
        elif column.kind == "published" and cell.judged is not None:
            number = cell.judged.published
            yield (
                "published",
                (
                    f"{number.value:.2f} {number.unit}, {number.model} {number.variant} on {number.dataset} in "
                    f"{number.table}; confidence: {number.confidence}; source: {number.source}"
                    + (f"; {number.note}" if number.note else "")
                ),
            )
            yield "verdict", f"{cell.judged.verdict}: {cell.judged.reason}"


def in_full(cell: Cell) -> str:
    """A measure's mean and deviation without rounding for a table."""
    spread = "" if cell.std is None else f", sample standard deviation {cell.std:.6g}"
    return f"mean {cell.mean:.8g}{spread}, {cell.n} of {cell.expected} seeds"


def gain_in_full(cell: Cell) -> str:
    """What a gain rests on."""
    gain = cell.gain
    assert gain is not None
    if gain.interval is None:
        return f"{gain.estimate:+.6g} with one seed in common, which cannot be told from noise"
    how = {"t": "Student's t", "bootstrap": "studentized bootstrap"}[gain.interval.method]
    p_value = "" if gain.p_value is None else f", p = {gain.p_value:.3g} (paired t test, not corrected)"
    together = "" if gain.correlation is None else f", correlation of the rows {gain.correlation:.2f}"
    return f"{gain.estimate:+.6g} over {gain.n} seeds in common ({how}){p_value}{together}"


def origins(records: Sequence[RunRecord]) -> Iterator[tuple[str, str]]:
    """With what runs were made, where it is one thing or a few."""
    yield "trained on", "; ".join(distinct(map(device, records)))
    yield (
        "made with",
        "; ".join(
            distinct(
                f"{package(r, 'slbench')}, {package(r, 'torch')}, Python {r.code.python}, {commit(r)}" for r in records
            )
        ),
    )
    yield "data sha256", "; ".join(distinct(record.data_sha256 for record in records))


def unfinished(gathered: Gathered) -> Iterator[Unfinished]:
    """The runs that have no record, in the order of the study, with why the last attempt failed."""
    done, places = {record.run_id for record in gathered.records}, places_of(gathered)
    for run in gathered.runs:
        spec: RunSpec = run.spec
        if spec.run_id in done:
            continue
        failure = gathered.failures.get(spec.run_id)
        yield Unfinished(
            spec.run_id,
            row_title(run.labels.backbone, run.labels.method),
            run.labels.dataset,
            spec.seed,
            "not finished" if failure is None else f"failed ({failure.kind})",
            "" if failure is None else without(failure.reason, places),
            "" if failure is None else failure.ended_at,
        )


def places_of(gathered: Gathered) -> tuple[str, ...]:
    """Where on this machine the runs lie."""
    return distinct(f"{folder.parent}{os.sep}" for folder in gathered.folders.values())


def without(line: str, places: Sequence[str]) -> str:
    """A line without where on this machine the store lies: a page says the same wherever it was made."""
    for place in places:
        line = line.replace(place, "")
    return line


def leading_number(text: str) -> float | None:
    """The number that a cell begins with; None if it begins with none."""
    found = NUMBER.match(text.replace("−", "-").strip())
    return float(found[0].replace(",", "")) if found else None
