"""The 2x2 of SPT and LSA, drawn."""

from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from slbench.plotting.style import style
from slbench.report.figures.inputs import Context, FigureInputs
from slbench.report.figures.interaction import draw, draw_effects, over_these, two_by_twos
from slbench.report.inputs import ReportInputs
from slbench.study import StudyRun
from tests.report.helpers import bars, figure_inputs_of, inputs_of, points_of
from tests.support import TINY, missing, runs

SECOND = {**TINY, "label": "Second", "dim": 11}
ACCURACIES = {
    "none": 70.0,
    "spt": 72.0,
    "lsa": 71.0,
    "both": 77.0,
}  # SPT gives 4, LSA 3, and together 4 more than apart


def accuracy(run: StudyRun) -> float:
    """Seed 1 two points above seed 0 in every row, and in the rows with SPT two more; so SPT gives 3 and 5."""
    more = run.labels.method in ("spt", "both")
    return ACCURACIES[run.labels.method] + (2 * run.spec.seed - 1) * (1 + more)


def report(**grid: object) -> ReportInputs:
    return inputs_of(runs({"backbone": [TINY, SECOND], "method": list(ACCURACIES), "seed": [0, 1], **grid}), accuracy)


def drawn(inputs: FigureInputs) -> Figure:
    assert inputs.verdicts is not None
    effects = [each for each in inputs.verdicts.results if each.answer.contrast.effect]
    context = Context(dataset="fashion-mnist-12k", settings={}, experiments=())
    with style():
        return draw(context, two_by_twos(effects, inputs), over_these(effects), inputs)


def test_each_backbone_has_two_lines_through_its_four_methods() -> None:
    figure = drawn(figure_inputs_of(report()))
    above, below = figure.subfigs
    assert [axes.get_title() for axes in above.axes] == ["Tiny", "Second"]
    for axes in above.axes:
        lines = {line.get_label(): (line.get_linestyle(), points_of(line)[1]) for line in axes.lines}
        assert lines["without LSA"] == ("-", [70.0, 72.0])
        assert lines["with LSA"] == ("--", [71.0, 77.0])
        points = bars(axes)
        assert [round(x) for x, *_ in points] == [0, 1, 0, 1]
        assert [y for _, y, *_ in points] == [70.0, 72.0, 71.0, 77.0]
        spreads = [2**0.5, 2 * 2**0.5] * 2  # of two seeds one, and two, points from the mean
        assert [(high - low) / 2 for _, _, low, high in points] == pytest.approx(spreads)
    assert [axes.get_title() for axes in below.axes] == ["main effect of SPT", "main effect of LSA", "interaction"]


def test_the_forest_shows_the_effects_and_intervals_of_the_findings_and_their_mean_last() -> None:
    inputs = figure_inputs_of(report())
    _, below = drawn(inputs).subfigs
    assert inputs.verdicts is not None
    for axes, effect in zip(below.axes, ("spt", "lsa", "interaction"), strict=True):
        found = [each for each in inputs.verdicts.results if each.answer.contrast.effect == effect]
        assert [each.answer.backbone for each in found] == ["Tiny", "Second", "2 backbones"]
        points = [(float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line, *_ in axes.containers]
        assert points == [(each.estimate, place) for place, each in enumerate(found)]
        if effect == "spt":  # the other effects are the same in both seeds
            ends = [collection.get_segments()[0][:, 0].tolist() for _, _, (collection,) in axes.containers]
            low, high = axes.get_xlim()
            assert ends == [pytest.approx([max(each.low, low), min(each.high, high)]) for each in found]
            clipped = [line.get_marker() for line in axes.lines if line.get_gid() == "beyond"]
            assert len(clipped) == sum(each.low < low for each in found) + sum(each.high > high for each in found) > 0
        assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the first line is above
    assert [label.get_text() for label in below.axes[0].get_yticklabels()] == ["Tiny", "Second", "mean of these"]


def test_each_variant_of_the_methods_has_its_own_figure(tmp_path: Path) -> None:
    runs_ = runs({"method": list(ACCURACIES), "seed": [0, 1], "method.initial_temperature": [0.5, 1.0]})
    names = [name for name, _ in draw_effects(figure_inputs_of(inputs_of(runs_, accuracy)), tmp_path)]
    assert names == ["effects-initial_temperature-0.5", "effects-initial_temperature-1.0"]


def test_means_and_effects_use_the_seeds_common_to_all_four_methods(tmp_path: Path) -> None:
    inputs = report(backbone=[TINY])
    gone = next(r for r in inputs.records if (r.labels.method, r.spec.seed) == ("both", 1))
    kept = tuple(record for record in inputs.records if record is not gone)
    incomplete = figure_inputs_of(replace(inputs, records=kept))
    above, _ = drawn(incomplete).subfigs
    assert [bar[1] for bar in bars(above.axes[0])] == [69.0, 70.0, 70.0, 75.0]  # of seed 0
    ((_, caption),) = draw_effects(incomplete, tmp_path)
    assert not missing(caption, "n = 1 seed")
    assert "bars" not in caption


def test_a_single_backbone_has_no_mean() -> None:
    _, below = drawn(figure_inputs_of(report(backbone=[TINY]))).subfigs
    assert [label.get_text() for label in below.axes[0].get_yticklabels()] == ["Tiny"]


def test_without_one_of_the_four_methods_there_is_no_figure(tmp_path: Path) -> None:
    assert draw_effects(figure_inputs_of(report(method=["none", "spt", "both"])), tmp_path) == []


def test_the_caption_explains_n_and_the_bars(tmp_path: Path) -> None:
    ((name, caption),) = draw_effects(figure_inputs_of(report()), tmp_path)
    assert name == "effects"
    assert not missing(
        caption, "fashion-mnist-12k", "SPT", "LSA", "n = 2", "standard deviation", "simultaneous", "Processor"
    )
