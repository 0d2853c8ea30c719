"""Figures of a search."""

from pathlib import Path

import numpy as np
import pytest

from slbench.plotting.style import SCREEN, new_figure, style
from slbench.tuning.figures import color_key, colored_by, curves, draw
from slbench.tuning.record import load

GOLDEN = Path(__file__).parents[1] / "golden_store" / "store" / "tuning" / "golden"
TEMPERATURE = "method.initial_temperature"


def test_learning_curves_have_a_color_bar_of_the_first_numeric_parameter_and_a_legend() -> None:
    record = load(GOLDEN)
    (row,) = record.rows
    with style():
        figure = curves(record, row, SCREEN)
    assert figure is not None
    axes, bar = figure.axes
    drawn = [line for line in axes.lines if np.size(line.get_xdata()) > 1]
    assert len(drawn) == len([trial for trial in row.trials if trial.curve])
    assert "temperature" in bar.get_ylabel()
    (legend,) = figure.legends
    expected = {"default setting", "chosen", "other complete trials", "pruned at the cross"}
    assert {text.get_text() for text in legend.get_texts()} == expected
    assert all(float(tick).is_integer() for tick in axes.get_xticks())


def test_colors_follow_the_values_and_need_two_of_them() -> None:
    record = load(GOLDEN)
    (row,) = record.rows
    trials = [trial for trial in row.trials if trial.curve]
    assert colored_by(row, trials) == TEMPERATURE
    with style():
        colors = color_key(new_figure()[1], row, TEMPERATURE, trials, SCREEN)
    by_value = sorted(trials, key=lambda trial: float(trial.setting[TEMPERATURE]))
    light = [sum(colors[trial.number][:3]) for trial in by_value]
    assert light == sorted(light) and light[0] < light[-1]
    assert colored_by(row, trials[:1]) is None


@pytest.mark.usefixtures("svg")
def test_every_figure_of_a_search_is_drawn(tmp_path: Path) -> None:
    names = draw(load(GOLDEN), tmp_path)
    assert {"landscape", "history", "curves"} <= set(names)
    assert all((tmp_path / f"{name}.svg").read_text().startswith("<?xml") for name in names)
