"""Learned temperatures, drawn as in an analysis of the runs."""

from pathlib import Path

from slbench.analysis import temperature_figures
from slbench.report.figures.inputs import FigureInputs


def draw_temperatures(inputs: FigureInputs, out: Path) -> list[tuple[str, str]]:
    """Write the figures of all learned temperatures; return file names without suffix, and captions."""
    gathered = inputs.report_inputs
    return temperature_figures.draw_temperatures(gathered.records, gathered.folders, out, look=inputs.look)
