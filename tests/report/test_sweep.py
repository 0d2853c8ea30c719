"""A figure of each setting that a study sweeps."""

from pathlib import Path

import pytest

from slbench.report.sweep import draw_sweeps, find_sweeps, words
from slbench.store import RunRecord
from tests.support import make_record, runs

TEMPERATURES = [0.25, 0.5, 1.0, 4.0]


def swept(axis: dict[str, object], **grid: object) -> list[RunRecord]:
    """Records of a study with an axis, each seed half a point better than the one before."""
    found = runs({"seed": [0, 1, 2], **axis, **grid})
    return [make_record(run, final_test_top1=70 + run.spec.seed / 2 + n % 4) for n, run in enumerate(found)]


def test_a_fixed_temperature_that_varies_alone_is_a_sweep_with_its_seeds_at_each_point() -> None:
    records = swept({"method.initial_temperature": TEMPERATURES})
    (column, (sweep,)) = next(iter(find_sweeps(records, accuracy="final").items()))
    assert column == "method_initial_temperature"
    assert list(sweep.points) == TEMPERATURES
    by_hand = {
        temperature: [
            record.final_test_top1 for record in records if record.spec.method.initial_temperature == temperature
        ]
        for temperature in TEMPERATURES
    }
    assert sweep.points == by_hand
    assert (sweep.title, sweep.dataset) == ("Tiny", "fashion-mnist-12k")
    assert (
        words([sweep], "final")
        == "test accuracy of the last epoch; n = 3 seeds a point; bars: 95 % intervals over the seeds"
    )


@pytest.mark.parametrize(
    "axes",
    [
        {},  # nothing varies but the seed
        {"method": ["none", "spt", "lsa"]},  # rows are no numbers
        {"method.initial_temperature": [0.5, 1.0], "recipe.lr": [0.001, 0.003]},  # two at once are no line
        {"recipe.flip": [True, False]},
    ],
)
def test_what_is_no_line_is_not_drawn(axes: dict[str, object]) -> None:
    assert find_sweeps(swept(axes), accuracy="final") == {}


def test_each_row_is_a_line_and_each_data_set_a_figure(tmp_path: Path) -> None:
    records = swept({"recipe.lr": [0.001, 0.002, 0.004]}, method=["none", "lsa"])
    (sweeps,) = find_sweeps(records, accuracy="final").values()
    assert [sweep.title for sweep in sweeps] == ["Tiny", "L-Tiny"]
    ((name, shown),) = draw_sweeps(records, tmp_path, accuracy="final")
    assert (name, shown[:18]) == ("sweep-recipe-lr", "fashion-mnist-12k:")
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{name}.pdf", f"{name}.png", f"{name}.svg"]
    svg = (tmp_path / f"{name}.svg").read_text()
    for text in ("learning rate", "final test top-1 (%)", "L-Tiny", "fashion-mnist-12k"):
        assert text in svg
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    draw_sweeps(records, tmp_path, accuracy="final")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_one_seed_has_no_bar_and_the_papers_temperature_is_marked(tmp_path: Path) -> None:
    records = [record for record in swept({"method.initial_temperature": TEMPERATURES}) if record.spec.seed == 0]
    ((name, shown),) = draw_sweeps(records, tmp_path, accuracy="final")
    assert shown.endswith("test accuracy of the last epoch; n = 1 seed a point")
    assert "the paper's" in (tmp_path / f"{name}.svg").read_text()
