"""The 2x2 of SPT and LSA: accuracies of each backbone's four methods, and the effects with intervals."""

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
    device_text,
    file_names,
    seeds_text,
)
from slbench.stats.factorial import (
    METHODS_2X2,
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
] = (  # label, dashes, shift along the axis, methods without and with SPT
    ("without LSA", "-", -0.04, ("none", "spt")),
    ("with LSA", "--", 0.04, ("lsa", "both")),
)
POOLED = {"seed": "mean of these", "backbone": "mean over backbones"}
ACROSS = 5  # columns of interaction plots


@dataclass(frozen=True)
class TwoByTwo:
    """The four methods of one backbone, over their common seeds."""

    backbone: str
    by_method: Mapping[str, Mapping[int, float]]  # accuracies in %, by seed
    effects: Factorial

    @property
    def seeds(self) -> int:
        return self.effects.spt.n


def draw_effects(inputs: FigureInputs, out: Path) -> list[tuple[str, str]]:
    """Write a figure per data set with a 2x2; return file names without suffix, and captions."""
    figures = [(context, two_by_twos(context, inputs)) for context in contexts(inputs.experiments)]
    figures = [(context, ablations) for context, ablations in figures if ablations]
    drawn = []
    for name, (context, ablations) in zip(
        file_names("effects", [context for context, _ in figures]), figures, strict=True
    ):
        pooled = pool(ablations, inputs)
        with style():
            figure = draw(context, ablations, pooled, inputs)
            save(figure, out / name, formats=("png", "svg", "pdf"))
        drawn.append((name, caption(context, ablations, pooled, inputs)))
    return drawn


def two_by_twos(context: Context, inputs: FigureInputs) -> list[TwoByTwo]:
    """Return the backbones with all four methods, in one variant, and a common seed."""
    groups = defaultdict[tuple[str, str], dict[str, Experiment]](dict)
    for experiment in context.experiments:
        groups[experiment.backbone, experiment.variant][experiment.method] = experiment
    ablations = []
    for (backbone, variant), methods in groups.items():
        if not all(method in methods for method in METHODS_2X2):
            continue
        values = {method: inputs.by_seed(methods[method]) for method in METHODS_2X2}
        shared = sorted(set.intersection(*(set(by_seed) for by_seed in values.values())))
        if shared:
            by_method = {method: {seed: by_seed[seed] for seed in shared} for method, by_seed in values.items()}
            name = f"{backbone} ({variant})" if variant else backbone
            ablations.append(TwoByTwo(name, by_method, factorial(by_method, level=inputs.level)))
    return ablations


def pool(ablations: list[TwoByTwo], inputs: FigureInputs) -> Factorial | None:
    """Return the effects over all backbones, over seeds if the backbones share any; None for a single backbone."""
    if len(ablations) < 2:
        return None
    seeds = set.intersection(*(set(ablation.by_method["none"]) for ablation in ablations))
    way = over_these_backbones if seeds else over_backbones_at_large
    return factorial_over(
        {ablation.backbone: ablation.by_method for ablation in ablations}, pool=way, level=inputs.level
    )


def draw(context: Context, ablations: list[TwoByTwo], pooled: Factorial | None, inputs: FigureInputs) -> "Figure":
    """Draw a panel per backbone above, and below a panel per effect with one line per backbone, the mean last."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    columns = min(len(ablations), ACROSS)
    rows = -(-len(ablations) // columns)
    lines = len(ablations) + (pooled is not None)
    heights = (rows * 1.75 + 0.2, 0.9 + 0.22 * lines)
    figure = Figure(figsize=(PAGE, sum(heights) + 0.35), layout="constrained")
    above, below = cast("tuple[SubFigure, SubFigure]", figure.subfigures(2, 1, height_ratios=heights))
    panels = above.subplots(rows, columns, sharex=True, squeeze=False).ravel().tolist()
    half = max(reach(ablation, inputs) for ablation in ablations) * 1.1
    for ablation, axes in zip(ablations, panels, strict=False):
        interaction_plot(axes, ablation, inputs, half=half)
    for axes in panels[len(ablations) :]:
        axes.remove()
    handles = [Line2D([], [], color="#555555", linestyle=dashes, label=label) for label, dashes, *_ in LINES_OF_LSA]
    above.supylabel(inputs.axis, fontsize=8)
    above.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=8, handlelength=3.5)
    forests = below.subplots(1, len(EFFECTS), sharey=True, sharex=True)
    for (name, label), axes in zip(EFFECTS.items(), forests, strict=True):
        forest(axes, name, label, ablations, pooled, inputs)
    below.supxlabel("points of accuracy", fontsize=8)
    figure.suptitle(plain(context.title, most=MAX_IN_TITLE), fontsize=9)
    return figure


def reach(ablation: TwoByTwo, inputs: FigureInputs) -> float:
    """Return half the height that its bars need, at least 0.1."""
    low, high = bounds(ablation, inputs)
    return max((high - low) / 2, 0.1)


def bounds(ablation: TwoByTwo, inputs: FigureInputs) -> tuple[float, float]:
    """Return the lowest and highest end of its bars."""
    low, high = list[float](), list[float]()
    for by_seed in ablation.by_method.values():
        interval, centre = inputs.interval(list(by_seed.values())), mean(by_seed.values())
        low.append(interval.low if interval else centre)
        high.append(interval.high if interval else centre)
    return min(low), max(high)


def interaction_plot(axes: "Axes", ablation: TwoByTwo, inputs: FigureInputs, *, half: float) -> None:
    """Draw accuracy without and with SPT, one line without and one with LSA; all panels have the same scale."""
    colour = (
        inputs.styles.backbone_color(ablation.backbone) if ablation.backbone in inputs.styles.backbones else "#0072B2"
    )
    for label, dashes, shift, methods in LINES_OF_LSA:
        means = [mean(ablation.by_method[method].values()) for method in methods]
        axes.plot([shift, 1 + shift], means, dashes, color=colour, linewidth=1.2, label=label)
        for position, method, centre in zip((shift, 1 + shift), methods, means, strict=True):
            interval = inputs.interval(list(ablation.by_method[method].values()))
            bars = None if interval is None else [[centre - interval.low], [interval.high - centre]]
            marker = inputs.styles.marker(method)
            axes.errorbar(
                [position], [centre], yerr=bars, color=colour, marker=marker, capsize=2, elinewidth=0.8,
                markersize=5 * (STAR if marker == "*" else 1), linestyle="none",
            )  # fmt: skip
    low, high = bounds(ablation, inputs)
    axes.set_ylim((low + high) / 2 - half, (low + high) / 2 + half)
    axes.set_xticks([0, 1], labels=["without\nSPT", "with\nSPT"])
    axes.set_xlim(-0.35, 1.35)
    axes.tick_params(labelsize=7)
    axes.set_title(plain(ablation.backbone, most=26), fontsize=8)


def forest(
    axes: "Axes", name: str, label: str, ablations: list[TwoByTwo], pooled: Factorial | None, inputs: FigureInputs
) -> None:
    """Draw an effect of every backbone, and its mean."""
    lines = [(ablation.backbone, ablation.effects) for ablation in ablations]
    lines += [] if pooled is None else [(POOLED[pooled.spt.over], pooled)]
    axes.axvline(0, color="#999999", linewidth=1, zorder=0)
    for position, (title, effects) in enumerate(lines):
        effect = getattr(effects, name)
        has_color = title in inputs.styles.backbones and position < len(ablations)
        bars = (
            None if effect.interval is None
            else [[effect.estimate - effect.interval.low], [effect.interval.high - effect.estimate]]
        )  # fmt: skip
        color = inputs.styles.backbone_color(title) if has_color else "#000000"
        axes.errorbar(
            [effect.estimate], [position], xerr=bars, color=color,
            marker="o" if position < len(ablations) else "D", markersize=4.5, capsize=2, elinewidth=1, linestyle="none",
        )  # fmt: skip
    if pooled is not None:
        axes.axhline(len(ablations) - 0.5, color="#999999", linewidth=0.5)
    axes.set_yticks(range(len(lines)), labels=[plain(title, most=26) for title, _ in lines])
    axes.set_ylim(len(lines) - 0.4, -0.6)
    axes.tick_params(labelsize=7)
    axes.set_title(label, fontsize=8)


def caption(context: Context, ablations: list[TwoByTwo], pooled: Factorial | None, inputs: FigureInputs) -> str:
    """Return the caption."""
    counts = {ablation.seeds for ablation in ablations}
    over = {
        "seed": "over these backbones, paired by seed",
        "backbone": "over backbones as a sample, without common seeds",
    }
    devices = device_text(experiment for experiment in context.experiments if experiment.method in METHODS_2X2)
    parts = [
        f"{context.title}: {inputs.description} without and with SPT and LSA; below: effects in points, paired by seed",
        f"means over seeds common to the four methods, {seeds_text(counts, 'backbone')}",
        f"{inputs.bars}; bars of accuracies are not paired: compare methods by the effects" if max(counts) > 1 else "",
        "interaction: gain of SPT with LSA minus gain of SPT without LSA",
        f"mean {over[pooled.spt.over]} (n = {pooled.spt.n} {pooled.spt.over}{'' if pooled.spt.n == 1 else 's'})"
        if pooled is not None
        else "",
        devices,
    ]
    return "; ".join(part for part in parts if part)
