"""Which weights of a run stay."""

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
from tests.train.helpers import LABELS, SPEC, Killed, die_at, reproducible_fields

VALIDATED = (50.0, 70.0, 70.0, 60.0)  # of four epochs; the second is the first of the best
TESTED = (10.0, 20.0, 30.0, 90.0)  # on which nothing may be chosen
RECIPE = dataclasses.replace(SPEC.recipe, epochs=4, batch_size=300)
LONGER = dataclasses.replace(SPEC, recipe=RECIPE)
STEPS = 3  # of an epoch


@pytest.fixture(scope="module", autouse=True)
def _accuracies() -> Iterator[None]:
    """Epochs validate and test as the tables say."""

    def evaluate(self: Training, batches: object) -> Evaluation:
        table = VALIDATED if batches is self.validation else TESTED
        return Evaluation(loss=1.0, top1=table[self.epoch - 1], top5=100.0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Training, "evaluate", evaluate)
        yield


def execute(store: Store, keep: Keep) -> RunRecord:
    return helpers.execute(store, spec=LONGER, keep=keep)


def kept(store: Store) -> dict[str, str]:
    """Names and sha256 of the files of weights."""
    folder = store.folder(LONGER, LABELS)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("weights*")}


Runs = dict[Keep, tuple[RunRecord, Store]]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, _accuracies: None) -> Runs:
    """A run that nobody stopped, for each choice."""
    stores = {keep: Store(tmp_path_factory.mktemp(keep)) for keep in get_args(Keep)}
    return {keep: (execute(store, keep), store) for keep, store in stores.items()}


def test_last_keeps_the_weights_of_the_last_epoch(runs: Runs) -> None:
    record, store = runs["last"]
    assert kept(store) == {"weights.safetensors": record.weights_sha256}
    assert record.selected_weights_sha256 is None


def test_none_keeps_no_weights_but_their_hash_and_the_logits(runs: Runs) -> None:
    record, store = runs["none"]
    assert kept(store) == {}
    assert record.weights_sha256 == runs["last"][0].weights_sha256
    assert (store.folder(LONGER, LABELS) / "test_logits.safetensors").exists()


def test_best_keeps_the_weights_of_the_epoch_with_the_best_validation(tmp_path: Path) -> None:
    store, weights = Store(tmp_path), []

    def look(training: Training) -> dict[str, torch.Tensor]:
        weights.append((training.epoch - 1, right(training)))
        return weights[-1][1]

    right = running.weights_of
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "weights_of", look)
        record = execute(store, "best")
    assert [epoch for epoch, _ in weights] == [1, 2, 4]  # each that was the best so far, and the last for its hash
    assert (record.selected_epoch, record.best_test_epoch) == (2, 4)
    assert kept(store) == {"weights-selected.safetensors": record.selected_weights_sha256}
    assert record.selected_weights_sha256 != record.weights_sha256
    file = load_file(store.folder(LONGER, LABELS) / "weights-selected.safetensors")
    assert all(torch.equal(file[name], value) for name, value in weights[1][1].items())


@pytest.mark.parametrize(
    ("before", "after", "step"),
    [
        pytest.param("best", "best", STEPS // 2, marks=pytest.mark.slow),
        ("best", "best", 2 * STEPS + 2),
        pytest.param("best", "best", 4 * STEPS - 1, marks=pytest.mark.slow),
        ("last", "best", 2 * STEPS + 2),
        ("best", "last", 2 * STEPS + 2),
        pytest.param("last", "none", 2 * STEPS + 2, marks=pytest.mark.slow),
    ],
)
def test_a_run_that_was_killed_keeps_what_the_calm_one_does(
    runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: Keep, after: Keep, step: int
) -> None:
    store = Store(tmp_path)
    with monkeypatch.context() as patch:
        die_at(patch, step)
        with pytest.raises(Killed):
            execute(store, before)
    record, quiet = runs[after]
    assert reproducible_fields(execute(store, after)) == reproducible_fields(record)
    assert kept(store) == kept(quiet)


def test_records_of_runs_that_kept_different_weights_do_not_differ_by_that(runs: Runs) -> None:
    assert runs["last"][0].differences(runs["best"][0]).keys() == {"labels"}
