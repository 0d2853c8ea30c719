"""Write the page and CSV files of an analysis."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from slbench import machine
from slbench.analysis.captions import FORMATS, AnalysisOutput, table
from slbench.files import write_atomic
from slbench.provenance import code_text


def write_page(
    folder: Path,
    name: str,
    title: str,
    *,
    tables: Sequence[tuple[str, pd.DataFrame]],
    frames: dict[str, pd.DataFrame],
    figures: Sequence[tuple[str, str]],
    notes: Sequence[str],
) -> AnalysisOutput:
    """Write NAME.md and a CSV per frame in full precision, beside existing figures.

    Args:
        tables: (title, frame of text).
        frames: by file stem; the first is the tidy one.
        figures: (file stem, caption).
    """
    parts = [f"# {title}"]
    for head, frame in tables:
        parts += [f"## {head}", table(frame)]
    for stem, description in figures:
        parts += [f"![{stem}]({stem}.png)", f"{stem}: {description}."]
    notes = [note.removesuffix(".") for note in notes]
    parts += [f"{note}." for note in notes]
    text = "\n\n".join(parts) + "\n"
    write_atomic(folder / f"{name}.md", text.encode())
    for stem, frame in frames.items():
        write_atomic(folder / f"{stem}.csv", frame.to_csv(index=False).encode())
    files = [f"{name}.md", *(f"{stem}.csv" for stem in frames)]
    files += [f"{stem}.{suffix}" for stem, _ in figures for suffix in FORMATS]
    caption = (*(f"{stem}: {description}" for stem, description in figures), *notes)
    return AnalysisOutput(folder, tuple(files), text, caption, next(iter(frames.values())))


def computed_with() -> str:
    """Return a sentence with device and code of an analysis on the CPU."""
    return f"Computed in fp32 on {machine.cpu_name()} (cpu, 1 thread); {code_text(machine.code())}"
