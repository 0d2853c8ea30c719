"""Accuracy against a number, a line a row: what a setting that varies does, and how many images are trained on."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import TYPE_CHECKING

from slbench.methods import model_title
from slbench.plotting.style import MAX_IN_TITLE, STAR, new_panels, plain, row_words
from slbench.report.figures.inputs import Experiment, FigureInputs
from slbench.text import distinct

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 3  # panels beside each other


@dataclass(frozen=True)
class Line:
    """One row, at each value of what is varied."""

    backbone: str
    row: str
    dataset: str
    points: Mapping[float, Experiment]  # by rising value

    @property
    def title(self) -> str:
        return model_title(self.backbone, self.row)


def draw_lines(lines: Sequence[Line], shown: FigureInputs, *, title: str, across: str) -> "tuple[Figure, list[Axes]]":
    """Means with intervals over the seeds, each seed a faint point.

    Several rows of several backbones have a panel for each backbone, where colours tell rows apart; else there is one.
    """
    backbones, rows = distinct(line.backbone for line in lines), distinct(line.row for line in lines)
    apart = len(backbones) > 1 and len(rows) > 1
    figure, panels = new_panels(
        len(backbones) if apart else 1, columns=COLUMNS, height=2.2 if apart else 3.2, legend=0.5
    )
    handles = {}
    for line in lines:
        axes = panels[backbones.index(line.backbone) if apart else 0]
        by_row = apart or len(backbones) == 1
        colour = shown.looks.of_row(line.row) if by_row else shown.looks.of_backbone(line.backbone)
        words = row_words(line.row) if apart else plain(line.title)
        handles[words] = draw_line(axes, line, shown, colour=colour)
    for axes in panels[-COLUMNS:]:
        axes.set_xlabel(across)
    for axes in panels[::COLUMNS]:
        axes.set_ylabel(shown.axis)
    if apart:
        for backbone, axes in zip(backbones, panels, strict=True):
            axes.set_title(plain(backbone), fontsize=9)
            axes.tick_params(labelsize=7.5)
    figure.suptitle(plain(title, most=MAX_IN_TITLE), fontsize=9)
    figure.legend(
        handles=list(handles.values()), labels=list(handles), loc="outside lower center", ncols=4, fontsize=8,
        handlelength=3,
    )  # fmt: skip
    return figure, panels


def draw_line(axes: "Axes", line: Line, shown: FigureInputs, *, colour: str) -> object:
    """One row; gives what a legend shows of it."""
    marker = shown.looks.marker(line.row)
    means, below, above = [], [], []
    for place, experiment in line.points.items():
        values = list(experiment.by_seed(shown.accuracy).values())
        axes.plot([place] * len(values), values, marker, color=colour, alpha=0.25, markersize=3)
        interval = shown.interval(values)
        means.append(mean(values))
        below.append(means[-1] - interval.low if interval else math.nan)
        above.append(interval.high - means[-1] if interval else math.nan)
    container = axes.errorbar(
        list(line.points), means, yerr=[below, above], color=colour, marker=marker, capsize=2, linewidth=1.2,
        elinewidth=0.8, markersize=5 * (STAR if marker == "*" else 1), linestyle=shown.looks.line(line.row),
        label=plain(line.title),
    )  # fmt: skip
    return container[0]


def values_of(lines: Sequence[Line]) -> list[float]:
    """All that is on the axis across, rising."""
    return sorted({value for line in lines for value in line.points})


def counts_of(lines: Sequence[Line], shown: FigureInputs) -> set[int]:
    """How many seeds its points have."""
    return {len(experiment.by_seed(shown.accuracy)) for line in lines for experiment in line.points.values()}
