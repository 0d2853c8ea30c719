"""The figures of a report, by name."""

from collections.abc import Callable, Sequence
from pathlib import Path

from slbench.analysis.temperature_figures import draw_temperatures
from slbench.errors import InputError
from slbench.report import DEFAULT_FIGURES, FIGURES
from slbench.report.figures.curves import draw_curves
from slbench.report.figures.data_scaling import draw_sizes
from slbench.report.figures.inputs import FigureInputs, TooManyError, show
from slbench.report.figures.interaction import draw_effects
from slbench.report.figures.sweep import draw_sweeps
from slbench.report.figures.tradeoff import draw_tradeoff, draw_tradeoff_macs
from slbench.report.inputs import ReportInputs
from slbench.report.table import Table

QUICK = 3_000  # runs, of more of which nothing is drawn unless it is asked for

# In this order, under the names of slbench.report.FIGURES.
DRAWINGS: dict[str, Callable[[FigureInputs, Path], list[tuple[str, str]]]] = {
    "tradeoff": draw_tradeoff,
    "tradeoff-macs": draw_tradeoff_macs,
    "curves": draw_curves,
    "effects": draw_effects,
    "size": draw_sizes,
    "temperature": lambda shown, out: draw_temperatures(shown.gathered.records, shown.gathered.folders, out),
    "sweep": draw_sweeps,
}


def draw(
    gathered: ReportInputs, table: Table, names: Sequence[str], out: Path, *, level: float = 0.95
) -> list[tuple[str, str]]:
    """Write figures of a report under `out`, each as PNG, SVG and PDF.

    Args:
        names: of FIGURES; "all" or "none" alone; nothing means those that are quick, and of a whole store or of
            more than QUICK runs none. A figure that is not asked for by its name is skipped where there is nothing
            to show in it.
        level: of intervals.
    Returns:
        Of each its file name without suffix, and what it shows: n, device, what bars are.
    Raises:
        InputError: for a figure by name that there is nothing to show in, with what it needs.
    """
    quick = gathered.is_study and len(gathered.records) <= QUICK
    if not gathered.records or list(names) == ["none"] or not (names or quick):
        return []
    by_name = bool(names) and "all" not in names
    wanted = [name for name in DRAWINGS if name in names] if by_name else list(FIGURES if names else DEFAULT_FIGURES)
    if not by_name and not gathered.speeds:  # then the first is the second
        wanted = [name for name in wanted if name != "tradeoff"]
    shown = show(gathered, table, level=level)
    drawn = []
    for name in wanted:
        try:
            made = DRAWINGS[name](shown, out)
        except TooManyError:
            if by_name:
                raise
            continue
        if not made and by_name:
            raise InputError(f"--figures {name}: there is nothing to show: it needs {FIGURES[name]}")
        drawn += made
    return drawn
