"""Accuracy against a setting that a study sweeps: a fixed temperature, a shift ratio, a learning rate."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

from slbench.methods import row_title
from slbench.report.caption import distinct
from slbench.report.experiments import (
    Context,
    Experiment,
    Shown,
    device_words,
    differs,
    file_names,
    seeds_words,
)
from slbench.report.figures import STAR, WIDE, new_figure, plain, save, spread_out, style
from slbench.report.rows import flat
from slbench.report.size import SIZES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SWEPT = ("method_", "recipe_", "dataset_")  # heads of the fields that can be swept
NAMES = {
    "method_initial_temperature": "softmax temperature (multiples of $\\sqrt{d_k}$)",
    "method_shift_ratio": "shift (share of the patch)",
    "method_shift_pixels": "shift (px)",
    "recipe_lr": "learning rate",
}
PAPERS = {"method_initial_temperature": 1.0, "method_shift_ratio": 0.5}  # arXiv:2112.13492


@dataclass(frozen=True)
class Sweep:
    """One line of a figure: the experiments of a row at each value of a setting."""

    backbone: str
    method: str
    dataset: str
    experiments: dict[float, Experiment]  # by rising value

    @property
    def title(self) -> str:
        return row_title(self.backbone, self.method)


def find_sweeps(found: Iterable[Experiment]) -> dict[str, list[Sweep]]:
    """Every setting that alone varies, as a number, within a backbone, row and data set; its lines by its column.

    The size of the training set has a figure of its own: slbench.report.size.
    """
    groups = defaultdict[tuple[str, str, str], list[Experiment]](list)
    for experiment in found:
        groups[experiment.backbone, experiment.method, experiment.dataset].append(experiment)
    sweeps = defaultdict[str, list[Sweep]](list)
    for (backbone, method, dataset), group in groups.items():
        if len(group) < 2:
            continue
        fields = [flat(experiment.spec.as_dict()) for experiment in group]
        names = distinct(name for line in fields for name in line if name != "seed")
        varying = [name for name in names if differs(name, [line.get(name) for line in fields])]
        if len(varying) != 1 or not varying[0].startswith(SWEPT) or varying[0] in SIZES:
            continue
        values = [line.get(varying[0]) for line in fields]
        if all(is_number(value) for value in values):
            sweeps[varying[0]].append(Sweep(backbone, method, dataset, by_value(values, group)))
    return dict(sweeps)


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def by_value(values: Sequence[Any], group: Sequence[Experiment]) -> dict[float, Experiment]:
    """Experiments by what was swept, rising."""
    return dict(sorted(zip(map(float, values), group, strict=True), key=lambda pair: pair[0]))


def draw_sweeps(shown: Shown, out: Path) -> list[tuple[str, str]]:
    """Write a figure for each swept setting and data set; their names without suffix, and what each shows."""
    drawn = []
    with_values = [experiment for experiment in shown.experiments if experiment.by_seed(shown.accuracy)]
    for column, sweeps in find_sweeps(with_values).items():
        found = [
            (
                Context(dataset=dataset, settings={}, experiments=()),
                [each for each in sweeps if each.dataset == dataset],
            )
            for dataset in distinct(sweep.dataset for sweep in sweeps)
        ]
        stem = f"sweep-{column.replace('_', '-')}"
        for name, (_, lines) in zip(file_names(stem, [each for each, _ in found]), found, strict=True):
            with style():
                figure = draw(column, lines, shown)
                save(figure, out / name, formats=("png", "svg", "pdf"))
            drawn.append((name, caption(lines, shown)))
    return drawn


def draw(column: str, sweeps: Sequence[Sweep], shown: Shown) -> "Figure":
    """Means with intervals over the seeds, each seed a faint point."""
    figure, axes = new_figure(height=3.9)
    for sweep in sweeps:
        line(axes, sweep, shown)
    values = sorted({value for sweep in sweeps for value in sweep.experiments})
    if values[0] > 0 and values[-1] / values[0] > WIDE:
        axes.set_xscale("log")
        places = spread_out(values)
        axes.set_xticks(places, labels=[f"{place:g}" for place in places])
        axes.minorticks_off()
    if column in PAPERS:
        axes.axvline(PAPERS[column], color="#999999", linestyle="--", linewidth=1, label="the paper's")
    axes.set_xlabel(NAMES.get(column, column))
    axes.set_ylabel(shown.axis)
    axes.set_title(plain(sweeps[0].dataset, most=80), fontsize=9)
    figure.legend(loc="outside lower center", ncols=4, fontsize=8, handlelength=3)
    return figure


def line(axes: "Axes", sweep: Sweep, shown: Shown) -> None:
    """One row's line."""
    colour = shown.looks.colour(sweep.backbone, sweep.method)
    marker = shown.looks.marker(sweep.method)
    means, below, above = [], [], []
    for place, experiment in sweep.experiments.items():
        values = list(experiment.by_seed(shown.accuracy).values())
        axes.plot([place] * len(values), values, marker, color=colour, alpha=0.25, markersize=3)
        interval = shown.interval(values)
        means.append(mean(values))
        below.append(means[-1] - interval.low if interval else math.nan)
        above.append(interval.high - means[-1] if interval else math.nan)
    axes.errorbar(
        list(sweep.experiments), means, yerr=[below, above], color=colour, marker=marker, capsize=3,
        markersize=5 * (STAR if marker == "*" else 1), linestyle=shown.looks.line(sweep.method),
        label=plain(sweep.title),
    )  # fmt: skip


def caption(sweeps: Sequence[Sweep], shown: Shown) -> str:
    """What the figure shows, with n and what its bars are."""
    there = [experiment for sweep in sweeps for experiment in sweep.experiments.values()]
    counts = {len(experiment.by_seed(shown.accuracy)) for experiment in there}
    parts = [
        f"{sweeps[0].dataset}: {shown.words}",
        seeds_words(counts, "point"),
        shown.bars if max(counts) > 1 else "",
        device_words(there),
    ]
    return "; ".join(part for part in parts if part)
