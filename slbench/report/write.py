"""Write the files of a report."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from slbench.csv_text import to_csv
from slbench.files import write_atomic
from slbench.plotting.style import SCREEN, FigureStyle
from slbench.report import SUFFIXES
from slbench.report.figures.registry import draw
from slbench.report.html.page import PageFigure, page
from slbench.report.inputs import ReportInputs
from slbench.report.render import csv, latex, markdown
from slbench.report.sections import Section, make_sections
from slbench.report.table import Table, make_table
from slbench.report.verdicts import ROW_COLUMNS
from slbench.text import printable

TABLES: dict[str, Callable[[Table], str]] = {
    "md": markdown.render_table,
    "csv": csv.render_table,
    "latex": latex.render_table,
}
PAGE = "report.html"
MAX_RUNS_WITH_FIGURES = 300  # larger HTML pages have no figures by default, which would take most of the time


@dataclass(frozen=True)
class Report:
    """The written files."""

    table: Table
    sections: tuple[Section, ...]  # the answers first
    files: tuple[str, ...]
    figures: tuple[tuple[str, str], ...]  # name without suffix, caption

    def document(self) -> dict[str, Any]:
        """Return the report as JSON: answers first, then every contrast and the table, unrounded."""
        answers = [item for section in self.sections for item in section.items]
        contrasts = [without_nan(row) for row in (self.table.verdicts.rows() if self.table.verdicts else ())]
        table = [without_nan(csv.csv_line(row, self.table)) for row in self.table.rows]
        document = {"study": self.table.name, "answers": answers, "contrasts": contrasts, "table": table}
        return {**document, "files": list(self.files), "figures": [name for name, _ in self.figures]}


def report(
    inputs: ReportInputs,
    *,
    columns: Sequence[str] = (),
    published: bool = False,
    formats: Sequence[str],
    figures: Sequence[str] = (),
    look: FigureStyle = SCREEN,
    out: Path,
) -> Report:
    """Write `runs.csv`, table and findings in each format, and figures, under `out`.

    Args:
        formats: of SUFFIXES.
        figures: as in figures.registry.draw; default with an HTML page of up to MAX_RUNS_WITH_FIGURES runs: all.
        look: sizes of the figures.
    """
    table = make_table(inputs, columns=columns, published=published)
    sections = make_sections(inputs, table.verdicts)
    figure_names = figures or (["all"] if "html" in formats and len(inputs.records) <= MAX_RUNS_WITH_FIGURES else [])
    # First, since it may raise InputError.
    drawn = draw(inputs, table, figure_names, out, look)
    files = {"runs.csv": to_csv(inputs.frame)}
    files |= {f"table.{SUFFIXES[name]}": TABLES[name](table) for name in formats if name in TABLES}
    files |= {
        f"findings.{SUFFIXES[name]}": render_findings(name, table, sections, inputs.name)
        for name in formats
        if sections and name in TABLES
    }
    for name in TABLES.keys() & formats if not sections else ():
        (out / f"findings.{SUFFIXES[name]}").unlink(missing_ok=True)  # of an earlier report
    if "html" in formats:
        page_figures = [
            PageFigure(name, caption, (out / f"{name}.svg").read_text(encoding="utf-8")) for name, caption in drawn
        ]
        files[PAGE] = page(inputs, table, sections, page_figures)
    for name, content in files.items():
        write_atomic(out / name, printable(content).encode())
    return Report(table, tuple(sections), tuple(files), tuple(drawn))


def without_nan(row: Mapping[str, object]) -> dict[str, object]:
    """Return a row with None in place of NaN, which JSON lacks."""
    return {key: None if value != value else value for key, value in row.items()}


def render_findings(name: str, table: Table, sections: Sequence[Section], study: str) -> str:
    """Return the findings as Markdown or LaTeX sections, or as an unrounded CSV."""
    if name == "md":
        return markdown.render_sections(sections)
    if name == "latex":
        return latex.render_sections(sections, name=study)
    assert table.verdicts is not None, "there are sections"
    return to_csv(pd.DataFrame(table.verdicts.rows(), columns=list(ROW_COLUMNS)))
