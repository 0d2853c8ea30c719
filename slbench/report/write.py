"""`slbench report`: from what was gathered to files."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from slbench.files import write_atomic
from slbench.report import SUFFIXES
from slbench.report.figures.registry import draw
from slbench.report.findings import Finding, findings, full
from slbench.report.html.page import PageFigure, page
from slbench.report.inputs import ReportInputs
from slbench.report.render import csv, latex, markdown
from slbench.report.sections import Section, sections
from slbench.report.table import Table, make_table
from slbench.stats.sequential import confidence

TABLES: dict[str, Callable[[Table], str]] = {
    "md": markdown.render_table,
    "csv": csv.render_table,
    "latex": latex.render_table,
}
PAGE = "report.html"
MANY = (
    300  # runs; of more, a page comes without its figures unless they are asked for: they would take most of its time
)


@dataclass(frozen=True)
class Report:
    """What was written."""

    table: Table
    sections: tuple[Section, ...]
    files: tuple[str, ...]
    figures: tuple[tuple[str, str], ...]  # each one's name without suffix, and what it shows


def report(
    gathered: ReportInputs,
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
        figures: as in figures.registry.draw; by default a page of up to MANY runs shows all.
    """
    table = make_table(gathered, columns=columns, published=published)
    found = findings(gathered, table)
    told = sections(gathered, table, found)
    wanted = figures or (["all"] if "html" in formats and len(gathered.records) <= MANY else [])
    drawn = draw(gathered, table, wanted, out, level=confidence(gathered.seeds))  # first: one by name may be impossible
    files = {"runs.csv": gathered.frame.to_csv(index=False)}
    files |= {f"table.{SUFFIXES[name]}": TABLES[name](table) for name in formats if name in TABLES}
    files |= {
        f"findings.{SUFFIXES[name]}": in_format(name, found, told, gathered.name)
        for name in formats
        if found and name in TABLES
    }
    if "html" in formats:
        shown = [PageFigure(name, words, (out / f"{name}.svg").read_text(encoding="utf-8")) for name, words in drawn]
        files[PAGE] = page(gathered, table, told, shown)
    for name, content in files.items():
        write_atomic(out / name, content.encode())
    return Report(table, tuple(told), tuple(files), tuple(drawn))


def in_format(name: str, found: Sequence[Finding], told: Sequence[Section], study: str) -> str:
    """The findings in one of the formats of tables: in words and tables, or as a CSV with every number in full."""
    if name == "md":
        return markdown.render_sections(told)
    if name == "latex":
        return latex.render_sections(told, name=study)
    return pd.DataFrame(full(found)).to_csv(index=False)
