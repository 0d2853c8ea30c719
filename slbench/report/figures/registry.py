"""Figures of a report by name."""

from collections.abc import Callable, Sequence
from pathlib import Path

from slbench.analysis.temperature_figures import draw_temperatures
from slbench.errors import InputError
from slbench.report import DEFAULT_FIGURES, FIGURES
from slbench.report.figures.curves import draw_curves
from slbench.report.figures.data_scaling import draw_sizes
from slbench.report.figures.inputs import FigureInputs, TooManyError, figure_inputs
from slbench.report.figures.interaction import draw_effects
from slbench.report.figures.sweep import draw_sweeps
from slbench.report.figures.tradeoff import draw_tradeoff, draw_tradeoff_macs
from slbench.report.inputs import ReportInputs
from slbench.report.table import Table

MAX_DEFAULT_RUNS = 3_000  # of larger reports no figure is drawn by default

# Keys and order as in slbench.report.FIGURES.
DRAW_FUNCTIONS: dict[str, Callable[[FigureInputs, Path], list[tuple[str, str]]]] = {
    "tradeoff": draw_tradeoff,
    "tradeoff-macs": draw_tradeoff_macs,
    "curves": draw_curves,
    "effects": draw_effects,
    "size": draw_sizes,
    "temperature": lambda data, out: draw_temperatures(data.report_inputs.records, data.report_inputs.folders, out),
    "sweep": draw_sweeps,
}


def draw(
    inputs: ReportInputs, table: Table, names: Sequence[str], out: Path, *, level: float = 0.95
) -> list[tuple[str, str]]:
    """Write figures of a report under `out`, each as PNG, SVG and PDF; return file names without suffix, and captions.

    Args:
        names: of FIGURES, or "all" or "none". Default: DEFAULT_FIGURES; none for a whole store or for more than
            MAX_DEFAULT_RUNS runs. A figure without data is skipped unless it is requested by name.
        level: of intervals.
    Raises:
        InputError: for a figure requested by name without data.
    """
    quick = inputs.is_study and len(inputs.records) <= MAX_DEFAULT_RUNS
    if not inputs.records or list(names) == ["none"] or not (names or quick):
        return []
    by_name = bool(names) and "all" not in names
    selected = (
        [name for name in DRAW_FUNCTIONS if name in names] if by_name else list(FIGURES if names else DEFAULT_FIGURES)
    )
    if not by_name and not inputs.speeds:  # it would equal tradeoff-macs
        selected = [name for name in selected if name != "tradeoff"]
    data = figure_inputs(inputs, table, level=level)
    drawn = []
    for name in selected:
        try:
            figures = DRAW_FUNCTIONS[name](data, out)
        except TooManyError:
            if by_name:
                raise
            continue
        if not figures and by_name:
            raise InputError(f"--figures: {name}: no data; needs {FIGURES[name]}")
        drawn += figures
    return drawn
