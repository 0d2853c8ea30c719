"""Accuracy against a setting that a study sweeps: a fixed temperature, a shift ratio, a learning rate."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from slbench.layout import MEASURES
from slbench.methods import row_title
from slbench.report.caption import AccuracyName, distinct
from slbench.report.figures import LINES, MARKERS, PALETTE, new_figure, save, style
from slbench.report.rows import flat
from slbench.report.statistics import mean_interval
from slbench.store import RunRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SWEPT = ("method_", "recipe_", "dataset_")  # heads of the fields that can be swept
NAMES = {
    "method_initial_temperature": "softmax temperature (multiples of $\\sqrt{d_k}$)",
    "method_shift_ratio": "shift (share of the patch)",
    "method_shift_pixels": "shift (px)",
    "recipe_lr": "learning rate",
    "dataset_fraction": "share of the training images",
    "dataset_per_class": "training images of each class",
}
PAPERS = {"method_initial_temperature": 1.0, "method_shift_ratio": 0.5}  # arXiv:2112.13492
WIDE = 5  # a range whose ends differ by more is drawn on a logarithmic axis


@dataclass(frozen=True)
class Sweep:
    """One setting's values, and the accuracies at each, of one line of a figure."""

    title: str  # the row
    dataset: str
    points: dict[float, list[float]]  # accuracies over the seeds, in %


def find_sweeps(records: Sequence[RunRecord], *, accuracy: AccuracyName) -> dict[str, list[Sweep]]:
    """Every setting that alone varies, as a number, within a backbone, row and data set; its lines by its column."""
    groups = defaultdict[tuple[str, str, str], list[RunRecord]](list)
    for record in records:
        groups[record.labels.backbone, record.labels.method, record.labels.dataset].append(record)
    found = defaultdict[str, list[Sweep]](list)
    for (backbone, method, dataset), group in groups.items():
        columns = [flat(record.spec.as_dict()) for record in group]
        varying = [
            name for name in columns[0] if name.startswith(SWEPT) and len({str(line.get(name)) for line in columns}) > 1
        ]
        if len(varying) != 1 or not all(is_number(line.get(varying[0])) for line in columns):
            continue
        points = defaultdict[float, list[float]](list)
        for record, line in zip(group, columns, strict=True):
            value = getattr(record, f"{accuracy}_test_top1")
            if value is not None:
                points[float(line[varying[0]])].append(value)
        found[varying[0]].append(Sweep(row_title(backbone, method), dataset, dict(sorted(points.items()))))
    return dict(found)


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def draw_sweeps(records: Sequence[RunRecord], folder: Path, *, accuracy: AccuracyName) -> list[tuple[str, str]]:
    """Write a figure for each swept setting and data set; their names without suffix, and what each shows."""
    drawn = []
    for column, sweeps in find_sweeps(records, accuracy=accuracy).items():
        for dataset in distinct(sweep.dataset for sweep in sweeps):
            lines = [sweep for sweep in sweeps if sweep.dataset == dataset]
            several = len(distinct(sweep.dataset for sweep in sweeps)) > 1
            name = f"sweep-{column.replace('_', '-')}{f'-{dataset}' if several else ''}"
            with style():
                figure = draw(column, lines, accuracy=accuracy)
                save(figure, folder / name, formats=("png", "svg", "pdf"))
            drawn.append((name, f"{dataset}: {words(lines, accuracy)}"))
    return drawn


def draw(column: str, sweeps: Sequence[Sweep], *, accuracy: AccuracyName) -> "Figure":
    """Means with intervals over the seeds, each seed a faint point."""
    figure, axes = new_figure()
    for number, sweep in enumerate(sweeps):
        line(axes, sweep, number)
    values = [value for sweep in sweeps for value in sweep.points]
    if min(values) > 0 and max(values) / min(values) > WIDE:
        axes.set_xscale("log")
        places = sorted(set(values))
        axes.set_xticks(places, labels=[f"{place:g}" for place in places])
        axes.minorticks_off()
    if column in PAPERS:
        axes.axvline(PAPERS[column], color="#999999", linestyle="--", linewidth=1, label="the paper's")
    axes.set_xlabel(NAMES.get(column, column))
    axes.set_ylabel(f"{accuracy} test top-1 (%)")
    axes.set_title(sweeps[0].dataset, fontsize=9)
    axes.legend(fontsize=8)
    return figure


def line(axes: "Axes", sweep: Sweep, number: int) -> None:
    """One row's line."""
    colour, marker = PALETTE[number % len(PALETTE)], MARKERS[number % len(MARKERS)]
    for place, accuracies in sweep.points.items():
        axes.plot([place] * len(accuracies), accuracies, marker, color=colour, alpha=0.25, markersize=3)
    means, below, above = [], [], []
    for accuracies in sweep.points.values():
        interval = mean_interval(accuracies) if len(accuracies) > 1 else None
        means.append(sum(accuracies) / len(accuracies))
        below.append(means[-1] - interval.low if interval else math.nan)
        above.append(interval.high - means[-1] if interval else math.nan)
    axes.errorbar(
        list(sweep.points), means, yerr=[below, above], color=colour, marker=marker, capsize=3,
        linestyle=LINES[number % len(LINES)], label=sweep.title,
    )  # fmt: skip


def words(sweeps: Sequence[Sweep], accuracy: AccuracyName) -> str:
    """What the figure shows, with n and what its bars are."""
    counts = sorted({len(values) for sweep in sweeps for values in sweep.points.values()})
    seeds = " to ".join(dict.fromkeys((str(counts[0]), str(counts[-1]))))
    bars = "; bars: 95 % intervals over the seeds" if counts[-1] > 1 else ""
    return f"{MEASURES[accuracy].words}; n = {seeds} seed{'' if counts == [1] else 's'} a point{bars}"
