"""Figures of layer metrics by depth."""

import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from slbench.analysis.seed_aggregation import CELL, LAYER, averages, over_seeds
from slbench.plotting.style import SCREEN, STAR, FigureStyle, MethodStyle, styles_of, tinted
from slbench.text import distinct

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Reference = tuple[str, Callable[[int], float]]  # name, and value by number of keys
HATCHES = ("", "////", "....", "xxxx", "\\\\\\\\", "++++", "oooo")  # distinguish bars in greyscale
PANEL = 1.9  # inches: height of a panel, with its ticks
AXIS = 1.75  # inches: room for the label of its axis
CROWDED = 14  # layers; above, tick labels are vertical


def draw_by_depth(
    frame: pd.DataFrame,
    measures: Sequence[str],
    heads: dict[str, str],
    references: dict[str, Reference],
    look: FigureStyle = SCREEN,
) -> "Figure":
    """Draw each metric by layer, one line per method, with bars of the averages, as in Fig. 4 of arXiv:2112.13492.

    Args:
        frame: output of `measure` for one backbone and data set.
        heads: titles of the metrics.
        references: reference curves of some metrics.
    """
    from matplotlib.figure import Figure

    tall = look.height(0.7 + PANEL * len(measures), panels=True)
    figure = Figure(figsize=(look.page, tall), layout="constrained")
    panels = figure.subplots(len(measures), 2, width_ratios=[3, 1], sharex="col", squeeze=False)
    by_layer, mean = over_seeds(frame, measures, [*CELL, *LAYER]), averages(frame, measures)
    rows, styles = (
        list(distinct(frame["row"])),
        styles_of(dict(zip(frame["row"], frame["method"].astype(str), strict=True))),
    )
    for (by_depth, average), name in zip(panels, measures, strict=True):
        for number, row in enumerate(rows):
            values = by_layer[(by_layer["measure"] == name) & (by_layer["row"] == row)]
            line(by_depth, values, row, styles[row], look)
            bar(average, mean[(mean["measure"] == name) & (mean["row"] == row)], number, styles[row], look)
        by_depth.set_ylabel(textwrap.fill(heads[name], look.letters(look.height(AXIS, panels=True))))
        if name in references:
            layers = frame[frame[name].notna() & (frame["kind"] != "class")]  # masks do not apply to class attention
            compare(by_depth, layers.drop_duplicates("number"), references[name], look)
    figure.align_ylabels(panels[:, 0])
    names = frame.drop_duplicates("number")
    rotation = 90 if len(names) > CROWDED else 0
    panels[-1, 0].set_xticks(
        list(names["number"]), labels=list(names["axis"]), fontsize=look.size(8), rotation=rotation
    )
    panels[-1, 0].set_xlabel("layer")
    panels[-1, 1].set_xticks([])
    panels[0, 1].set_title("mean over layers", fontsize=look.size(8))
    title = escape(f"{frame['backbone'].iloc[0]} on {frame['dataset'].iloc[0]}")
    panels[0, 0].set_title(title, fontsize=look.size(9))
    handles, labels = panels[0, 0].get_legend_handles_labels()
    columns = look.legend_columns(labels, look.page)
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, fontsize=look.size(8))
    return figure


def escape(text: str) -> str:
    """Escape text for matplotlib: $ starts mathtext, and a leading _ hides a legend entry."""
    return (" " if text.startswith("_") else "") + text.replace("$", r"\$")


def compare(axes: "Axes", layers: pd.DataFrame, reference: Reference, look: FigureStyle) -> None:
    """Draw a reference curve, which depends on the number of keys alone, with a legend."""
    name, value = reference
    values = [value(keys) for keys in layers["keys"]]
    (grey,) = axes.plot(layers["number"], values, color="#999999", linewidth=look.size(0.9), zorder=1)
    key = axes.legend([grey], [name], fontsize=look.size(7), loc="best", frameon=True, edgecolor="none")
    key.get_frame().set_linewidth(0)  # a white ground, so that no grid line crosses the name


def line(axes: "Axes", values: pd.DataFrame, row: str, style: MethodStyle, look: FigureStyle) -> None:
    """Draw the means of one method by depth, with the standard deviation over seeds."""
    axes.errorbar(
        values["number"], values["mean"], yerr=values["std"] if (values["n"] > 1).any() else None,
        color=style.color, marker=style.marker, linestyle=style.line, capsize=look.size(2), linewidth=look.size(1.2),
        elinewidth=look.size(0.9), markersize=look.size(4 * (STAR if style.marker == "*" else 1)), label=escape(row),
    )  # fmt: skip


def bar(axes: "Axes", values: pd.DataFrame, number: int, style: MethodStyle, look: FigureStyle) -> None:
    """Draw the average over layers of one method, with the standard deviation over seeds."""
    spread = values["std"] if (values["n"] > 1).any() else None
    axes.bar(
        [number], values["mean"], yerr=spread, color=tinted(style.color), hatch=HATCHES[number % len(HATCHES)],
        edgecolor=style.color, linewidth=look.size(0.8), capsize=look.size(2), width=0.8,
        error_kw={"elinewidth": look.size(1.2), "capthick": look.size(1.2)},
    )  # fmt: skip


def hide_frame(axes: "Axes") -> None:
    """Remove frame, ticks and grid."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
