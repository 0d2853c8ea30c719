"""The 2x2 of SPT and LSA drawn: the four rows of each backbone, and the effects with their intervals."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Literal, cast

from slbench.plotting.style import MAX_IN_TITLE, PAGE, STAR, plain, save, style
from slbench.report.figures.inputs import (
    Context,
    Experiment,
    FigureInputs,
    contexts,
    device_words,
    file_names,
    seeds_words,
)
from slbench.stats.factorial import (
    ROWS,
    Factorial,
    factorial,
    factorial_over,
    over_backbones_at_large,
    over_these_backbones,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

EFFECTS = {"spt": "main effect of SPT", "lsa": "main effect of LSA", "interaction": "interaction"}
LINES_OF_LSA: tuple[
    tuple[str, Literal["-", "--"], float, tuple[str, str]], ...
] = (  # words, dashes, how far beside its place on the axis, rows without and with SPT
    ("without LSA", "-", -0.04, ("none", "spt")),
    ("with LSA", "--", 0.04, ("lsa", "both")),
)
POOLED = {"seed": "mean of these", "backbone": "mean over backbones"}
ACROSS = 5  # interaction plots beside each other


@dataclass(frozen=True)
class TwoByTwo:
    """The four rows of one backbone, over the seeds that all of them have."""

    backbone: str
    by_row: Mapping[str, Mapping[int, float]]  # accuracies in %, by seed
    effects: Factorial

    @property
    def seeds(self) -> int:
        return self.effects.spt.n


def draw_effects(shown: FigureInputs, out: Path) -> list[tuple[str, str]]:
    """Write a figure for each data set that has a 2x2; their names without suffix, and what each shows."""
    found = [(context, squares(context, shown)) for context in contexts(shown.experiments)]
    found = [(context, there) for context, there in found if there]
    drawn = []
    for name, (context, there) in zip(file_names("effects", [each for each, _ in found]), found, strict=True):
        pooled = pool(there, shown)
        with style():
            figure = draw(context, there, pooled, shown)
            save(figure, out / name, formats=("png", "svg", "pdf"))
        drawn.append((name, caption(context, there, pooled, shown)))
    return drawn


def squares(context: Context, shown: FigureInputs) -> list[TwoByTwo]:
    """The backbones that have all four rows, in one variant, and a seed that these share."""
    groups = defaultdict[tuple[str, str], dict[str, Experiment]](dict)
    for experiment in context.experiments:
        groups[experiment.backbone, experiment.variant][experiment.method] = experiment
    found = []
    for (backbone, variant), rows in groups.items():
        if not all(row in rows for row in ROWS):
            continue
        values = {row: rows[row].by_seed(shown.accuracy) for row in ROWS}
        shared = sorted(set.intersection(*(set(by_seed) for by_seed in values.values())))
        if shared:
            by_row = {row: {seed: by_seed[seed] for seed in shared} for row, by_seed in values.items()}
            name = f"{backbone} ({variant})" if variant else backbone
            found.append(TwoByTwo(name, by_row, factorial(by_row, level=shown.level)))
    return found


def pool(there: list[TwoByTwo], shown: FigureInputs) -> Factorial | None:
    """The effects over all backbones; over these where they share seeds; None for a single one."""
    if len(there) < 2:
        return None
    seeds = set.intersection(*(set(square.by_row["none"]) for square in there))
    way = over_these_backbones if seeds else over_backbones_at_large
    return factorial_over({square.backbone: square.by_row for square in there}, pool=way, level=shown.level)


def draw(context: Context, there: list[TwoByTwo], pooled: Factorial | None, shown: FigureInputs) -> "Figure":
    """Above a panel a backbone with its four rows; below one an effect, a line a backbone, the mean last."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    across = min(len(there), ACROSS)
    down = -(-len(there) // across)
    lines = len(there) + (pooled is not None)
    heights = (down * 1.75 + 0.2, 0.9 + 0.22 * lines)
    figure = Figure(figsize=(PAGE, sum(heights) + 0.35), layout="constrained")
    above, below = cast("tuple[SubFigure, SubFigure]", figure.subfigures(2, 1, height_ratios=heights))
    panels = above.subplots(down, across, sharex=True, squeeze=False).ravel().tolist()
    half = max(reach(square, shown) for square in there) * 1.1
    for square, axes in zip(there, panels, strict=False):
        interaction_plot(axes, square, shown, half=half)
    for axes in panels[len(there) :]:
        axes.remove()
    handles = [Line2D([], [], color="#555555", linestyle=dashes, label=words) for words, dashes, *_ in LINES_OF_LSA]
    above.supylabel(shown.axis, fontsize=8)
    above.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=8, handlelength=3.5)
    forests = below.subplots(1, len(EFFECTS), sharey=True, sharex=True)
    for (name, words), axes in zip(EFFECTS.items(), forests, strict=True):
        forest(axes, name, words, there, pooled, shown)
    below.supxlabel("points of accuracy", fontsize=8)
    figure.suptitle(plain(context.title, most=MAX_IN_TITLE), fontsize=9)
    return figure


def reach(square: TwoByTwo, shown: FigureInputs) -> float:
    """How far its bars reach from the middle of its panel."""
    low, high = bounds(square, shown)
    return max((high - low) / 2, 0.1)


def bounds(square: TwoByTwo, shown: FigureInputs) -> tuple[float, float]:
    """The lowest and the highest that is drawn of its rows."""
    low, high = list[float](), list[float]()
    for by_seed in square.by_row.values():
        interval, centre = shown.interval(list(by_seed.values())), mean(by_seed.values())
        low.append(interval.low if interval else centre)
        high.append(interval.high if interval else centre)
    return min(low), max(high)


def interaction_plot(axes: "Axes", square: TwoByTwo, shown: FigureInputs, *, half: float) -> None:
    """Accuracy without and with SPT; a line without LSA, a line with it. All panels span as many points."""
    colour = shown.looks.of_backbone(square.backbone) if square.backbone in shown.looks.backbones else "#0072B2"
    for words, dashes, aside, rows in LINES_OF_LSA:
        means = [mean(square.by_row[row].values()) for row in rows]
        axes.plot([aside, 1 + aside], means, dashes, color=colour, linewidth=1.2, label=words)
        for place, row, centre in zip((aside, 1 + aside), rows, means, strict=True):
            interval = shown.interval(list(square.by_row[row].values()))
            bars = None if interval is None else [[centre - interval.low], [interval.high - centre]]
            marker = shown.looks.marker(row)
            axes.errorbar(
                [place], [centre], yerr=bars, color=colour, marker=marker, capsize=2, elinewidth=0.8,
                markersize=5 * (STAR if marker == "*" else 1), linestyle="none",
            )  # fmt: skip
    low, high = bounds(square, shown)
    axes.set_ylim((low + high) / 2 - half, (low + high) / 2 + half)
    axes.set_xticks([0, 1], labels=["without\nSPT", "with\nSPT"])
    axes.set_xlim(-0.35, 1.35)
    axes.tick_params(labelsize=7)
    axes.set_title(plain(square.backbone, most=26), fontsize=8)


def forest(
    axes: "Axes", name: str, words: str, there: list[TwoByTwo], pooled: Factorial | None, shown: FigureInputs
) -> None:
    """One effect of every backbone, and over them all."""
    lines = [(square.backbone, square.effects) for square in there]
    lines += [] if pooled is None else [(POOLED[pooled.spt.over], pooled)]
    axes.axvline(0, color="#999999", linewidth=1, zorder=0)
    for place, (title, effects) in enumerate(lines):
        effect = getattr(effects, name)
        own = title in shown.looks.backbones and place < len(there)
        bars = (
            None if effect.interval is None
            else [[effect.estimate - effect.interval.low], [effect.interval.high - effect.estimate]]
        )  # fmt: skip
        axes.errorbar(
            [effect.estimate], [place], xerr=bars, color=shown.looks.of_backbone(title) if own else "#000000",
            marker="o" if place < len(there) else "D", markersize=4.5, capsize=2, elinewidth=1, linestyle="none",
        )  # fmt: skip
    if pooled is not None:
        axes.axhline(len(there) - 0.5, color="#999999", linewidth=0.5)
    axes.set_yticks(range(len(lines)), labels=[plain(title, most=26) for title, _ in lines])
    axes.set_ylim(len(lines) - 0.4, -0.6)
    axes.tick_params(labelsize=7)
    axes.set_title(words, fontsize=8)


def caption(context: Context, there: list[TwoByTwo], pooled: Factorial | None, shown: FigureInputs) -> str:
    """What the figure shows."""
    counts = {square.seeds for square in there}
    over = {
        "seed": "over just these backbones, seed by seed",
        "backbone": "over backbones as a sample of others, for want of common seeds",
    }
    devices = device_words(experiment for experiment in context.experiments if experiment.method in ROWS)
    parts = [
        f"{context.title}: {shown.words} without and with SPT and LSA; below the effects, paired by seed, in points",
        f"means over the seeds that all four rows have, {seeds_words(counts, 'backbone')}",
        f"{shown.bars}; those of rows are not paired: compare rows by the effects" if max(counts) > 1 else "",
        "interaction: what SPT gives beside LSA less what it gives alone",
        f"the mean is {over[pooled.spt.over]} (n = {pooled.spt.n} {pooled.spt.over}{'' if pooled.spt.n == 1 else 's'})"
        if pooled is not None
        else "",
        devices,
    ]
    return "; ".join(part for part in parts if part)
