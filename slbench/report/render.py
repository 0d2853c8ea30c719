"""A table as Markdown, CSV or LaTeX."""

import itertools
import re
from collections.abc import Callable, Sequence

import pandas as pd

from slbench.layout import COSTS
from slbench.published.reproduction import ReproductionVerdict
from slbench.report.columns import Column
from slbench.report.sections import NOTHING, Section, signed
from slbench.report.table import Cell, Row, Table
from slbench.stats.intervals import PairedDifference
from slbench.text import markdown_table

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
    "±": r"$\pm$",
    "–": "--",
    "−": "$-$",
    "≥": r"$\geq$",
}


def markdown(table: Table) -> str:
    """A GitHub table with its caption above and its notes below."""
    body = [
        [
            title_of(row, "<sup>", "</sup>"),
            *row.settings,
            *(cell_text(row, column, markdown_bold) for column in table.columns),
        ]
        for row in table.rows
    ]
    align = "l" * (1 + len(table.settings)) + "r" * len(table.columns)
    lines = markdown_table(heads(table), body, align=align) if body else "No run is finished yet."
    notes = "  \n".join(escape_html(note.line) for note in table.notes)
    return "\n\n".join(part for part in (escape_html(" ".join(table.caption)), lines, notes) if part) + "\n"


def latex(table: Table) -> str:
    """A table environment that needs the package booktabs and nothing else; a rule between backbones."""
    format_ = "l" * (1 + len(table.settings)) + "r" * len(table.columns)
    notes = [(f"$^{{{note.mark}}}$ " if note.mark else "") + escape_latex(note.text) for note in table.notes]
    groups = [
        [latex_cells(row, table) for row in rows]
        for _, rows in itertools.groupby(table.rows, key=lambda row: row.backbone)
    ]
    return environment(
        format_,
        [[escape_latex(head) for head in heads(table)]],
        groups or [[]],
        caption=" ".join((escape_latex(" ".join(table.caption)), *notes)).strip(),
        label=table.name,
    )


def latex_cells(row: Row, table: Table) -> list[str]:
    """The cells of a line."""
    title = escape_latex(row.title) + "".join(f"$^{{{mark}}}$" for mark in row.marks)
    cells = [cell_text(row, column, latex_bold, escape_latex) for column in table.columns]
    return [title, *map(escape_latex, row.settings), *cells]


def csv(table: Table) -> str:
    """Every number in full: mean, standard deviation, n and N of each data set are columns of their own."""
    lines = []
    for row in table.rows:
        line: dict[str, object] = {"model": row.title, "backbone": row.backbone, "method": row.method}
        line |= dict(zip(table.settings, row.settings, strict=True))
        line |= {name: " / ".join(map(str, row.costs[name])) for name in COSTS}
        for column in table.columns:
            if column.kind != "cost":
                line |= in_full(row.cells.get((column.dataset, column.name)), column)
        line["notes"] = " ".join(note.line for note in table.notes if note.mark in row.marks)
        lines.append(line)
    return pd.DataFrame(lines).to_csv(index=False)


def sections_markdown(sections: Sequence[Section]) -> str:
    """Sections as Markdown, each with its table."""
    parts = []
    for section in sections:
        body = markdown_table(section.heads, [[escape_html(cell) for cell in line] for line in section.lines])
        parts += [
            f"### {section.title}",
            escape_html(" ".join(section.words)),
            body,
            escape_html(" ".join(section.notes)),
        ]
    return "\n\n".join(part for part in parts if part) + "\n" if parts else ""


def sections_latex(sections: Sequence[Section], *, name: str) -> str:
    """A table environment for each section."""
    return "\n".join(
        environment(
            "l" * len(section.heads),
            [[escape_latex(head) for head in section.heads]],
            [[[escape_latex(cell) for cell in line] for line in section.lines]],
            caption=escape_latex(" ".join((f"{section.title}.", *section.words, *section.notes))),
            label=f"{name} {section.title}",
        )
        for section in sections
    )


def environment(
    format_: str, head: Sequence[Sequence[str]], groups: Sequence[Sequence[Sequence[str]]], *, caption: str, label: str
) -> str:
    """A LaTeX table with a rule before each group of lines; all that it is given is LaTeX already, but the label."""
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
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"]) + "\n"


def in_full(cell: Cell | None, column: Column) -> dict[str, object]:
    """The columns of a CSV that one column of the table becomes."""
    head = f"{column.dataset}_{column.measure.key}"
    names: tuple[str, ...]
    values: tuple[object, ...]
    if column.kind == "measure":
        names = ("mean", "std", "n", "expected")
        values = (None, None, 0, None) if cell is None else (cell.mean, cell.std, cell.n, cell.expected)
    elif column.kind == "gain":
        names = ("gain", "gain_low", "gain_high", "gain_n", "gain_p", "gain_correlation")
        values = gain_in_full(None if cell is None else cell.gain)
    else:
        names = ("published", "verdict", "verdict_reason", "published_confidence", "published_source")
        values = judged_in_full(None if cell is None else cell.judged)
    return {f"{head}_{name}": value for name, value in zip(names, values, strict=True)}


def gain_in_full(gain: PairedDifference | None) -> tuple[object, ...]:
    if gain is None:
        return (None,) * 6
    ends = (None, None) if gain.interval is None else (gain.interval.low, gain.interval.high)
    return (gain.estimate, *ends, gain.n, gain.p_value, gain.correlation)


def judged_in_full(judged: ReproductionVerdict | None) -> tuple[object, ...]:
    if judged is None:
        return (None,) * 5
    number = judged.published
    return (number.value, judged.verdict, judged.reason, number.confidence, number.source)


def heads(table: Table) -> list[str]:
    return ["Model", *table.settings, *(column.head for column in table.columns)]


def title_of(row: Row, before: str, after: str) -> str:
    """A row's name with the marks of its notes."""
    return row.title + "".join(f"{before}{mark}{after}" for mark in row.marks)


def markdown_bold(words: str) -> str:
    return f"**{words}**"


def latex_bold(words: str) -> str:
    return rf"\textbf{{{words}}}"


def cell_text(
    row: Row, column: Column, bold: Callable[[str], str], escape: Callable[[str], str] = lambda words: words
) -> str:
    """What a table shows in one place, escaped, in bold if it is the best of its column."""
    if column.kind == "cost":
        return escape(cost_text(row, column.name))
    cell = row.cells.get((column.dataset, column.name))
    if cell is None:
        return escape(NOTHING)
    if column.kind == "gain":
        return escape(gain_text(cell.gain))
    if column.kind == "published":
        return escape(judged_text(cell.judged))
    words = escape(measure_text(cell, column.measure.digits))
    return bold(words) if cell.best else words


def cost_text(row: Row, name: str) -> str:
    scale, digits = {"images_per_second": (1.0, 0), "macs": (1e6, 1), "params": (1e6, 2)}[name]
    return " / ".join(f"{value / scale:,.{digits}f}" for value in row.costs[name]) or NOTHING


def measure_text(cell: Cell, digits: int) -> str:
    """ "81.25 ± 0.40 (2)"; "81.25 (1 of 2)" while seeds are missing."""
    spread = "" if cell.std is None else f" ± {cell.std:.{digits}f}"
    count = f"{cell.n}" if cell.is_whole else f"{cell.n} of {cell.expected}"
    return f"{cell.mean:.{digits}f}{spread} ({count})"


def gain_text(gain: PairedDifference | None) -> str:
    """ "+0.68 (−0.20 to +1.56)"; without an interval with one seed."""
    if gain is None:
        return NOTHING
    ends = "" if gain.interval is None else f" ({signed(gain.interval.low)} to {signed(gain.interval.high)})"
    return signed(gain.estimate) + ends


def judged_text(judged: ReproductionVerdict | None) -> str:
    return NOTHING if judged is None else f"{judged.published.value:.2f} ({judged.verdict})"


def escape_html(words: str) -> str:
    """What would be a tag on a page stays text."""
    return words.replace("<", "&lt;").replace(">", "&gt;")


def escape_latex(words: str) -> str:
    return "".join(LATEX_ESCAPES.get(character, character) for character in words)
