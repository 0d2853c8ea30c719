"""Tables and findings as LaTeX tables that need the package booktabs."""

import itertools
import re
from collections.abc import Sequence

from slbench.report.cells import Row
from slbench.report.columns import Column
from slbench.report.sections import Section
from slbench.report.table import Table
from slbench.text import one_line

MAX_CAPTION = 60  # words
LATEX_ESCAPES = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "[": "{[}",  # an option after a rule, the end of a line or \item
    "]": "{]}",
    "*": "{*}",  # part of the end of a line before it
    "`": "{`}",  # together with ?, ! or another, one character
    "±": r"$\pm$",
    "–": "--",
    "†": r"$^\dagger$",
    "−": "$-$",
    "≥": r"$\geq$",
}


def render_table(table: Table) -> str:
    """Return a table environment with a rule between backbones."""
    marked = [(f"$^{{{note.mark}}}$ " if note.mark else "") + escape(note.text) for note in table.notes]
    caption, rest = split_caption(table.caption)
    groups = [
        [cells(row, table) for row in rows] for _, rows in itertools.groupby(table.rows, key=lambda row: row.backbone)
    ]
    return environment(
        "l" * (1 + len(table.settings)) + "r" * len(table.columns),
        [[escape(head) for head in table.heads]],
        groups or [[]],
        caption=escape(caption),
        notes=" ".join((escape(rest), *marked)).strip(),
        label=table.name,
    )


def split_caption(sentences: Sequence[str]) -> tuple[str, str]:
    """Return the first sentences, of up to MAX_CAPTION words together, and the others."""
    counts = itertools.accumulate(len(sentence.split()) for sentence in sentences)
    kept = sum(count <= MAX_CAPTION for count in counts)
    return " ".join(sentences[:kept]), " ".join(sentences[kept:])


def cells(row: Row, table: Table) -> list[str]:
    """Return the cells of a row."""
    title = escape(row.title) + "".join(f"$^{{{mark}}}$" for mark in row.marks)
    return [title, *map(escape, row.settings), *(cell_text(row, column) for column in table.columns)]


def cell_text(row: Row, column: Column) -> str:
    """Return the text of a cell, bold if it is the best of its column."""
    text = escape(column.text(row))
    return rf"\textbf{{{text}}}" if column.is_best(row) else text


def render_sections(sections: Sequence[Section], *, name: str) -> str:
    """Return each section: sentences and a list, or a table environment."""
    return "\n".join(render_list(section) if section.items else render_lines(section, name) for section in sections)


def render_list(section: Section) -> str:
    """Return a paragraph and an itemize environment."""
    items = [rf"\item {escape(item)}" for item in section.items]
    lines = [rf"\paragraph{{{escape(section.title)}.}}", escape(" ".join(section.intro)), r"\begin{itemize}", *items]
    return "\n".join([*lines, r"\end{itemize}", escape(" ".join(section.notes))]).strip() + "\n"


def render_lines(section: Section, name: str) -> str:
    """Return a table environment."""
    caption, rest = split_caption([f"{section.title}.", *section.intro, *section.notes])
    return environment(
        "l" * len(section.heads),
        [[escape(head) for head in section.heads]],
        [[[escape(cell) for cell in line] for line in section.lines]],
        caption=escape(caption),
        notes=escape(rest),
        label=f"{name} {section.title}",
    )


def environment(
    format_: str,
    head: Sequence[Sequence[str]],
    groups: Sequence[Sequence[Sequence[str]]],
    *,
    caption: str,
    label: str,
    notes: str,
) -> str:
    """Return a table with a rule before each group of lines; all arguments except the label are LaTeX.

    Args:
        notes: in small letters below the table; may be empty.
    """
    lines = [
        r"% \usepackage{booktabs}",
        r"\begin{table}[htbp]",
        rf"\caption{{{caption}}}",
        rf"\label{{tab:{re.sub(r'[^A-Za-z0-9-]+', '-', label)}}}",
        rf"\begin{{tabular}}{{{format_}}}",
        r"\toprule",
        *(" & ".join(line) + r" \\" for line in head),
    ]
    for group in groups:
        lines += [r"\midrule", *(" & ".join(line) + r" \\" for line in group)]
    lines += [r"\bottomrule", r"\end{tabular}"]
    if notes:
        lines.append(rf"\par\smallskip{{\footnotesize\raggedright {notes}\par}}")
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def escape(text: str) -> str:
    """Return LaTeX on one line that is displayed as a text."""
    hyphens = one_line(text).split("--")
    return "-{}-".join("".join(LATEX_ESCAPES.get(character, character) for character in part) for part in hyphens)
