"""What an analysis leaves in its folder, and the words around it."""

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
    """Write NAME.md and each frame as CSV in full precision, beside figures that are there already.

    Args:
        tables: of text, each under its head.
        frames: by the stem of their file; the first is the tidy one.
        figures: names without suffix, and what each shows.
    """
    parts = [f"# {title}"]
    for head, frame in tables:
        parts += [f"## {head}", table(frame)]
    for stem, shown in figures:
        parts += [f"![{stem}]({stem}.png)", f"{stem}: {shown}."]
    notes = [note.removesuffix(".") for note in notes]
    parts += [f"{note}." for note in notes]
    text = "\n\n".join(parts) + "\n"
    write_atomic(folder / f"{name}.md", text.encode())
    for stem, frame in frames.items():
        write_atomic(folder / f"{stem}.csv", frame.to_csv(index=False).encode())
    files = [f"{name}.md", *(f"{stem}.csv" for stem in frames)]
    files += [f"{stem}.{suffix}" for stem, _ in figures for suffix in FORMATS]
    caption = (*(f"{stem}: {shown}" for stem, shown in figures), *notes)
    return AnalysisOutput(folder, tuple(files), text, caption, next(iter(frames.values())))


def computed_with() -> str:
    """Device and code of an analysis on the CPU."""
    return f"Computed in fp32 on {machine.cpu_name()} (cpu, 1 thread); {code_text(machine.code())}"
