"""Accuracy against a setting that a study sweeps: a fixed temperature, a shift ratio, a learning rate."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slbench.differing import differing, flat
from slbench.plotting.style import WIDE, plain, save, spread_out, style
from slbench.report.figures.data_scaling import SIZES
from slbench.report.figures.inputs import (
    OFTEN_ABSENT,
    Context,
    Experiment,
    FigureInputs,
    device_words,
    file_names,
    seeds_words,
)
from slbench.report.figures.line_plot import Line, counts_of, draw_lines, values_of
from slbench.spec import to_dict
from slbench.text import distinct

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SWEPT = ("method_", "recipe_", "dataset_")  # heads of the fields that can be swept
NAMES = {
    "method_initial_temperature": "softmax temperature (multiples of $\\sqrt{d_k}$)",
    "method_shift_ratio": "shift (share of the patch)",
    "method_shift_pixels": "shift (px)",
    "recipe_lr": "learning rate",
}
PAPERS = {"method_initial_temperature": 1.0, "method_shift_ratio": 0.5}  # arXiv:2112.13492


def find_sweeps(found: Iterable[Experiment]) -> dict[str, list[Line]]:
    """Every setting that alone varies, as a number, within a backbone, row and data set; its lines by its column.

    The size of the training set has a figure of its own: slbench.report.figures.data_scaling.
    """
    groups = defaultdict[tuple[str, str, str], list[Experiment]](list)
    for experiment in found:
        groups[experiment.backbone, experiment.method, experiment.dataset].append(experiment)
    sweeps = defaultdict[str, list[Line]](list)
    for (backbone, method, dataset), group in groups.items():
        if len(group) < 2:
            continue
        fields = [flat(to_dict(experiment.spec)) for experiment in group]
        varying = [name for name in differing(fields, optional=OFTEN_ABSENT) if name != "seed"]
        if len(varying) != 1 or not varying[0].startswith(SWEPT) or varying[0] in SIZES:
            continue
        values = [each.get(varying[0]) for each in fields]
        if all(is_number(value) for value in values):
            sweeps[varying[0]].append(Line(backbone, method, dataset, by_value(values, group)))
    return dict(sweeps)


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def by_value(values: Sequence[Any], group: Sequence[Experiment]) -> dict[float, Experiment]:
    """Experiments by what was swept, rising."""
    return dict(sorted(zip(map(float, values), group, strict=True), key=lambda pair: pair[0]))


def draw_sweeps(shown: FigureInputs, out: Path) -> list[tuple[str, str]]:
    """Write a figure for each swept setting and data set; their names without suffix, and what each shows."""
    drawn = []
    with_values = [experiment for experiment in shown.experiments if experiment.by_seed(shown.accuracy)]
    for column, swept in find_sweeps(with_values).items():
        found = [
            (
                Context(dataset=dataset, settings={}, experiments=()),
                [each for each in swept if each.dataset == dataset],
            )
            for dataset in distinct(line.dataset for line in swept)
        ]
        stem = f"sweep-{column.replace('_', '-')}"
        for name, (_, lines) in zip(file_names(stem, [each for each, _ in found]), found, strict=True):
            with style():
                figure = draw(column, lines, shown)
                save(figure, out / name, formats=("png", "svg", "pdf"))
            drawn.append((name, caption(lines, shown)))
    return drawn


def draw(column: str, lines: Sequence[Line], shown: FigureInputs) -> "Figure":
    """Lines against the setting, on a logarithmic axis where its values are far apart; the paper's own marked."""
    figure, panels = draw_lines(lines, shown, title=lines[0].dataset, across=NAMES.get(column, plain(column)))
    values = values_of(lines)
    for axes in panels:
        if values[0] > 0 and values[-1] / values[0] > WIDE:
            axes.set_xscale("log")
            places = spread_out(values, most=8 if len(panels) == 1 else 4)
            axes.set_xticks(places, labels=[f"{place:g}" for place in places])
            axes.minorticks_off()
        if column in PAPERS:
            axes.axvline(PAPERS[column], color="#999999", linestyle="--", linewidth=1, zorder=0)
            axes.annotate("the paper's", (PAPERS[column], 1), xycoords=("data", "axes fraction"), xytext=(2, 0),
                          textcoords="offset points", va="top", fontsize=7, color="#666666")  # fmt: skip
    return figure


def caption(lines: Sequence[Line], shown: FigureInputs) -> str:
    """What the figure shows, with n and what its bars are."""
    counts = counts_of(lines, shown)
    parts = [
        f"{lines[0].dataset}: {shown.words}",
        seeds_words(counts, "point"),
        shown.bars if max(counts) > 1 else "",
        device_words(experiment for line in lines for experiment in line.points.values()),
    ]
    return "; ".join(part for part in parts if part)
