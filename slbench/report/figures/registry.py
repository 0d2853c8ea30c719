"""Figures of a report by name. Their modules are imported on use, since they take long to import."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from slbench.errors import InputError
from slbench.plotting.style import SCREEN, FigureStyle

if TYPE_CHECKING:
    from slbench.report.figures.inputs import FigureInputs
    from slbench.report.inputs import ReportInputs
    from slbench.report.table import Table

MAX_DEFAULT_RUNS = 3_000  # of larger reports no figure is drawn by default
Drawn = list[tuple[str, str]]  # file names without suffix, and captions


@dataclass(frozen=True, kw_only=True)
class FigureEntry:
    """Entry of the table of figures."""

    function: str  # "module:function" below slbench.report.figures; called with FigureInputs and the output folder
    needs: str  # data without which nothing is drawn
    by_default: bool = False

    def draw(self, inputs: "FigureInputs", out: Path) -> Drawn:
        """Write the figures of this entry."""
        module, _, function = self.function.partition(":")
        drawn: Drawn = getattr(importlib.import_module(f"slbench.report.figures.{module}"), function)(inputs, out)
        return drawn


FIGURES: dict[str, FigureEntry] = {
    "tradeoff": FigureEntry(function="tradeoff:draw_tradeoff", needs="a finished run"),
    "tradeoff-macs": FigureEntry(function="tradeoff:draw_tradeoff_macs", needs="a finished run"),
    "curves": FigureEntry(function="curves:draw_curves", needs="a finished run with a complete metrics.csv"),
    "effects": FigureEntry(
        function="interaction:draw_effects",
        needs="the methods none, spt, lsa and both of a backbone, trained alike, with a common seed",
    ),
    # By default only figures that most studies lack, so that their tables are quick.
    "size": FigureEntry(
        function="data_scaling:draw_sizes",
        needs="a method trained on two or more sizes of a data set (dataset.fraction or dataset.per_class)",
        by_default=True,
    ),
    "temperature": FigureEntry(
        function="temperature:draw_temperatures",
        needs="a finished run of a method with a learned temperature, and its temperatures.csv",
    ),
    "sweep": FigureEntry(
        function="sweep:draw_sweeps",
        needs="a method in which only one number and the seed vary (training-set sizes: see size)",
        by_default=True,
    ),
}
DEFAULT_FIGURES = tuple(name for name, entry in FIGURES.items() if entry.by_default)


def draw(inputs: "ReportInputs", table: "Table", names: Sequence[str], out: Path, look: FigureStyle = SCREEN) -> Drawn:
    """Write figures of a report under `out`, each as PNG, SVG and PDF; return file names without suffix, and captions.

    Args:
        names: of FIGURES, or "all" or "none". Default: DEFAULT_FIGURES; none for a whole store or for more than
            MAX_DEFAULT_RUNS runs. A figure without data is skipped unless it is requested by name.
    Raises:
        InputError: for a figure requested by name without data.
    """
    from slbench.report.figures.inputs import TooManyError, figure_inputs

    quick = inputs.is_study and len(inputs.records) <= MAX_DEFAULT_RUNS
    if not inputs.records or list(names) == ["none"] or not (names or quick):
        return []
    by_name = bool(names) and "all" not in names
    selected = [name for name in FIGURES if name in names] if by_name else list(FIGURES if names else DEFAULT_FIGURES)
    if not by_name and not inputs.speeds:  # it would equal tradeoff-macs
        selected = [name for name in selected if name != "tradeoff"]
    data = figure_inputs(inputs, table, look)
    drawn = Drawn()
    for name in selected:
        try:
            figures = FIGURES[name].draw(data, out)
        except TooManyError:
            if by_name:
                raise
            continue
        if not figures and by_name:
            raise InputError(f"--figures: {name}: no data; needs {FIGURES[name].needs}")
        drawn += figures
    return drawn
