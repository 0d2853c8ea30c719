"""Axes: limits and ticks."""

import pytest

from slbench.plotting.axes import accuracy_range, difference_range, log_ticks, make_logarithmic, thin_ticks
from slbench.plotting.style import new_figure, style


def test_an_axis_of_accuracies_ends_at_what_is_possible_and_near_the_data() -> None:
    assert accuracy_range([-25.0, 150.0]) == pytest.approx((-3, 103))  # room for half a marker
    assert accuracy_range([70.0, 80.0]) == pytest.approx((69.4, 80.6))
    assert accuracy_range([99.0, 100.0]) == pytest.approx((98.94, 100.03))
    assert accuracy_range([50.0, float("nan")]) == pytest.approx((49.94, 50.06))


def test_an_interval_far_wider_than_the_others_does_not_flatten_them() -> None:
    low, high = difference_range([1.0, -2.0, 0.5], [(0.0, 3.0), (-5.0, 1.0), (-3000.0, 3001.0)])
    assert (low, high) == pytest.approx((-11.2, 11.2))  # twice the median reach of 5 points
    assert difference_range([1.0], [(-3000.0, 3000.0)])[1] == pytest.approx(112)  # no accuracy differs by more than 100
    assert difference_range([0.0], [])[1] > 0


def test_the_interval_of_one_large_effect_among_small_ones_is_whole() -> None:
    assert difference_range([5.7, 0.3, -0.3], [(3.8, 7.6), (-0.6, 1.2), (-1.6, 1.0)])[1] > 7.6


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.001, 1000, [0.001, 0.01, 0.1, 1, 10, 100, 1000]),
        (0.9, 35, [1, 3, 10, 30]),
        (1, 4, [1, 1.5, 2, 3]),
        (280, 3300, [300, 1000, 3000]),
        (5.6, 6.7, [5.75, 6, 6.25, 6.5]),
    ],
)
def test_ticks_of_a_logarithmic_axis_are_few_and_round(low: float, high: float, ticks: list[float]) -> None:
    assert log_ticks(low, high) == pytest.approx(ticks)


def test_labels_of_ticks_do_not_touch() -> None:
    assert thin_ticks([1, 10, 100], logarithmic=True, label_share=0.5) == [1, 10, 100]
    assert thin_ticks([1, 90, 95, 100], logarithmic=True, label_share=0.4) == [1, 100]
    assert thin_ticks([0.25, 0.5, 0.55, 1.0], logarithmic=False, label_share=0.2) == [0.25, 0.55, 1.0]
    assert thin_ticks([7], logarithmic=True, label_share=0.2) == [7]


def test_a_logarithmic_axis_has_plain_numbers() -> None:
    with style():
        figure, axes = new_figure()
        axes.plot([700, 12000], [5, 6])
        make_logarithmic(axes.xaxis)
        figure.draw_without_rendering()
    assert [text.get_text() for text in axes.get_xticklabels()] == ["1,000", "3,000", "10,000"]
