"""Accuracy against what a network costs, as in Fig. 1 of arXiv:2112.13492: a dot, a star, a dashed line between."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

from slbench.measurement_records import Throughput
from slbench.methods import model_title
from slbench.plotting.label_placement import place_labels
from slbench.plotting.style import (
    FULL,
    MAX_IN_TITLE,
    PLAIN,
    STAR,
    new_figure,
    plain,
    row_words,
    save,
    scale_across,
    style,
)
from slbench.report.figures.inputs import (
    Context,
    Experiment,
    FigureInputs,
    contexts,
    device_words,
    file_names,
    seeds_words,
)
from slbench.text import distinct

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MACS = "multiply-adds of one image (M)"


@dataclass(frozen=True)
class Costs:
    """What a network costs, of each experiment for which it is known."""

    axis: str
    words: str  # of the caption
    of: dict[int, float]  # by the experiment's place


def draw_tradeoff(shown: FigureInputs, out: Path) -> list[tuple[str, str]]:
    """A figure for each data set, against images per second where they were measured, else against multiply-adds."""
    return draw_against(shown, out, stem="tradeoff", measured=True)


def draw_tradeoff_macs(shown: FigureInputs, out: Path) -> list[tuple[str, str]]:
    """A figure for each data set, against multiply-adds."""
    return draw_against(shown, out, stem="tradeoff-macs", measured=False)


def draw_against(shown: FigureInputs, out: Path, *, stem: str, measured: bool) -> list[tuple[str, str]]:
    """Write the figures; their names without suffix, and what each shows."""
    with_values = [each for each in shown.experiments if each.by_seed(shown.accuracy)]
    found = contexts(with_values)
    drawn = []
    for name, context in zip(file_names(stem, found), found, strict=True):
        costs = (throughputs(context.experiments, shown.gathered.speeds) if measured else None) or macs(context)
        with style():
            figure = draw(context, costs, shown)
            save(figure, out / name, formats=("png", "svg", "pdf"))
        drawn.append((name, caption(context, costs, shown)))
    return drawn


def macs(context: Context) -> Costs:
    """Multiply-adds in millions."""
    of = {number: experiment.records[0].macs / 1e6 for number, experiment in enumerate(context.experiments)}
    return Costs(MACS, "multiply-adds of one image, counted with fvcore", of)


def throughputs(found: Sequence[Experiment], speeds: Mapping[str, Throughput]) -> Costs | None:
    """Images per second of those networks that were measured in the way most of them were; None if none was."""
    by_way = defaultdict[tuple[object, ...], dict[int, Throughput]](dict)
    for number, experiment in enumerate(found):
        for record in experiment.records:
            if record.run_id in speeds:
                speed = speeds[record.run_id]
                by_way[way(speed)][number] = speed
    if not by_way:
        return None
    usual = max(by_way.values(), key=len)
    first = next(iter(usual.values()))
    words = (
        f"images per second of inference, batch {first.batch_size}, {first.precision}, "
        f"{first.threads} thread{'' if first.threads == 1 else 's'}, on {first.device_name}"
    )
    return Costs("images per second", words, {number: speed.median for number, speed in usual.items()})


def way(speed: Throughput) -> tuple[object, ...]:
    """What two speeds must share to be compared."""
    kind = speed.device.partition(":")[0]
    return speed.machine_id, kind, speed.device_name, speed.threads, speed.precision, speed.batch_size, speed.timing


def draw(context: Context, costs: Costs, shown: FigureInputs) -> "Figure":
    """Means over the seeds with thin bars; a name at the star, or at the dot where there is no star."""
    figure, axes = new_figure(height=3.9)
    there = [(context.experiments[number], place) for number, place in costs.of.items()]
    scale_across(axes, [place for _, place in there])
    join(axes, there, shown)
    for experiment, place in there:
        point(axes, experiment, place, shown)
    axes.set_xlabel(costs.axis)
    axes.set_ylabel(shown.axis)
    figure.suptitle(plain(context.title, most=MAX_IN_TITLE), fontsize=9)
    axes.margins(x=0.12, y=0.12)
    key_of_markers(axes, [experiment for experiment, _ in there], shown)
    avoid = [(place, *ends(experiment, shown)) for experiment, place in there]
    place_labels(figure, axes, names(there, shown), avoid=avoid)
    return figure


def join(axes: "Axes", there: Sequence[tuple[Experiment, float]], shown: FigureInputs) -> None:
    """A dashed line from each backbone's dot to its star."""
    for backbone in distinct(experiment.backbone for experiment, _ in there):
        ends = [
            [(place, mean(experiment.by_seed(shown.accuracy).values()))
             for experiment, place in there if (experiment.backbone, experiment.row) == (backbone, row)]
            for row in (PLAIN, FULL)
        ]  # fmt: skip
        if all(ends):
            (x, y), (to_x, to_y) = ends[0][0], ends[1][0]
            colour = shown.looks.of_backbone(backbone)
            axes.plot([x, to_x], [y, to_y], linestyle="--", linewidth=1, color=colour, zorder=1, gid="join")


def point(axes: "Axes", experiment: Experiment, place: float, shown: FigureInputs) -> None:
    """One row of one backbone."""
    values = list(experiment.by_seed(shown.accuracy).values())
    interval, marker = shown.interval(values), shown.looks.marker(experiment.row)
    bars = None if interval is None else [[mean(values) - interval.low], [interval.high - mean(values)]]
    axes.errorbar(
        [place], [mean(values)], yerr=bars, color=shown.looks.of_backbone(experiment.backbone), marker=marker,
        markersize=6 * (STAR if marker == "*" else 1), elinewidth=0.6, capsize=0, linestyle="none",
        markeredgecolor="white", markeredgewidth=0.4, label=plain(model_title(experiment.backbone, experiment.row)),
    )  # fmt: skip


def ends(experiment: Experiment, shown: FigureInputs) -> tuple[float, float]:
    """The lowest and highest that is drawn of it."""
    values = list(experiment.by_seed(shown.accuracy).values())
    interval = shown.interval(values)
    return (mean(values), mean(values)) if interval is None else (interval.low, interval.high)


def key_of_markers(axes: "Axes", found: Sequence[Experiment], shown: FigureInputs) -> None:
    """What each marker stands for, in grey, below the axes."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], linestyle="none", marker=shown.looks.marker(row), color="#555555",
               markersize=6 * (STAR if shown.looks.marker(row) == "*" else 1), label=row_words(row))
        for row in distinct(experiment.row for experiment in found)
    ]  # fmt: skip
    axes.figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=8)


def names(there: Sequence[tuple[Experiment, float]], shown: FigureInputs) -> list[tuple[str, float, float, str]]:
    """The name of each backbone, where it stands, and its colour."""
    found = []
    for backbone in distinct(experiment.backbone for experiment, _ in there):
        own = [(experiment, place) for experiment, place in there if experiment.backbone == backbone]
        rows = [experiment.row for experiment, _ in own]
        experiment, place = own[rows.index(FULL) if FULL in rows else 0]
        height = mean(experiment.by_seed(shown.accuracy).values())
        found.append((plain(backbone), place, height, shown.looks.of_backbone(backbone)))
    return found


def caption(context: Context, costs: Costs, shown: FigureInputs) -> str:
    """What the figure shows."""
    there = [context.experiments[number] for number in costs.of]
    counts = Counter(len(experiment.by_seed(shown.accuracy)) for experiment in there)
    without = [
        model_title(experiment.backbone, experiment.row)
        for number, experiment in enumerate(context.experiments)
        if number not in costs.of
    ]
    parts = [
        f"{context.title}: {shown.words} against {costs.words}",
        f"means, {seeds_words(counts, 'point')}",
        shown.bars if max(counts) > 1 else "",
        device_words(there),
        f"left out, as not measured in that way: {', '.join(without)}" if without else "",
    ]
    return "; ".join(part for part in parts if part)
