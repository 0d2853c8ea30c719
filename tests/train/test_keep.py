"""The weights that a run keeps: last, best or none."""

import dataclasses
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
import torch
from safetensors.torch import load_file

from slbench.record import Keep, RunRecord
from slbench.store import Store
from slbench.train import run as running
from slbench.train.loop import Evaluation, Training
from tests.train import helpers
from tests.train.helpers import LABELS, SPEC, FinishedRun, reproducible_fields, run_until_killed

VALIDATED = (50.0, 70.0, 70.0, 60.0)  # of four epochs; the second is the first of the best
TESTED = (10.0, 20.0, 30.0, 90.0)  # must not be used for selection
RECIPE = dataclasses.replace(SPEC.recipe, epochs=4, batch_size=300)
LONGER = dataclasses.replace(SPEC, recipe=RECIPE)
STEPS = 3  # per epoch


@pytest.fixture(scope="module", autouse=True)
def _accuracies() -> Iterator[None]:
    """Replace the accuracies of all evaluations by those of the tables."""

    def evaluate(self: Training, batches: object) -> Evaluation:
        table = VALIDATED if batches is self.validation else TESTED
        return Evaluation(loss=1.0, top1=table[self.epoch - 1], top5=100.0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Training, "evaluate", evaluate)
        yield


def execute(store: Store, keep: Keep) -> RunRecord:
    return helpers.execute(store, spec=LONGER, keep=keep)


def weight_files(store: Store) -> dict[str, str]:
    """Return the sha256 of each file of weights by name."""
    folder = store.folder(LONGER, LABELS)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("weights*")}


Runs = dict[Keep, FinishedRun]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, _accuracies: None) -> Runs:
    """Return an undisturbed run for each choice."""
    stores = {keep: Store(tmp_path_factory.mktemp(keep)) for keep in get_args(Keep)}
    return {keep: (execute(store, keep), store) for keep, store in stores.items()}


def test_last_keeps_the_weights_of_the_last_epoch(runs: Runs) -> None:
    record, store = runs["last"]
    assert weight_files(store) == {"weights.safetensors": record.weights_sha256}
    assert record.selected_weights_sha256 is None


def test_none_keeps_no_weights_but_their_hash_and_the_logits(runs: Runs) -> None:
    record, store = runs["none"]
    assert weight_files(store) == {}
    assert record.weights_sha256 == runs["last"][0].weights_sha256
    assert (store.folder(LONGER, LABELS) / "test_logits.safetensors").exists()


def test_best_keeps_the_weights_of_the_epoch_with_the_best_validation(tmp_path: Path) -> None:
    store, weights = Store(tmp_path), []

    def recorded(training: Training) -> dict[str, torch.Tensor]:
        weights.append((training.epoch - 1, weights_of(training)))
        return weights[-1][1]

    weights_of = running.weights_of
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "weights_of", recorded)
        record = execute(store, "best")
    assert [epoch for epoch, _ in weights] == [1, 2, 4]  # each new best epoch, and the last for its hash
    assert (record.selected_epoch, record.best_test_epoch) == (2, 4)
    assert weight_files(store) == {"weights-selected.safetensors": record.selected_weights_sha256}
    assert record.selected_weights_sha256 != record.weights_sha256
    file = load_file(store.folder(LONGER, LABELS) / "weights-selected.safetensors")
    assert all(torch.equal(file[name], value) for name, value in weights[1][1].items())


@pytest.mark.parametrize(
    ("before", "after", "step"),
    [
        pytest.param("best", "best", STEPS // 2, marks=pytest.mark.slow),
        ("best", "best", 2 * STEPS + 2),
        pytest.param("best", "best", 4 * STEPS - 1, marks=pytest.mark.slow),
        pytest.param("last", "best", 2 * STEPS + 2, marks=pytest.mark.slow),
        pytest.param("best", "last", 2 * STEPS + 2, marks=pytest.mark.slow),
        pytest.param("last", "none", 2 * STEPS + 2, marks=pytest.mark.slow),
    ],
)
def test_a_killed_run_keeps_the_same_weights_as_an_undisturbed_one(
    runs: Runs, tmp_path: Path, before: Keep, after: Keep, step: int
) -> None:
    store = Store(tmp_path)
    run_until_killed(store, step, spec=LONGER, keep=before)
    record, undisturbed = runs[after]
    assert reproducible_fields(execute(store, after)) == reproducible_fields(record)
    assert weight_files(store) == weight_files(undisturbed)


def test_records_of_runs_with_different_kept_weights_differ_only_in_labels(runs: Runs) -> None:
    assert runs["last"][0].differences(runs["best"][0]).keys() == {"labels"}
