"""Tables as CSV with full precision."""

import pandas as pd

from slbench.csv_text import to_csv
from slbench.report.cells import Row
from slbench.report.columns import CostColumn
from slbench.report.table import Table
from slbench.table_spec import COSTS


def render_table(table: Table) -> str:
    """Return a line of heads and one for each row of the table: all costs, then the columns of each data set."""
    empty = Row("", "", "", ("",) * len(table.settings), costs=dict.fromkeys(COSTS, ()), cells={})
    heads = list(csv_line(empty, table))
    return to_csv(pd.DataFrame([csv_line(row, table) for row in table.rows], columns=heads))


def csv_line(row: Row, table: Table) -> dict[str, object]:
    """Return the values of a row by the heads of the CSV, which are the same for every row."""
    line: dict[str, object] = {"model": row.title, "backbone": row.backbone, "method": row.method}
    line |= dict(zip(table.settings, row.settings, strict=True))
    for column in (*map(CostColumn, COSTS), *table.columns):
        line |= column.full(row)
    return line | {"notes": " ".join(note.line for note in table.notes if note.mark in row.marks)}
