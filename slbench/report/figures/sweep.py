"""Accuracy against a swept setting: a fixed temperature, a shift ratio, a learning rate."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slbench.differing import differing, flat
from slbench.plotting.axes import ticks_at
from slbench.plotting.style import WIDE, plain, save, style
from slbench.report.figures.data_scaling import SIZE_FIELDS
from slbench.report.figures.inputs import (
    BARS,
    OFTEN_ABSENT,
    Context,
    Experiment,
    FigureInputs,
    device_text,
    file_names,
    seeds_text,
)
from slbench.report.figures.line_plot import Line, axis_inches, counts_of, draw_lines, values_of
from slbench.spec import to_dict
from slbench.text import distinct

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SWEPT_PREFIXES = ("method_", "recipe_", "dataset_")  # of spec fields that can be swept
NAMES = {
    "method_initial_temperature": "softmax temperature (multiples of $\\sqrt{d_k}$)",
    "method_shift_ratio": "shift (share of the patch)",
    "method_shift_pixels": "shift (px)",
    "recipe_lr": "learning rate",
}
RATIOS = ("method_initial_temperature", "recipe_lr", "recipe_weight_decay", "recipe_batch_size")  # on logarithmic axes
PAPER_VALUES = {"method_initial_temperature": 1.0, "method_shift_ratio": 0.5}  # arXiv:2112.13492


def find_sweeps(experiments: Iterable[Experiment]) -> dict[str, list[Line]]:
    """Return the lines of each swept setting, by its column in runs.csv.

    A setting is swept if it is a number and the only one that varies within a backbone, method and data set.
    Training-set size has its own figure: slbench.report.figures.data_scaling.
    """
    groups = defaultdict[tuple[str, str, str], list[Experiment]](list)
    for experiment in experiments:
        groups[experiment.backbone, experiment.method, experiment.dataset].append(experiment)
    sweeps = defaultdict[str, list[Line]](list)
    for (backbone, method, dataset), group in groups.items():
        if len(group) < 2:
            continue
        fields = [flat(to_dict(experiment.spec)) for experiment in group]
        varying = [name for name in differing(fields, optional=OFTEN_ABSENT) if name != "seed"]
        if len(varying) != 1 or not varying[0].startswith(SWEPT_PREFIXES) or varying[0] in SIZE_FIELDS:
            continue
        values = [field.get(varying[0]) for field in fields]
        if all(is_number(value) for value in values):
            sweeps[varying[0]].append(Line(backbone, method, dataset, by_value(values, group)))
    return dict(sweeps)


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def by_value(values: Sequence[Any], group: Sequence[Experiment]) -> dict[float, Experiment]:
    """Return experiments by swept value, ascending."""
    return dict(sorted(zip(map(float, values), group, strict=True), key=lambda pair: pair[0]))


def draw_sweeps(inputs: FigureInputs, out: Path) -> list[tuple[str, str]]:
    """Write a figure per swept setting and data set; return file names without suffix, and captions."""
    drawn = []
    with_values = [experiment for experiment in inputs.experiments if inputs.by_seed(experiment)]
    for column, swept in find_sweeps(with_values).items():
        figures = [
            (
                Context(dataset=dataset, settings={}, experiments=()),
                [line for line in swept if line.dataset == dataset],
            )
            for dataset in distinct(line.dataset for line in swept)
        ]
        stem = f"sweep-{column.replace('_', '-')}"
        for name, (_, lines) in zip(file_names(stem, [context for context, _ in figures]), figures, strict=True):
            with style(inputs.look):
                figure = draw(column, lines, inputs)
                save(figure, out / name, formats=("png", "svg", "pdf"))
            drawn.append((name, caption(lines, inputs)))
    return drawn


def draw(column: str, lines: Sequence[Line], inputs: FigureInputs) -> "Figure":
    """Draw accuracy against the setting, on a logarithmic axis for ratios and wide ranges; mark the paper's value."""
    mark = ("paper's value", PAPER_VALUES[column]) if column in PAPER_VALUES else None
    across = NAMES.get(column, plain(column))
    figure, panels = draw_lines(lines, inputs, title=lines[0].dataset, across=across, mark=mark)
    values = values_of(lines)
    logarithmic = values[0] > 0 and (column in RATIOS or values[-1] / values[0] > WIDE)
    for axes in panels:
        ticks_at(
            axes.xaxis, values, logarithmic=logarithmic, look=inputs.look, inches=axis_inches(figure, panels), form="g"
        )  # fmt: skip
    return figure


def caption(lines: Sequence[Line], inputs: FigureInputs) -> str:
    """Return the caption, with n and the meaning of the bars."""
    counts = counts_of(lines, inputs)
    parts = [
        f"{lines[0].dataset}: {inputs.description}",
        seeds_text(counts, "point"),
        BARS if max(counts) > 1 else "",
        device_text(experiment for line in lines for experiment in line.points.values()),
    ]
    return "; ".join(part for part in parts if part)
