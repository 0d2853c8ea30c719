"""Figures of learned temperature by depth, as in Fig. 3 of arXiv:2112.13492, and by epoch."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from slbench.analysis.learned_temperatures import collect_temperatures, final, nonpositive_note, of_positive
from slbench.plotting.style import LINES, MARKERS, PALETTE, WIDTH, new_figure, save, style
from slbench.record import RunRecord
from slbench.store import safe
from slbench.text import distinct, plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GREY = "#777777"
WIDE = 10  # ratio of the range above which the axis is logarithmic
PANELS = 3  # per row
PARTS = {"class block": "class attention", "soft split": "soft splits"}  # layers other than plain blocks
SPREAD = 0.16  # offset in layers between two lines
ROOT = "$\\sqrt{d_k}$"


def draw_temperatures(records: Sequence[RunRecord], folders: Mapping[str, Path], out: Path) -> list[tuple[str, str]]:
    """Write both figures of each backbone with learned temperatures; return (file stem, caption).

    Args:
        records: any runs; those without learned temperatures or temperatures.csv are not drawn.
        folders: by run id.
    """
    frame, without, notes = collect_temperatures(records, folders)
    notes = [*notes, *([f"left out: {plural(len(without), 'run')} without temperatures.csv"] if without else [])]
    if frame is None:
        return []
    run_ids = set(frame["run"].str.rpartition("-")[2])
    return draw_frame(frame, [record for record in records if record.run_id in run_ids], out, notes=notes)


def draw_frame(
    frame: pd.DataFrame, records: Sequence[RunRecord], out: Path, *, notes: Sequence[str] = ()
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
        with style():
            save(draw_by_depth(part, backbone), out / f"temperature-depth{tail}", formats=("png", "svg", "pdf"))
        captions.append((f"temperature-depth{tail}", f"{backbone}: {depth_caption(part)}. {source}"))
        if part["epoch"].nunique() > 2:
            with style():
                save(draw_training(part, backbone), out / f"temperature-training{tail}", formats=("png", "svg", "pdf"))
            captions.append((f"temperature-training{tail}", f"{backbone}: {training_caption(part)}. {source}"))
    return captions


def unit_of(frame: pd.DataFrame) -> tuple[str, float, str]:
    """Return the column to draw, its value at sqrt(d_k) and its label; multiples if d_k differs between layers."""
    roots = frame["sqrt_dk"].unique()
    if len(roots) == 1:
        return "temperature", float(roots[0]), "learned temperature"
    return "multiple", 1.0, f"learned temperature (multiples of {ROOT})"


def draw_by_depth(frame: pd.DataFrame, title: str) -> "Figure":
    """Draw one line per experiment: mean over heads, faint points for heads, a band over seeds."""
    figure, axes = new_figure()
    column, root, label = unit_of(frame)
    last = final(frame)
    lines = distinct(last["line"])
    for number, line in enumerate(lines):
        offset = (number - (len(lines) - 1) / 2) * SPREAD
        draw_line(axes, last[last["line"] == line], column, number, offset)
    axes.axhline(root, color=GREY, linestyle=(0, (6, 3)), linewidth=1.2, zorder=1, label=root_label(column, root))
    positive = last.loc[(last["scale"] > 0) & (last[column] < math.inf), column]
    scale_for(axes, [*positive, root])
    if (last["scale"] <= 0).any():
        axes.plot([], [], "x", color="black", label="scale <= 0")
    name_parts(axes, last)
    axes.set_xlabel("depth (layer)")
    axes.set_ylabel(label)
    figure.suptitle(title, fontsize=9)  # above the part names
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(0, -0.16), ncols=2)
    return figure


def root_label(column: str, root: float) -> str:
    return f"{ROOT} = {root:.3g}" if column == "temperature" else ROOT


def draw_line(axes: "Axes", rows: pd.DataFrame, column: str, number: int, offset: float) -> None:
    """Draw one experiment over its seeds; scales <= 0 are crosses at the bottom."""
    colour, marker = PALETTE[number % len(PALETTE)], MARKERS[number % len(MARKERS)]
    depths, low, centre, high = [], [], [], []
    for depth, layer in rows.groupby("depth"):
        by_seed = [of_positive(seed[column]) for _, seed in layer.groupby("run")]
        known = [value for value in by_seed if not math.isnan(value)]
        depths.append(float(str(depth)))
        centre.append(of_positive(by_seed))
        low.append(min(known, default=math.nan))
        high.append(max(known, default=math.nan))
    positive = rows[rows["scale"] > 0]
    axes.plot(positive["depth"] + offset, positive[column], ".", color=colour, alpha=0.25, markersize=4, zorder=2)
    if rows["run"].nunique() > 1:
        axes.fill_between(depths, low, high, color=colour, alpha=0.2, linewidth=0, zorder=2)
    axes.plot(
        depths, centre, color=colour, marker=marker, markersize=4, linestyle=LINES[number % len(LINES)],
        label=rows["line"].iloc[0], zorder=3,
    )  # fmt: skip
    crosses = rows[rows["scale"] <= 0]
    axes.plot(
        crosses["depth"] + offset, [0.02] * len(crosses), "x", color=colour, markersize=5,
        transform=axes.get_xaxis_transform(), clip_on=False, zorder=4,
    )  # fmt: skip


def scale_for(axes: "Axes", values: Sequence[float]) -> None:
    """Use a logarithmic axis with plain tick labels for a wide range of values."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    if max(values) / min(values) > WIDE:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())


def name_parts(axes: "Axes", rows: pd.DataFrame) -> None:
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
            fontsize=8, color="#444444",
        )  # fmt: skip


def draw_training(frame: pd.DataFrame, title: str) -> "Figure":
    """Draw one panel per experiment: mean over heads and seeds by epoch, one line per layer."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    lines = distinct(frame["line"])
    columns = min(PANELS, len(lines))
    rows = -(-len(lines) // columns)
    figure = Figure(figsize=(max(WIDTH, 2.5 * columns + 1), 2.6 * rows + 0.6), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    column, root, label = unit_of(frame)
    shade = ScalarMappable(Normalize(1, max(2, int(frame["depth"].max()))), cmap="viridis")
    colours = {depth: shade.cmap(shade.norm(depth)) for depth in distinct(frame["depth"])}
    values = [root]
    for axes, line in zip(grid.flat, lines, strict=False):
        part = frame[frame["line"] == line]
        for depth, layer in part.groupby("depth"):
            values += curve(axes, layer, column, colours[int(str(depth))])
        axes.axhline(root, color=GREY, linestyle=(0, (6, 3)), linewidth=1.2, zorder=1)
        axes.set_title(wrapped(line), fontsize=8)
    grid[0][0].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    for axes in list(grid.flat)[len(lines) :]:
        axes.set_visible(False)
    scale_for(grid[0][0], [value for value in values if not math.isnan(value)])
    figure.supxlabel("epoch (0: before training)", fontsize=9)
    figure.supylabel(label, fontsize=9)
    figure.suptitle(title, fontsize=9)
    figure.colorbar(
        shade, ax=grid.ravel().tolist(), label="depth (layer)", ticks=MaxNLocator(integer=True, min_n_ticks=1)
    )
    return figure


def curve(axes: "Axes", layer: pd.DataFrame, column: str, colour: Any) -> list[float]:
    """Draw and return the means of a layer by epoch, with gaps at unknown epochs."""
    means = {int(str(epoch)): of_positive(group[column]) for epoch, group in layer.groupby("epoch")}
    epochs = range(max(means) + 1)
    values = [means.get(epoch, math.nan) for epoch in epochs]
    marked = len(means) < len(values) or len(values) < 12
    plain = layer["layer"].iloc[0].startswith("block ")
    axes.plot(
        epochs, values, color=colour, linewidth=1 if plain else 1.5, linestyle="-" if plain else ":",
        marker="." if marked else "", markersize=4,
    )  # fmt: skip
    return values


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
