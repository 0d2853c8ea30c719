"""A table as Markdown, CSV or LaTeX."""

import re

import pandas as pd

from slbench.report.table import Accuracy, Row, Table

HEADS = ("Model", "Images/s", "MACs (M)", "Params (M)")
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
    "±": r"$\pm$",
    "–": "--",
}


def markdown(table: Table) -> str:
    """A GitHub table with its caption above and its notes below."""
    body = [[*leading(row), *(in_bold(cell, "**", "**") for cell in row.accuracies)] for row in table.rows]
    frame = pd.DataFrame(
        [[escape_markdown(cell) for cell in line] for line in body],
        columns=[escape_markdown(head) for head in heads(table)],
    )
    align = ["left"] * (1 + len(table.settings)) + ["right"] * (len(frame.columns) - 1 - len(table.settings))
    lines = (
        frame.to_markdown(index=False, disable_numparse=True, colalign=align)
        if len(frame)
        else "No run is finished yet."
    )
    return "\n\n".join(part for part in (" ".join(table.caption), lines, "  \n".join(table.notes)) if part) + "\n"


def latex(table: Table) -> str:
    """A table environment that needs the package booktabs and nothing else."""
    body = [
        [*map(escape_latex, leading(row)), *(in_bold(cell, r"\textbf{", "}", escape_latex) for cell in row.accuracies)]
        for row in table.rows
    ]
    frame = pd.DataFrame(body, columns=[escape_latex(head) for head in heads(table)])
    format_ = "l" * (1 + len(table.settings)) + "r" * (len(frame.columns) - 1 - len(table.settings))
    words = escape_latex(" ".join((*table.caption, *table.notes)))
    label = "tab:" + re.sub(r"[^A-Za-z0-9-]+", "-", table.name)
    return "% \\usepackage{booktabs}\n" + frame.to_latex(
        index=False, escape=False, caption=words, label=label, column_format=format_, position="htbp"
    )


def csv(table: Table) -> str:
    """Every number in full: mean, standard deviation, n and N of each data set are columns of their own."""
    lines = []
    for row in table.rows:
        line: dict[str, object] = {"model": row.title, "backbone": row.backbone, "method": row.method}
        line |= dict(zip(table.settings, row.settings, strict=True))
        for name, values in (
            ("images_per_second", row.images_per_second), ("macs", row.macs), ("params", row.params)
        ):  # fmt: skip
            line[name] = " / ".join(map(str, values))
        for (dataset, accuracy), cell in zip(table.columns, row.accuracies, strict=True):
            head = f"{dataset}_{accuracy}_test_top1"
            fields = (None, None, 0, None) if cell is None else (cell.mean, cell.std, cell.n, cell.expected)
            line |= dict(zip((f"{head}_mean", f"{head}_std", f"{head}_n", f"{head}_expected"), fields, strict=True))
        lines.append(line)
    return pd.DataFrame(lines).to_csv(index=False)


def heads(table: Table) -> list[str]:
    model, *costs = HEADS
    return [model, *table.settings, *costs, *(f"{dataset} {accuracy} top-1" for dataset, accuracy in table.columns)]


def leading(row: Row) -> list[str]:
    """The cells before the accuracies."""
    return [
        row.title,
        *row.settings,
        " / ".join(f"{value:,.0f}" for value in row.images_per_second) or "–",
        " / ".join(f"{value / 1e6:.1f}" for value in row.macs),
        " / ".join(f"{value / 1e6:.2f}" for value in row.params),
    ]


def accuracy_text(cell: Accuracy) -> str:
    """ "81.25 ± 0.40 (2)"; "81.25 (1 of 2)" while seeds are missing."""
    spread = "" if cell.std is None else f" ± {cell.std:.2f}"
    count = f"{cell.n}" if cell.n == cell.expected else f"{cell.n} of {cell.expected}"
    return f"{cell.mean:.2f}{spread} ({count})"


def in_bold(cell: Accuracy | None, before: str, after: str, escape=str) -> str:  # type: ignore[no-untyped-def]
    if cell is None:
        return str(escape("–"))
    words = str(escape(accuracy_text(cell)))
    return f"{before}{words}{after}" if cell.best else words


def escape_markdown(words: str) -> str:
    return " ".join(words.replace("|", "\\|").splitlines())


def escape_latex(words: str) -> str:
    return "".join(LATEX_ESCAPES.get(character, character) for character in words)
