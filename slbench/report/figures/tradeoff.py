"""Accuracy against cost, as in Fig. 1 of arXiv:2112.13492: plain backbone (dot) joined to SPT and LSA (star)."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

from slbench.measurement_records import Throughput
from slbench.methods import model_title
from slbench.plotting.axes import ACCURACY, accuracy_range, clipped, mark_clipped, scale_across
from slbench.plotting.label_placement import place_labels
from slbench.plotting.style import (
    FULL,
    MAX_IN_TITLE,
    PLAIN,
    STAR,
    method_name,
    new_figure,
    plain,
    save,
    style,
)
from slbench.report.figures.inputs import (
    BARS,
    Context,
    Experiment,
    FigureInputs,
    bar,
    contexts,
    device_text,
    file_names,
    seeds_text,
    spread_ends,
)
from slbench.text import distinct

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GREY = "#777777"
MACS = "multiply-adds of one image (M)"


@dataclass(frozen=True)
class Costs:
    """A cost of the experiments for which it is known."""

    axis: str
    description: str  # of the caption
    values: dict[int, float]  # by index of the experiment


def draw_tradeoff(inputs: FigureInputs, out: Path) -> list[tuple[str, str]]:
    """Draw accuracy against images per second, or against multiply-adds if no throughput was measured."""
    return draw_against(inputs, out, stem="tradeoff", measured=True)


def draw_tradeoff_macs(inputs: FigureInputs, out: Path) -> list[tuple[str, str]]:
    """Draw accuracy against multiply-adds."""
    return draw_against(inputs, out, stem="tradeoff-macs", measured=False)


def draw_against(inputs: FigureInputs, out: Path, *, stem: str, measured: bool) -> list[tuple[str, str]]:
    """Write a figure per data set; return file names without suffix, and captions."""
    with_values = [experiment for experiment in inputs.experiments if inputs.by_seed(experiment)]
    figure_contexts = contexts(with_values)
    drawn = []
    for name, context in zip(file_names(stem, figure_contexts), figure_contexts, strict=True):
        costs = (throughputs(context.experiments, inputs.report_inputs.speeds) if measured else None) or macs(context)
        with style(inputs.look):
            figure = draw(context, costs, inputs)
            save(figure, out / name, formats=("png", "svg", "pdf"))
        drawn.append((name, caption(context, costs, inputs)))
    return drawn


def macs(context: Context) -> Costs:
    """Return multiply-adds in millions."""
    values = {number: experiment.records[0].macs / 1e6 for number, experiment in enumerate(context.experiments)}
    return Costs(MACS, "multiply-adds of one image, counted with fvcore", values)


def throughputs(experiments: Sequence[Experiment], speeds: Mapping[str, Throughput]) -> Costs | None:
    """Return images per second measured under the most common conditions; None if nothing was measured."""
    by_conditions = defaultdict[tuple[object, ...], dict[int, Throughput]](dict)
    for number, experiment in enumerate(experiments):
        for record in experiment.records:
            if record.run_id in speeds:
                speed = speeds[record.run_id]
                by_conditions[conditions(speed)][number] = speed
    if not by_conditions:
        return None
    usual = max(by_conditions.values(), key=len)
    first = next(iter(usual.values()))
    description = (
        f"images per second of inference, batch {first.batch_size}, {first.precision}, "
        f"{first.threads} thread{'' if first.threads == 1 else 's'}, on {first.device_name}"
    )
    return Costs("images per second", description, {number: speed.median for number, speed in usual.items()})


def conditions(speed: Throughput) -> tuple[object, ...]:
    """Return what comparable throughputs share."""
    kind = speed.device.partition(":")[0]
    return speed.machine_id, kind, speed.device_name, speed.threads, speed.precision, speed.batch_size, speed.timing


def draw(context: Context, costs: Costs, inputs: FigureInputs) -> "Figure":
    """Draw means with thin bars; the name of a backbone stands at its star, or at its dot without a star."""
    look = inputs.look
    figure, axes = new_figure(height=3.9, look=look)
    points = [(context.experiments[number], cost) for number, cost in costs.values.items()]
    lines = joins(points, inputs)
    for (x, y), (to_x, to_y) in lines:
        axes.plot(
            [x, to_x], [y, to_y], linestyle="--", linewidth=look.size(1), color=GREY, zorder=1, gid="join"
        )  # fmt: skip
    for experiment, cost in points:
        point(axes, experiment, cost, inputs)
    axes.set_xlabel(costs.axis)
    axes.set_ylabel(inputs.axis)
    figure.suptitle(plain(context.title, most=MAX_IN_TITLE), fontsize=look.size(9))
    axes.margins(x=0.12)
    axes.set_ylim(accuracy_range(spread_ends(inputs, [experiment for experiment, _ in points])))
    scale_across(axes, [cost for _, cost in points])
    key_of_markers(axes, [experiment for experiment, _ in points], inputs)
    avoid = [(cost, *ends(experiment, inputs)) for experiment, cost in points]
    place_labels(figure, axes, names(points, inputs), avoid=avoid, lines=lines, fontsize=look.size(8.5))
    return figure


Point = tuple[float, float]


def joins(points: Sequence[tuple[Experiment, float]], inputs: FigureInputs) -> list[tuple[Point, Point]]:
    """Return the line from each backbone's dot to its star."""
    lines = []
    for backbone in distinct(experiment.backbone for experiment, _ in points):
        ends = [
            [(cost, mean(inputs.by_seed(experiment).values()))
             for experiment, cost in points if (experiment.backbone, experiment.method_label) == (backbone, method)]
            for method in (PLAIN, FULL)
        ]  # fmt: skip
        if all(ends):
            lines.append((ends[0][0], ends[1][0]))
    return lines


def point(axes: "Axes", experiment: Experiment, cost: float, inputs: FigureInputs) -> None:
    """Draw a method of a backbone."""
    look, drawn = inputs.look, inputs.style_of(experiment.method_label)
    centre, whole = mean(inputs.by_seed(experiment).values()), ends(experiment, inputs)
    low, high = clipped(whole, ACCURACY)
    mark_clipped(axes, cost, whole, ACCURACY, color=drawn.color, look=look)
    axes.errorbar(
        [cost], [centre], yerr=[[centre - low], [high - centre]] if low < high else None, color=drawn.color,
        marker=drawn.marker, markersize=look.size(6 * (STAR if drawn.marker == "*" else 1)),
        elinewidth=look.size(0.6), capsize=0, linestyle="none", markeredgecolor="white", markeredgewidth=look.size(0.4),
        label=plain(model_title(experiment.backbone, experiment.method_label)),
    )  # fmt: skip


def ends(experiment: Experiment, inputs: FigureInputs) -> tuple[float, float]:
    """Return the ends of the drawn bar."""
    values = list(inputs.by_seed(experiment).values())
    return bar(values) or (mean(values), mean(values))


def key_of_markers(axes: "Axes", experiments: Sequence[Experiment], inputs: FigureInputs) -> None:
    """Draw the legend of markers below the axes."""
    from matplotlib.lines import Line2D

    look, handles = inputs.look, []
    for method in distinct(experiment.method_label for experiment in experiments):
        drawn = inputs.style_of(method)
        size = look.size(6 * (STAR if drawn.marker == "*" else 1))
        handles.append(
            Line2D(
                [], [], linestyle="none", marker=drawn.marker, color=drawn.color, markersize=size,
                label=method_name(method),
            )
        )  # fmt: skip
    columns = look.legend_columns([str(handle.get_label()) for handle in handles], look.column)
    axes.figure.legend(handles=handles, loc="outside lower center", ncols=columns, fontsize=look.size(8))


def names(points: Sequence[tuple[Experiment, float]], inputs: FigureInputs) -> list[tuple[str, float, float, str]]:
    """Return (name, x, y, color) of each backbone."""
    labels = []
    for backbone in distinct(experiment.backbone for experiment, _ in points):
        of_backbone = [(experiment, cost) for experiment, cost in points if experiment.backbone == backbone]
        methods = [experiment.method_label for experiment, _ in of_backbone]
        experiment, cost = of_backbone[methods.index(FULL) if FULL in methods else 0]
        height = mean(inputs.by_seed(experiment).values())
        labels.append((plain(backbone), cost, height, "#333333"))
    return labels


def caption(context: Context, costs: Costs, inputs: FigureInputs) -> str:
    """Return the caption."""
    measured = [context.experiments[number] for number in costs.values]
    counts = Counter(len(inputs.by_seed(experiment)) for experiment in measured)
    unmeasured = [
        model_title(experiment.backbone, experiment.method_label)
        for number, experiment in enumerate(context.experiments)
        if number not in costs.values
    ]
    parts = [
        f"{context.title}: {inputs.description} against {costs.description}",
        f"means, {seeds_text(counts, 'point')}",
        BARS if max(counts) > 1 else "",
        device_text(measured),
        f"left out, measured under other conditions or not at all: {', '.join(unmeasured)}" if unmeasured else "",
    ]
    return "; ".join(part for part in parts if part)
