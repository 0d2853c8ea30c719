"""`slbench report`: from what was gathered to files."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from slbench.files import write_atomic
from slbench.report import SUFFIXES, render
from slbench.report.findings import findings, full
from slbench.report.gather import Gathered
from slbench.report.sections import Section, sections
from slbench.report.sweep import draw_sweeps
from slbench.report.table import Table, make_table

FORMATS: dict[str, Callable[[Table], str]] = {"md": render.markdown, "csv": render.csv, "latex": render.latex}


@dataclass(frozen=True)
class Report:
    """What was written."""

    table: Table
    sections: tuple[Section, ...]
    files: tuple[str, ...]
    figures: tuple[tuple[str, str], ...]  # each one's name without suffix, and what it shows


def report(
    gathered: Gathered,
    *,
    columns: Sequence[str] = (),
    published: bool = False,
    formats: Sequence[str],
    out: Path,
) -> Report:
    """Write `runs.csv`, table and findings in each format, and the figures that are asked for, under `out`."""
    table = make_table(gathered, columns=columns, published=published)
    found = findings(gathered, table)
    told = sections(gathered, table, found)
    files = {"runs.csv": gathered.frame.to_csv(index=False)}
    files |= {f"table.{SUFFIXES[name]}": FORMATS[name](table) for name in formats if name in FORMATS}
    if found:
        texts = {
            "md": lambda: render.sections_markdown(told),
            "csv": lambda: pd.DataFrame(full(found)).to_csv(index=False),
            "latex": lambda: render.sections_latex(told, name=gathered.name),
        }
        files |= {f"findings.{SUFFIXES[name]}": texts[name]() for name in formats if name in texts}
    for name, content in files.items():
        write_atomic(out / name, content.encode())
    swept = next((column.name for column in table.columns if column.kind == "measure"), "final")
    figures = (
        draw_sweeps(gathered.records, out, accuracy="best" if swept == "best" else "final") if gathered.is_study else []
    )
    return Report(table, tuple(told), tuple(files), tuple(figures))
