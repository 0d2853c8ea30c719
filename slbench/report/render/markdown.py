"""Tables and findings as GitHub Markdown."""

from collections.abc import Sequence

from slbench.report.cells import Row
from slbench.report.columns import Column
from slbench.report.sections import Section
from slbench.report.table import Table
from slbench.text import markdown_table


def render_table(table: Table) -> str:
    """Return a table with its caption above and its notes below."""
    body = [
        [
            row.title + "".join(f"<sup>{mark}</sup>" for mark in row.marks),
            *row.settings,
            *(cell_text(row, column) for column in table.columns),
        ]
        for row in table.rows
    ]
    align = "l" * (1 + len(table.settings)) + "r" * len(table.columns)
    parts = (
        escape_html(" ".join(table.caption)),
        markdown_table(table.heads, body, align=align),
        "" if body else "No run is finished yet.",
        "  \n".join(escape_html(note.line) for note in table.notes),
    )
    return "\n\n".join(part for part in parts if part) + "\n"


def cell_text(row: Row, column: Column) -> str:
    """Return the text of a cell, bold if it is the best of its column."""
    return f"**{column.text(row)}**" if column.is_best(row) else column.text(row)


def render_sections(sections: Sequence[Section]) -> str:
    """Return sections, each with its list and table."""
    parts = []
    for section in sections:
        lines = [[escape_html(cell) for cell in line] for line in section.lines]
        parts += [
            f"### {section.title}",
            escape_html(" ".join(section.intro)),
            "\n".join(f"- {escape_html(item)}" for item in section.items),
            markdown_table(section.heads, lines) if section.heads else "",
            escape_html(" ".join(section.notes)),
        ]
    return "\n\n".join(part for part in parts if part) + "\n" if parts else ""


def escape_html(text: str) -> str:
    """Return text with tags escaped."""
    return text.replace("<", "&lt;").replace(">", "&gt;")
