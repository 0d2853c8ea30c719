"""Accuracy against the number of images that were trained on."""

import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

from slbench.methods import row_title
from slbench.report.caption import SUBSET_WORDS, plural
from slbench.report.experiments import Context, Experiment, Shown, contexts, device_words, file_names, seeds_words
from slbench.report.figures import STAR, new_figure, plain, save, spread_out, style
from slbench.report.rows import EQUAL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZES = ("dataset_fraction", "dataset_per_class")
Line = dict[int, Experiment]  # by images trained on


def draw_sizes(shown: Shown, out: Path) -> list[tuple[str, str]]:
    """Write a figure for each data set of which several sizes were trained on, equal epochs and equal steps apart.

    Runs on the whole set belong to both. Gives the names without suffix, and what each shows.
    """
    found = list[tuple[Context, list[Line], str]]()
    with_values = [experiment for experiment in shown.experiments if experiment.by_seed(shown.accuracy)]
    for context in contexts(with_values, apart_from=(*SIZES, EQUAL)):
        ways = set[str | None](each.spec.recipe.equal for each in context.experiments) - {None}
        for way in (way for way in SUBSET_WORDS if way in ways):
            own = tuple(each for each in context.experiments if each.spec.recipe.equal in (way, None))
            lines = lines_of(own)
            if lines:
                settings = {**context.settings, EQUAL: way} if len(ways) > 1 else context.settings
                found.append((Context(dataset=context.dataset, settings=settings, experiments=own), lines, way))
    drawn = []
    for name, (context, lines, way) in zip(file_names("size", [each for each, *_ in found]), found, strict=True):
        with style():
            figure = draw(context, lines, way, shown)
            save(figure, out / name, formats=("png", "svg", "pdf"))
        drawn.append((name, caption(context, lines, way, shown)))
    return drawn


def lines_of(found: Sequence[Experiment]) -> list[Line]:
    """Of each row its experiments by size, smallest first; those rows that have two sizes or more.

    Of several of one size, such as a share and as many of each class, the first stands.
    """
    lines = defaultdict[tuple[str, str], Line](dict)
    for experiment in found:
        lines[experiment.backbone, experiment.row].setdefault(experiment.spec.num_images, experiment)
    return [dict(sorted(line.items())) for line in lines.values() if len(line) > 1]


def draw(context: Context, lines: Sequence[Line], way: str, shown: Shown) -> "Figure":
    """Means with intervals over the seeds; images on a logarithmic axis, as each factor of them counts alike."""
    from matplotlib.ticker import NullFormatter

    figure, axes = new_figure(height=3.9)
    for line in lines:
        draw_line(axes, line, shown)
    places = spread_out(sorted({size for line in lines for size in line}))
    axes.set_xscale("log")
    axes.set_xticks(places, labels=[f"{place:,}" for place in places])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.minorticks_off()
    axes.set_xlabel("training images")
    axes.set_ylabel(shown.axis)
    title = ", ".join(
        [context.dataset, *(f"{name} {value}" for name, value in context.settings.items() if name != EQUAL)]
    )
    axes.set_title(f"{plain(title, most=80)}, equal {way}", fontsize=9)
    axes.figure.legend(loc="outside lower center", ncols=4, fontsize=8, handlelength=3)
    return figure


def draw_line(axes: "Axes", line: Line, shown: Shown) -> None:
    """One row."""
    first = next(iter(line.values()))
    means, below, above = [], [], []
    for experiment in line.values():
        values = list(experiment.by_seed(shown.accuracy).values())
        interval = shown.interval(values)
        means.append(mean(values))
        below.append(means[-1] - interval.low if interval else math.nan)
        above.append(interval.high - means[-1] if interval else math.nan)
    marker = shown.looks.marker(first.row)
    axes.errorbar(
        list(line), means, yerr=[below, above], color=shown.looks.colour(first.backbone, first.row), marker=marker,
        markersize=5 * (STAR if marker == "*" else 1), linestyle=shown.looks.line(first.row), linewidth=1.2,
        elinewidth=0.8, capsize=2, label=plain(row_title(first.backbone, first.row)),
    )  # fmt: skip


def caption(context: Context, lines: Sequence[Line], way: str, shown: Shown) -> str:
    """What the figure shows."""
    there = [experiment for line in lines for experiment in line.values()]
    counts = {len(experiment.by_seed(shown.accuracy)) for experiment in there}
    rows = {(experiment.backbone, experiment.row) for experiment in there}
    second = sum((each.backbone, each.row) in rows for each in context.experiments) - len(there)
    parts = [
        f"{context.title}: {shown.words} against the number of images trained on",
        SUBSET_WORDS[way],
        f"means, {seeds_words(counts, 'point')}",
        shown.bars if max(counts) > 1 else "",
        device_words(there),
        f"left out, as of a size that is there: {plural(second, 'point')}" if second else "",
    ]
    return "; ".join(part for part in parts if part)
