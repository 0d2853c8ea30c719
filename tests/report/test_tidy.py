import csv
import json
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from slbench.differing import flat
from slbench.record import RunRecord
from slbench.report.tidy import read_runs, tidy, varying
from tests.support import TINY, make_record, runs


def read_back(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.read_csv(StringIO(frame.to_csv(index=False)))


def records(grid: dict[str, Any], **content: Any) -> list[RunRecord]:
    return [make_record(run) for run in runs(grid, **content)]


@pytest.mark.parametrize("protocol", ["holdout", "full", "paper"])
def test_pandas_reads_the_csv_back_with_the_same_types_and_values(protocol: str) -> None:
    frame = tidy(records({"method": ["none", "spt", "lsa"], "seed": [0, 1]}, protocol=protocol))
    assert_frame_equal(read_back(frame), frame.reset_index(drop=True), check_exact=True)


def test_compilation_reads_back_as_true_and_false_where_other_runs_say_auto(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    made = runs({"method": ["none"], "compile": ["auto", True, False]})
    outcomes = [make_record(run, compiled=run.spec.recipe.compile is True) for run in made]
    tidy(outcomes).to_csv(path, index=False)
    assert list(read_runs(path)["recipe_compile"]) == ["auto", True, False]


def test_numbers_survive_to_the_last_bit() -> None:
    (run,) = runs({"recipe.lr": [0.1 + 0.2]})
    frame = tidy([make_record(run, final_test_top1=100 / 3, seconds=1e-9 / 7)])
    (line,) = csv.DictReader(StringIO(frame.to_csv(index=False)))
    found = [float(line[name]) for name in ("recipe_lr", "final_test_top1", "seconds")]
    assert found == [0.1 + 0.2, 100 / 3, 1e-9 / 7]


def test_a_line_of_the_frame_has_these_names_values_and_types() -> None:
    frame = tidy(records({"method": ["both"], "seed": [3]}))
    line = frame.iloc[0]
    (run,) = runs({"method": ["both"], "seed": [3]})
    assert list(frame.index) == [run.spec.run_id]
    assert line["run"] == run.spec.run_id
    assert line["cell"] == f"Tiny-both-fashion-mnist-12k-{run.spec.cell_id}"
    assert (line["backbone"], line["method"], line["dataset"]) == ("Tiny", "both", "fashion-mnist-12k")
    assert (line["seed"], line["protocol"]) == (3, "holdout")
    assert (line["recipe_lr"], line["recipe_epochs"], line["backbone_dim"]) == (0.003, 6, 8)
    assert (line["method_shift"], line["method_shift_ratio"], line["numerics_spt"]) == ("diagonal", 0.5, 1)
    assert (line["final_test_top1"], line["selected_test_top1"], line["best_test_top1"]) == (80.0, 81.0, 82.0)
    assert line["host_machine_id"] == "00machine00"
    assert json.loads(line["code_versions"])["torch"] == "2.9.1"
    kinds = {name: frame[name].dtype.kind for name in ("seed", "recipe_epochs", "recipe_lr", "method_mask_self")}
    assert kinds == {"seed": "i", "recipe_epochs": "i", "recipe_lr": "f", "method_mask_self": "b"}


def test_every_field_of_the_spec_and_of_the_record_is_a_column() -> None:
    (record,) = records({})
    columns = {str(column) for column in tidy([record])}
    fields = {name for name in RunRecord.model_fields if name not in ("run_id", "spec", "labels", "host", "code")}
    spec = record.spec.as_dict()
    heads = ("backbone", "method", "dataset", "recipe", "numerics")
    wanted = fields | {f"{head}_{field}" for head in heads for field in spec[head]} | {"schema", "seed", "protocol"}
    assert wanted <= columns
    assert not [column for column in columns if "." in column or " " in column]


@pytest.mark.parametrize("protocol", ["full", "paper"])
def test_without_a_selected_epoch_its_columns_are_nan(protocol: str) -> None:
    frame = tidy(records({"seed": [0, 1]}, protocol=protocol))
    for column in ("selected_test_top1", "selected_epoch", "final_val_top1"):
        assert frame[column].isna().all()
        assert frame[column].dtype == "float64"


def test_without_records_the_frame_is_empty() -> None:
    assert len(tidy([])) == 0


def test_nested_keys_are_joined_and_lists_are_json() -> None:
    assert flat({"a": {"b": {"c": 1}}, "d": (0.9, 0.999), "e": []}) == {"a_b_c": 1, "d": "[0.9, 0.999]", "e": "[]"}


def test_varying_columns_are_those_in_which_runs_of_the_same_name_differ() -> None:
    assert varying(tidy(records({"method": ["none", "both"], "seed": [0, 1]}))) == []
    assert varying(tidy(records({"recipe.lr": [0.1, 0.2], "seed": [0, 1]}))) == ["recipe_lr"]
    assert varying(tidy(records({"protocol": ["full", "holdout"]}))) == ["protocol"]


def test_a_field_omitted_from_ids_is_a_column_and_distinguishes_lines() -> None:
    made = [{**TINY, "qkv_bias": bias} for bias in (False, True)]
    frame = tidy(records({"backbone": made}))
    assert frame["backbone_qkv_bias"].tolist() == [False, True]
    assert frame["backbone_qkv_bias"].dtype == bool
    assert varying(frame) == ["backbone_qkv_bias"]


def test_a_column_with_one_value_and_nan_varies() -> None:
    row = {"name": "mine", "shift": "diagonal", "shift_pixels": 3}
    one, other = records({"method": ["spt", "mine"]}, method=[row])
    same_name = other.model_copy(update={"labels": one.labels})
    assert varying(tidy([one, same_name])) == ["method_shift_ratio", "method_shift_pixels"]
