"""`slbench report`: from what was gathered to files."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from slbench.files import write_atomic
from slbench.report import SUFFIXES, render
from slbench.report.drawings import draw
from slbench.report.gather import Gathered
from slbench.report.table import Table, make_table

FORMATS: dict[str, Callable[[Table], str]] = {"md": render.markdown, "csv": render.csv, "latex": render.latex}


@dataclass(frozen=True)
class Report:
    """What was written."""

    table: Table
    files: tuple[str, ...]
    figures: tuple[tuple[str, str], ...]  # each one's name without suffix, and what it shows


def report(
    gathered: Gathered,
    *,
    columns: Sequence[str] = (),
    published: bool = False,
    formats: Sequence[str],
    figures: Sequence[str] = (),
    out: Path,
) -> Report:
    """Write `runs.csv`, the table in each format, and figures as slbench.report.drawings.draw has them, under `out`."""
    table = make_table(gathered, columns=columns, published=published)
    files = {"runs.csv": gathered.frame().to_csv(index=False)}
    files |= {f"table.{SUFFIXES[name]}": FORMATS[name](table) for name in formats}
    drawn = draw(gathered, table, figures, out)  # first: a figure that cannot be drawn as asked is bad input
    for name, content in files.items():
        write_atomic(out / name, content.encode())
    return Report(table, tuple(files), tuple(drawn))
