from dataclasses import replace
from typing import Any

import pytest

from slbench.errors import StoreError
from slbench.measured import Throughput
from slbench.report.table import Accuracy, Table, make_table
from slbench.store import RunRecord
from slbench.study import StudyRun
from tests.support import TINY, make_record, make_speed, runs

ROWS = ["none", "spt", "lsa", "both"]


def table(
    made: tuple[StudyRun, ...],
    records: list[RunRecord],
    *,
    speeds: dict[str, Throughput] | None = None,
    **options: Any,
) -> Table:
    return make_table("study", "Title", made, records, speeds or {}, **options)


def with_top1(made: tuple[StudyRun, ...], *values: float) -> list[RunRecord]:
    """Records of the first runs, with these final accuracies."""
    return [make_record(run, final_test_top1=value) for run, value in zip(made, values, strict=False)]


def cells(made: Table) -> list[Accuracy | None]:
    return [row.accuracies[0] for row in made.rows]


def test_mean_and_sample_deviation_are_those_by_hand() -> None:
    made = runs({"seed": [0, 1, 2]})
    (cell,) = cells(table(made, with_top1(made, 80.0, 82.0, 87.0)))
    assert cell is not None
    assert cell.mean == 83.0
    assert cell.std == pytest.approx(13**0.5)  # (9 + 1 + 16) / 2
    assert (cell.n, cell.expected) == (3, 3)


def test_one_seed_has_no_deviation() -> None:
    made = runs()
    assert cells(table(made, with_top1(made, 80.0))) == [Accuracy(80.0, None, 1, 1)]


def test_rows_are_named_as_in_the_paper_and_stand_in_the_order_of_the_study() -> None:
    made = runs({"backbone": [{**TINY, "label": "ViT"}], "method": ["both", "window-2p", "none", "spt", "lsa"]})
    names = [row.title for row in table(made, with_top1(made, 1, 2, 3, 4, 5)).rows]
    assert names == ["SL-ViT", "ViT, window-2p", "ViT", "S-ViT", "L-ViT"]


def test_the_order_of_the_records_does_not_matter() -> None:
    made = runs({"method": ROWS, "seed": [0, 1]})
    records = with_top1(made, *range(8))
    assert table(made, records).rows == table(made, records[::-1]).rows


def test_the_highest_mean_is_the_best() -> None:
    made = runs({"method": ROWS})
    found = cells(table(made, with_top1(made, 80.0, 83.0, 82.0, 81.0)))
    assert [cell.best for cell in found if cell] == [False, True, False, False]


def test_equal_means_are_all_the_best() -> None:
    made = runs({"method": ["none", "spt", "lsa"]})
    found = cells(table(made, with_top1(made, 83.0, 80.0, 83.0)))
    assert [cell.best for cell in found if cell] == [True, False, True]


def test_one_row_alone_is_not_the_best_of_anything() -> None:
    made = runs()
    assert [cell.best for cell in cells(table(made, with_top1(made, 80.0))) if cell] == [False]


def test_an_unfinished_grid_shows_n_of_n_notes_what_is_missing_and_calls_nothing_best() -> None:
    made = runs({"method": ["none", "spt"], "seed": [0, 1]})
    found = table(made, with_top1(made, 80.0, 82.0, 90.0))
    assert cells(found) == [Accuracy(81.0, 2**0.5, 2, 2), Accuracy(90.0, None, 1, 2)]
    assert found.notes == (
        "Unfinished: 3 of 4 runs. Cells marked (n of N) lack seeds and are not comparable.",
        "Missing: S-Tiny on fashion-mnist-12k, seed 1.",
    )


def test_a_row_without_any_run_is_noted() -> None:
    made = runs({"method": ["none", "spt"], "seed": [0, 1]})
    found = table(made, with_top1(made, 80.0, 82.0))
    assert [row.method for row in found.rows] == ["none"]
    assert found.notes[1] == "Missing: S-Tiny on fashion-mnist-12k, seed 0, 1."


def test_a_finished_grid_has_no_note() -> None:
    made = runs({"method": ROWS})
    assert table(made, with_top1(made, 1, 2, 3, 4)).notes == ()


def test_rows_of_unequal_numbers_of_seeds_are_not_ranked() -> None:
    made = tuple(run for run in runs({"method": ["none", "spt"], "seed": [0, 1]}))[:3]
    found = cells(table(made, with_top1(made, 80.0, 82.0, 90.0)))
    assert [(cell.n, cell.expected, cell.best) for cell in found if cell] == [(2, 2, False), (1, 1, False)]


def test_experiments_of_one_name_are_rows_of_their_own_told_apart_by_a_column() -> None:
    made = runs({"recipe.lr": [0.001, 0.002], "seed": [0, 1]})
    found = table(made, with_top1(made, 70.0, 72.0, 80.0, 84.0))
    assert found.settings == ("recipe_lr",)
    assert [(row.settings, row.accuracies[0].mean) for row in found.rows if row.accuracies[0]] == [
        (("0.001",), 71.0),
        (("0.002",), 82.0),
    ]


def test_backbones_of_one_label_are_rows_of_their_own() -> None:
    made = runs({"backbone": [TINY, {**TINY, "dim": 16}]})
    found = table(made, with_top1(made, 70.0, 80.0))
    assert found.settings == ("backbone_dim",)
    assert [row.settings for row in found.rows] == [("8",), ("16",)]


def test_protocols_are_rows_of_their_own() -> None:
    made = runs({"protocol": ["holdout", "full"]})
    found = table(made, with_top1(made, 70.0, 80.0))
    assert [row.settings for row in found.rows] == [("holdout",), ("full",)]


@pytest.mark.parametrize(("name", "value"), [("final", 80.0), ("selected", 81.0), ("best", 82.0)])
def test_the_accuracy_that_is_asked_for_is_shown_and_said(name: str, value: float) -> None:
    made = runs()
    found = table(made, [make_record(made[0])], accuracies=[name])
    assert found.columns == (("fashion-mnist-12k", name),)
    assert cells(found) == [Accuracy(value, None, 1, 1)]
    words = {
        "final": "final: test accuracy of the last epoch;",
        "selected": "selected: test accuracy of the epoch with the best validation accuracy;",
        "best": "best: best test accuracy of all epochs (chosen on the test images, as in the paper);",
    }
    assert words[name] in " ".join(found.caption)


def test_unless_asked_the_final_accuracy_is_shown_and_under_protocol_paper_the_best_beside_it() -> None:
    names = {}
    for protocol in ("holdout", "full", "paper"):
        made = runs(protocol=protocol)
        names[protocol] = [name for _, name in table(made, [make_record(made[0])]).columns]
    assert names == {"holdout": ["final"], "full": ["final"], "paper": ["final", "best"]}


def test_where_nothing_was_selected_the_cell_is_empty() -> None:
    made = runs(protocol="full")
    assert cells(table(made, [make_record(made[0])], accuracies=["selected"])) == [None]


def test_costs_stand_in_the_row_once() -> None:
    made = runs({"seed": [0, 1]})
    (row,) = table(made, [make_record(run, macs=1_500_000, params=7) for run in made]).rows
    assert (row.macs, row.params, row.images_per_second) == ((1_500_000,), (7,), ())


def test_speeds_are_those_measured_alone_and_never_those_of_training() -> None:
    made = runs({"method": ["none", "spt"]})
    records = [make_record(run, train_images_per_second=1.0) for run in made]
    speeds = {made[0].spec.run_id: make_speed(median=4321.5)}
    found = table(made, records, speeds=speeds)
    assert [row.images_per_second for row in found.rows] == [(4321.5,), ()]
    assert (
        "Images/s: inference, batch 128, fp32, 1 thread, median of 9 interleaved rounds, on Processor "
        "with no job beside." in found.caption
    )
    assert "interleaved" not in " ".join(table(made, records).caption)


def test_the_caption_says_data_protocol_length_seeds_device_and_code() -> None:
    made = runs({"seed": [0, 2]}, set={"recipe.epochs": 3})
    words = " ".join(table(made, [make_record(run) for run in made]).caption)
    assert words.startswith("Title. Data: fashion-mnist-12k; protocol holdout; 3 epochs = 420 steps = 26,880 images.")
    assert "mean ± sample standard deviation (n) over seeds 0, 2." in words
    assert "Trained on Processor (cpu, 1 thread, fp32); slbench 0.1.0, torch 2.9.1, commit c0ffee000." in words


def test_a_dirty_commit_is_called_so() -> None:
    made = runs()
    record = make_record(made[0])
    dirty = record.model_copy(update={"code": record.code.model_copy(update={"dirty": True})})
    assert "commit c0ffee000 with uncommitted changes." in " ".join(table(made, [dirty]).caption)


def test_other_devices_and_precisions_are_all_named() -> None:
    made = runs({"seed": [0, 1]})
    records = [make_record(made[0]), make_record(made[1], device="cuda:0", device_name="H100", precision="bf16")]
    words = " ".join(table(made, records).caption)
    assert "Trained on Processor (cpu, 1 thread, fp32); H100 (cuda:0, 1 thread, bf16);" in words


def test_settings_that_differ_late_in_their_digits_are_rows_of_their_own() -> None:
    made = runs({"recipe.lr": [0.001000001, 0.001000002]})
    shown = table(made, with_top1(made, 80.0, 90.0))
    assert shown.settings == ("recipe_lr",)
    assert [row.settings for row in shown.rows] == [("0.001000001",), ("0.001000002",)]


def test_rows_that_were_trained_in_other_ways_say_so() -> None:
    short, long = runs(set={"recipe.epochs": 1}), runs({"method": ["lsa"]}, set={"recipe.epochs": 100})
    shown = table(short + long, with_top1(short + long, 80.0, 90.0))
    assert shown.settings == ("recipe_epochs",)
    assert [row.settings for row in shown.rows] == [("1",), ("100",)]


def test_protocol_paper_shows_the_best_epoch_beside_the_last() -> None:
    made = runs(protocol="paper")
    shown = table(made, [make_record(made[0], final_test_top1=80.0, best_test_top1=83.0)])
    assert shown.columns == (("fashion-mnist-12k", "final"), ("fashion-mnist-12k", "best"))
    assert [cell.mean for cell in shown.rows[0].accuracies if cell is not None] == [80.0, 83.0]
    assert any("chosen on the test images, as in the paper" in sentence for sentence in shown.caption)


def test_runs_on_different_images_under_one_name_are_not_averaged() -> None:
    made = runs({"seed": [0, 1]})
    first, second = with_top1(made, 80.0, 82.0)
    other = second.model_copy(update={"data_sha256": "b" * 64})
    with pytest.raises(StoreError) as refused:
        table(made, [first, other])
    assert str(refused.value) == (
        f"runs {first.run_id} and {second.run_id} on fashion-mnist-12k were trained on different images "
        "(data_sha256 da7a00000000 and bbbbbbbbbbbb): they are not averaged; "
        "delete the folder of the wrong one and run it again"
    )


def test_two_data_sets_of_one_name_stand_in_rows_of_their_own() -> None:
    (run,) = runs()
    other_data = replace(run.spec.dataset, content="arrays sha256:" + "b" * 64)
    other = replace(run, spec=replace(run.spec, dataset=other_data))
    found = table((run, other), [make_record(run), make_record(other, data_sha256="b" * 64)])
    assert found.settings == ("dataset_content",)
    assert [cell.n for cell in cells(found) if cell is not None] == [1, 1]


@pytest.mark.parametrize(("protocol", "said"), [("holdout", True), ("full", False)])
def test_the_caption_says_how_noisy_the_validation_split_is(protocol: str, said: bool) -> None:
    made = runs(protocol=protocol)
    sentence = "Validation: 1,000 images; the standard error of an accuracy of 80 % there is ±1.3 points."
    assert (sentence in table(made, with_top1(made, 80.0)).caption) is said
