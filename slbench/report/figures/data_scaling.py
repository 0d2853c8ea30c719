"""Accuracy against the number of images that were trained on."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from slbench.plotting.style import save, spread_out, style
from slbench.report.captions import SUBSET_WORDS
from slbench.report.figures.inputs import (
    Context,
    Experiment,
    FigureInputs,
    contexts,
    device_words,
    file_names,
    seeds_words,
)
from slbench.report.figures.line_plot import Line, counts_of, draw_lines, values_of
from slbench.report.tidy import EQUAL
from slbench.text import plural

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIZES = ("dataset_fraction", "dataset_per_class")


def draw_sizes(shown: FigureInputs, out: Path) -> list[tuple[str, str]]:
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
    points = defaultdict[tuple[str, str, str], dict[float, Experiment]](dict)
    for each in found:
        points[each.backbone, each.row, each.dataset].setdefault(each.spec.num_images, each)
    return [Line(*key, dict(sorted(of.items()))) for key, of in points.items() if len(of) > 1]


def draw(context: Context, lines: Sequence[Line], way: str, shown: FigureInputs) -> "Figure":
    """Lines against the images trained on, on a logarithmic axis, as each factor of them counts alike."""
    own = [f"{name} {value}" for name, value in context.settings.items() if name != EQUAL]
    title = ", ".join([context.dataset, f"equal {way}", *own])
    figure, panels = draw_lines(lines, shown, title=title, across="training images")
    places = spread_out(values_of(lines), most=8 if len(panels) == 1 else 4)
    for axes in panels:
        axes.set_xscale("log")
        axes.set_xticks(places, labels=[f"{place:,}" for place in places])
        axes.minorticks_off()
    return figure


def caption(context: Context, lines: Sequence[Line], way: str, shown: FigureInputs) -> str:
    """What the figure shows."""
    there = [experiment for line in lines for experiment in line.points.values()]
    counts = counts_of(lines, shown)
    rows = {(line.backbone, line.row) for line in lines}
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
