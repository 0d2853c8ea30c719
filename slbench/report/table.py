"""The paper-style table: a row for each backbone and method, columns of costs and of each data set."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean, stdev

import pandas as pd

from slbench.errors import StoreError
from slbench.methods import model_title
from slbench.published.reproduction import judge
from slbench.record import RunRecord
from slbench.report.captions import caption
from slbench.report.cells import Cell, Row
from slbench.report.columns import (
    Column,
    DatasetColumn,
    GainColumn,
    MetricColumn,
    PublishedColumn,
    choose_columns,
)
from slbench.report.footnotes import Note, footnotes, marked
from slbench.report.inputs import ReportInputs
from slbench.report.metrics import value_of
from slbench.report.tidy import varying
from slbench.stats.sequential import sequential_difference
from slbench.study import SeedRule
from slbench.table_spec import COSTS, METRICS, Cost, Metric
from slbench.text import distinct, plural

PLAIN = "none"  # the row that gains are differences to
Key = tuple[str, ...]  # backbone, method, and the values of the table's settings


@dataclass(frozen=True)
class Table:
    """What is printed, before it is Markdown, CSV, LaTeX or a page."""

    name: str
    settings: tuple[str, ...]  # extra columns that tell rows apart
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    caption: tuple[str, ...]  # sentences
    notes: tuple[Note, ...] = ()  # what a reader must know before comparing

    @property
    def heads(self) -> list[str]:
        """Text above each column, the title's first."""
        return ["Model", *self.settings, *(column.head for column in self.columns)]


def make_table(gathered: ReportInputs, *, columns: Sequence[str] = (), published: bool = False) -> Table:
    """The table of a study, finished or not.

    Args:
        columns: of slbench.table_spec.column_names(); default: those of the study, else costs and the
            final accuracy with its gain, and beside it the best one where every run follows protocol paper.
        published: put the paper's numbers, and what ours say of them, beside the accuracies.
    Raises:
        StoreError: if runs on what should be one data set were trained on different images.
        InputError: if the table of the study leaves no row or data set.
    """
    check_data(gathered.records)
    frame = gathered.frame
    settings = varying(frame) if len(frame) else []
    of_cell = defaultdict[Key, list[RunRecord]](list)
    values = [frame[column].tolist() for column in settings]
    for number, record in enumerate(gathered.records):
        key = (record.labels.backbone, record.labels.method, *(text(column[number]) for column in values))
        of_cell[key].append(record)
    shown = choose_columns(gathered, columns, published=published)
    expected = Counter(run.spec.cell_id for run in gathered.runs)
    rows = [make_row(key, of_cell[key], shown, expected, gathered) for key in ordered(of_cell, gathered)]
    rows = mark_best(with_gains(rows, of_cell, settings, shown, rule=gathered.seeds), shown)
    if any(isinstance(column, PublishedColumn) for column in shown):
        rows = [with_verdicts(row, of_cell[key_of(row)], gathered.source) for row in rows]
    if not any(cell.gain for row in rows for cell in row.cells.values()):
        shown = [column for column in shown if not isinstance(column, GainColumn)]
    notes = [*footnotes(gathered, shown_columns=[column.name for column in shown]), *incomparable(rows)]
    return Table(
        gathered.name,
        tuple(settings),
        tuple(shown),
        tuple(replace(row, marks=marked(notes, of_cell[key_of(row)])) for row in rows),
        tuple(caption(gathered, shown)),
        tuple(notes),
    )


def key_of(row: Row) -> Key:
    return (row.backbone, row.method, *row.settings)


def check_data(records: Sequence[RunRecord]) -> None:
    """Raise StoreError where the same data set of two records was loaded with different content."""
    loaded: dict[object, RunRecord] = {}
    for record in records:
        first = loaded.setdefault(record.spec.dataset, record)
        if first.data_sha256 != record.data_sha256:
            raise StoreError(
                f"runs {first.run_id} and {record.run_id} on {record.labels.dataset} were trained on different images "
                f"(data_sha256 {first.data_sha256[:12]} and {record.data_sha256[:12]}): they are not averaged; "
                "delete the folder of the wrong one and run it again"
            )


def ordered(keys: Mapping[Key, object], gathered: ReportInputs) -> list[Key]:
    """Rows in the order of the study, or of its layout; those that the layout does not name are left out."""
    spec = gathered.table_spec
    first = {
        (run.labels.backbone, run.labels.method): number for number, run in reversed(list(enumerate(gathered.runs)))
    }

    def place(key: Key) -> tuple[int, int, int]:
        by_backbone = spec.backbone.index(key[0]) if spec.backbone else 0
        by_method = spec.method.index(key[1]) if spec.method else 0
        return by_backbone, by_method, first[key[0], key[1]]

    kept = [
        key
        for key in keys
        if (not spec.backbone or key[0] in spec.backbone) and (not spec.method or key[1] in spec.method)
    ]
    if spec.method and not spec.backbone:  # rows of a backbone stay together
        backbones = list(distinct(run.labels.backbone for run in gathered.runs))
        return sorted(kept, key=lambda key: (backbones.index(key[0]), *place(key)))
    return sorted(kept, key=place)


def make_row(
    key: Key, records: Sequence[RunRecord], columns: Sequence[Column], expected: Counter[str], gathered: ReportInputs
) -> Row:
    """A line from all the runs of a backbone and a method, on whatever data sets."""
    backbone, method, *settings = key
    by_dataset = defaultdict[str, list[RunRecord]](list)
    for record in records:
        by_dataset[record.labels.dataset].append(record)
    cells = {}
    for dataset, name in distinct(
        (column.dataset, column.name) for column in columns if isinstance(column, DatasetColumn)
    ):
        cell = summary(by_dataset.get(dataset, []), METRICS[name], expected, gathered)
        if cell is not None:
            cells[dataset, name] = cell
    return Row(
        title=model_title(backbone, method),
        backbone=backbone,
        method=method,
        settings=tuple(settings),
        costs={name: cost_values(cost, records, gathered) for name, cost in COSTS.items()},
        cells=cells,
    )


def cost_values(cost: Cost, records: Sequence[RunRecord], gathered: ReportInputs) -> tuple[float, ...]:
    """Return the distinct values of a cost: a field of the records, or measured images/s."""
    if cost.field is not None:
        return distinct(getattr(record, cost.field) for record in records)
    return distinct(gathered.speeds[record.run_id].median for record in records if record.run_id in gathered.speeds)


def by_seed(records: Sequence[RunRecord], measure: Metric, gathered: ReportInputs | None = None) -> dict[int, float]:
    """A measure of each seed's run that has a value."""
    folders = {} if gathered is None else gathered.folders
    found = {record.spec.seed: value_of(record, measure, folders.get(record.run_id)) for record in records}
    return {seed: value for seed, value in found.items() if value is not None}


def summary(
    records: Sequence[RunRecord], measure: Metric, expected: Counter[str], gathered: ReportInputs
) -> Cell | None:
    """Mean and spread over the seeds of one experiment; None without a value.

    The records of a cell are repetitions: whatever else differs has become a column before.
    """
    assert len({record.spec.cell_id for record in records}) <= 1
    values = [value for _, value in sorted(by_seed(records, measure, gathered).items())]
    if not values:
        return None
    std = stdev(values) if len(values) > 1 else None
    ids = tuple(record.run_id for record in sorted(records, key=lambda record: record.spec.seed))
    return Cell(mean(values), std, len(values), expected[records[0].spec.cell_id], run_ids=ids)


def with_gains(
    rows: Sequence[Row],
    of_cell: Mapping[Key, Sequence[RunRecord]],
    settings: Sequence[str],
    columns: Sequence[Column],
    *,
    rule: SeedRule | None,
) -> list[Row]:
    """The rows with the gain of each accuracy over the plain backbone that was trained in the same way."""
    same = [number for number, name in enumerate(settings) if not name.startswith("method_")]
    plain = {plain_key(key, same): records for key, records in of_cell.items() if key[1] == PLAIN}
    wanted = distinct((column.dataset, column.name) for column in columns if isinstance(column, GainColumn))
    gained = []
    for row in rows:
        cells = dict(row.cells)
        base = plain.get(plain_key(key_of(row), same), [])
        for dataset, name in wanted:
            if (dataset, name) not in cells or row.method == PLAIN:
                continue
            one, other = (
                by_seed([record for record in records if record.labels.dataset == dataset], METRICS[name])
                for records in (of_cell[key_of(row)], base)
            )
            if one.keys() & other.keys():
                cells[dataset, name] = replace(cells[dataset, name], gain=sequential_difference(one, other, rule))
        gained.append(replace(row, cells=cells))
    return gained


def plain_key(key: Key, same: Sequence[int]) -> Key:
    """What a row shares with the plain backbone that it is compared with."""
    return (key[0], *(key[2:][number] for number in same))


def with_verdicts(row: Row, records: Sequence[RunRecord], source: str) -> Row:
    """A row with what each of its accuracies says of the published number."""
    cells = dict(row.cells)
    for (dataset, name), cell in row.cells.items():
        if METRICS[name].is_accuracy:
            own = [record for record in records if record.labels.dataset == dataset]
            cells[dataset, name] = replace(cell, judged=judge(own, source=source))
    return replace(row, cells=cells)


def incomparable(rows: Sequence[Row]) -> list[Note]:
    """Why cells are not comparable with the published numbers beside them."""
    counts = Counter(
        cell.judged.reason
        for row in rows
        for cell in row.cells.values()
        if cell.judged is not None and cell.judged.verdict == "not comparable"
    )
    return [Note(f"Not comparable with the paper ({plural(count, 'cell')}): {why}.") for why, count in counts.items()]


def mark_best(rows: Sequence[Row], columns: Sequence[Column]) -> list[Row]:
    """The best mean of each measure marked, where all rows have all their seeds, and the same number of them."""
    marked_rows = [dict(row.cells) for row in rows]
    for column in columns:
        if not isinstance(column, MetricColumn):
            continue
        key = (column.dataset, column.name)
        present = [cells[key] for cells in marked_rows if key in cells]
        unequal = any(not cell.is_whole for cell in present) or len({cell.n for cell in present}) > 1
        if len(present) < 2 or unequal:
            continue
        choose = min if column.metric.lowest_is_best else max
        top = choose(cell.mean for cell in present)
        for cells in marked_rows:
            if key in cells and cells[key].mean == top:
                cells[key] = replace(cells[key], best=True)
    return [replace(row, cells=cells) for row, cells in zip(rows, marked_rows, strict=True)]


def text(value: object) -> str:
    """A setting as a table shows it."""
    if isinstance(value, float):
        return "–" if pd.isna(value) else repr(value).removesuffix(".0")
    return str(value)
