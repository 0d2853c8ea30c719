"""Filters of the main table: a check box each for its columns, data sets, backbones and methods.

They work without a script: a style sheet hides what has the class of a box that is not checked.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from slbench.report.cells import Row
from slbench.report.table import Table
from slbench.text import distinct

MAX_BOXES = 40  # of one kind; a table with more has none of this kind


@dataclass(frozen=True)
class Box:
    """A check box and the class of what it shows."""

    name: str  # class
    label: str


def filters(table: Table) -> dict[str, list[Box]]:
    """Return the check boxes by legend; none for what has a single value or more than MAX_BOXES."""
    columns = [Box(column_class(index), head) for index, head in enumerate(table.heads) if index]
    kinds = {
        "Columns": columns,
        "Data sets": [Box(dataset_class(table, name), name) for name in datasets(table)],
        "Backbones": [Box(f"b{number}", name) for number, name in enumerate(backbones(table))],
        "Methods": [Box(f"m{number}", name) for number, name in enumerate(methods(table))],
    }
    return {legend: boxes for legend, boxes in kinds.items() if 1 < len(boxes) <= MAX_BOXES}


def style_sheet(table: Table) -> str:
    """Return the rules that hide what has the class of a box that is not checked."""
    return "\n".join(rules(box.name for boxes in filters(table).values() for box in boxes))


def rules(names: Iterator[str]) -> Iterator[str]:
    """Yield a rule for each class; the runs below a row go with it."""
    for name in names:
        yield f"body:has(#show-{name}:not(:checked)) .results :is(.{name}, .{name} + .opened) {{ display: none; }}"


def column_class(index: int) -> str:
    """Return the class of a column by its number, from 0."""
    return f"c{index}"


def dataset_class(table: Table, dataset: str) -> str:
    """Return the class of the columns of a data set; empty for costs."""
    return f"d{datasets(table).index(dataset)}" if dataset else ""


def row_classes(table: Table, row: Row) -> str:
    """Return the classes of a row: of its backbone and of its method."""
    return f"b{backbones(table).index(row.backbone)} m{methods(table).index(row.method)}"


def datasets(table: Table) -> Sequence[str]:
    return distinct(column.dataset for column in table.columns if column.dataset)


def backbones(table: Table) -> Sequence[str]:
    return distinct(row.backbone for row in table.rows)


def methods(table: Table) -> Sequence[str]:
    return distinct(row.method for row in table.rows)
