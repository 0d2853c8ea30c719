"""A report as one HTML file: tables that sort, the runs behind each number, figures.

Without scripts the page only loses sorting and theme. Every text is escaped, and the content security policy allows
no script but page.js, by hash, and loads nothing.
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

from slbench import __version__
from slbench.report.html.cells import accuracies_first, blocks, head_rows, text_table
from slbench.report.html.filters import filters, style_sheet
from slbench.report.html.provenance import (
    UnfinishedRun,
    cell_provenance,
    store_folders,
    unfinished_runs,
    without_folders,
)
from slbench.report.inputs import ReportInputs
from slbench.report.sections import Section
from slbench.report.table import Table
from slbench.text import plural

if TYPE_CHECKING:
    from jinja2 import Template

FEW = 12  # notes or unfinished runs shown without a click
MAX_DETAILED = 1_000  # runs; larger pages leave details to runs.csv


@dataclass(frozen=True)
class PageFigure:
    """A figure of the report, embedded as an image, so that nothing in it can load or run."""

    name: str
    caption: str
    svg: str

    @property
    def url(self) -> str:
        """Data URL of the SVG."""
        return f"data:image/svg+xml;base64,{base64.b64encode(self.svg.encode()).decode()}"


def page(
    inputs: ReportInputs, table: Table, sections: Sequence[Section] = (), figures: Sequence[PageFigure] = ()
) -> str:
    """Return the HTML of a report; the same for the same store."""
    script, table = asset("page.js"), accuracies_first(table)
    folders = store_folders(inputs)
    unfinished = unfinished_runs(inputs, table)
    detailed = len(inputs.records) <= MAX_DETAILED
    return template().render(
        policy=policy(script),
        style=f"{asset('page.css')}\n{style_sheet(table)}",
        filters=filters(table),
        script=script,
        version=__version__,
        inputs=inputs,
        title=inputs.title or inputs.name,
        caption=table.caption[1:] if inputs.title and table.caption else table.caption,
        head_rows=head_rows(table),
        blocks=blocks(table),
        notes_below=[(note.mark, without_folders(note.text, folders)) for note in table.notes],
        cells=cell_provenance(inputs, table, detailed=detailed),
        detailed=detailed,
        max_detailed=MAX_DETAILED,
        unfinished=unfinished,
        unfinished_table=text_table(UnfinishedRun.HEADS, [run.texts for run in unfinished]),
        unread=[("", without_folders(line, folders)) for line in inputs.unread],
        sections=[(section, text_table(section.heads, section.lines)) for section in sections],
        figures=figures,
        few=FEW,
        plural=plural,
    )


def policy(script: str) -> str:
    """Return the Content-Security-Policy of the page: only this script runs, and nothing is loaded."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def asset(name: str) -> str:
    """Return the content of a file of this package."""
    return (files("slbench.report.html") / name).read_text(encoding="utf-8").strip()


def template() -> "Template":
    """Return the template of the page, which escapes all values."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(asset("page.html.j2"))
