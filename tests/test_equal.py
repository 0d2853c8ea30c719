"""Subsets at equal epochs or at equal steps as the full data set."""

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


def share_runs(equal: str, **settings: Any) -> tuple[StudyRun, ...]:
    return runs({"dataset.fraction": SHARES}, set={**SHORT, "recipe.equal": equal, **settings})


def test_steps_depend_on_the_subset_at_equal_epochs_only() -> None:
    by_epochs, by_steps = share_runs("epochs"), share_runs("steps")
    assert [run.spec.num_images for run in by_steps] == [900, 2250, 9000]
    assert [run.spec.steps_per_epoch for run in by_epochs] == [1, 4, 18]
    assert [run.spec.steps_per_epoch for run in by_steps] == [18, 18, 18]
    assert [run.spec.samples_per_epoch for run in by_steps] == [9000, 9000, 9000]
    assert {run.spec.recipe.epochs for run in by_steps} == {2}


def test_equal_changes_the_runs_of_subsets_only() -> None:
    ids = {equal: [run.spec.run_id for run in share_runs(equal)] for equal in ("epochs", "steps")}
    assert [by_epochs == by_steps for by_epochs, by_steps in zip(ids["epochs"], ids["steps"], strict=True)] == [
        False,
        False,
        True,
    ]
    (plain,), (chosen,) = runs(set=SHORT), runs(set={**SHORT, "recipe.equal": "steps"})
    assert plain.spec == chosen.spec
    assert "equal" not in plain.spec.as_dict()["recipe"]
    assert [run.spec.run_id for run in runs({"dataset.fraction": SHARES}, set=SHORT)] == ids["epochs"]


def test_an_axis_of_equal_has_the_run_of_the_full_set_once() -> None:
    study_runs = runs({"dataset.fraction": SHARES, "recipe.equal": ["epochs", "steps"]}, set=SHORT)
    assert [(run.spec.dataset.fraction, run.spec.recipe.equal) for run in study_runs] == [
        (0.1, "epochs"),
        (0.1, "steps"),
        (0.25, "epochs"),
        (0.25, "steps"),
        (1.0, None),
    ]


def test_images_of_a_subset_repeat_in_new_orders_until_the_end_of_the_epoch() -> None:
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


def test_a_run_at_equal_steps_has_the_learning_rates_of_the_full_set(tmp_path: Path) -> None:
    rates = {}
    for run in (share_runs("steps")[0], share_runs("steps")[-1]):
        store = Store(tmp_path)
        record = train_here(run, store)
        assert (record.steps, record.samples_seen) == (36, 18_000)
        with (store.folder(run.spec, run.labels) / record.history).open() as file:
            rates[run.spec.num_images] = [row["lr"] for row in csv.DictReader(file)]
    assert len(rates) == 2
    assert rates[900] == rates[9000]


def test_a_subset_smaller_than_a_batch_trains_only_at_equal_steps() -> None:
    few = {"dataset.per_class": 3}
    with pytest.raises(InputError) as caught:
        small_subset_run("epochs", few)
    assert not missing(
        str(caught.value),
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
    assert small_subset_run("steps", few).spec.steps_per_epoch == 18


def small_subset_run(equal: str, few: dict[str, Any]) -> StudyRun:
    (run,) = runs(set={**SHORT, **few, "recipe.equal": equal})
    return run


@pytest.mark.parametrize(
    ("equal", "sentence"),
    [
        ("epochs", "Equal epochs: subsets are trained for as many epochs as the full set, so for fewer steps."),
        ("steps", "Equal steps: subsets are trained for as many steps as the full set, so for more epochs."),
    ],
)
def test_the_caption_names_the_budget_and_rows_have_their_fraction(equal: str, sentence: str) -> None:
    study_runs = share_runs(equal)
    table = make_table(report_inputs(study_runs))
    assert sentence in table.caption
    assert table.settings == ("dataset_fraction",)
    assert [row.settings for row in table.rows] == [("0.1",), ("0.25",), ("1",)]


def test_rows_have_their_budget_if_both_are_in_the_table() -> None:
    study_runs = runs(
        {"backbone": [TINY], "dataset.fraction": [0.1, 1.0], "recipe.equal": ["epochs", "steps"]}, set=SHORT
    )
    table = make_table(report_inputs(study_runs))
    assert table.settings == ("dataset_fraction", "recipe_equal")
    assert [row.settings for row in table.rows] == [("0.1", "epochs"), ("0.1", "steps"), ("1", "–")]
    whole = runs(set=SHORT)
    assert not any("qual" in sentence for sentence in make_table(report_inputs(whole)).caption)
    assert dataclasses.replace(study_runs[0].spec.recipe, equal=None) == whole[0].spec.recipe
