"""The report as one HTML file that needs nothing else: tables that sort, runs behind each number, figures inside.

The page works without scripts but for sorting, the spec and the curve of a run. Its policy lets no script run but
page.js, by hash, and loads nothing: whatever a name holds stays text twice over.
"""

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from slbench import __version__
from slbench.report.inputs import ReportInputs
from slbench.report.pagebehind import groups, places_of, unfinished, without
from slbench.report.pagecells import Shown, blocks, head_rows, in_column
from slbench.report.pagedata import embedded
from slbench.report.pagefigures import PageFigure, inlined
from slbench.report.sections import Section
from slbench.report.table import Table

if TYPE_CHECKING:
    from jinja2 import Template

FEW = 12  # notes, or unfinished runs, that are shown at once


def page(
    gathered: ReportInputs, table: Table, sections: Sequence[Section] = (), figures: Sequence[PageFigure] = ()
) -> str:
    """The HTML of a report; the same for the same store.

    Args:
        figures: drawn by slbench.plotting.style.save.
    Raises:
        InputError: for a figure that is no SVG.
    """
    script = asset("page.js")
    behind, places = groups(gathered, table), places_of(gathered)
    return template().render(
        policy=policy(script),
        style=asset("page.css"),
        script=script,
        data=embedded(gathered, behind),
        version=__version__,
        gathered=gathered,
        title=gathered.title or gathered.name,
        caption=table.caption[1:] if gathered.title and table.caption else table.caption,
        head_rows=head_rows(table),
        blocks=blocks(table),
        notes=[(note.mark, without(note.text, places)) for note in table.notes],
        behind=behind,
        unfinished=unfinished(gathered, table),
        unread=[without(line, places) for line in gathered.unread],
        sections=[(section, section_lines(section)) for section in sections],
        figures=[
            (figure, inlined(figure, prefix=f"figure-{number}")) for number, figure in enumerate(figures, start=1)
        ],
        few=FEW,
    )


def section_lines(section: Section) -> list[list[Shown]]:
    """The lines of a section's table."""
    columns = [in_column(column) for column in zip(*section.lines, strict=True)]
    return [list(line) for line in zip(*columns, strict=True)]


def policy(script: str) -> str:
    """The Content-Security-Policy under which the page is opened: only this script runs, and nothing is loaded."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


@cache
def asset(name: str) -> str:
    """A file that lies beside this one, without the line end that would close it."""
    return (files("slbench.report") / name).read_text(encoding="utf-8").strip()


def template() -> "Template":
    """The page's template, which escapes whatever it is given."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(asset("page.html.j2"))
