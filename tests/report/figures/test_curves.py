"""Learning curves, from the history of each run."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from slbench.plotting.style import style
from slbench.report.figures.curves import draw, draw_curves, read_curves
from slbench.report.figures.inputs import FigureInputs, contexts
from slbench.report.inputs import ReportInputs
from tests.report.helpers import figure_inputs_of, inputs_of, points_of, write_history
from tests.support import TINY, missing, runs

SECOND = {**TINY, "label": "Second", "dim": 11}
EPOCHS = 3


def report(folder: Path, *, validation: bool = True, epochs: int = EPOCHS, **content: Any) -> ReportInputs:
    """Two backbones and two rows; at epoch e seed s has 10 e + s on the test images, a half less in validation."""
    grid = {"backbone": [TINY, SECOND], "method": ["none", "both"], "seed": [0, 3]}
    inputs = inputs_of(runs(grid, set={"recipe.epochs": epochs}, **content), lambda run: 80.0)
    folders = {}
    for record in inputs.records:
        test = [10.0 * epoch + record.spec.seed for epoch in range(1, epochs + 1)]
        folders[record.run_id] = folder / "runs" / record.run_id
        write_history(folders[record.run_id], record, test, [top1 / 2 for top1 in test] if validation else None)
    return replace(inputs, folders=folders)


def drawn(inputs_: FigureInputs, column: str) -> Figure:
    (context,) = contexts(inputs_.experiments)
    with style():
        return draw(context, [read_curves(each, inputs_) for each in context.experiments], column, inputs_)


def test_each_backbone_has_a_panel_and_each_method_a_curve_of_means_over_seeds(tmp_path: Path) -> None:
    figure = drawn(figure_inputs_of(report(tmp_path)), "val_top1")
    assert [axes.get_title() for axes in figure.axes] == ["Tiny", "Second"]
    for axes in figure.axes:
        assert [line.get_label() for line in axes.lines] == ["plain", "SPT and LSA"]
        for line in axes.lines:
            assert points_of(line)[0] == [1, 2, 3]
            assert points_of(line)[1] == [5.75, 10.75, 15.75]  # (10 + 13) / 2 / 2, ...


def test_the_band_reaches_from_the_lowest_to_the_highest_seed(tmp_path: Path) -> None:
    axes = drawn(figure_inputs_of(report(tmp_path)), "test_top1").axes[0]
    corners = np.asarray(axes.collections[0].get_paths()[0].vertices)
    ends = {float(x): (corners[corners[:, 0] == x, 1].min(), corners[corners[:, 0] == x, 1].max()) for x in (1, 2, 3)}
    assert ends == {1.0: (10, 13), 2.0: (20, 23), 3.0: (30, 33)}


@pytest.mark.usefixtures("svg")
def test_validation_is_shown_where_every_run_has_it_else_the_test_images(tmp_path: Path) -> None:
    ((_, caption),) = draw_curves(figure_inputs_of(report(tmp_path)), tmp_path / "with")
    assert not missing(caption, "fashion-mnist-12k", "top-1", "n = 2", "Processor")
    assert not missing((tmp_path / "with" / "curves.svg").read_text(), "top-1", "%")
    ((_, caption),) = draw_curves(
        figure_inputs_of(report(tmp_path, validation=False, protocol="full")), tmp_path / "without"
    )
    assert not missing(caption, "fashion-mnist-12k", "top-1")
    assert "test top-1 (%)" in (tmp_path / "without" / "curves.svg").read_text()


@pytest.mark.parametrize("damage", ["", "epoch,val_top1\n1,", "\x00", "gone", "short"])
def test_an_incomplete_history_is_omitted_and_counted(tmp_path: Path, damage: str) -> None:
    inputs = report(tmp_path)
    path = inputs.folders[inputs.records[0].run_id] / "metrics.csv"
    if damage == "gone":
        path.unlink()
    else:
        path.write_text("\n".join(path.read_text().splitlines()[:-1]) if damage == "short" else damage)
    ((_, caption),) = draw_curves(figure_inputs_of(inputs), tmp_path)
    assert not missing(caption, "n = 1 to 2 seeds")
    assert not missing(caption, "1 run")


def test_without_history_there_is_no_figure(tmp_path: Path) -> None:
    assert draw_curves(figure_inputs_of(replace(report(tmp_path), folders={})), tmp_path) == []


def test_the_first_fifth_of_a_long_run_may_be_below_the_axis_as_the_caption_says(tmp_path: Path) -> None:
    inputs_ = figure_inputs_of(report(tmp_path, epochs=11))
    assert {axes.get_ylim()[0] for axes in drawn(inputs_, "test_top1").axes} == {30.0}  # of epoch 3, after 11 // 5
    ((_, caption),) = draw_curves(inputs_, tmp_path)
    assert not missing(caption, "first epochs")
