"""Accuracy against training-set size."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from slbench.plotting.axes import ticks_at
from slbench.plotting.style import save, style
from slbench.report.captions import SUBSET_DESCRIPTIONS
from slbench.report.figures.inputs import (
    BARS,
    Context,
    Experiment,
    FigureInputs,
    contexts,
    device_text,
    file_names,
    seeds_text,
)
from slbench.report.figures.line_plot import Line, axis_inches, counts_of, draw_lines, values_of
from slbench.report.tidy import EQUAL
from slbench.text import plural

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIZE_FIELDS = ("dataset_fraction", "dataset_per_class")


def draw_sizes(inputs: FigureInputs, out: Path) -> list[tuple[str, str]]:
    """Write a figure per data set with several training-set sizes; equal epochs and equal steps are separate figures.

    Runs on the whole set belong to both. Return file names without suffix, and captions.
    """
    figures = list[tuple[Context, list[Line], str]]()
    with_values = [experiment for experiment in inputs.experiments if inputs.by_seed(experiment)]
    for context in contexts(with_values, ignore=(*SIZE_FIELDS, EQUAL)):
        ways = set[str | None](experiment.spec.recipe.equal for experiment in context.experiments) - {None}
        for way in (way for way in SUBSET_DESCRIPTIONS if way in ways):
            experiments = tuple(
                experiment for experiment in context.experiments if experiment.spec.recipe.equal in (way, None)
            )
            lines = lines_of(experiments)
            if lines:
                settings = {**context.settings, EQUAL: way} if len(ways) > 1 else context.settings
                figures.append(
                    (Context(dataset=context.dataset, settings=settings, experiments=experiments), lines, way)
                )
    drawn = []
    for name, (context, lines, way) in zip(
        file_names("size", [context for context, *_ in figures]), figures, strict=True
    ):
        with style(inputs.look):
            figure = draw(context, lines, way, inputs)
            save(figure, out / name, formats=("png", "svg", "pdf"))
        drawn.append((name, caption(context, lines, way, inputs)))
    return drawn


def lines_of(experiments: Sequence[Experiment]) -> list[Line]:
    """Return the methods with two or more sizes, their experiments by size, ascending.

    Of several experiments of one size, such as a fraction and a number per class, the first is used.
    """
    points = defaultdict[tuple[str, str, str], dict[float, Experiment]](dict)
    for experiment in experiments:
        points[experiment.backbone, experiment.method, experiment.dataset].setdefault(
            experiment.spec.num_images, experiment
        )
    return [Line(*key, dict(sorted(by_size.items()))) for key, by_size in points.items() if len(by_size) > 1]


def draw(context: Context, lines: Sequence[Line], way: str, inputs: FigureInputs) -> "Figure":
    """Draw accuracy against training images on a logarithmic axis."""
    settings = [f"{name} {value}" for name, value in context.settings.items() if name != EQUAL]
    title = ", ".join([context.dataset, f"equal {way}", *settings])
    figure, panels = draw_lines(lines, inputs, title=title, across="training images")
    for axes in panels:
        ticks_at(
            axes.xaxis,
            values_of(lines),
            logarithmic=True,
            look=inputs.look,
            inches=axis_inches(figure, panels),
            form=",",
        )
    return figure


def caption(context: Context, lines: Sequence[Line], way: str, inputs: FigureInputs) -> str:
    """Return the caption."""
    experiments = [experiment for line in lines for experiment in line.points.values()]
    counts = counts_of(lines, inputs)
    methods = {(line.backbone, line.method) for line in lines}
    duplicates = sum((experiment.backbone, experiment.method) in methods for experiment in context.experiments) - len(
        experiments
    )
    parts = [
        f"{context.title}: {inputs.description} against training-set size",
        SUBSET_DESCRIPTIONS[way],
        f"means, {seeds_text(counts, 'point')}",
        BARS if max(counts) > 1 else "",
        device_text(experiments),
        f"left out, same size as another: {plural(duplicates, 'point')}" if duplicates else "",
    ]
    return "; ".join(part for part in parts if part)
