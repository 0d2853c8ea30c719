"""Tables as CSV with full precision."""

import pandas as pd

from slbench.report.columns import CostColumn
from slbench.report.table import Table
from slbench.table_spec import COSTS


def render_table(table: Table) -> str:
    """Return a row for each row of the table: all costs, then the columns of each data set."""
    lines = []
    for row in table.rows:
        line: dict[str, object] = {"model": row.title, "backbone": row.backbone, "method": row.method}
        line |= dict(zip(table.settings, row.settings, strict=True))
        for column in (*map(CostColumn, COSTS), *table.columns):
            line |= column.full(row)
        line["notes"] = " ".join(note.line for note in table.notes if note.mark in row.marks)
        lines.append(line)
    return pd.DataFrame(lines).to_csv(index=False)
