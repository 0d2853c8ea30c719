"""Figures of learned temperature by depth, as in Fig. 3 of arXiv:2112.13492, and by epoch."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from slbench.analysis.learned_temperatures import collect_temperatures, final, nonpositive_note, of_positive
from slbench.plotting.axes import make_logarithmic
from slbench.plotting.style import (
    SCREEN,
    STAR,
    FigureStyle,
    MethodStyle,
    dark_map,
    new_figure,
    plain,
    save,
    style,
    styles_of,
)
from slbench.record import RunRecord
from slbench.store import safe
from slbench.text import distinct, plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GREY = "#777777"
PANELS = 3  # per row
PARTS = {"class block": "class attention", "soft split": "soft splits"}  # layers other than plain blocks
SPREAD = 0.16  # offset in layers between two lines
ROOT = "$\\sqrt{d_k}$"


def draw_temperatures(
    records: Sequence[RunRecord], folders: Mapping[str, Path], out: Path, *, look: FigureStyle = SCREEN
) -> list[tuple[str, str]]:
    """Write both figures of each backbone with learned temperatures; return (file stem, caption).

    Args:
        records: any runs; those without learned temperatures or temperatures.csv are not drawn.
        folders: by run id.
    """
    frame, without, notes = collect_temperatures(records, folders)
    notes = [*notes, *([f"left out: {plural(len(without), 'run')} without temperatures.csv"] if without else [])]
    if frame is None:
        return []
    run_ids = set(frame["run"])
    return draw_frame(frame, [record for record in records if record.run_id in run_ids], out, notes=notes, look=look)


def draw_frame(
    frame: pd.DataFrame,
    records: Sequence[RunRecord],
    out: Path,
    *,
    notes: Sequence[str] = (),
    look: FigureStyle = SCREEN,
) -> list[tuple[str, str]]:
    """Write the figures of collected temperatures.

    Args:
        records: the runs in the frame.
        notes: added to the captions.
    """
    captions = []
    backbones = distinct(frame["backbone"])
    for backbone in backbones:
        part = frame[frame["backbone"] == backbone]
        source = "; ".join([training_text([one for one in records if one.labels.backbone == backbone]), *notes])
        tail = f"-{safe(backbone)}" if len(backbones) > 1 else ""
        with style(look):
            save(draw_by_depth(part, backbone, look), out / f"temperature-depth{tail}", formats=("png", "svg", "pdf"))
        captions.append((f"temperature-depth{tail}", f"{backbone}: {depth_caption(part)}. {source}"))
        if part["epoch"].nunique() > 2:
            with style(look):
                save(
                    draw_training(part, backbone, look),
                    out / f"temperature-training{tail}",
                    formats=("png", "svg", "pdf"),
                )
            captions.append((f"temperature-training{tail}", f"{backbone}: {training_caption(part)}. {source}"))
    return captions


def unit_of(frame: pd.DataFrame) -> tuple[str, float, str]:
    """Return the column to draw, its value at sqrt(d_k) and its label; multiples if d_k differs between layers."""
    roots = frame["sqrt_dk"].unique()
    if len(roots) == 1:
        return "temperature", float(roots[0]), "learned temperature"
    return "multiple", 1.0, f"learned temperature (multiples of {ROOT})"


def draw_by_depth(frame: pd.DataFrame, title: str, look: FigureStyle = SCREEN) -> "Figure":
    """Draw one line per experiment: mean over heads, faint points for heads, a band over seeds."""
    figure, axes = new_figure(look=look)
    column, root, label = unit_of(frame)
    last = final(frame)
    lines, styles = distinct(last["line"]), styles_of(dict(zip(last["line"], last["method"].astype(str), strict=True)))
    for number, line in enumerate(lines):
        offset = (number - (len(lines) - 1) / 2) * SPREAD
        draw_line(axes, last[last["line"] == line], column, styles[line], offset=offset, look=look)
    axes.axhline(
        root, color=GREY, linestyle=(0, (6, 3)), linewidth=look.size(1.2), zorder=1, label=root_label(column, root)
    )
    make_logarithmic(axes.yaxis)
    if (last["scale"] <= 0).any():
        axes.plot([], [], "x", color="black", label="scale <= 0")
    name_parts(axes, last, look)
    axes.set_xlabel("depth (layer)")
    axes.set_ylabel(label)
    figure.suptitle(plain(title), fontsize=look.size(9))  # above the part names
    labels = axes.get_legend_handles_labels()[1]
    columns = look.legend_columns(labels, look.column)
    figure.legend(loc="outside lower center", fontsize=look.size(8), ncols=columns, handlelength=3)
    return figure


def root_label(column: str, root: float) -> str:
    return f"{ROOT} = {root:.3g}" if column == "temperature" else ROOT


def draw_line(
    axes: "Axes", rows: pd.DataFrame, column: str, drawn: MethodStyle, *, offset: float, look: FigureStyle
) -> None:
    """Draw one experiment over its seeds; scales <= 0 are crosses at the bottom."""
    colour = drawn.color
    depths, low, centre, high = [], [], [], []
    for depth, layer in rows.groupby("depth"):
        by_seed = [of_positive(seed[column]) for _, seed in layer.groupby("run")]
        known = [value for value in by_seed if not math.isnan(value)]
        depths.append(float(str(depth)))
        centre.append(of_positive(by_seed))
        low.append(min(known, default=math.nan))
        high.append(max(known, default=math.nan))
    positive = rows[rows["scale"] > 0]
    axes.plot(
        positive["depth"] + offset, positive[column], ".", color=colour, alpha=0.25, markersize=look.size(4), zorder=2
    )
    if rows["run"].nunique() > 1:
        axes.fill_between(depths, low, high, color=colour, alpha=0.2, linewidth=0, zorder=2)
    axes.plot(
        depths, centre, color=colour, marker=drawn.marker, linestyle=drawn.line, linewidth=look.size(1.5), zorder=3,
        markersize=look.size(4 * (STAR if drawn.marker == "*" else 1)), label=plain(rows["line"].iloc[0], most=60),
    )  # fmt: skip
    crosses = rows[rows["scale"] <= 0]
    if len(crosses):
        axes.plot(
            crosses["depth"] + offset, [0.02] * len(crosses), "x", color=colour, markersize=look.size(5),
            transform=axes.get_xaxis_transform(), clip_on=False, zorder=4,
        )  # fmt: skip


def name_parts(axes: "Axes", rows: pd.DataFrame, look: FigureStyle) -> None:
    """Set integer ticks, and shade and label soft splits and class attention."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_xlim(0.4, rows["depth"].max() + 0.6)
    parts = rows["layer"].str.rpartition(" ")[0]
    for part in distinct(parts):
        depths = rows.loc[parts == part, "depth"]
        if part == "block":
            continue
        first, last = depths.min() - 0.5, depths.max() + 0.5
        axes.axvspan(first, last, color="#999999", alpha=0.15, linewidth=0, zorder=0)
        position, side = (first, "left") if first < 1 else (last, "right")  # parts are at the ends of a network
        axes.text(
            position, 1.01, PARTS.get(part, part), transform=axes.get_xaxis_transform(), ha=side, va="bottom",
            fontsize=look.size(8), color="#444444",
        )  # fmt: skip


def draw_training(frame: pd.DataFrame, title: str, look: FigureStyle = SCREEN) -> "Figure":
    """Draw one panel per experiment: mean over heads and seeds by epoch, one line per layer."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    lines = distinct(frame["line"])
    columns = min(PANELS, len(lines))
    rows = -(-len(lines) // columns)
    width = look.page if columns > 1 else look.column
    tall = look.height(2.6 * rows + 0.6, panels=columns > 1)
    figure = Figure(figsize=(width, tall), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    column, root, label = unit_of(frame)
    shade = ScalarMappable(Normalize(1, max(2, int(frame["depth"].max()))), cmap=dark_map("viridis"))
    colours = {depth: shade.cmap(shade.norm(depth)) for depth in distinct(frame["depth"])}
    for axes, line in zip(grid.flat, lines, strict=False):
        part = frame[frame["line"] == line]
        for depth, layer in part.groupby("depth"):
            curve(axes, layer, column, colours[int(str(depth))], look)
        axes.axhline(root, color=GREY, linestyle=(0, (6, 3)), linewidth=look.size(1.2), zorder=1)
        axes.set_title(wrapped(plain(line, most=80)), fontsize=look.size(8))
    grid[0][0].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    for axes in list(grid.flat)[len(lines) :]:
        axes.set_visible(False)
    make_logarithmic(grid[0][0].yaxis)
    figure.supxlabel("epoch (0: before training)", fontsize=look.size(9))
    figure.supylabel(label, fontsize=look.size(9))
    figure.suptitle(plain(title), fontsize=look.size(9))
    figure.colorbar(
        shade, ax=grid.ravel().tolist(), label="depth (layer)", ticks=MaxNLocator(integer=True, min_n_ticks=1)
    )
    return figure


def curve(axes: "Axes", layer: pd.DataFrame, column: str, colour: Any, look: FigureStyle) -> None:
    """Draw the means of a layer by epoch, with gaps at unknown epochs."""
    means = {int(str(epoch)): of_positive(group[column]) for epoch, group in layer.groupby("epoch")}
    epochs = range(max(means) + 1)
    values = [means.get(epoch, math.nan) for epoch in epochs]
    marked = len(means) < len(values) or len(values) < 12
    is_block = layer["layer"].iloc[0].startswith("block ")
    axes.plot(
        epochs, values, color=colour, linewidth=look.size(1 if is_block else 1.5), linestyle="-" if is_block else ":",
        marker="." if marked else "", markersize=look.size(4),
    )  # fmt: skip


def wrapped(text: str) -> str:
    """Wrap a title at 34 characters."""
    import textwrap

    return "\n".join(textwrap.wrap(text, 34))


def depth_caption(frame: pd.DataFrame) -> str:
    """Return the caption of the figure by depth."""
    column, root, _ = unit_of(frame)
    last = final(frame)
    seeds = last.groupby("line")["run"].nunique()
    band = "; band: lowest to highest seed" if seeds.max() > 1 else ""
    heads = "heads" if last["head"].max() > 0 else "layers, one temperature each"
    what = "1 / scale" if column == "temperature" else "as multiples of sqrt(d_k), which differs from layer to layer"
    dashed = f"sqrt(d_k) = {root:.4g}" if column == "temperature" else "sqrt(d_k)"
    return (
        f"learned temperature, {what}, after the last epoch ({spread(last['epoch'])}), by depth; "
        f"line: mean over heads, {seed_count(seeds)}; faint points: {heads}{band}; dashed: {dashed}"
        f"{nonpositive_note(last)}"
    )


def training_caption(frame: pd.DataFrame) -> str:
    """Return the caption of the figure by epoch."""
    seeds = frame.groupby("line")["run"].nunique()
    column, root, _ = unit_of(frame)
    unit = f"dashed: sqrt(d_k) = {root:.4g}" if column == "temperature" else "in multiples of sqrt(d_k), dashed: 1"
    parts = distinct(PARTS[part] for part in frame["layer"].str.rpartition(" ")[0] if part in PARTS)
    dotted = f"; dotted: {' and '.join(parts)}" if parts else ""
    unknown = "; gaps: epochs not recorded" if has_gaps(frame) else ""
    count = int((frame["scale"] <= 0).sum())
    excluded = f"; {count} of {len(frame)} values with a scale <= 0 are excluded from the means" if count else ""
    means = f"mean over heads, {seed_count(seeds)}"
    return f"learned temperature by epoch, a line for each layer: {means}; {unit}{dotted}{unknown}{excluded}"


def has_gaps(frame: pd.DataFrame) -> bool:
    by_run = frame.groupby("run")["epoch"]
    return bool((by_run.nunique() <= by_run.max()).any())


def seed_count(seeds: "pd.Series[int]") -> str:
    """Return text such as "n = 3 seeds" or "n = 2 to 3 seeds"."""
    return f"n = {spread(seeds)} seed{'' if seeds.max() == 1 else 's'}"


def spread(numbers: "pd.Series[int]") -> str:
    return " to ".join(dict.fromkeys((str(numbers.min()), str(numbers.max()))))


def training_text(records: Sequence[RunRecord]) -> str:
    """Return seeds, devices and weights of the runs of a figure."""
    seeds = ", ".join(map(str, sorted({record.spec.seed for record in records})))
    devices = "; ".join(distinct(f"{record.device_name} ({record.device}, {record.precision})" for record in records))
    averaged = any(record.spec.recipe.ema_decay is not None for record in records)
    weights = "; weights: the evaluated moving average" if averaged else ""
    return f"Seeds {seeds}; trained on {devices}{weights}"
