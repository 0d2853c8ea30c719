"""The table of a report: a row for each backbone and method, columns of costs and of each data set."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean, stdev

import pandas as pd

from slbench.errors import StoreError
from slbench.methods import model_title
from slbench.published.reproduction import ReproductionVerdict, judge
from slbench.record import RunRecord
from slbench.report.captions import caption
from slbench.report.cells import Cell, Row
from slbench.report.columns import (
    Column,
    DatasetColumn,
    GainColumn,
    ImagesColumn,
    MetricColumn,
    PublishedColumn,
    accuracy_names,
    choose_columns,
)
from slbench.report.footnotes import Note, footnotes, marks_of
from slbench.report.inputs import ReportInputs
from slbench.report.metrics import by_seed, correct_by_seed
from slbench.report.tidy import varying
from slbench.report.verdicts import RULE_METRIC, Verdicts, verdicts
from slbench.stats.images import ImageInterval, image_interval
from slbench.stats.judge import Result
from slbench.table_spec import COSTS, METRICS, Cost, Metric
from slbench.text import distinct, plural

Key = tuple[str, ...]  # backbone, method, values of the table's settings


@dataclass(frozen=True)
class Table:
    """A table, independent of its format."""

    name: str
    settings: tuple[str, ...]  # names of spec fields that distinguish rows
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    caption: tuple[str, ...]  # sentences
    notes: tuple[Note, ...] = ()  # footnotes
    verdicts: Verdicts | None = None  # on the main accuracy; None in a table alone

    @property
    def heads(self) -> list[str]:
        """Heads of all columns, the title first."""
        return ["Model", *self.settings, *(column.head for column in self.columns)]


def make_table(inputs: ReportInputs, *, columns: Sequence[str] = (), published: bool = False) -> Table:
    """Return the table of a study, finished or not.

    Args:
        columns: names of slbench.table_spec.column_names(); default: those of the study, else DEFAULT_COLUMNS, or
            PAPER_COLUMNS if every run follows protocol paper.
        published: add the paper's numbers and the verdict on reproducing them.
    Raises:
        StoreError: if runs on the same data set were trained on different images.
        InputError: if the table of the study leaves no row or data set.
    """
    check_data(inputs.records)
    frame = inputs.frame
    settings = varying(frame) if len(frame) else []
    by_key, lost = defaultdict[Key, list[RunRecord]](list), defaultdict[Key, Counter[str]](Counter)
    values = {run_id: tuple(map(text, row)) for run_id, *row in frame[settings].itertuples(name=None)}
    for outcome in inputs.averaged:
        labels = outcome.labels
        key = (labels.backbone, labels.method, *values[outcome.run_id])
        own = by_key[key]
        if isinstance(outcome, RunRecord):
            own.append(outcome)
        else:
            lost[key][labels.dataset] += 1
    shown_columns = choose_columns(inputs, columns, published=published)
    judged, main = judge_metrics(inputs, shown_columns), main_accuracy(inputs, shown_columns)
    all_rows = {
        key: with_gains(make_row(key, records, shown_columns, lost[key], inputs), judged)
        for key, records in by_key.items()
    }
    if any(isinstance(column, ImagesColumn) for column in shown_columns):
        all_rows = {key: with_images(row, inputs) for key, row in all_rows.items()}
    rows = mark_best([all_rows[key] for key in sorted_keys(by_key, inputs)], shown_columns)
    if any(isinstance(column, PublishedColumn) for column in shown_columns):
        reproductions = judge(
            inputs.records,
            diverged=[outcome.spec for outcome in inputs.diverged],
            source=inputs.source,
            gain_margin=inputs.statistics.margin,
            level=inputs.statistics.level,
        )
        rows = [with_verdicts(row, by_key[key_of(row)], reproductions) for row in rows]
    cells = [cell for row in rows for cell in row.cells.values()]
    if "gain" not in columns and not any(cell.gain for cell in cells):
        shown_columns = [column for column in shown_columns if not isinstance(column, GainColumn)]
    if "gain_images" not in columns and not any(cell.images for cell in cells):
        shown_columns = [column for column in shown_columns if not isinstance(column, ImagesColumn)]
    limited = judged[main].limited_gains() if any(isinstance(column, GainColumn) for column in shown_columns) else {}
    names = [column.name for column in shown_columns]
    notes = [*footnotes(inputs, shown_columns=names, limited_gains=limited), *incomparable(rows)]
    return Table(
        inputs.name,
        tuple(settings),
        tuple(shown_columns),
        tuple(replace(row, marks=marks_of(notes, by_key[key_of(row)])) for row in rows),
        tuple(caption(inputs, shown_columns, judged)),
        tuple(notes),
        verdicts=judged[main],
    )


def judge_metrics(inputs: ReportInputs, columns: Sequence[Column]) -> dict[str, Verdicts]:
    """Return the verdicts on each metric that needs them; the study's questions are about the main accuracy."""
    main = main_accuracy(inputs, columns)
    compared = [column.name for column in columns if isinstance(column, GainColumn)]
    return {name: verdicts(inputs, name, primary=name == main) for name in distinct([main, *compared])}


def main_accuracy(inputs: ReportInputs, columns: Sequence[Column]) -> str:
    """Return the first accuracy of a table, else of the table that the study or the default asks for."""
    shown = accuracy_names(columns) or accuracy_names(choose_columns(inputs, (), published=False))
    return shown[0] if shown else RULE_METRIC


def key_of(row: Row) -> Key:
    return (row.backbone, row.method, *row.settings)


def check_data(records: Sequence[RunRecord]) -> None:
    """Raise StoreError if two records have different content for the same data set."""
    loaded: dict[object, RunRecord] = {}
    for record in records:
        first = loaded.setdefault(record.spec.dataset, record)
        if first.data_sha256 != record.data_sha256:
            raise StoreError(
                f"runs {first.run_id} and {record.run_id} on {record.labels.dataset} were trained on different images "
                f"(got data_sha256 {first.data_sha256[:12]} and {record.data_sha256[:12]}) and cannot be averaged; "
                "delete the folder of the wrong run and run it again"
            )


def sorted_keys(keys: Mapping[Key, object], inputs: ReportInputs) -> list[Key]:
    """Return keys in the order of the table spec, else of the study; drop those that the table spec omits."""
    spec = inputs.table_spec
    first = {(run.labels.backbone, run.labels.method): number for number, run in reversed(list(enumerate(inputs.runs)))}

    def position(key: Key) -> tuple[int, int, int]:
        by_backbone = spec.backbone.index(key[0]) if spec.backbone else 0
        by_method = spec.method.index(key[1]) if spec.method else 0
        return by_backbone, by_method, first[key[0], key[1]]

    kept = [
        key
        for key in keys
        if (not spec.backbone or key[0] in spec.backbone) and (not spec.method or key[1] in spec.method)
    ]
    if spec.method and not spec.backbone:  # keep rows of a backbone together
        backbones = list(distinct(run.labels.backbone for run in inputs.runs))
        return sorted(kept, key=lambda key: (backbones.index(key[0]), *position(key)))
    return sorted(kept, key=position)


def make_row(
    key: Key, records: Sequence[RunRecord], columns: Sequence[Column], lost: Counter[str], inputs: ReportInputs
) -> Row:
    """Return the row of a backbone and a method from its runs on all data sets.

    Args:
        lost: number of diverged runs by data set.
    """
    backbone, method, *settings = key
    by_dataset = defaultdict[str, list[RunRecord]](list)
    for record in records:
        by_dataset[record.labels.dataset].append(record)
    cells = {}
    for dataset, name in distinct(
        (column.dataset, column.name) for column in columns if isinstance(column, DatasetColumn)
    ):
        cell = summarize(by_dataset.get(dataset, []), METRICS[name], lost[dataset], inputs)
        if cell is not None:
            cells[dataset, name] = cell
    return Row(
        title=model_title(backbone, method),
        backbone=backbone,
        method=method,
        settings=tuple(settings),
        costs={name: cost_values(cost, records, inputs) for name, cost in COSTS.items()},
        cells=cells,
        diverged={
            dataset: (lost[dataset], lost[dataset] + len(by_dataset[dataset])) for dataset in {*lost, *by_dataset}
        },
    )


def cost_values(cost: Cost, records: Sequence[RunRecord], inputs: ReportInputs) -> tuple[float, ...]:
    """Return the distinct values of a cost."""
    values = distinct(cost.value(record, inputs.speeds.get(record.run_id)) for record in records)
    return tuple(value for value in values if value is not None)


def summarize(records: Sequence[RunRecord], metric: Metric, lost: int, inputs: ReportInputs) -> Cell | None:
    """Return mean and spread over the seeds of one experiment; None without a value.

    The records differ only in their seeds: other differences have become columns.
    """
    assert len({record.spec.cell_id for record in records}) <= 1
    values = by_seed(records, metric, inputs.folders)
    if not values:
        return None
    std = stdev(values.values()) if len(values) > 1 else None
    ids = tuple(record.run_id for record in sorted(records, key=lambda record: record.spec.seed))
    expected = inputs.expected[records[0].spec.cell_id]
    return Cell(mean(values.values()), std, len(values), expected, diverged=lost, by_seed=values, run_ids=ids)


def with_gains(row: Row, judged: Mapping[str, Verdicts]) -> Row:
    """Return a row with the gain of each judged metric over the plain backbone.

    Args:
        judged: verdicts by metric.
    """
    cells = {
        (dataset, name): replace(cell, gain=judged[name].gain(cell.run_ids)) if name in judged else cell
        for (dataset, name), cell in row.cells.items()
    }
    return replace(row, cells=cells)


def with_images(row: Row, inputs: ReportInputs) -> Row:
    """Return a row with the intervals of gains in final accuracy over seeds and test images."""
    cells = {
        (dataset, name): replace(cell, images=interval_over_images(cell.gain, inputs))
        if name == "final" and cell.gain is not None and cell.gain.has_interval
        else cell
        for (dataset, name), cell in row.cells.items()
    }
    return replace(row, cells=cells)


def interval_over_images(gain: Result, inputs: ReportInputs) -> ImageInterval | None:
    """Return the interval of a gain over seeds and test images; None with fewer than two stored outputs in common."""
    one, other = (
        correct_by_seed([record for record in inputs.records if record.run_id in ids], inputs.folders)
        for ids in (gain.answer.run_ids, gain.answer.all_ids - gain.answer.run_ids)
    )
    return image_interval(one, other, level=gain.level) if len(one.keys() & other.keys()) > 1 else None


def with_verdicts(row: Row, records: Sequence[RunRecord], verdicts: Mapping[str, ReproductionVerdict]) -> Row:
    """Return a row with the verdicts on reproducing the published numbers."""
    cells = dict(row.cells)
    for (dataset, name), cell in row.cells.items():
        if METRICS[name].is_accuracy:
            cell_id = next(record.spec.cell_id for record in records if record.labels.dataset == dataset)
            cells[dataset, name] = replace(cell, reproduction=verdicts.get(cell_id))
    return replace(row, cells=cells)


def incomparable(rows: Sequence[Row]) -> list[Note]:
    """Return notes on why cells are not comparable with published numbers."""
    counts = Counter(
        cell.reproduction.reason
        for row in rows
        for cell in row.cells.values()
        if cell.reproduction is not None and cell.reproduction.verdict == "not comparable"
    )
    return [Note(f"Not comparable with the paper ({plural(count, 'cell')}): {why}.") for why, count in counts.items()]


def mark_best(rows: Sequence[Row], columns: Sequence[Column]) -> list[Row]:
    """Mark the best mean of each metric if all rows have all seeds, and equally many."""
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
    """Return a setting as text."""
    if isinstance(value, float):
        return "–" if pd.isna(value) else repr(value).removesuffix(".0")
    return str(value)
