"""Figures of layer metrics by depth."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from slbench.analysis.seed_aggregation import CELL, LAYER, averages, over_seeds
from slbench.plotting.style import WIDTH, MethodStyle, new_figure, styles_of
from slbench.text import distinct

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Reference = tuple[str, Callable[[int], float]]  # name, and value by number of keys
HATCHES = ("", "////", "....", "xxxx", "\\\\\\\\", "++++", "oooo")  # distinguish bars in greyscale
PANEL = 1.9  # inches
CROWDED = 14  # layers; above, tick labels are vertical


def draw_by_depth(
    frame: pd.DataFrame, measures: Sequence[str], heads: dict[str, str], references: dict[str, Reference]
) -> "Figure":
    """Draw each metric by layer, one line per method, with bars of the averages, as in Fig. 4 of arXiv:2112.13492.

    Args:
        frame: output of `measure` for one backbone and data set.
        heads: titles of the metrics.
        references: reference curves of some metrics.
    """
    figure, _ = new_figure(width=1.25 * WIDTH, height=0.7 + PANEL * len(measures))
    figure.clear()
    panels = figure.subplots(len(measures), 2, width_ratios=[3, 1], sharex="col", squeeze=False)
    by_layer, mean = over_seeds(frame, measures, [*CELL, *LAYER]), averages(frame, measures)
    rows, styles = (
        list(distinct(frame["row"])),
        styles_of(dict(zip(frame["row"], frame["method"].astype(str), strict=True))),
    )
    for (by_depth, average), name in zip(panels, measures, strict=True):
        for number, row in enumerate(rows):
            line(by_depth, by_layer[(by_layer["measure"] == name) & (by_layer["row"] == row)], row, styles[row])
            bar(average, mean[(mean["measure"] == name) & (mean["row"] == row)], number, styles[row])
        by_depth.set_ylabel(heads[name])
        if name in references:
            layers = frame[frame[name].notna() & (frame["kind"] != "class")]  # masks do not apply to class attention
            compare(by_depth, layers.drop_duplicates("number"), references[name])
    names = frame.drop_duplicates("number")
    rotation = 90 if len(names) > CROWDED else 0
    panels[-1, 0].set_xticks(list(names["number"]), labels=list(names["axis"]), fontsize=8, rotation=rotation)
    panels[-1, 0].set_xlabel("layer")
    panels[-1, 1].set_xticks([])
    panels[0, 1].set_title("mean over layers", fontsize=8)
    panels[0, 0].set_title(escape(f"{frame['backbone'].iloc[0]} on {frame['dataset'].iloc[0]}"), fontsize=9)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(labels)), fontsize=8)
    return figure


def escape(text: str) -> str:
    """Escape text for matplotlib: $ starts mathtext, and a leading _ hides a legend entry."""
    return (" " if text.startswith("_") else "") + text.replace("$", r"\$")


def compare(axes: "Axes", layers: pd.DataFrame, reference: Reference) -> None:
    """Draw a reference curve, which depends on the number of keys alone, with a legend."""
    name, value = reference
    (grey,) = axes.plot(
        layers["number"], [value(keys) for keys in layers["keys"]], color="#999999", linewidth=0.9, zorder=1
    )
    axes.legend([grey], [name], fontsize=7, loc="best")


def line(axes: "Axes", values: pd.DataFrame, row: str, style: MethodStyle) -> None:
    """Draw the means of one method by depth, with the standard deviation over seeds."""
    axes.errorbar(
        values["number"], values["mean"], yerr=values["std"] if (values["n"] > 1).any() else None,
        color=style.color, marker=style.marker, linestyle=style.line, markersize=4, capsize=2, linewidth=1.2,
        label=escape(row),
    )  # fmt: skip


def bar(axes: "Axes", values: pd.DataFrame, number: int, style: MethodStyle) -> None:
    """Draw the average over layers of one method, with the standard deviation over seeds."""
    spread = values["std"] if (values["n"] > 1).any() else None
    axes.bar(
        [number], values["mean"], yerr=spread, color=style.color, hatch=HATCHES[number % len(HATCHES)], 
        edgecolor="white", capsize=2, width=0.8,
    )  # fmt: skip


def hide_frame(axes: "Axes") -> None:
    """Remove frame, ticks and grid."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
