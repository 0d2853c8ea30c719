"""A figure of each setting that a study sweeps."""

from pathlib import Path

import pytest

from slbench.plotting.style import style
from slbench.report.figures.inputs import FigureInputs
from slbench.report.figures.sweep import caption, draw, draw_sweeps, find_sweeps
from tests.report.helpers import bars, figure_inputs_of, inputs_of
from tests.support import missing, runs

TEMPERATURES = [0.25, 0.5, 1.0, 4.0]


def swept(axis: dict[str, object], **grid: object) -> FigureInputs:
    """A study with an axis, each seed half a point better than the one before."""
    found = runs({"seed": [0, 1, 2], **axis, **grid})
    place = {run.spec.run_id: number for number, run in enumerate(found)}
    return figure_inputs_of(inputs_of(found, lambda run: 70 + run.spec.seed / 2 + place[run.spec.run_id] % 4))


def test_a_varied_fixed_temperature_is_a_sweep_with_seeds_at_each_point() -> None:
    inputs = swept({"method.initial_temperature": TEMPERATURES})
    (column, (line,)) = next(iter(find_sweeps(inputs.experiments).items()))
    assert column == "method_initial_temperature"
    assert list(line.points) == TEMPERATURES
    by_hand = {
        temperature: {
            record.spec.seed: record.final_test_top1
            for record in inputs.report_inputs.records
            if record.spec.method.initial_temperature == temperature
        }
        for temperature in TEMPERATURES
    }
    assert {value: inputs.by_seed(experiment) for value, experiment in line.points.items()} == by_hand
    assert (line.title, line.dataset) == ("Tiny", "fashion-mnist-12k")
    assert not missing(caption([line], inputs), "fashion-mnist-12k", "n = 3", "standard deviation", "Processor")
    with style():
        figure = draw(column, [line], inputs)
    means = {value: sum(seeds.values()) / 3 for value, seeds in by_hand.items()}
    assert {x: y for x, y, *_ in bars(figure.axes[0])} == pytest.approx(means)


@pytest.mark.parametrize(
    "axes",
    [
        {},  # nothing varies but the seed
        {"method": ["none", "spt", "lsa"]},  # rows are no numbers
        {"method.initial_temperature": [0.5, 1.0], "recipe.lr": [0.001, 0.003]},  # two at once are no line
        {"recipe.flip": [True, False]},
        {"recipe.lr": [0.001, 0.002], "protocol": ["full", "paper"]},  # a line through both would mix them
    ],
)
def test_what_is_no_line_is_not_drawn(axes: dict[str, object]) -> None:
    assert find_sweeps(swept(axes).experiments) == {}


@pytest.mark.usefixtures("every_format")
def test_each_method_is_a_line_and_each_data_set_a_figure(tmp_path: Path) -> None:
    inputs = swept({"recipe.lr": [0.001, 0.002, 0.004]}, method=["none", "lsa"])
    (lines,) = find_sweeps(inputs.experiments).values()
    assert [line.title for line in lines] == ["Tiny", "L-Tiny"]
    ((name, caption),) = draw_sweeps(inputs, tmp_path)
    assert (name, caption[:18]) == ("sweep-recipe-lr", "fashion-mnist-12k:")
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{name}.pdf", f"{name}.png", f"{name}.svg"]
    svg = (tmp_path / f"{name}.svg").read_text()
    for text in ("learning rate", "final test top-1 (%)", "L-Tiny", "fashion-mnist-12k"):
        assert text in svg
    pdf = (tmp_path / f"{name}.pdf").read_bytes()
    assert b"/FontFile2" in pdf  # TrueType, embedded
    assert b"/Type3" not in pdf  # which publishers refuse
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    draw_sweeps(inputs, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.usefixtures("svg")
def test_one_seed_has_no_bar_and_the_papers_temperature_is_marked(tmp_path: Path) -> None:
    ((name, caption),) = draw_sweeps(swept({"method.initial_temperature": TEMPERATURES}, seed=[0]), tmp_path)
    assert not missing(caption, "n = 1", "Processor")
    assert ">paper's value<" in (tmp_path / f"{name}.svg").read_text()
