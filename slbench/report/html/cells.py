"""Heads and cells of a page: cells sort by full numbers and link to the runs behind them."""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from slbench.report.cells import Row
from slbench.report.columns import Column, CostColumn
from slbench.report.html.filters import column_class, dataset_class, row_classes
from slbench.report.table import Table
from slbench.text import distinct

SHORT = 32  # characters
NUMBER = re.compile(r"(?:< )?([+-]?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?)(?![\w.])")  # "< 0.0001" sorts by its bound


@dataclass(frozen=True)
class Head:
    """A head of one or more columns."""

    text: str
    hint: str = ""  # description
    columns: int = 1
    rows: int = 1
    index: int | None = None  # of its column, counted from 0; None for several
    is_text: bool = False
    ascending: bool = True  # order of the first click
    filters: str = ""  # classes that hide it; see filters.py

    @property
    def classes(self) -> str:
        """Classes of the element."""
        kind = "group" if self.index is None else "" if self.is_text else "number"
        return f"{kind} {self.filters}".strip()


@dataclass(frozen=True)
class HtmlCell:
    """A cell of a table."""

    text: str
    value: str = ""  # unrounded sort key; empty: last
    behind: str = ""  # id of the runs behind it
    hint: str = ""
    best: bool = False
    partial: bool = False  # whether seeds are missing
    is_number: bool = True  # whether its column is numeric
    filters: str = ""  # classes that hide it

    @property
    def classes(self) -> str:
        """Classes of the element; short texts stay on one line."""
        names = {"number": self.is_number, "partial": self.partial, "short": len(self.text) <= SHORT}
        return " ".join((*(name for name, is_so in names.items() if is_so), self.filters)).strip()


@dataclass(frozen=True)
class Line:
    """A line of a table."""

    cells: tuple[HtmlCell, ...]
    title: str = ""
    marks: tuple[str, ...] = ()
    filters: str = ""  # classes that hide it


def head_rows(table: Table) -> list[list[Head]]:
    """Return the heads in one row or, with columns of data sets, in two."""
    rows = 2 if any(column.dataset for column in table.columns) else 1
    upper = [
        Head(name, rows=rows, index=index, is_text=True, filters=column_class(index) if index else "")
        for index, name in enumerate(("Model", *table.settings))
    ]
    lower = []
    numbered = enumerate(table.columns, start=len(upper))
    for dataset, group in itertools.groupby(numbered, key=lambda pair: pair[1].dataset):
        columns = list(group)
        if dataset:
            upper.append(Head(dataset, columns=len(columns), filters=dataset_class(table, dataset)))
            lower += [column_head(column, index, table) for index, column in columns]
        else:
            upper += [column_head(column, index, table, rows=rows) for index, column in columns]
    return [upper, lower] if lower else [upper]


def column_head(column: Column, index: int, table: Table, *, rows: int = 1) -> Head:
    """Return the head of one column."""
    filters = f"{column_class(index)} {dataset_class(table, column.dataset)}".strip()
    return Head(
        column.short_head, hint=column.about, rows=rows, index=index, ascending=column.ascending, filters=filters
    )


def accuracies_first(table: Table) -> Table:
    """Return a table whose costs come last, so that a narrow screen shows the accuracies."""
    return replace(table, columns=tuple(sorted(table.columns, key=lambda column: isinstance(column, CostColumn))))


def blocks(table: Table) -> list[list[Line]]:
    """Return the lines of the table, those of each backbone together."""
    settings = [text_column(column) for column in zip(*(row.settings for row in table.rows), strict=True)]
    lines = [
        Line(
            (
                *(
                    replace(column[row_index], filters=column_class(index))
                    for index, column in enumerate(settings, start=1)
                ),
                *(
                    cell(row, row_index, column, index, table)
                    for index, column in enumerate(table.columns, start=1 + len(table.settings))
                ),
            ),
            row.title,
            row.marks,
            row_classes(table, row),
        )
        for row_index, row in enumerate(table.rows)
    ]
    pairs = itertools.groupby(zip(table.rows, lines, strict=True), key=lambda pair: pair[0].backbone)
    return [[line for _, line in group] for _, group in pairs]


def text_table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> tuple[list[list[Head]], list[list[Line]]]:
    """Return heads and lines of a table of texts; numeric columns sort by number."""
    columns = [text_column([line[index] for line in lines]) for index in range(len(heads))]
    are_text = [not any(cell.is_number for cell in column) for column in columns]
    head_row = [
        Head(head, index=index, is_text=is_text, ascending=is_text)
        for index, (head, is_text) in enumerate(zip(heads, are_text, strict=True))
    ]
    return [head_row], [[Line(cells) for cells in zip(*columns, strict=True)]]


def text_column(texts: Sequence[str]) -> list[HtmlCell]:
    """Return the cells of a column; it is numeric if every text is a dash or begins with a number."""
    values = [leading_number(text) for text in texts]
    is_number = all(value is not None or not text.strip("–- ") for text, value in zip(texts, values, strict=True))
    is_number = is_number and any(value is not None for value in values)
    return [
        HtmlCell(text, repr(value) if is_number and value is not None else "", is_number=is_number)
        for text, value in zip(texts, values, strict=True)
    ]


def cell(row: Row, row_index: int, column: Column, index: int, table: Table) -> HtmlCell:
    """Return the cell of a row in a column, which have these numbers in the table."""
    value, hint = column.sort_key(row), column.hint(row)
    return HtmlCell(
        column.text(row),
        value="" if value is None else repr(value),
        behind=provenance_id(row_index, table, column.dataset) if hint else "",
        hint=hint,
        best=column.is_best(row),
        partial=column.is_partial(row),
        filters=f"{column_class(index)} {dataset_class(table, column.dataset)}".strip(),
    )


def provenance_id(row_index: int, table: Table, dataset: str) -> str:
    """Return the id of the runs behind the numbers of a row on a data set."""
    return f"runs-{row_index}-{distinct(column.dataset for column in table.columns).index(dataset)}"


def leading_number(text: str) -> float | None:
    """Return the number at the start of a text; None if there is none."""
    match = NUMBER.match(text.replace("−", "-").strip())
    return float(match[1].replace(",", "")) if match else None
