"""Learning curves: top-1 by epoch, from the history of each run."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

from slbench.plotting.style import MAX_IN_TITLE, new_panels, plain, row_words, save, style
from slbench.record import RunRecord
from slbench.report.figures.inputs import (
    Context,
    Experiment,
    FigureInputs,
    contexts,
    device_words,
    file_names,
    seeds_words,
)
from slbench.text import distinct, plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 3  # panels beside each other
LONG = 10  # epochs of a run whose first ones may lie below the axis
FIRST = 5  # one epoch in so many, at the start
WORDS = {"val_top1": "validation", "test_top1": "test"}  # columns of metrics.csv


@dataclass(frozen=True)
class Curves:
    """An experiment's accuracies by epoch, a curve a seed; the first is of epoch 1."""

    experiment: Experiment
    validation: tuple[tuple[float, ...], ...]  # in %; empty where some run has no validation split
    test: tuple[tuple[float, ...], ...]
    unread: int  # runs whose history is not there, or not whole


def draw_curves(shown: FigureInputs, out: Path) -> list[tuple[str, str]]:
    """Write a figure for each data set, a panel a backbone; their names without suffix, and what each shows.

    Validation accuracies where every run of a figure has them, else those of the test images.
    """
    drawn = []
    found = contexts(shown.experiments)
    for name, context in zip(file_names("curves", found), found, strict=True):
        read = [read_curves(experiment, shown) for experiment in context.experiments]
        there = [curves for curves in read if curves.test]
        if not there:
            continue
        column = "val_top1" if all(curves.validation for curves in there) else "test_top1"
        with style():
            figure = draw(context, there, column, shown)
            save(figure, out / name, formats=("png", "svg", "pdf"))
        drawn.append((name, caption(context, there, column, sum(curves.unread for curves in read))))
    return drawn


def read_curves(experiment: Experiment, shown: FigureInputs) -> Curves:
    """The histories of an experiment's runs."""
    folders = shown.gathered.folders
    validation, test = list[tuple[float, ...]](), list[tuple[float, ...]]()
    for record in experiment.records:
        history = read_history(folders[record.run_id], record) if record.run_id in folders else None
        if history is not None:
            test.append(history["test_top1"])
            validation.append(history["val_top1"])
    whole = validation if all(validation) else []
    return Curves(experiment, tuple(whole), tuple(test), len(experiment.records) - len(test))


def read_history(folder: Path, record: RunRecord) -> dict[str, tuple[float, ...]] | None:
    """A run's accuracies by epoch, under their columns of metrics.csv; None unless every epoch has its line."""
    try:
        with (folder / record.history).open(newline="") as file:
            lines = list(csv.DictReader(file))
        if [int(line["epoch"]) for line in lines] != list(range(1, record.spec.recipe.epochs + 1)):
            return None
        has_validation = all(line["val_top1"] for line in lines)
        return {
            "test_top1": tuple(float(line["test_top1"]) for line in lines),
            "val_top1": tuple(float(line["val_top1"]) for line in lines) if has_validation else (),
        }
    except (OSError, ValueError, KeyError, TypeError, csv.Error):  # not there, or cut off by a full disk
        return None


def draw(context: Context, there: list[Curves], column: str, shown: FigureInputs) -> "Figure":
    """A panel a backbone, a line a row: its mean over the seeds, in a band from their lowest to their highest."""
    backbones = distinct(curves.experiment.backbone for curves in there)
    rows = distinct(curves.experiment.row for curves in there)
    figure, panels = new_panels(len(backbones), columns=COLUMNS, height=3.2 if len(backbones) == 1 else 2.1)
    handles = {}
    for backbone, axes in zip(backbones, panels, strict=True):
        for curves in there:
            if curves.experiment.backbone == backbone:
                row = curves.experiment.row
                handles[row] = line(axes, curves.validation if column == "val_top1" else curves.test, row, shown)
        axes.set_title(plain(backbone), fontsize=9)
    figure.suptitle(plain(context.title, most=MAX_IN_TITLE), fontsize=9)
    for axes in panels[-COLUMNS:]:
        axes.set_xlabel("epoch")
    cut = lower_end(there, column)
    if cut is not None:
        for axes in panels:
            axes.set_ylim(bottom=cut)
    figure.supylabel(f"{WORDS[column]} top-1 (%)", fontsize=9)
    figure.legend(
        handles=[handles[row] for row in rows], labels=[row_words(row) for row in rows],
        loc="outside lower center", ncols=4, fontsize=8, handlelength=3,
    )  # fmt: skip
    return figure


def lower_end(there: Sequence[Curves], column: str) -> float | None:
    """Where the axis begins: the first epochs would flatten all that follows. None for short runs, which show all."""
    seeds = [seed for curves in there for seed in (curves.validation if column == "val_top1" else curves.test)]
    later = [value for seed in seeds for value in seed[len(seed) // FIRST :]]
    return min(later) if all(len(seed) >= LONG for seed in seeds) and min(map(min, seeds)) < min(later) else None


def line(axes: "Axes", seeds: tuple[tuple[float, ...], ...], row: str, shown: FigureInputs) -> object:
    """One row's line and band; gives the line."""
    from matplotlib.ticker import MaxNLocator

    epochs = range(1, len(seeds[0]) + 1)
    colour = shown.looks.of_row(row)
    by_epoch = list(zip(*seeds, strict=True))
    if len(seeds) > 1:
        lowest, highest = [min(values) for values in by_epoch], [max(values) for values in by_epoch]
        axes.fill_between(epochs, lowest, highest, color=colour, alpha=0.15, linewidth=0)
    (drawn,) = axes.plot(
        epochs, [mean(values) for values in by_epoch], color=colour, linestyle=shown.looks.line(row), linewidth=1.3,
        marker=shown.looks.marker(row) if len(epochs) == 1 else None, label=row_words(row),
    )  # fmt: skip
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5, min_n_ticks=1))
    return drawn


def caption(context: Context, there: list[Curves], column: str, unread: int) -> str:
    """What the figure shows."""
    counts = {len(curves.test) for curves in there}
    parts = [
        f"{context.title}: {WORDS[column]} top-1 by epoch",
        f"mean, {seeds_words(counts, 'line')}",
        "band: lowest to highest of the seeds" if max(counts) > 1 else "",
        "the first epochs lie below the axis" if lower_end(there, column) is not None else "",
        device_words(curves.experiment for curves in there),
        f"left out, without a whole history: {plural(unread, 'run')}" if unread else "",
    ]
    return "; ".join(part for part in parts if part)
