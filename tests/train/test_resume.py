"""Resumption: a run that was stopped or killed at any point equals an undisturbed run."""

import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch

from slbench.errors import DivergedError, StoreError
from slbench.run_paths import RunPaths
from slbench.store import Store
from slbench.train import run as running
from slbench.train.checkpoint import Checkpoints
from slbench.train.loop import Training
from slbench.train.run_conditions import RunConditions
from tests.support import missing, naming
from tests.train.helpers import LABELS, SPEC, FinishedRun, Killed, execute, reproducible_fields, run_until_killed

slow = pytest.mark.slow


def rows(store: Store) -> list[list[str]]:
    """Return the lines of the history, without the time in its last column, and of the learned temperatures."""
    folder = store.folder(SPEC, LABELS)
    metrics = [line.split(",")[:-1] for line in (folder / "metrics.csv").read_text().splitlines()]
    return metrics + [line.split(",") for line in (folder / "temperatures.csv").read_text().splitlines()]


@pytest.mark.parametrize("steps", [*(pytest.param([step], marks=slow) for step in (0, 4, 9, 17)), [3, 3, 8]], ids=str)
def test_a_run_killed_between_steps_equals_an_undisturbed_run(
    undisturbed: FinishedRun, tmp_path: Path, steps: list[int]
) -> None:
    store = Store(tmp_path)
    for step in steps:
        run_until_killed(store, step)
        assert store.record(SPEC.run_id) is None
    record = execute(store)
    assert reproducible_fields(record) == reproducible_fields(undisturbed[0])
    assert rows(store) == rows(undisturbed[1])


@pytest.mark.parametrize(
    "stage",
    [
        *(pytest.param(stage, marks=slow) for stage in ("write_history", "write_temperatures", "write_results")),
        "count",
    ],
)
def test_a_run_killed_after_an_epoch_equals_an_undisturbed_run(
    undisturbed: FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    store = Store(tmp_path)

    with monkeypatch.context() as patch:
        patch.setattr(running, stage, Mock(side_effect=Killed))
        with pytest.raises(Killed):
            execute(store)
    assert reproducible_fields(execute(store)) == reproducible_fields(undisturbed[0])
    assert rows(store) == rows(undisturbed[1])


def damage_nothing(folder: Path) -> None:
    """Leave both checkpoints whole."""


def cut_the_newest(folder: Path) -> None:
    content = (folder / RunPaths.checkpoint).read_bytes()
    (folder / RunPaths.checkpoint).write_bytes(content[: len(content) // 2])


def flip_a_bit_of_the_newest(folder: Path) -> None:
    content = bytearray((folder / RunPaths.checkpoint).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / RunPaths.checkpoint).write_bytes(content)


def lose_the_newest(folder: Path) -> None:
    """Delete it, like a power loss between two renames."""
    (folder / RunPaths.checkpoint).unlink()


def damage_both(folder: Path) -> None:
    (folder / RunPaths.checkpoint).write_bytes(b"")
    (folder / RunPaths.previous_checkpoint).write_bytes(b"garbage\nmore")


@pytest.mark.parametrize(
    ("damage", "steps_left", "damaged"),
    [
        pytest.param(damage_nothing, 8, 0, marks=slow),
        (cut_the_newest, 9, 1),
        pytest.param(flip_a_bit_of_the_newest, 9, 1, marks=slow),
        pytest.param(lose_the_newest, 9, 0, marks=slow),
        pytest.param(damage_both, 18, 2, marks=slow),
    ],
)
def test_a_run_with_a_damaged_checkpoint_resumes_from_the_previous_one_and_equals_an_undisturbed_run(
    undisturbed: FinishedRun,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[Path], None],
    steps_left: int,
    damaged: int,
) -> None:
    store = Store(tmp_path)
    run_until_killed(store, 10)
    damage(store.folder(SPEC, LABELS))
    counting = Mock(side_effect=Training._step)
    monkeypatch.setattr(Training, "_step", lambda self, *arguments, **how: counting(self, *arguments, **how))
    with caplog.at_level(logging.WARNING):
        record = execute(store)
    assert counting.call_count == steps_left
    assert reproducible_fields(record) == reproducible_fields(undisturbed[0])
    assert len([record for record in caplog.records if ".pt" in record.getMessage()]) == damaged


def test_a_resumed_run_keeps_its_number_of_threads(
    undisturbed: FinishedRun, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(tmp_path)
    run_until_killed(store, 5)
    record = execute(store, threads=2)
    assert record.threads == 1
    assert not missing(caplog.text, "threads 1", "2")
    assert reproducible_fields(record) == reproducible_fields(undisturbed[0])


def test_a_checkpoint_of_another_kind_of_device_is_not_resumed() -> None:
    on_gpu = RunConditions(device_kind="cuda", threads=1, precision="fp32")
    state = {"start": dataclasses.asdict(on_gpu)}
    on_cpu = RunConditions(device_kind="cpu", threads=1, precision="fp32")
    assert running.resumable(state, on_cpu) is None
    assert running.resumable(state, on_gpu) is state
    assert running.resumable(None, on_cpu) is None


def test_a_finished_run_keeps_no_checkpoint(undisturbed: FinishedRun) -> None:
    assert not list(undisturbed[1].folder(SPEC, LABELS).glob("*checkpoint*"))


def test_checkpoints_are_saved_after_each_epoch_and_within_it_at_the_interval(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[int] = []
    monkeypatch.setattr(Checkpoints, "save", lambda self, state: saved.append(state["training"]["done"]))
    execute(Store(tmp_path), every=1e9)
    assert saved == [0, 0]  # one per epoch
    saved.clear()
    execute(Store(tmp_path / "often"), every=0.0)
    assert saved == [*range(1, 9), 0, *range(1, 9), 0]


def test_a_nan_loss_is_named_and_the_outcome_has_the_last_finite_metrics(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_step, steps = Training._step, iter(range(100))

    def nan_after_12(self: Training, *arguments: Any, **how: Any) -> torch.Tensor:
        loss = real_step(self, *arguments, **how)
        return loss * float("nan") if next(steps) >= 12 else loss

    monkeypatch.setattr(Training, "_step", nan_after_12)
    store = Store(tmp_path)
    with pytest.raises(DivergedError, match=naming("nan", "step 4", "epoch 2", "learning rate")):
        execute(store)
    outcome = store.diverged(SPEC.run_id)
    assert outcome is not None and store.record(SPEC.run_id) is None
    assert (outcome.epoch, outcome.steps, "step 4" in outcome.reason) == (2, 13, True)
    assert outcome.final_test_top1 is not None and outcome.best_test_epoch == 1
    folder = store.folder(SPEC, LABELS)
    assert len((folder / outcome.history).read_text().splitlines()) == 1 + 1
    assert Checkpoints(folder).load() is None


@pytest.mark.parametrize("last", [True, pytest.param(False, marks=slow)])
def test_weights_that_are_nan_after_the_last_step_are_no_result(
    last: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_step, steps = Training._step, iter(range(100))
    broken_at = SPEC.recipe.epochs * SPEC.steps_per_epoch - 1 if last else SPEC.steps_per_epoch - 1

    def break_weights(self: Training, *arguments: Any, **how: Any) -> torch.Tensor:
        loss = real_step(self, *arguments, **how)
        if next(steps) == broken_at:
            for network in (self.network, self.evaluated):
                next(network.parameters()).data.fill_(float("nan"))
        return loss

    monkeypatch.setattr(Training, "_step", break_weights)
    store = Store(tmp_path)
    with pytest.raises(DivergedError, match=naming("loss", "nan")):
        execute(store)
    outcome = store.diverged(SPEC.run_id)
    assert outcome is not None
    assert (outcome.epoch, outcome.final_test_top1 is None) == ((SPEC.recipe.epochs, False) if last else (1, True))


def test_a_checkpoint_that_cannot_be_read_back_does_not_replace_the_previous_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save({"a": 1})
    monkeypatch.setattr("slbench.train.checkpoint.opened", lambda content: None)
    with pytest.raises(StoreError, match="read back differs"):
        checkpoints.save({"a": 2})
    monkeypatch.undo()
    assert checkpoints.load() == {"a": 1}
    assert sorted(path.name for path in tmp_path.iterdir()) == [RunPaths.checkpoint]


def test_a_request_to_stop_saves_a_checkpoint_of_the_current_step(undisturbed: FinishedRun, tmp_path: Path) -> None:
    store, answers = Store(tmp_path), iter([True] * 4)
    with pytest.raises(running.RunInterrupted):
        execute(store, every=1e9, should_continue=lambda: next(answers, False))
    state = Checkpoints(store.folder(SPEC, LABELS)).load()
    assert state is not None and state["training"]["done"] == 5
    assert reproducible_fields(execute(store)) == reproducible_fields(undisturbed[0])


def test_a_damaged_checkpoint_does_not_become_the_previous_one(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for number in (1, 2):
        checkpoints.save({"a": number})
    (tmp_path / RunPaths.checkpoint).write_bytes(b"garbage")
    assert checkpoints.load() == {"a": 1}
    checkpoints.save({"a": 3})
    (tmp_path / RunPaths.checkpoint).unlink()  # power loss
    assert checkpoints.load() == {"a": 1}
