"""Accuracy against what a network costs."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from slbench.plotting.style import style
from slbench.report.figures.inputs import FigureInputs, contexts
from slbench.report.figures.tradeoff import Costs, draw, draw_tradeoff, draw_tradeoff_macs, macs, throughputs
from slbench.report.inputs import ReportInputs
from slbench.study import StudyRun
from tests.report.helpers import bars, figure_inputs_of, inputs_of, points_of
from tests.support import TINY, make_speed, missing, runs

SECOND = {**TINY, "label": "Second", "dim": 11}
ACCURACIES = {"none": 70.0, "spt": 71.0, "both": 73.0}
HALF = 2**0.5  # sample standard deviation of two values that are 2 points apart


def accuracy(run: StudyRun) -> float:
    """Seeds one point below and above the row's; the second backbone five points higher."""
    return ACCURACIES[run.labels.method] + 5 * (run.labels.backbone == "Second") + (1 if run.spec.seed else -1)


def report(**grid: object) -> ReportInputs:
    return inputs_of(
        runs({"backbone": [TINY, SECOND], "method": list(ACCURACIES), "seed": [0, 1], **grid}), accuracy, macs=7_000_000
    )


def drawn(inputs_: FigureInputs, *, measured: bool) -> tuple[Figure, Axes, Costs]:
    (context,) = contexts(inputs_.experiments)
    costs = throughputs(context.experiments, inputs_.report_inputs.speeds) if measured else macs(context)
    assert costs is not None
    with style():
        figure = draw(context, costs, inputs_)
    return figure, figure.axes[0], costs


def with_speeds(inputs: ReportInputs) -> ReportInputs:
    speed = {("Tiny", "none"): 900.0, ("Tiny", "spt"): 800.0, ("Tiny", "both"): 700.0}
    return replace(
        inputs,
        speeds={
            record.run_id: make_speed(median=speed[record.labels.backbone, record.labels.method])
            for record in inputs.records
            if record.labels.backbone == "Tiny"
        },
    )


def test_points_are_means_and_bars_their_standard_deviations_over_the_seeds() -> None:
    _, axes, _ = drawn(figure_inputs_of(report()), measured=False)
    points = bars(axes)
    assert [(x, y) for x, y, *_ in points] == [(7.0, 70), (7.0, 71), (7.0, 73), (7.0, 75), (7.0, 76), (7.0, 78)]
    for _, y, low, high in points:
        assert (low, high) == pytest.approx((y - HALF, y + HALF))


def test_a_dashed_line_leads_from_the_dot_to_the_star_of_each_backbone() -> None:
    inputs_ = figure_inputs_of(with_speeds(report()))
    _, axes, _ = drawn(inputs_, measured=True)
    (line,) = [line for line in axes.lines if line.get_gid() == "join"]
    assert points_of(line) == ([900.0, 700.0], [70.0, 73.0])
    assert line.get_linestyle() == "--"
    drawn_styles = [(container[0].get_marker(), container[0].get_color()) for container in axes.containers]
    assert drawn_styles == [("o", "#000000"), ("s", "#DDAA33"), ("*", "#004488")]  # by method, in every figure


def test_labels_are_next_to_their_stars_and_do_not_overlap() -> None:
    figure, axes, _ = drawn(figure_inputs_of(report()), measured=False)
    names = [text for text in axes.texts if text.get_text()]
    assert [(text.get_text(), text.xy) for text in names] == [("Tiny", (7.0, 73.0)), ("Second", (7.0, 78.0))]  # type: ignore[attr-defined]
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in names]
    assert not any(one.overlaps(other) for one, other in pairwise(boxes))
    joins = [line for line in axes.lines if line.get_gid() == "join"]
    paths = [line.get_path().transformed(line.get_transform()) for line in joins]
    assert not any(path.intersects_bbox(box, filled=False) for path in paths for box in boxes)
    assert all(axes.get_window_extent().contains(*corner) for box in boxes for corner in box.corners())


def test_speeds_are_compared_only_where_they_were_measured_in_one_way(tmp_path: Path) -> None:
    inputs = with_speeds(report())
    odd = next(record.run_id for record in inputs.records if record.labels.method == "spt")
    other = next(
        record.run_id
        for record in inputs.records
        if record.labels.method == "spt" and record.run_id != odd and record.labels.backbone == "Tiny"
    )
    slower = make_speed(median=3.0, threads=5)
    inputs = replace(inputs, speeds={**inputs.speeds, odd: slower, other: slower})
    _, axes, costs = drawn(figure_inputs_of(inputs), measured=True)
    assert sorted(costs.values.values()) == [700.0, 900.0]
    assert len(axes.containers) == 2
    ((name, caption),) = draw_tradeoff(figure_inputs_of(inputs), tmp_path)
    assert name == "tradeoff"
    assert not missing(caption, "S-Tiny, Second, S-Second, SL-Second")


@pytest.mark.usefixtures("svg")
def test_without_throughput_the_axis_is_multiply_adds(tmp_path: Path) -> None:
    inputs_ = figure_inputs_of(report())
    ((name, caption),) = draw_tradeoff(inputs_, tmp_path)
    ((other, same),) = draw_tradeoff_macs(inputs_, tmp_path)
    assert (name, other) == ("tradeoff", "tradeoff-macs")
    assert caption == same
    assert not missing(caption, "fashion-mnist-12k", "n = 2", "standard deviation", "Processor")
    assert (tmp_path / "tradeoff.svg").read_bytes() == (tmp_path / "tradeoff-macs.svg").read_bytes()


def test_runs_trained_otherwise_are_no_neighbours(tmp_path: Path) -> None:
    inputs_ = figure_inputs_of(report(**{"recipe.lr": [0.001, 0.003]}))
    assert [name for name, _ in draw_tradeoff_macs(inputs_, tmp_path)] == [
        "tradeoff-macs-lr-0.001",
        "tradeoff-macs-lr-0.003",
    ]
