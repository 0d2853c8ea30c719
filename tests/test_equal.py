"""Runs on subsets with as many epochs, or as many steps, as runs on the whole data set."""

import csv
import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from slbench.data.batches import Batches
from slbench.data.splits import ImageSet
from slbench.errors import InputError
from slbench.recipes import Recipe
from slbench.report.table import make_table
from slbench.store import Store
from slbench.study import StudyRun
from tests.support import TINY, missing, report_inputs, runs, train_here

SHARES = [0.1, 0.25, 1.0]
SHORT = {"recipe.epochs": 2, "recipe.batch_size": 500, "recipe.precision": "fp32"}


def curve(equal: str, **settings: Any) -> tuple[StudyRun, ...]:
    return runs({"dataset.fraction": SHARES}, set={**SHORT, "recipe.equal": equal, **settings})


def test_at_equal_epochs_steps_shrink_with_the_data_and_at_equal_steps_they_do_not() -> None:
    by_epochs, by_steps = curve("epochs"), curve("steps")
    assert [run.spec.num_images for run in by_steps] == [900, 2250, 9000]
    assert [run.spec.steps_per_epoch for run in by_epochs] == [1, 4, 18]
    assert [run.spec.steps_per_epoch for run in by_steps] == [18, 18, 18]
    assert [run.spec.samples_per_epoch for run in by_steps] == [9000, 9000, 9000]
    assert {run.spec.recipe.epochs for run in by_steps} == {2}


def test_the_choice_changes_runs_of_subsets_and_not_those_of_a_whole_set() -> None:
    ids = {equal: [run.spec.run_id for run in curve(equal)] for equal in ("epochs", "steps")}
    assert [by_epochs == by_steps for by_epochs, by_steps in zip(ids["epochs"], ids["steps"], strict=True)] == [
        False,
        False,
        True,
    ]
    (plain,), (chosen,) = runs(set=SHORT), runs(set={**SHORT, "recipe.equal": "steps"})
    assert plain.spec == chosen.spec
    assert "equal" not in plain.spec.as_dict()["recipe"]
    assert [run.spec.run_id for run in runs({"dataset.fraction": SHARES}, set=SHORT)] == ids["epochs"]


def test_as_an_axis_it_gives_the_run_on_the_whole_set_once() -> None:
    study_runs = runs({"dataset.fraction": SHARES, "recipe.equal": ["epochs", "steps"]}, set=SHORT)
    assert [(run.spec.dataset.fraction, run.spec.recipe.equal) for run in study_runs] == [
        (0.1, "epochs"),
        (0.1, "steps"),
        (0.25, "epochs"),
        (0.25, "steps"),
        (1.0, None),
    ]


def test_images_of_a_subset_repeat_in_new_orders_up_to_the_length_of_an_epoch_of_the_whole_set() -> None:
    part = ImageSet.of(torch.zeros(7, 1, 32, 32, dtype=torch.uint8).numpy(), torch.arange(7).numpy())
    (run,) = runs()
    batches = Batches(part, run.spec.dataset, device=torch.device("cpu"))
    recipe = Recipe(batch_size=4, repeats=2, drop_last=False)
    order = batches.order(recipe, seed=0, epoch=1, images=17)
    assert len(order) == 34 and torch.equal(order[::2], order[1::2])
    once = order[::2].tolist()
    assert sorted(once[:7]) == sorted(once[7:14]) == list(range(7)) and once[:7] != once[7:14]
    assert set(Counter(once).values()) == {2, 3}
    labels = [batch.labels for batch in batches.training(recipe, seed=0, epoch=1, images=17)]
    assert [len(batch) for batch in labels] == [4] * 8 + [2]
    assert torch.equal(torch.cat(labels), order)
    resumed = [batch.labels for batch in batches.training(recipe, seed=0, epoch=1, images=17, first=5)]
    assert torch.equal(torch.cat(resumed), order[20:])


def test_a_run_at_equal_steps_has_the_learning_rates_of_the_whole_set(tmp_path: Path) -> None:
    rates = {}
    for run in (curve("steps")[0], curve("steps")[-1]):
        store = Store(tmp_path)
        record = train_here(run, store)
        assert (record.steps, record.samples_seen) == (36, 18_000)
        with (store.folder(run.spec, run.labels) / record.history).open() as file:
            rates[run.spec.num_images] = [row["lr"] for row in csv.DictReader(file)]
    assert len(rates) == 2
    assert rates[900] == rates[9000]


def test_a_subset_smaller_than_a_batch_trains_only_at_equal_steps() -> None:
    few = {"dataset.per_class": 3}
    with pytest.raises(InputError) as refused:
        curve_of_few("epochs", few)
    assert not missing(
        str(refused.value),
        "test.toml",
        "Tiny",
        "none",
        "fashion-mnist-12k",
        "batch_size",
        "500",
        "30",
        "recipe.equal",
        "steps",
    )
    assert curve_of_few("steps", few).spec.steps_per_epoch == 18


def curve_of_few(equal: str, few: dict[str, Any]) -> StudyRun:
    (run,) = runs(set={**SHORT, **few, "recipe.equal": equal})
    return run


def test_an_unknown_budget_is_refused_with_the_two_allowed() -> None:
    with pytest.raises(InputError) as refused:
        curve("images")
    assert not missing(str(refused.value), "test.toml", "set.recipe.equal", "epochs", "steps", "images")


@pytest.mark.parametrize(
    ("equal", "sentence"),
    [
        ("epochs", "Equal epochs: subsets are trained for as many epochs as the full set, so for fewer steps."),
        ("steps", "Equal steps: subsets are trained for as many steps as the full set, so for more epochs."),
    ],
)
def test_the_caption_names_the_budget_and_rows_differ_by_their_share(equal: str, sentence: str) -> None:
    study_runs = curve(equal)
    table = make_table(report_inputs(study_runs))
    assert sentence in table.caption
    assert table.settings == ("dataset_fraction",)
    assert [row.settings for row in table.rows] == [("0.1",), ("0.25",), ("1",)]


def test_rows_of_both_budgets_are_distinguished() -> None:
    study_runs = runs(
        {"backbone": [TINY], "dataset.fraction": [0.1, 1.0], "recipe.equal": ["epochs", "steps"]}, set=SHORT
    )
    table = make_table(report_inputs(study_runs))
    assert table.settings == ("dataset_fraction", "recipe_equal")
    assert [row.settings for row in table.rows] == [("0.1", "epochs"), ("0.1", "steps"), ("1", "–")]
    whole = runs(set=SHORT)
    assert not any("qual" in sentence for sentence in make_table(report_inputs(whole)).caption)
    assert dataclasses.replace(study_runs[0].spec.recipe, equal=None) == whole[0].spec.recipe
