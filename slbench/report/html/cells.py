"""What a page shows of a table: heads in two rows, and cells that sort by full numbers and lead to their runs."""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from slbench.layout import BESIDE, COSTS
from slbench.report.columns import Column
from slbench.report.render import cell_text, cost_text
from slbench.report.table import Cell, Row, Table
from slbench.text import distinct

SHORT = 32  # characters
NUMBER = re.compile(r"(?:< )?([+-]?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?)")  # "< 0.0001" sorts by its bound


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
class HtmlCell:
    """One place of the table."""

    text: str
    value: str = ""  # that it is sorted by, in full; empty: last
    behind: str = ""  # id of the runs behind it
    hint: str = ""
    best: bool = False
    whole: bool = True  # whether no seed is missing
    number: bool = True  # whether its column is one of numbers

    @property
    def looks(self) -> str:
        """The classes of its place: words that are short stay on one line."""
        names = {"number": self.number, "partial": not self.whole, "short": len(self.text) <= SHORT}
        return " ".join(name for name, is_so in names.items() if is_so)


@dataclass(frozen=True)
class Line:
    """One row of the table."""

    title: str
    marks: tuple[str, ...]
    settings: tuple[HtmlCell, ...]
    cells: tuple[HtmlCell, ...]


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
    settings = [text_column([row.settings[place] for row in table.rows]) for place in range(len(table.settings))]
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


def text_column(texts: Sequence[str]) -> list[HtmlCell]:
    """The places of a column; it sorts by numbers if all that it tells begin with one, else by words."""
    values = [leading_number(text) for text in texts]
    is_number = all(value is not None or not text.strip("–- ") for text, value in zip(texts, values, strict=True))
    is_number = is_number and any(value is not None for value in values)
    return [
        HtmlCell(text, repr(value) if is_number and value is not None else "", number=is_number)
        for text, value in zip(texts, values, strict=True)
    ]


def shown(row: Row, number: int, column: Column, table: Table) -> HtmlCell:
    """A row's place in a column."""
    if column.kind == "cost":
        costs = row.costs[column.name]
        return HtmlCell(cost_text(row, column.name), value=repr(float(costs[0])) if costs else "")
    words = cell_text(row, column, lambda text: text)
    cell = row.cells.get((column.dataset, column.name))
    if cell is None:
        return HtmlCell(words)
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
    behind = provenance_id(number, table, column.dataset) if there else ""
    best = cell.best and column.kind == "measure"
    return HtmlCell(words, value, behind, hint, best, cell.is_whole or column.kind != "measure")


def provenance_id(number: int, table: Table, dataset: str) -> str:
    """The id of the runs behind a row's numbers on a data set."""
    return f"runs-{number}-{distinct(column.dataset for column in table.columns).index(dataset)}"


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


def leading_number(text: str) -> float | None:
    """The number that a cell begins with; None if it begins with none."""
    found = NUMBER.match(text.replace("−", "-").strip())
    return float(found[1].replace(",", "")) if found else None
