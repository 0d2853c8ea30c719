"""The 2x2 of SPT and LSA: accuracies of each backbone's four methods, and the effects with intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Literal, cast

from slbench.plotting.axes import (
    ACCURACY,
    ROOM,
    clipped,
    difference_range,
    mark_clipped,
)
from slbench.plotting.style import MAX_IN_TITLE, STAR, plain, save, style
from slbench.report.figures.inputs import BARS, Context, FigureInputs, bar, file_names, seeds_text
from slbench.report.metrics import by_seed
from slbench.stats.contrast import METHODS_2X2
from slbench.stats.judge import Result
from slbench.table_spec import METRICS
from slbench.text import distinct

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
ACROSS = 5  # columns of interaction plots
Effects = Mapping[str, Result]  # by name of EFFECTS


@dataclass(frozen=True)
class TwoByTwo:
    """The four methods of one backbone, over their common seeds."""

    backbone: str
    by_method: Mapping[str, Mapping[int, float]]  # accuracies in %, by seed
    effects: Effects

    @property
    def seeds(self) -> int:
        return self.effects["spt"].n


def draw_effects(inputs: FigureInputs, out: Path) -> list[tuple[str, str]]:
    """Write a figure per data set and setting with a 2x2; return file names without suffix, and captions."""
    results = [each for each in (inputs.verdicts.results if inputs.verdicts else ()) if each.answer.contrast.effect]
    places = distinct((each.answer.dataset, each.answer.setting) for each in results if each.answer.run_ids)
    contexts = [Context(dataset=place[0], settings=settings_of(place[1]), experiments=()) for place in places]
    drawn = []
    for name, context, place in zip(file_names("effects", contexts), contexts, places, strict=True):
        here = [each for each in results if (each.answer.dataset, each.answer.setting) == place]
        ablations, pooled = two_by_twos(here, inputs), over_these(here)
        if not ablations:
            continue
        with style(inputs.look):
            save(draw(context, ablations, pooled, inputs), out / name, formats=("png", "svg", "pdf"))
        drawn.append((name, caption(context, ablations, pooled, inputs)))
    return drawn


def settings_of(text: str) -> dict[str, str]:
    """Return the fields of a setting by name."""
    pairs = [part.rpartition(" ") for part in text.split(", ") if part]
    return {name: value for name, _, value in pairs}


def two_by_twos(results: Sequence[Result], inputs: FigureInputs) -> list[TwoByTwo]:
    """Return the 2x2 of each backbone from the results of one data set and setting."""
    own = [each for each in results if each.answer.run_ids]
    names = distinct(each.answer.backbone for each in own)
    found = [two_by_two([each for each in own if each.answer.backbone == name], inputs) for name in names]
    return [each for each in found if all(each.by_method.values())]


def two_by_two(results: Sequence[Result], inputs: FigureInputs) -> TwoByTwo:
    """Return the 2x2 behind the effects of one backbone."""
    first = results[0].answer
    records = [record for record in inputs.report_inputs.records if record.run_id in first.all_ids]
    values = {
        method: by_seed(
            [record for record in records if record.labels.method == method],
            METRICS[inputs.accuracy],
            inputs.report_inputs.folders,
        )
        for method in METHODS_2X2
    }
    shared = {method: {seed: own[seed] for seed in first.values if seed in own} for method, own in values.items()}
    return TwoByTwo(first.backbone, shared, {str(each.answer.contrast.effect): each for each in results})


def over_these(results: Sequence[Result]) -> Effects | None:
    """Return the effects over all backbones; None for a single one."""
    pooled = {str(each.answer.contrast.effect): each for each in results if each.answer.contrast.over == "backbones"}
    return pooled or None


def draw(context: Context, ablations: Sequence[TwoByTwo], pooled: Effects | None, inputs: FigureInputs) -> "Figure":
    """Draw a panel per backbone above, and below a panel per effect with one line per backbone, the mean last."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    columns = min(len(ablations), ACROSS)
    rows = -(-len(ablations) // columns)
    lines = len(ablations) + (pooled is not None)
    heights = (rows * 1.75 + 0.2, 0.9 + 0.22 * lines)
    look = inputs.look
    figure = Figure(figsize=(look.page, look.height(sum(heights) + 0.35, panels=True)), layout="constrained")
    above, below = cast("tuple[SubFigure, SubFigure]", figure.subfigures(2, 1, height_ratios=heights))
    panels = above.subplots(rows, columns, sharex=True, squeeze=False).ravel().tolist()
    half = max(reach(ablation) for ablation in ablations) * 1.1
    for ablation, axes in zip(ablations, panels, strict=False):
        interaction_plot(axes, ablation, inputs, half=half)
    for axes in panels[len(ablations) :]:
        axes.remove()
    handles = [
        Line2D([], [], color="#555555", linestyle=dashes, linewidth=look.size(1.2), label=label)
        for label, dashes, *_ in LINES_OF_LSA
    ]
    above.supylabel(inputs.axis, fontsize=look.size(8))
    above.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=look.size(8), handlelength=3.5)
    limits = effect_limits([*(ablation.effects for ablation in ablations), *([] if pooled is None else [pooled])])
    forests = below.subplots(1, len(EFFECTS), sharey=True, sharex=True)
    for (name, label), axes in zip(EFFECTS.items(), forests, strict=True):
        forest(axes, name, label, ablations, pooled, inputs, limits=limits)
    below.supxlabel("points of accuracy", fontsize=look.size(8))
    figure.suptitle(plain(context.title, most=MAX_IN_TITLE), fontsize=look.size(9))
    return figure


def reach(ablation: TwoByTwo) -> float:
    """Return half the height that its bars need, at least 0.1."""
    low, high = bounds(ablation)
    return max((high - low) / 2, 0.1)


def bounds(ablation: TwoByTwo) -> tuple[float, float]:
    """Return the lowest and highest end of its bars."""
    ends = [bar(list(own.values())) or (min(own.values()), max(own.values())) for own in ablation.by_method.values()]
    return clipped((min(low for low, _ in ends), max(high for _, high in ends)), ACCURACY)


def effect_limits(effects: Sequence[Effects]) -> tuple[float, float]:
    """Return the limits of the axis of all effects."""
    results = [result for each in effects for result in each.values()]
    intervals = [(result.low, result.high) for result in results if result.has_interval]
    return difference_range([result.estimate for result in results], intervals)


def interaction_plot(axes: "Axes", ablation: TwoByTwo, inputs: FigureInputs, *, half: float) -> None:
    """Draw accuracy without and with SPT, one line without and one with LSA; all panels have the same scale."""
    look = inputs.look
    for label, dashes, shift, methods in LINES_OF_LSA:
        means = [mean(ablation.by_method[method].values()) for method in methods]
        axes.plot([shift, 1 + shift], means, dashes, color="#555555", linewidth=look.size(1.2), label=label)
        for position, method, centre in zip((shift, 1 + shift), methods, means, strict=True):
            ends, drawn = bar(list(ablation.by_method[method].values())), inputs.style_of(method)
            bars = None
            if ends is not None:
                low, high = clipped(ends, ACCURACY)
                bars = [[centre - low], [high - centre]]
                mark_clipped(axes, position, ends, ACCURACY, color=drawn.color, look=look)
            axes.errorbar(
                [position], [centre], yerr=bars, color=drawn.color, marker=drawn.marker, capsize=look.size(2),
                elinewidth=look.size(0.8), markersize=look.size(5 * (STAR if drawn.marker == "*" else 1)),
                linestyle="none",
            )  # fmt: skip
    axes.set_ylim(centred(bounds(ablation), half))
    axes.set_xticks([0, 1], labels=["without\nSPT", "with\nSPT"])
    axes.set_xlim(-0.35, 1.35)
    axes.tick_params(labelsize=look.size(7))
    axes.set_title(plain(ablation.backbone, most=26), fontsize=look.size(8))


def centred(ends: tuple[float, float], half: float) -> tuple[float, float]:
    """Return limits of the height 2 half around ends, moved to leave no room beyond 0 and 100 %."""
    room = ROOM * half  # for half a marker at 0 or 100
    middle = max(half - room, min(sum(ends) / 2, ACCURACY[1] - half + room))
    return middle - half, middle + half


def forest(
    axes: "Axes",
    name: str,
    label: str,
    ablations: Sequence[TwoByTwo],
    pooled: Effects | None,
    inputs: FigureInputs,
    *,
    limits: tuple[float, float],
) -> None:
    """Draw an effect of every backbone with its simultaneous interval, and its mean."""
    lines = [(ablation.backbone, ablation.effects.get(name)) for ablation in ablations]
    lines += [] if pooled is None else [("mean of these", pooled.get(name))]
    look = inputs.look
    axes.axvline(0, color="#999999", linewidth=look.size(1), zorder=0)
    for position, (_, effect) in enumerate(lines):
        if effect is None:
            continue
        bars = None
        if effect.has_interval:
            whole = (effect.low, effect.high)
            low, high = clipped(whole, limits)
            bars = [[effect.estimate - low], [high - effect.estimate]]
            mark_clipped(axes, position, whole, limits, color="#000000", look=look, horizontal=True)
        axes.errorbar(
            [effect.estimate], [position], xerr=bars, color="#000000",
            marker="o" if position < len(ablations) else "D", markersize=look.size(4.5), capsize=look.size(2),
            elinewidth=look.size(1), linestyle="none",
        )  # fmt: skip
    if pooled is not None:
        axes.axhline(len(ablations) - 0.5, color="#999999", linewidth=0.5)
    axes.set_yticks(range(len(lines)), labels=[plain(title, most=26) for title, _ in lines])
    axes.set_ylim(len(lines) - 0.4, -0.6)
    axes.set_xlim(limits)
    axes.tick_params(labelsize=look.size(7))
    axes.set_title(label, fontsize=look.size(8))


def caption(context: Context, ablations: Sequence[TwoByTwo], pooled: Effects | None, inputs: FigureInputs) -> str:
    """Return the caption."""
    counts = {ablation.seeds for ablation in ablations}
    ids = {run_id for ablation in ablations for run_id in ablation.effects["spt"].answer.all_ids}
    devices = distinct(record.device_name for record in inputs.report_inputs.records if record.run_id in ids)
    parts = [
        f"{context.title}: {inputs.description} without and with SPT and LSA; below: effects in points, paired by seed",
        f"means over seeds common to the four methods, {seeds_text(counts, 'backbone')}",
        f"{BARS}; bars of effects: simultaneous intervals, as in the findings (an arrow: it goes on)"
        if max(counts) > 1
        else "",
        "interaction: gain of SPT with LSA minus gain of SPT without LSA",
        "" if pooled is None else f"mean over these backbones, paired by seed (n = {pooled['spt'].n} seeds)",
        f"trained on {', '.join(devices)}",
    ]
    return "; ".join(part for part in parts if part)
