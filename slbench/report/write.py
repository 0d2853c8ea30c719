"""Write the files of a report."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from slbench.files import write_atomic
from slbench.report import SUFFIXES
from slbench.report.figures.registry import draw
from slbench.report.findings import Finding, compute_findings, to_rows
from slbench.report.html.page import PageFigure, page
from slbench.report.inputs import ReportInputs
from slbench.report.render import csv, latex, markdown
from slbench.report.sections import Section, make_sections
from slbench.report.table import Table, make_table
from slbench.stats.sequential import confidence

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
    sections: tuple[Section, ...]
    files: tuple[str, ...]
    figures: tuple[tuple[str, str], ...]  # name without suffix, caption


def report(
    inputs: ReportInputs,
    *,
    columns: Sequence[str] = (),
    published: bool = False,
    formats: Sequence[str],
    figures: Sequence[str] = (),
    out: Path,
) -> Report:
    """Write `runs.csv`, table and findings in each format, and figures, under `out`.

    Args:
        formats: of SUFFIXES.
        figures: as in figures.registry.draw; default with an HTML page of up to MAX_RUNS_WITH_FIGURES runs: all.
    """
    table = make_table(inputs, columns=columns, published=published)
    findings = compute_findings(inputs, table)
    sections = make_sections(inputs, table, findings)
    figure_names = figures or (["all"] if "html" in formats and len(inputs.records) <= MAX_RUNS_WITH_FIGURES else [])
    # First, since it may raise InputError.
    drawn = draw(inputs, table, figure_names, out, level=confidence(inputs.seeds))
    files = {"runs.csv": inputs.frame.to_csv(index=False)}
    files |= {f"table.{SUFFIXES[name]}": TABLES[name](table) for name in formats if name in TABLES}
    files |= {
        f"findings.{SUFFIXES[name]}": render_findings(name, findings, sections, inputs.name)
        for name in formats
        if findings and name in TABLES
    }
    if "html" in formats:
        page_figures = [
            PageFigure(name, caption, (out / f"{name}.svg").read_text(encoding="utf-8")) for name, caption in drawn
        ]
        files[PAGE] = page(inputs, table, sections, page_figures)
    for name, content in files.items():
        write_atomic(out / name, content.encode())
    return Report(table, tuple(sections), tuple(files), tuple(drawn))


def render_findings(name: str, findings: Sequence[Finding], sections: Sequence[Section], study: str) -> str:
    """Return the findings as Markdown or LaTeX sections, or as an unrounded CSV."""
    if name == "md":
        return markdown.render_sections(sections)
    if name == "latex":
        return latex.render_sections(sections, name=study)
    return pd.DataFrame(to_rows(findings)).to_csv(index=False)
