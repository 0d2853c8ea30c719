"""Column with intervals of gains over seeds and test images."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from slbench.errors import InputError
from slbench.report.columns import ImagesColumn
from slbench.report.inputs import ReportInputs
from slbench.report.metrics import correct_by_seed
from slbench.report.table import Table, make_table
from slbench.report.write import report
from slbench.stats.images import image_interval
from slbench.table_spec import check_columns
from slbench.text import signed
from tests.support import make_record, missing, report_inputs, runs

IMAGES = 101


def inputs_with_outputs(folder: Path, *, seeds: int) -> ReportInputs:
    """Return the inputs of a report on none and spt, with stored predictions and their accuracies."""
    draw = np.random.default_rng(seeds)
    runs_ = runs({"method": ["none", "spt"], "seed": list(range(seeds))})
    easy, records, folders = draw.random(IMAGES) < 0.5, [], {}
    for run in runs_:
        correct = easy & (draw.random(IMAGES) < (0.7 if run.labels.method == "none" else 0.9))
        folders[run.spec.run_id] = folder / run.spec.run_id
        folders[run.spec.run_id].mkdir()
        outputs = {
            "logits": np.zeros((IMAGES, 2), "float16"),
            "labels": np.ones(IMAGES, "int64"),
            "predictions": correct.astype("int32"),
        }
        save_file(outputs, folders[run.spec.run_id] / "test_logits.safetensors")
        records.append(make_record(run, final_test_top1=100 * correct.mean()))
    return report_inputs(runs_, records, folders=folders)


def column_of(table: Table) -> ImagesColumn | None:
    return next((column for column in table.columns if isinstance(column, ImagesColumn)), None)


def test_the_column_has_the_interval_of_the_gain_over_seeds_and_images_at_its_level(tmp_path: Path) -> None:
    inputs = inputs_with_outputs(tmp_path, seeds=4)
    table = make_table(inputs, columns=["final", "gain", "gain_images"])
    column = column_of(table)
    assert column is not None
    plain, spt = table.rows
    cell = column.cell(spt)
    assert cell is not None and cell.gain is not None and cell.images is not None
    one, other = (
        correct_by_seed([r for r in inputs.records if r.labels.method == method], inputs.folders)
        for method in ("spt", "none")
    )
    expected = image_interval(one, other, level=cell.gain.level)
    assert expected is not None and cell.images == expected
    assert expected.estimate == pytest.approx(cell.gain.estimate)
    assert column.text(spt) == f"{signed(expected.low)} to {signed(expected.high)}"
    assert (column.text(plain), column.hint(plain)) == ("–", "")
    assert not missing(column.hint(spt), "4 seeds", "101 images", f"{expected.low:+.4f}")
    assert "test images" in " ".join(table.caption)


@pytest.mark.parametrize(("seeds", "shown"), [(9, False), (10, True)])
def test_the_column_is_a_default_from_ten_seeds_on(seeds: int, shown: bool, tmp_path: Path) -> None:
    inputs = inputs_with_outputs(tmp_path, seeds=seeds)
    table = make_table(inputs)
    assert (column_of(table) is not None) is shown
    report(inputs, formats=["csv", "md", "latex", "html"], out=tmp_path)
    frame = pd.read_csv(tmp_path / "table.csv")
    assert ("fashion-mnist-12k_final_test_top1_gain_images_low" in frame) is shown


def test_without_stored_outputs_the_column_is_left_out() -> None:
    inputs = report_inputs(runs({"method": ["none", "spt"], "seed": list(range(10))}))
    assert column_of(make_table(inputs)) is None


@pytest.mark.parametrize("before", [["best"], ["selected"], ["ece"]])
def test_the_column_is_refused_for_another_metric_than_final(before: Any) -> None:
    with pytest.raises(InputError) as error:
        check_columns([*before, "gain_images"], "--columns")
    assert not missing(str(error.value), "--columns", "gain_images", before[0], "final")
