"""Accuracy against the number of images trained on."""

from pathlib import Path

import pytest

from slbench.plotting.style import style
from slbench.report.figures.data_scaling import SIZE_FIELDS, draw, draw_sizes, lines_of
from slbench.report.figures.inputs import contexts
from slbench.report.figures.sweep import draw_sweeps
from slbench.report.tidy import EQUAL
from slbench.study import StudyRun
from tests.report.helpers import bars, figure_inputs_of, inputs_of
from tests.support import TINY, missing, runs

SHARES = [0.25, 0.5, 1.0]  # of the 9,000 that are left without validation
SHORT = {"recipe.batch_size": 512}


def accuracy(run: StudyRun) -> float:
    return run.spec.num_images / 100 + (1 if run.spec.seed else -1)


def test_points_are_at_the_number_of_training_images_on_a_logarithmic_axis_with_standard_deviations() -> None:
    inputs = figure_inputs_of(inputs_of(runs({"dataset.fraction": SHARES, "seed": [0, 1]}, set=SHORT), accuracy))
    (context,) = contexts(inputs.experiments, ignore=(*SIZE_FIELDS, EQUAL))
    lines = lines_of(context.experiments)
    with style():
        figure = draw(context, lines, "epochs", inputs)
    axes = figure.axes[0]
    assert [bar[:2] for bar in bars(axes)] == [(2250, 22.5), (4500, 45.0), (9000, 90.0)]
    assert [(high - low) / 2 for _, _, low, high in bars(axes)] == pytest.approx([2**0.5] * 3)
    assert axes.get_xscale() == "log"
    assert figure.get_suptitle() == "fashion-mnist-12k, equal epochs"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["2,250", "4,500", "9,000"]


@pytest.mark.usefixtures("svg")
def test_equal_epochs_and_equal_steps_are_two_figures_that_share_the_whole_set(tmp_path: Path) -> None:
    runs_ = runs({"dataset.fraction": SHARES, "recipe.equal": ["epochs", "steps"]}, set=SHORT)
    assert len({run.spec.run_id for run in runs_}) == 5
    drawn = draw_sizes(figure_inputs_of(inputs_of(runs_, accuracy)), tmp_path)
    assert [name for name, _ in drawn] == ["size-equal-epochs", "size-equal-steps"]
    for way, (name, caption) in zip(("epochs", "steps"), drawn, strict=True):
        svg = (tmp_path / f"{name}.svg").read_text()
        assert all(text in svg for text in (f"equal {way}", "9,000", "2,250"))
        assert not missing(caption, way)
        assert "n = 1 seed per point" in caption


def test_images_of_each_class_are_counted_together(tmp_path: Path) -> None:
    inputs = figure_inputs_of(inputs_of(runs({"dataset.per_class": [70, 300]}, set=SHORT), accuracy))
    (context,) = contexts(inputs.experiments, ignore=(*SIZE_FIELDS, EQUAL))
    (line,) = lines_of(context.experiments)
    assert list(line.points) == [700, 3000]
    assert [name for name, _ in draw_sizes(inputs, tmp_path)] == ["size"]


def test_of_two_settings_with_the_same_size_the_first_is_drawn_and_the_other_counted(tmp_path: Path) -> None:
    runs_ = (*runs({"dataset.fraction": SHARES}, set=SHORT), *runs({"dataset.per_class": [450]}, set=SHORT))
    ((_, caption),) = draw_sizes(figure_inputs_of(inputs_of(runs_, accuracy)), tmp_path)
    assert not missing(caption, "1 point")


def test_one_size_is_no_figure_and_sizes_are_no_sweep(tmp_path: Path) -> None:
    assert draw_sizes(figure_inputs_of(inputs_of(runs({"seed": [0, 1]}), accuracy)), tmp_path) == []
    several = figure_inputs_of(inputs_of(runs({"dataset.fraction": SHARES}, set=SHORT), accuracy))
    assert draw_sweeps(several, tmp_path) == []


def test_each_of_several_backbones_with_several_methods_has_a_panel() -> None:
    grid = {
        "backbone": [TINY, {**TINY, "label": "Second", "dim": 11}],
        "method": ["none", "both"],
        "dataset.fraction": SHARES,
    }
    inputs = figure_inputs_of(inputs_of(runs(grid, set=SHORT), accuracy))
    (context,) = contexts(inputs.experiments, ignore=(*SIZE_FIELDS, EQUAL))
    with style():
        figure = draw(context, lines_of(context.experiments), "epochs", inputs)
    assert [axes.get_title() for axes in figure.axes] == ["Tiny", "Second"]
    assert [len(axes.containers) for axes in figure.axes] == [2, 2]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["plain", "SPT and LSA"]
