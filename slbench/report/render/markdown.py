"""Tables and findings as GitHub Markdown."""

from collections.abc import Sequence

from slbench.markdown import Markup, escape, markdown_table
from slbench.report.cells import Row
from slbench.report.columns import Column
from slbench.report.sections import Section
from slbench.report.table import Table


def render_table(table: Table) -> str:
    """Return a table with its caption above and its notes below."""
    body = [
        [
            Markup(escape(row.title) + "".join(f"<sup>{mark}</sup>" for mark in row.marks)),
            *row.settings,
            *(cell_text(row, column) for column in table.columns),
        ]
        for row in table.rows
    ]
    align = "l" * (1 + len(table.settings)) + "r" * len(table.columns)
    parts = (
        escape(" ".join(table.caption)),
        markdown_table(table.heads, body, align=align),
        "" if body else "No run is finished yet.",
        "  \n".join(escape(note.line) for note in table.notes),
    )
    return "\n\n".join(part for part in parts if part) + "\n"


def cell_text(row: Row, column: Column) -> str:
    """Return the text of a cell, bold if it is the best of its column."""
    return Markup(f"**{escape(column.text(row))}**") if column.is_best(row) else column.text(row)


def render_sections(sections: Sequence[Section]) -> str:
    """Return sections, each with its list and table."""
    parts = []
    for section in sections:
        parts += [
            f"### {escape(section.title)}",
            escape(" ".join(section.intro)),
            "\n".join(f"- {escape(item)}" for item in section.items),
            markdown_table(section.heads, section.lines) if section.heads else "",
            escape(" ".join(section.notes)),
        ]
    return "\n\n".join(part for part in parts if part) + "\n" if parts else ""
