"""Accuracy against a number, one line per method."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import TYPE_CHECKING

from slbench.methods import model_title
from slbench.plotting.style import MAX_IN_TITLE, STAR, method_name, new_panels, plain
from slbench.report.figures.inputs import Experiment, FigureInputs, bar
from slbench.text import distinct

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 3  # of panels


@dataclass(frozen=True)
class Line:
    """A method at each value of the varied setting."""

    backbone: str
    method: str
    dataset: str
    points: Mapping[float, Experiment]  # by value, ascending

    @property
    def title(self) -> str:
        return model_title(self.backbone, self.method)


def draw_lines(lines: Sequence[Line], inputs: FigureInputs, *, title: str, across: str) -> "tuple[Figure, list[Axes]]":
    """Draw means with standard deviations over the seeds, and each seed as a faint point.

    Several methods of several backbones have one panel per backbone, colored by method; otherwise there is one panel.
    """
    backbones, methods = distinct(line.backbone for line in lines), distinct(line.method for line in lines)
    by_backbone = len(backbones) > 1 and len(methods) > 1
    figure, panels = new_panels(
        len(backbones) if by_backbone else 1, columns=COLUMNS, height=2.2 if by_backbone else 3.2, legend=0.5
    )
    handles = {}
    for line in lines:
        axes = panels[backbones.index(line.backbone) if by_backbone else 0]
        by_method = by_backbone or len(backbones) == 1
        colour = inputs.styles.method_color(line.method) if by_method else inputs.styles.backbone_color(line.backbone)
        label = method_name(line.method) if by_backbone else plain(line.title)
        handles[label] = draw_line(axes, line, inputs, colour=colour)
    for axes in panels[-COLUMNS:]:
        axes.set_xlabel(across)
    for axes in panels[::COLUMNS]:
        axes.set_ylabel(inputs.axis)
    if by_backbone:
        for backbone, axes in zip(backbones, panels, strict=True):
            axes.set_title(plain(backbone), fontsize=9)
            axes.tick_params(labelsize=7.5)
    figure.suptitle(plain(title, most=MAX_IN_TITLE), fontsize=9)
    figure.legend(
        handles=list(handles.values()), labels=list(handles), loc="outside lower center", ncols=4, fontsize=8,
        handlelength=3,
    )  # fmt: skip
    return figure, panels


def draw_line(axes: "Axes", line: Line, inputs: FigureInputs, *, colour: str) -> object:
    """Draw a line; return its legend handle."""
    marker = inputs.styles.marker(line.method)
    means, below, above = [], [], []
    for x, experiment in line.points.items():
        values = list(inputs.by_seed(experiment).values())
        axes.plot([x] * len(values), values, marker, color=colour, alpha=0.25, markersize=3)
        means.append(mean(values))
        low, high = bar(values) or (math.nan, math.nan)
        below.append(means[-1] - low)
        above.append(high - means[-1])
    container = axes.errorbar(
        list(line.points), means, yerr=[below, above], color=colour, marker=marker, capsize=2, linewidth=1.2,
        elinewidth=0.8, markersize=5 * (STAR if marker == "*" else 1), linestyle=inputs.styles.line_style(line.method),
        label=plain(line.title),
    )  # fmt: skip
    return container[0]


def values_of(lines: Sequence[Line]) -> list[float]:
    """Return all values on the x axis, ascending."""
    return sorted({value for line in lines for value in line.points})


def counts_of(lines: Sequence[Line], inputs: FigureInputs) -> set[int]:
    """Return the numbers of seeds of the points."""
    return {len(inputs.by_seed(experiment)) for line in lines for experiment in line.points.values()}
