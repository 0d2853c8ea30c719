"""`slbench report`: from what was gathered to files."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from slbench.files import write_atomic
from slbench.report import SUFFIXES, render
from slbench.report.gather import Gathered
from slbench.report.page import page
from slbench.report.pagefigures import PageFigure
from slbench.report.sweep import draw_sweeps
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
    out: Path,
) -> Report:
    """Write `runs.csv`, the table in each format, and the figures that are asked for, under `out`."""
    table = make_table(gathered, columns=columns, published=published)
    files = {"runs.csv": gathered.frame().to_csv(index=False)}
    files |= {f"table.{SUFFIXES[name]}": FORMATS[name](table) for name in formats if name in FORMATS}
    for name, content in files.items():
        write_atomic(out / name, content.encode())
    swept = next((column.name for column in table.columns if column.kind == "measure"), "final")
    figures = (
        draw_sweeps(gathered.records, out, accuracy="best" if swept == "best" else "final") if gathered.records else []
    )
    if "html" in formats:  # last, for it holds the figures
        shown = [PageFigure(name, words, (out / f"{name}.svg").read_text(encoding="utf-8")) for name, words in figures]
        write_atomic(out / "report.html", page(gathered, table, figures=shown).encode())
        files["report.html"] = ""
    return Report(table, tuple(files), tuple(figures))
