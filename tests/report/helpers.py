"""Report inputs without training, and the content of figures."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.lines import Line2D

from slbench.record import RunRecord
from slbench.report.figures.inputs import FigureInputs, figure_inputs
from slbench.report.inputs import ReportInputs
from slbench.report.table import make_table
from slbench.study import StudyRun
from tests.support import make_record

Accuracy = Callable[[StudyRun], float]
HEADS = "epoch,lr,train_loss,val_loss,val_top1,test_loss,test_top1,test_top5,scales_below_zero,train_seconds"


def inputs_of(runs_: tuple[StudyRun, ...], accuracy: Accuracy, **changes: Any) -> ReportInputs:
    """Return report inputs of runs with these final accuracies."""
    records = tuple(make_record(run, final_test_top1=accuracy(run), **changes) for run in runs_)
    return ReportInputs(name="test", runs=runs_, records=records)


def figure_inputs_of(inputs: ReportInputs, **table: Any) -> FigureInputs:
    return figure_inputs(inputs, make_table(inputs, **table))


def write_history(folder: Path, record: RunRecord, test: list[float], validation: list[float] | None) -> None:
    """Write a metrics.csv with these accuracies by epoch."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        f"{epoch},0.1,1.0,1.0,{'' if validation is None else validation[epoch - 1]},1.0,{top1},99.0,0,1.0"
        for epoch, top1 in enumerate(test, start=1)
    ]
    (folder / record.history).write_text("\n".join([HEADS, *lines]) + "\n")


def points_of(line: Line2D) -> tuple[list[float], list[float]]:
    """Return the x and y values of a line."""
    return np.asarray(line.get_xdata(), float).tolist(), np.asarray(line.get_ydata(), float).tolist()


def bars(axes: Axes) -> list[tuple[float, float, float, float]]:
    """Return (x, y, low, high) of every point with error bars; without a bar low and high are y."""
    points = []
    for container in axes.containers:
        assert isinstance(container, ErrorbarContainer)
        line, _, collections = container
        xs, ys = points_of(line)
        ends = [(float(low[1]), float(high[1])) for low, high in collections[0].get_segments()] if collections else []
        for x, y, (low, high) in zip(xs, ys, ends or [(y, y) for y in ys], strict=True):
            points.append((x, y, low, high))
    return points
