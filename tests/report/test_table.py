from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file
from scipy.stats import t

from slbench.errors import StoreError
from slbench.measurement_records import Throughput
from slbench.record import Failure, RunRecord
from slbench.report.cells import Cell
from slbench.report.columns import CostColumn, GainColumn, MetricColumn
from slbench.report.figures.inputs import figure_inputs
from slbench.report.table import Table, make_table
from slbench.report.write import report
from slbench.study import StudyRun
from slbench.table_spec import COSTS, DEFAULT_TABLE, METRICS, Cost, Metric, TableSpec
from tests.support import TINY, make_diverged, make_record, make_speed, missing, report_inputs, runs

METHODS = ["none", "spt", "lsa", "both"]


def table(
    runs_: tuple[StudyRun, ...],
    records: list[RunRecord],
    *,
    speeds: dict[str, Throughput] | None = None,
    table_spec: TableSpec = DEFAULT_TABLE,
    unread: tuple[str, ...] = (),
    failures: dict[str, Failure] | None = None,
    **options: Any,
) -> Table:
    inputs = report_inputs(
        runs_, records, speeds=speeds or {}, table_spec=table_spec, unread=unread, failures=failures or {}
    )
    return make_table(inputs, **options)


def with_top1(runs_: tuple[StudyRun, ...], *values: float) -> list[RunRecord]:
    """Return records of the first runs with these final accuracies."""
    return [make_record(run, final_test_top1=value) for run, value in zip(runs_, values, strict=False)]


def cells(table_: Table) -> list[Cell | None]:
    """Return the cells of the first metric, row by row."""
    column = next(column for column in table_.columns if isinstance(column, MetricColumn))
    return [row.cells.get((column.dataset, column.name)) for row in table_.rows]


def numbers(table_: Table) -> list[tuple[float, float | None, int, int] | None]:
    """Return mean, standard deviation, n and N of the cells."""
    return [None if cell is None else (cell.mean, cell.std, cell.n, cell.expected) for cell in cells(table_)]


def metrics(table_: Table) -> list[tuple[str, str]]:
    return [(column.dataset, column.name) for column in table_.columns if isinstance(column, MetricColumn)]


def lines(table_: Table) -> list[str]:
    return [note.line for note in table_.notes]


def test_mean_and_sample_deviation_are_those_by_hand() -> None:
    runs_ = runs({"seed": [0, 1, 2]})
    (cell,) = cells(table(runs_, with_top1(runs_, 80.0, 82.0, 87.0)))
    assert cell is not None
    assert cell.mean == 83.0
    assert cell.std == pytest.approx(13**0.5)  # (9 + 1 + 16) / 2
    assert (cell.n, cell.expected) == (3, 3)


def test_one_seed_has_no_deviation() -> None:
    runs_ = runs()
    assert numbers(table(runs_, with_top1(runs_, 80.0))) == [(80.0, None, 1, 1)]


def test_lines_have_the_papers_names_and_the_order_of_the_study() -> None:
    runs_ = runs({"backbone": [{**TINY, "label": "ViT"}], "method": ["both", "window-2p", "none", "spt", "lsa"]})
    names = [row.title for row in table(runs_, with_top1(runs_, 1, 2, 3, 4, 5)).rows]
    assert names == ["SL-ViT", "ViT, window-2p", "ViT", "S-ViT", "L-ViT"]


def test_the_order_of_the_records_does_not_matter() -> None:
    runs_ = runs({"method": METHODS, "seed": [0, 1]})
    records = with_top1(runs_, *range(8))
    assert table(runs_, records).rows == table(runs_, records[::-1]).rows


def test_the_highest_mean_is_the_best() -> None:
    runs_ = runs({"method": METHODS})
    table_ = cells(table(runs_, with_top1(runs_, 80.0, 83.0, 82.0, 81.0)))
    assert [cell.best for cell in table_ if cell] == [False, True, False, False]


def test_equal_means_are_all_the_best() -> None:
    runs_ = runs({"method": ["none", "spt", "lsa"]})
    table_ = cells(table(runs_, with_top1(runs_, 83.0, 80.0, 83.0)))
    assert [cell.best for cell in table_ if cell] == [True, False, True]


def test_a_single_method_is_not_marked_as_best() -> None:
    runs_ = runs()
    assert [cell.best for cell in cells(table(runs_, with_top1(runs_, 80.0))) if cell] == [False]


def test_an_unfinished_grid_shows_n_of_n_and_missing_runs_and_marks_no_best() -> None:
    runs_ = runs({"method": ["none", "spt"], "seed": [0, 1]})
    table_ = table(runs_, with_top1(runs_, 80.0, 82.0, 90.0))
    assert numbers(table_) == [(81.0, 2**0.5, 2, 2), (90.0, None, 1, 2)]
    unfinished, lacking = lines(table_)
    assert not missing(unfinished, "Unfinished: 1 of 4 runs", "(n of N)")
    assert not missing(lacking, "S-Tiny on fashion-mnist-12k", "seed 1")


def test_a_method_without_runs_has_a_footnote() -> None:
    runs_ = runs({"method": ["none", "spt"], "seed": [0, 1]})
    table_ = table(runs_, with_top1(runs_, 80.0, 82.0))
    assert [row.method for row in table_.rows] == ["none"]
    assert not missing(lines(table_)[1], "S-Tiny on fashion-mnist-12k", "0, 1")


def test_a_finished_grid_has_no_note() -> None:
    runs_ = runs({"method": METHODS})
    assert table(runs_, with_top1(runs_, 1, 2, 3, 4)).notes == ()


def test_methods_with_different_numbers_of_seeds_are_not_ranked() -> None:
    runs_ = tuple(run for run in runs({"method": ["none", "spt"], "seed": [0, 1]}))[:3]
    table_ = cells(table(runs_, with_top1(runs_, 80.0, 82.0, 90.0)))
    assert [(cell.n, cell.expected, cell.best) for cell in table_ if cell] == [(2, 2, False), (1, 1, False)]


def test_experiments_with_the_same_name_have_separate_lines_and_a_distinguishing_column() -> None:
    runs_ = runs({"recipe.lr": [0.001, 0.002], "seed": [0, 1]})
    table_ = table(runs_, with_top1(runs_, 70.0, 72.0, 80.0, 84.0))
    assert table_.settings == ("recipe_lr",)
    assert [row.settings for row in table_.rows] == [("0.001",), ("0.002",)]
    assert [cell.mean for cell in cells(table_) if cell] == [71.0, 82.0]


def test_backbones_with_the_same_label_have_separate_lines() -> None:
    runs_ = runs({"backbone": [TINY, {**TINY, "dim": 16}]})
    table_ = table(runs_, with_top1(runs_, 70.0, 80.0))
    assert table_.settings == ("backbone_dim",)
    assert [row.settings for row in table_.rows] == [("8",), ("16",)]


def test_each_protocol_has_its_own_line() -> None:
    runs_ = runs({"protocol": ["holdout", "full"]})
    table_ = table(runs_, with_top1(runs_, 70.0, 80.0))
    assert [row.settings for row in table_.rows] == [("holdout",), ("full",)]


@pytest.mark.parametrize(("name", "value"), [("final", 80.0), ("selected", 81.0), ("best", 82.0)])
def test_the_requested_accuracy_is_shown_and_named(name: str, value: float) -> None:
    runs_ = runs()
    table_ = table(runs_, [make_record(runs_[0])], columns=[name])
    assert metrics(table_) == [("fashion-mnist-12k", name)]
    assert numbers(table_) == [(value, None, 1, 1)]
    words = {
        "final": "final: test accuracy of the last epoch;",
        "selected": "selected: test accuracy of the epoch with the best validation accuracy;",
        "best": "best: best test accuracy of all epochs (chosen on the test images, as in the paper);",
    }
    assert words[name] in " ".join(table_.caption)


def test_the_default_is_the_final_accuracy_and_under_protocol_paper_also_the_best() -> None:
    names = {}
    for protocol in ("holdout", "full", "paper"):
        runs_ = runs(protocol=protocol)
        names[protocol] = [name for _, name in metrics(table(runs_, [make_record(runs_[0])]))]
    assert names == {"holdout": ["final"], "full": ["final"], "paper": ["final", "best"]}


def test_where_nothing_was_selected_the_cell_is_empty() -> None:
    runs_ = runs(protocol="full")
    assert cells(table(runs_, [make_record(runs_[0])], columns=["selected"])) == [None]


def test_costs_appear_once_per_line() -> None:
    runs_ = runs({"seed": [0, 1]})
    (row,) = table(runs_, [make_record(run, macs=1_500_000, params=7) for run in runs_]).rows
    assert row.costs == {"images_per_second": (), "macs": (1_500_000,), "params": (7,)}


def test_speeds_are_those_measured_alone_and_never_those_of_training() -> None:
    runs_ = runs({"method": ["none", "spt"]})
    records = [make_record(run, train_images_per_second=1.0) for run in runs_]
    speeds = {runs_[0].spec.run_id: make_speed(median=4321.5)}
    table_ = table(runs_, records, speeds=speeds)
    assert [row.costs["images_per_second"] for row in table_.rows] == [(4321.5,), ()]
    assert not missing(" ".join(table_.caption), "Images/s", "batch 128")
    assert "Images/s" not in " ".join(table(runs_, records).caption)
    elsewhere = {runs_[0].spec.run_id: make_speed(threads=2)}
    assert "batch 128, fp32, 2 threads, Processor" in " ".join(table(runs_, records, speeds=elsewhere).caption)


def test_a_speed_measured_beside_other_processes_is_marked() -> None:
    runs_ = runs({"method": ["none", "spt"]})
    records = [make_record(run) for run in runs_]
    ids = [run.spec.run_id for run in runs_]
    speeds = {ids[0]: make_speed(other_load=1.44, cores=2), ids[1]: make_speed(other_load=0.1, cores=2)}
    table_ = table(runs_, records, speeds=speeds)
    (note,) = [note for note in table_.notes if note.mark]
    assert not missing(note.text, "Images/s", "1.4 of 2 cores", "--measure")
    assert [row.marks for row in table_.rows] == [(note.mark,), ()]
    many_cores = {ids[0]: make_speed(other_load=1.44, cores=64)}  # leaves the measurement its core
    assert not table(runs_, records, speeds=many_cores).notes
    assert not table(runs_, records, speeds=speeds, columns=["final"]).notes


def test_the_caption_says_what_spt_costs_in_speed_by_kind_of_image() -> None:
    runs_ = runs({"method": ["none", "spt"], "dataset": ["fashion-mnist-12k", "cifar10"]})
    records = [make_record(run) for run in runs_]
    medians = {("none", 1): 1000.0, ("spt", 1): 930.0, ("none", 3): 900.0, ("spt", 3): 300.0}
    speeds = {
        run.spec.run_id: make_speed(median=medians[run.labels.method, run.spec.dataset.in_channels]) for run in runs_
    }
    caption = " ".join(table(runs_, records, speeds=speeds).caption)
    assert "SPT changes images/s by −7 % on gray images of 32 px; −67 % on RGB images of 32 px." in caption
    runs_ = runs({"method": ["none", "both"], "dataset": ["cifar10"]})
    records = [make_record(run) for run in runs_]
    speeds = {run.spec.run_id: make_speed(median=medians[shift_of(run), 3]) for run in runs_}
    assert (
        "SPT with LSA changes images/s by −67 % on RGB images of 32 px." in table(runs_, records, speeds=speeds).caption
    )


def shift_of(run: StudyRun) -> str:
    return "none" if run.labels.method == "none" else "spt"


def test_the_caption_has_data_protocol_length_seeds_device_and_code() -> None:
    runs_ = runs({"seed": [0, 2]}, set={"recipe.epochs": 3})
    words = " ".join(table(runs_, [make_record(run) for run in runs_]).caption)
    assert not missing(words, "Title.", "fashion-mnist-12k", "3 epochs = 420 steps = 26,880 images")
    assert not missing(words, "mean ± SD (n)", "seeds 0, 2")
    assert not missing(words, "Processor (cpu, 1 thread, fp32)", "slbench 0.1.0", "torch 2.9.1", "commit c0ffee000")


def test_the_caption_says_which_methods_a_title_names_by_a_letter() -> None:
    runs_ = runs({"method": ["none", "spt", "lsa", "both", "temperature-only", "mask-only", "spt-no-pool"]})
    caption = table(runs_, [make_record(run) for run in runs_]).caption
    assert "T-: temperature-only; M-: mask-only." in caption
    assert not any("-: " in sentence for sentence in table(runs_[:4], [make_record(run) for run in runs_[:4]]).caption)


def test_a_dirty_commit_is_called_so() -> None:
    runs_ = runs()
    record = make_record(runs_[0])
    dirty = record.model_copy(update={"code": record.code.model_copy(update={"dirty": True})})
    assert not missing(" ".join(table(runs_, [dirty]).caption), "commit c0ffee000", "uncommitted")


def test_other_devices_and_precisions_are_all_named() -> None:
    runs_ = runs({"seed": [0, 1]})
    records = [make_record(runs_[0]), make_record(runs_[1], device="cuda:0", device_name="H100", precision="bf16")]
    words = " ".join(table(runs_, records).caption)
    assert not missing(words, "Processor (cpu, 1 thread, fp32)", "H100 (cuda:0, 1 thread, bf16)")


def test_settings_that_differ_in_late_digits_have_separate_lines() -> None:
    runs_ = runs({"recipe.lr": [0.001000001, 0.001000002]})
    shown = table(runs_, with_top1(runs_, 80.0, 90.0))
    assert shown.settings == ("recipe_lr",)
    assert [row.settings for row in shown.rows] == [("0.001000001",), ("0.001000002",)]


def test_differently_trained_lines_have_a_footnote() -> None:
    short, long = runs(set={"recipe.epochs": 1}), runs({"method": ["lsa"]}, set={"recipe.epochs": 100})
    shown = table(short + long, with_top1(short + long, 80.0, 90.0))
    assert shown.settings == ("recipe_epochs",)
    assert [row.settings for row in shown.rows] == [("1",), ("100",)]


def test_protocol_paper_shows_the_best_and_the_last_epoch() -> None:
    runs_ = runs(protocol="paper")
    shown = table(runs_, [make_record(runs_[0], final_test_top1=80.0, best_test_top1=83.0)])
    assert metrics(shown) == [("fashion-mnist-12k", "final"), ("fashion-mnist-12k", "best")]
    assert [cell.mean for cell in shown.rows[0].cells.values()] == [80.0, 83.0]
    assert any(not missing(sentence, "test images") for sentence in shown.caption)


def test_runs_on_different_images_under_one_name_are_not_averaged() -> None:
    runs_ = runs({"seed": [0, 1]})
    first, second = with_top1(runs_, 80.0, 82.0)
    other = second.model_copy(update={"data_sha256": "b" * 64})
    with pytest.raises(StoreError) as refused:
        table(runs_, [first, other])
    assert not missing(
        str(refused.value), first.run_id, second.run_id, "fashion-mnist-12k", "data_sha256", "da7a00000000"
    )


def test_two_data_sets_with_the_same_name_have_separate_lines() -> None:
    (run,) = runs()
    other_data = replace(run.spec.dataset, content="arrays sha256:" + "b" * 64)
    other = replace(run, spec=replace(run.spec, dataset=other_data))
    table_ = table((run, other), [make_record(run), make_record(other, data_sha256="b" * 64)])
    assert table_.settings == ("dataset_content",)
    assert [cell.n for cell in cells(table_) if cell is not None] == [1, 1]


@pytest.mark.parametrize(("columns", "is_shown"), [(("final", "selected"), True), (("final",), False)])
def test_the_caption_has_the_noise_of_the_validation_split_if_epochs_were_selected(
    columns: tuple[str, ...], is_shown: bool
) -> None:
    runs_ = runs()
    sentence = "Validation: 1,000 images; standard error of an accuracy of 80 %: ±1.3 points."
    assert (sentence in make_table(report_inputs(runs_, with_top1(runs_, 80.0)), columns=columns).caption) is is_shown


@pytest.mark.parametrize(("protocol", "is_shown"), [("holdout", False), ("full", True)])
def test_the_caption_names_a_protocol_that_is_not_the_default(protocol: str, is_shown: bool) -> None:
    runs_ = runs(protocol=protocol)
    assert (f"protocol {protocol}" in " ".join(table(runs_, with_top1(runs_, 80.0)).caption)) is is_shown


def test_the_gain_is_the_paired_difference_to_the_plain_backbone() -> None:
    runs_ = runs({"method": METHODS, "seed": [0, 1]})
    table_ = table(runs_, with_top1(runs_, 80.0, 82.0, 81.0, 84.0, 80.0, 82.0, 79.0, 80.0))
    gains = [None if cell is None or cell.gain is None else cell.gain for cell in cells(table_)]
    assert gains[0] is None
    assert [(gain.estimate, gain.n) for gain in gains[1:] if gain] == [(1.5, 2), (0.0, 2), (-1.5, 2)]
    assert gains[1] is not None
    assert (gains[1].high - gains[1].low) / 2 == pytest.approx(t.ppf(0.5 + 0.95 ** (1 / 3) / 2, 1) * 0.5)
    assert [type(column) for column in table_.columns] == [CostColumn] * 3 + [MetricColumn, GainColumn]


def test_a_gain_uses_the_seeds_common_to_both_methods() -> None:
    runs_ = runs({"method": ["none", "lsa"], "seed": [0, 1, 2]})
    records = with_top1(runs_, 80.0, 81.0, 82.0, 85.0, 85.0)
    (_, cell) = cells(table(runs_, records))
    assert cell is not None and cell.gain is not None
    assert (cell.gain.n, cell.gain.estimate) == (2, 4.5)


def test_a_gain_is_over_the_plain_backbone_with_the_same_training() -> None:
    runs_ = runs({"method": ["none", "lsa"], "recipe.lr": [0.001, 0.002]})
    by_row = {(run.labels.method, run.spec.recipe.lr): run for run in runs_}
    values = {("none", 0.001): 70.0, ("none", 0.002): 80.0, ("lsa", 0.001): 71.0, ("lsa", 0.002): 83.0}
    records = [make_record(by_row[key], final_test_top1=value) for key, value in values.items()]
    table_ = table(runs_, records)
    gains = {
        (row.method, row.settings): cell.gain for row, cell in zip(table_.rows, cells(table_), strict=True) if cell
    }
    assert gains["lsa", ("0.001",)].estimate == 1.0  # type: ignore[union-attr]
    assert gains["lsa", ("0.002",)].estimate == 3.0  # type: ignore[union-attr]


def test_each_value_of_a_swept_field_is_compared_with_the_one_reference() -> None:
    runs_ = runs({"method": ["none"]}) + runs({"method": ["lsa"], "method.initial_temperature": [0.5, 2.0]})
    table_ = table(runs_, with_top1(runs_, 80.0, 81.0, 82.0))
    assert table_.settings == ("method_initial_temperature",)
    assert [cell.gain.estimate for cell in cells(table_) if cell and cell.gain] == [1.0, 2.0]


def test_without_a_reference_there_is_no_column_of_gains() -> None:
    runs_ = runs({"method": ["spt", "lsa"]})
    assert GainColumn not in {type(column) for column in table(runs_, with_top1(runs_, 80.0, 81.0)).columns}


def test_columns_have_the_requested_order_grouped_by_data_set() -> None:
    runs_ = runs({"method": ["none", "lsa"], "dataset.fraction": [1.0]})
    table_ = table(runs_, with_top1(runs_, 80.0, 81.0), columns=["nll", "final", "gain", "params", "top5"])
    assert [(type(column), column.name) for column in table_.columns] == [
        (MetricColumn, "nll"), (MetricColumn, "final"), (GainColumn, "final"), (CostColumn, "params"),
        (MetricColumn, "top5"),
    ]  # fmt: skip


def test_the_lowest_loss_is_the_best() -> None:
    runs_ = runs({"method": ["none", "lsa"]})
    records = [make_record(run, final_test_loss=value) for run, value in zip(runs_, (0.7, 0.5), strict=True)]
    assert [cell.best for cell in cells(table(runs_, records, columns=["nll"])) if cell] == [False, True]


def test_a_table_spec_selects_and_orders_lines_and_columns() -> None:
    runs_ = runs({"backbone": [TINY, {**TINY, "label": "Other", "dim": 16}], "method": METHODS})
    table_spec = TableSpec(backbone=("Other", "Tiny"), method=("both", "none"), columns=("macs", "final"))
    table_ = table(runs_, with_top1(runs_, *range(8)), table_spec=table_spec)
    assert [(row.backbone, row.method) for row in table_.rows] == [
        ("Other", "both"), ("Other", "none"), ("Tiny", "both"), ("Tiny", "none"),
    ]  # fmt: skip
    assert [column.name for column in table_.columns] == ["macs", "final"]


def test_a_table_spec_of_lines_alone_groups_them_by_backbone() -> None:
    runs_ = runs({"backbone": [TINY, {**TINY, "label": "Other", "dim": 16}], "method": ["none", "both"]})
    table_ = table(runs_, with_top1(runs_, *range(4)), table_spec=TableSpec(method=("both", "none")))
    assert [row.title for row in table_.rows] == ["SL-Tiny", "Tiny", "SL-Other", "Other"]


def test_runs_of_another_commit_or_device_are_marked_and_noted() -> None:
    runs_ = runs({"method": ["none", "lsa"], "seed": [0, 1]})
    records = with_top1(runs_, 80.0, 81.0, 82.0, 83.0)
    other = records[3].code.model_copy(update={"commit": "beef" + "0" * 36})
    records[3] = records[3].model_copy(update={"code": other, "threads": 2})
    table_ = table(runs_, records)
    commits, devices = lines(table_)
    assert commits.startswith("a: ") and devices.startswith("b: ")
    assert not missing(commits, "1 run", "beef00000", "3 of the 4", "c0ffee000")
    assert not missing(devices, "1 run", "cpu, 2 threads, fp32", "3 of the 4", "cpu, 1 thread, fp32")
    assert [row.marks for row in table_.rows] == [(), ("a", "b")]


def test_unreadable_records_are_counted_and_named() -> None:
    runs_ = runs({"seed": [0, 1]})
    table_ = table(runs_, with_top1(runs_, 80.0), unread=("x/record.json: damaged",))
    assert not missing(lines(table_)[2], "1 unreadable record") and lines(table_)[3:] == ["x/record.json: damaged"]


def test_equal_failures_are_noted_once() -> None:
    runs_ = runs({"method": ["none", "lsa"], "seed": [0, 1]})
    failures = {
        run.spec.run_id: Failure(kind="timeout", reason=f"took {number} s") for number, run in enumerate(runs_[1:])
    }
    table_ = table(runs_, with_top1(runs_, 80.0), failures=failures)
    (line,) = [line for line in lines(table_) if "seed" in line and "took" in line]
    assert not missing(line, "Tiny on fashion-mnist-12k, seed 1", "L-Tiny on fashion-mnist-12k, seed 0, 1", "took 0 s")


def test_a_failed_run_is_not_missing_too_and_each_note_names_the_learning_rate() -> None:
    runs_ = runs({"recipe.lr": [0.1, 1e30], "seed": [0, 1]})
    inputs = report_inputs(
        runs_, with_top1(runs_, 80.0), diverged=(make_diverged(runs_[2]),),
        failures={runs_[3].spec.run_id: Failure(kind="killed", reason="killed")},
    )  # fmt: skip
    _, absent, diverged, failed = lines(make_table(inputs))
    assert not missing(absent, "lr=0.1", "seed 1") and not missing(diverged, "lr=1e+30", "seed 0")
    assert not missing(failed, "lr=1e+30", "seed 1", "killed")


def test_a_new_metric_and_a_new_cost_are_one_entry_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COSTS, "seconds", Cost(head="Seconds", value=lambda record, _: record.seconds, digits=1))
    monkeypatch.setitem(
        METRICS,
        "train_loss",
        Metric(head="train NLL", description="training loss", key="final_train_loss", field="final_train_loss",
               digits=3, lowest_is_best=True, is_accuracy=False),
    )  # fmt: skip
    monkeypatch.setitem(
        METRICS,
        "classes",
        Metric(head="#classes", description="", key="classes", from_logits=lambda x, _: x.shape[1], is_accuracy=False),
    )
    runs_ = runs({"method": ["none", "lsa"]})
    records = [
        make_record(run, seconds=61.25, final_train_loss=loss, final_test_top1=100.0)
        for run, loss in zip(runs_, (1.5, 1.25), strict=True)
    ]
    with_logits, without = (tmp_path / name for name in ("with", "without"))
    with_logits.mkdir()
    save_file(
        {"logits": np.zeros((3, 10)), "labels": np.zeros(3, dtype="int64")}, with_logits / "test_logits.safetensors"
    )
    report(
        report_inputs(runs_, records, folders={records[0].run_id: with_logits, records[1].run_id: without}),
        columns=["seconds", "train_loss", "gain", "classes"],
        formats=["md", "csv", "latex", "html"],
        out=tmp_path,
    )
    frame = pd.read_csv(tmp_path / "table.csv")
    assert frame["seconds"].tolist() == [61.25, 61.25]
    assert frame["fashion-mnist-12k_final_train_loss_mean"].tolist() == [1.5, 1.25]
    assert frame["fashion-mnist-12k_classes_n"].tolist() == [1, 0]
    for name in ("table.md", "table.tex", "report.html"):
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert all(part in text for part in ("Seconds", "61.2", "train NLL", "1.250", "0.25", "classes", "10.00"))


def test_gains_of_metrics_from_logits_are_those_by_hand(tmp_path: Path) -> None:
    runs_ = runs({"method": ["none", "spt"], "seed": [0, 1]})
    folders = {run.spec.run_id: tmp_path / run.spec.run_id for run in runs_}
    for folder, right in zip(folders.values(), (1, 2, 3, 3), strict=True):  # of 4 images of one class
        folder.mkdir()
        logits = np.eye(10, dtype="float16")[[0] * right + [1] * (4 - right)]
        save_file({"logits": logits, "labels": np.zeros(4, dtype="int64")}, folder / "test_logits.safetensors")
    records = [
        make_record(run, final_test_top1=top1) for run, top1 in zip(runs_, (25.0, 50.0, 75.0, 75.0), strict=True)
    ]
    inputs = report_inputs(runs_, records, folders=folders)
    spt = make_table(inputs, columns=["balanced_accuracy", "gain", "ece", "gain"]).rows[1]
    gains = {name: cell.gain for (_, name), cell in spt.cells.items()}
    assert gains["balanced_accuracy"] is not None and gains["ece"] is not None
    assert (gains["balanced_accuracy"].estimate, gains["balanced_accuracy"].n) == (37.5, 2)  # 75 - 25 and 75 - 50
    assert gains["ece"].n == 2


def test_findings_and_figures_use_a_new_accuracy_by_its_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    metric = Metric(head="val top-1", description="validation accuracy", key="final_val_top1", field="final_val_top1")
    monkeypatch.setitem(METRICS, "val", metric)
    runs_ = runs({"method": ["none", "spt"]})
    inputs = report_inputs(runs_, [make_record(run, final_val_top1=60.0 + n) for n, run in enumerate(runs_)])
    table_ = make_table(inputs, columns=["val", "gain"])
    assert table_.verdicts is not None
    assert [result.estimate for result in table_.verdicts.results] == [1.0]
    drawn = figure_inputs(inputs, table_)
    assert [drawn.by_seed(experiment) for experiment in drawn.experiments] == [{0: 60.0}, {0: 61.0}]
