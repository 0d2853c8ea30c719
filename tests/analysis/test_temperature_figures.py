"""Learned temperatures as tables and figures."""

from pathlib import Path

import pandas as pd
import pytest

from slbench.analysis.learned_temperatures import (
    by_layer,
    collect_temperatures,
    line_titles,
    read_temperatures,
    with_run_columns,
)
from slbench.analysis.temperature_figures import draw_temperatures, unit_of
from slbench.errors import StoreError
from slbench.record import RunRecord
from slbench.train.temperatures import TemperatureLayer, as_csv, rows_of
from tests.support import make_record, missing, naming, runs
from tests.train.helpers import LAYERS, layer_of_three_heads


def write_temperatures(
    folder: Path, finals: list[list[float]], layers: tuple[TemperatureLayer, ...] = LAYERS, *, epochs: int = 3
) -> None:
    """Write a temperatures.csv with temperatures from sqrt(d_k) to `finals` in equal steps of the scale."""
    rows = []
    for epoch in range(epochs + 1):
        scales = [
            [one.initial + (1 / final - one.initial) * epoch / epochs for final in of_heads]
            for one, of_heads in zip(layers, finals, strict=True)
        ]
        rows += rows_of(layers, scales, epoch=epoch)
    folder.mkdir(parents=True)
    (folder / "temperatures.csv").write_bytes(as_csv(rows))


def stored(tmp_path: Path, finals: list[list[list[float]]], **how: object) -> tuple[list[RunRecord], dict[str, Path]]:
    """Return runs of method "lsa" with these final temperatures, one per seed."""
    records = [make_record(run) for run in runs({"method": ["lsa"], "seed": list(range(len(finals)))})]
    folders = {record.run_id: tmp_path / record.run_id for record in records}
    for record, final in zip(records, finals, strict=True):
        write_temperatures(folders[record.run_id], final, **how)  # type: ignore[arg-type]
    return records, folders


def test_means_are_over_heads_and_then_over_seeds(tmp_path: Path) -> None:
    records, folders = stored(tmp_path, [[[1, 2, 6], [4, 4, 4]], [[4, 5, 6], [8, 8, 8]]])
    frame, without, notes = collect_temperatures(records, folders)
    assert frame is not None and (without, notes) == ([], [])
    first, second = by_layer(frame).to_dict("records")
    assert (first["mean"], first["min"], first["max"]) == pytest.approx((4, 1, 6))
    assert first["std"] == pytest.approx(2**0.5)
    assert (first["initial"], first["multiple"], first["epoch"]) == pytest.approx((4, 1, 3))
    assert (first["seeds"], first["heads"], first["not_positive"]) == (2, 3, 0)
    assert (second["layer"], second["mean"]) == ("block 2", pytest.approx(6))


@pytest.mark.usefixtures("svg")
def test_a_negative_scale_is_counted_and_excluded_from_means(tmp_path: Path) -> None:
    records, folders = stored(tmp_path, [[[2, 4, -5], [-1, -1, -1]]])
    frame, _, _ = collect_temperatures(records, folders)
    assert frame is not None
    first, second = by_layer(frame).to_dict("records")
    assert (first["mean"], first["min"], first["max"]) == pytest.approx((3, 2, 4))
    assert first["not_positive"] == 1
    assert second["not_positive"] == 3
    assert pd.isna(second["mean"])
    drawn = draw_temperatures(records, folders, tmp_path / "out")
    assert not missing(drawn[0][1], "4 of 6")
    assert "scale &lt;= 0" in (tmp_path / "out" / "temperature-depth.svg").read_text()


@pytest.mark.usefixtures("svg")
def test_both_figures_are_reproducible_and_name_seeds_and_device(tmp_path: Path) -> None:
    records, folders = stored(tmp_path, [[[1, 2, 6], [4, 4, 4]], [[4, 5, 6], [8, 8, 8]]])
    drawn = draw_temperatures(records, folders, tmp_path / "one")
    assert draw_temperatures(records, folders, tmp_path / "two") == drawn
    assert [name for name, _ in drawn] == ["temperature-depth", "temperature-training"]
    for name, words in drawn:
        assert "n = 2 seeds" in words and not missing(words, "0", "1", "Processor", "fp32")
        one, two = (tmp_path / run / f"{name}.svg" for run in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()
    assert not missing(drawn[0][1], "last epoch", "3") and not missing(drawn[0][1], "dashed", "sqrt(d_k) = 4")


@pytest.mark.usefixtures("svg")
def test_layers_with_different_d_k_are_drawn_in_multiples_of_it(tmp_path: Path) -> None:
    layers = (layer_of_three_heads(1, name="soft split", sqrt_dk=5.0), layer_of_three_heads(2))
    records, folders = stored(tmp_path, [[[5, 5, 5], [2, 2, 2]]], layers=layers)
    frame, _, _ = collect_temperatures(records, folders)
    assert frame is not None
    assert unit_of(frame)[:2] == ("multiple", 1.0)
    depth, training = draw_temperatures(records, folders, tmp_path / "out")
    assert not missing(depth[1], "sqrt(d_k)")
    assert not missing(training[1], "dotted")
    assert ">soft splits<" in (tmp_path / "out" / "temperature-depth.svg").read_text()


def test_methods_without_a_learned_temperature_have_no_figure(tmp_path: Path) -> None:
    (run,) = runs()
    record = make_record(run)
    assert draw_temperatures([record], {record.run_id: tmp_path}, tmp_path / "out") == []
    assert not (tmp_path / "out").exists()


def test_a_run_with_a_missing_or_damaged_file_is_omitted_with_a_note(tmp_path: Path) -> None:
    records, folders = stored(tmp_path, [[[4, 4, 4]] * 2] * 3)
    (folders[records[0].run_id] / "temperatures.csv").unlink()
    (folders[records[1].run_id] / "temperatures.csv").write_text("epoch,layer\n1,block 1\n")
    with pytest.raises(StoreError, match=naming("temperatures.csv")):
        read_temperatures(folders[records[1].run_id])
    drawn = draw_temperatures(records, folders, tmp_path / "out")
    assert not missing(drawn[0][1], "1 run", "temperatures.csv")
    assert "n = 1 seed;" in drawn[0][1]
    assert "damaged" in drawn[0][1]


@pytest.mark.parametrize("content", ["", "garbage", "epoch,layer,depth,head,scale,temperature,sqrt_dk,multiple\n1,a\n"])
def test_an_invalid_file_is_refused_in_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "temperatures.csv").write_text(content)
    with pytest.raises(StoreError, match=naming("temperatures.csv")) as caught:
        read_temperatures(tmp_path)
    assert "\n" not in str(caught.value)


def test_runs_of_different_cells_are_different_lines() -> None:
    found = runs({"method": ["lsa"], "seed": [0, 1], "recipe.lr": [0.125, 0.5]})
    titles = line_titles([make_record(run) for run in found])
    assert sorted(set(titles.values())) == [
        "L-Tiny, fashion-mnist-12k (recipe_lr 0.125)",
        "L-Tiny, fashion-mnist-12k (recipe_lr 0.5)",
    ]
    assert len(titles) == 4
    alone = line_titles([make_record(run) for run in runs({"method": ["lsa"], "seed": [0, 1]})])
    assert set(alone.values()) == {"L-Tiny, fashion-mnist-12k"}


def test_a_frame_has_the_labels_of_its_run(tmp_path: Path) -> None:
    (record,), folders = stored(tmp_path, [[[4, 4, 4]] * 2])
    frame = read_temperatures(folders[record.run_id])
    assert frame is not None
    named = with_run_columns(record, frame, "line")
    assert list(named)[:6] == ["run", "backbone", "method", "dataset", "line", "seed"]
    assert named["run"].iloc[0] == record.run_id
