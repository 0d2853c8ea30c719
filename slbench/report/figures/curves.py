"""Learning curves: top-1 by epoch."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

from slbench.plotting.axes import accuracy_range
from slbench.plotting.style import MAX_IN_TITLE, STAR, method_name, new_panels, plain, save, style
from slbench.record import RunRecord
from slbench.report.figures.inputs import (
    Context,
    Experiment,
    FigureInputs,
    contexts,
    device_text,
    file_names,
    seeds_text,
)
from slbench.text import distinct, plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 3  # panels beside each other
MIN_EPOCHS_TO_CUT = 10  # shorter runs show all epochs
CUT_FRACTION = 5  # the first 1/5 of the epochs may lie below the axis
SPLIT_NAMES = {"val_top1": "validation", "test_top1": "test"}  # columns of metrics.csv


@dataclass(frozen=True)
class Curves:
    """Accuracies of an experiment by epoch, one curve per seed."""

    experiment: Experiment
    validation: tuple[tuple[float, ...], ...]  # in %; empty if a run has no validation split
    test: tuple[tuple[float, ...], ...]
    unread: int  # runs without a complete history


def draw_curves(inputs: FigureInputs, out: Path) -> list[tuple[str, str]]:
    """Write a figure per data set, one panel per backbone; return file names without suffix, and captions.

    Show validation accuracy if every run of the figure has it, else test accuracy.
    """
    drawn = []
    figure_contexts = contexts(inputs.experiments)
    for name, context in zip(file_names("curves", figure_contexts), figure_contexts, strict=True):
        all_curves = [read_curves(experiment, inputs) for experiment in context.experiments]
        series = [curves for curves in all_curves if curves.test]
        if not series:
            continue
        column = "val_top1" if all(curves.validation for curves in series) else "test_top1"
        with style(inputs.look):
            figure = draw(context, series, column, inputs)
            save(figure, out / name, formats=("png", "svg", "pdf"))
        drawn.append((name, caption(context, series, column, sum(curves.unread for curves in all_curves))))
    return drawn


def read_curves(experiment: Experiment, inputs: FigureInputs) -> Curves:
    """Read the histories of an experiment's runs."""
    folders = inputs.report_inputs.folders
    validation, test = list[tuple[float, ...]](), list[tuple[float, ...]]()
    for record in experiment.records:
        history = read_history(folders[record.run_id], record) if record.run_id in folders else None
        if history is not None:
            test.append(history["test_top1"])
            validation.append(history["val_top1"])
    complete = validation if all(validation) else []
    return Curves(experiment, tuple(complete), tuple(test), len(experiment.records) - len(test))


def read_history(folder: Path, record: RunRecord) -> dict[str, tuple[float, ...]] | None:
    """Return the accuracies by epoch, by column of metrics.csv; None unless every epoch has a line."""
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
    except (OSError, ValueError, KeyError, TypeError, csv.Error):  # missing or truncated
        return None


def draw(context: Context, series: list[Curves], column: str, inputs: FigureInputs) -> "Figure":
    """Draw a panel per backbone and a line per method: mean over the seeds, band from lowest to highest."""
    backbones = distinct(curves.experiment.backbone for curves in series)
    methods = distinct(curves.experiment.method_label for curves in series)
    look = inputs.look
    tall = 3.2 if len(backbones) == 1 else 2.1
    figure, panels = new_panels(len(backbones), columns=COLUMNS, height=tall, look=look)
    handles = {}
    for backbone, axes in zip(backbones, panels, strict=True):
        for curves in series:
            if curves.experiment.backbone == backbone:
                method = curves.experiment.method_label
                handles[method] = line(axes, curves.validation if column == "val_top1" else curves.test, method, inputs)
        axes.set_title(plain(backbone), fontsize=look.size(9))
    figure.suptitle(plain(context.title, most=MAX_IN_TITLE), fontsize=look.size(9))
    for axes in panels[-COLUMNS:]:
        axes.set_xlabel("epoch")
    cut = lower_end(series, column)
    shown = [value for seed in seeds_of(series, column) for value in seed]
    low, high = accuracy_range(shown)
    for axes in panels:
        axes.set_ylim(low if cut is None else cut, high)
    figure.supylabel(f"{SPLIT_NAMES[column]} top-1 (%)", fontsize=look.size(9))
    names = [method_name(method) for method in methods]
    figure.legend(
        handles=[handles[method] for method in methods], labels=names, loc="outside lower center",
        ncols=look.legend_columns(names, figure.get_figwidth()), fontsize=look.size(8), handlelength=3,
    )  # fmt: skip
    return figure


def lower_end(series: Sequence[Curves], column: str) -> float | None:
    """Return the lower limit of the axis, so that early epochs do not flatten the curves; None for short runs."""
    seeds = seeds_of(series, column)
    later = [value for seed in seeds for value in seed[len(seed) // CUT_FRACTION :]]
    return (
        min(later)
        if all(len(seed) >= MIN_EPOCHS_TO_CUT for seed in seeds) and min(map(min, seeds)) < min(later)
        else None
    )


def seeds_of(series: Sequence[Curves], column: str) -> list[tuple[float, ...]]:
    """Return the accuracies by epoch of all seeds."""
    return [seed for curves in series for seed in (curves.validation if column == "val_top1" else curves.test)]


def line(axes: "Axes", seeds: tuple[tuple[float, ...], ...], method: str, inputs: FigureInputs) -> object:
    """Draw the line and band of a method; return the line."""
    from matplotlib.ticker import MaxNLocator

    epochs = range(1, len(seeds[0]) + 1)
    look, style_ = inputs.look, inputs.style_of(method)
    by_epoch = list(zip(*seeds, strict=True))
    if len(seeds) > 1:
        lowest, highest = [min(values) for values in by_epoch], [max(values) for values in by_epoch]
        axes.fill_between(epochs, lowest, highest, color=style_.color, alpha=0.15, linewidth=0)
    (drawn,) = axes.plot(
        epochs, [mean(values) for values in by_epoch], color=style_.color, linestyle=style_.line,
        linewidth=look.size(1.3), marker=style_.marker, markevery=marked_epochs(len(epochs)),
        markersize=look.size(4 * (STAR if style_.marker == "*" else 1)), label=method_name(method),
    )  # fmt: skip
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5, min_n_ticks=1))
    return drawn


def marked_epochs(epochs: int) -> list[int]:
    """Return the positions of some five markers of a line."""
    return sorted({round(part * (epochs - 1) / 4) for part in range(5)})


def caption(context: Context, series: list[Curves], column: str, unread: int) -> str:
    """Return the caption."""
    counts = {len(curves.test) for curves in series}
    parts = [
        f"{context.title}: {SPLIT_NAMES[column]} top-1 by epoch",
        f"mean, {seeds_text(counts, 'line')}",
        "band: range over the seeds" if max(counts) > 1 else "",
        "first epochs not shown" if lower_end(series, column) is not None else "",
        device_text(curves.experiment for curves in series),
        f"left out, incomplete history: {plural(unread, 'run')}" if unread else "",
    ]
    return "; ".join(part for part in parts if part)
