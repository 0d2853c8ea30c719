"""Accuracy against a number, one line per method."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import TYPE_CHECKING

from slbench.methods import model_title
from slbench.plotting.axes import ACCURACY, accuracy_range, clipped, mark_clipped
from slbench.plotting.style import MAX_IN_TITLE, STAR, method_name, new_panels, plain
from slbench.report.figures.inputs import Experiment, FigureInputs, bar, spread_ends
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


def draw_lines(
    lines: Sequence[Line], inputs: FigureInputs, *, title: str, across: str, mark: tuple[str, float] | None = None
) -> "tuple[Figure, list[Axes]]":
    """Draw means with standard deviations over the seeds, and each seed as a faint point, in a panel per backbone.

    Args:
        mark: name and value of a vertical line.
    """
    backbones, look = distinct(line.backbone for line in lines), inputs.look
    by_backbone = len(backbones) > 1
    figure, panels = new_panels(
        len(backbones), columns=COLUMNS, height=2.2 if by_backbone else 3.2, legend=0.5, look=look
    )
    handles = dict[str, object]()
    for line in lines:
        axes = panels[backbones.index(line.backbone)]
        label = method_name(line.method) if by_backbone else plain(line.title)
        handles[label] = draw_line(axes, line, inputs)
    for axes in panels:
        for name, value in () if mark is None else (mark,):
            handles[name] = axes.axvline(value, color="#999999", linestyle="--", linewidth=look.size(1), zorder=0)
    experiments = [experiment for line in lines for experiment in line.points.values()]
    seeds = [value for experiment in experiments for value in inputs.by_seed(experiment).values()]
    for axes in panels:
        axes.set_ylim(accuracy_range([*spread_ends(inputs, experiments), *seeds]))
    for axes in panels[-COLUMNS:]:
        axes.set_xlabel(across)
    for axes in panels[::COLUMNS]:
        axes.set_ylabel(inputs.axis)
    if by_backbone:
        for backbone, axes in zip(backbones, panels, strict=True):
            axes.set_title(plain(backbone), fontsize=look.size(9))
            axes.tick_params(labelsize=look.size(7.5))
    figure.suptitle(plain(title, most=MAX_IN_TITLE), fontsize=look.size(9))
    figure.legend(
        handles=list(handles.values()), labels=list(handles), loc="outside lower center",
        ncols=look.legend_columns(list(handles), figure.get_figwidth()), fontsize=look.size(8), handlelength=3,
    )  # fmt: skip
    return figure, panels


def draw_line(axes: "Axes", line: Line, inputs: FigureInputs) -> object:
    """Draw a line; return its legend handle."""
    look, drawn = inputs.look, inputs.style_of(line.method)
    means, below, above = [], [], []
    for x, experiment in line.points.items():
        values = list(inputs.by_seed(experiment).values())
        axes.plot([x] * len(values), values, drawn.marker, color=drawn.color, alpha=0.25, markersize=look.size(3))
        means.append(mean(values))
        whole = bar(values)
        if whole is not None:
            mark_clipped(axes, x, whole, ACCURACY, color=drawn.color, look=look)
        low, high = (math.nan, math.nan) if whole is None else clipped(whole, ACCURACY)
        below.append(means[-1] - low)
        above.append(high - means[-1])
    container = axes.errorbar(
        list(line.points), means, yerr=[below, above], color=drawn.color, marker=drawn.marker, capsize=look.size(2),
        linewidth=look.size(1.2), elinewidth=look.size(0.8),
        markersize=look.size(5 * (STAR if drawn.marker == "*" else 1)), linestyle=drawn.line, label=plain(line.title),
    )  # fmt: skip
    return container[0]


def axis_inches(figure: "Figure", panels: "Sequence[Axes]") -> float:
    """Return the approximate length of the x axis of each panel."""
    return figure.get_figwidth() / min(len(panels), COLUMNS) - 0.6


def values_of(lines: Sequence[Line]) -> list[float]:
    """Return all values on the x axis, ascending."""
    return sorted({value for line in lines for value in line.points})


def counts_of(lines: Sequence[Line], inputs: FigureInputs) -> set[int]:
    """Return the numbers of seeds of the points."""
    return {len(inputs.by_seed(experiment)) for line in lines for experiment in line.points.values()}
