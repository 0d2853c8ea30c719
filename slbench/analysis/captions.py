"""Captions, tables and files of an analysis: data, device, versions and runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import torch

from slbench import machine
from slbench.analysis.run_selection import WEIGHTS_EPOCH, FinishedRun, Split
from slbench.csv_text import to_csv
from slbench.files import write_atomic
from slbench.markdown import escape, markdown_table
from slbench.plotting.style import save
from slbench.provenance import code_text
from slbench.text import distinct, plural, printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SPLIT_NAMES: dict[Split, str] = {"test": "test images", "val": "validation images", "train": "training images"}


@dataclass(frozen=True)
class AnalysisOutput:
    """Files and text of a finished analysis."""

    folder: Path
    files: tuple[str, ...]  # names in the folder
    text: str  # Markdown: title, caption, tables
    caption: tuple[str, ...]  # facts for a figure's caption, and definitions
    frame: pd.DataFrame  # every value, tidy


def data_text(runs: Sequence[FinishedRun], split: Split, counts: dict[str, tuple[int, int]]) -> str:
    """Return a sentence with data, images, seeds and weights.

    Args:
        counts: images used and images available, by data set.
    """
    data = ", ".join(
        f"{name}, {'all' if images == total else f'{images:,} of the'} {total:,} {SPLIT_NAMES[split]}"
        for name, (images, total) in counts.items()
    )
    seeds = sorted({run.seed for run in runs})
    weights = " or ".join(distinct(WEIGHTS_EPOCH[run.weights.name] for run in runs if run.weights))
    return (
        f"Data: {data}, without augmentation; {plural(len(runs), 'run')}, {plural(len(seeds), 'seed')} "
        f"({', '.join(map(str, seeds))}); weights of the {weights}."
    )


def computation_text(device: torch.device, threads: int) -> str:
    """Return a sentence with device, precision and versions of the analysis."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else machine.cpu_name()
    return (
        f"Computed in fp32, independent of the training precision, on {name} ({device}, {plural(threads, 'thread')}); "
        f"{code_text(machine.code())}."
    )


def runs_table(runs: Sequence[FinishedRun]) -> str:
    """Return the runs as a Markdown table with the accuracies of the analysed weights."""
    lines = [
        {
            "model": run.model,
            "data": run.record.labels.dataset,
            "seed": run.seed,
            "epochs": run.record.spec.recipe.epochs,
            "test top-1 (%)": f"{run.test_top1:.2f}",
            "run": run.record.run_id,
        }
        for run in runs
    ]
    return table(pd.DataFrame(lines))


def table(frame: pd.DataFrame) -> str:
    """Return a frame of text as a Markdown table, first column left-aligned."""
    lines = frame.astype(str).to_numpy().tolist()
    return markdown_table([str(column) for column in frame.columns], lines, align="l" + "r" * (frame.shape[1] - 1))


def page(
    title: str,
    caption: Sequence[str],
    definitions: Sequence[str],
    tables: Sequence[tuple[str, str]],
    figures: Sequence[str],
) -> str:
    """Return a Markdown page: title, caption, definitions, tables and figures."""
    parts = [f"# {escape(title)}", escape(" ".join(caption)), "\n".join(f"- {escape(each)}" for each in definitions)]
    for head, content in tables:
        parts += [f"## {escape(head)}", content]
    parts += [f"![{name}]({name}.png)" for name in figures]
    return "\n\n".join(parts) + "\n"


FORMATS = ("png", "svg", "pdf")


def write(
    folder: Path, name: str, text: str, frames: dict[str, pd.DataFrame], figures: "dict[str, Figure]"
) -> tuple[str, ...]:
    """Write NAME.md, a CSV per frame in full precision and the figures; return the file names."""
    files = [f"{name}.md"]
    write_atomic(folder / files[0], printable(text).encode())
    for stem, frame in frames.items():
        write_atomic(folder / f"{stem}.csv", to_csv(frame).encode())
        files.append(f"{stem}.csv")
    for stem, figure in figures.items():
        save(figure, folder / stem, formats=FORMATS)
        files += [f"{stem}.{suffix}" for suffix in FORMATS]
    return tuple(files)


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
    parts = [f"# {escape(title)}"]
    for head, frame in tables:
        parts += [f"## {escape(head)}", table(frame)]
    for stem, description in figures:
        parts += [f"![{stem}]({stem}.png)", escape(f"{stem}: {description}.")]
    notes = [note.removesuffix(".") for note in notes]
    parts += [escape(f"{note}.") for note in notes]
    text = "\n\n".join(parts) + "\n"
    files = write(folder, name, text, frames, figures={})
    files += tuple(f"{stem}.{suffix}" for stem, _ in figures for suffix in FORMATS)
    caption = (*(f"{stem}: {description}" for stem, description in figures), *notes)
    return AnalysisOutput(folder, files, text, caption, next(iter(frames.values())))


def cpu_text() -> str:
    """Return a sentence with device and versions of an analysis on the CPU."""
    return f"Computed in fp32 on {machine.cpu_name()} (cpu, 1 thread); {code_text(machine.code())}"
