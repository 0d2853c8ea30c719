"""A run that is stopped anywhere ends as if it had not been."""

import dataclasses
import json
import logging
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from slbench.errors import StoreError, TrainingError
from slbench.run_paths import RunPaths
from slbench.store import Store
from slbench.train import run as running
from slbench.train.checkpoint import Checkpoints
from slbench.train.loop import Training
from tests.support import missing, naming
from tests.train.helpers import LABELS, SPEC, Calm, Killed, die_at, execute, reproducible_fields

slow = pytest.mark.slow


def rows(store: Store) -> list[list[str]]:
    """The history, without its last column, which is a time; and the learned temperatures."""
    folder = store.folder(SPEC, LABELS)
    metrics = [line.split(",")[:-1] for line in (folder / "metrics.csv").read_text().splitlines()]
    return metrics + [line.split(",") for line in (folder / "temperatures.csv").read_text().splitlines()]


@pytest.mark.parametrize(
    "steps", [[0], pytest.param([4], marks=slow), [9], pytest.param([17], marks=slow), [3, 3, 8]], ids=str
)
def test_a_run_that_was_killed_between_steps_ends_as_the_calm_one(
    calm: Calm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: list[int]
) -> None:
    store = Store(tmp_path)
    for step in steps:
        with monkeypatch.context() as patch:
            die_at(patch, step)
            with pytest.raises(Killed):
                execute(store)
        assert store.record(SPEC.run_id) is None
    record = execute(store)
    assert reproducible_fields(record) == reproducible_fields(calm[0])
    assert rows(store) == rows(calm[1])


@pytest.mark.parametrize(
    "stage",
    ["write_history", *(pytest.param(stage, marks=slow) for stage in ("write_temperatures", "write_results")), "count"],
)
def test_a_run_that_was_killed_after_an_epoch_ends_as_the_calm_one(
    calm: Calm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    store = Store(tmp_path)

    def deadly(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(running, stage, deadly)
        with pytest.raises(Killed):
            execute(store)
    assert reproducible_fields(execute(store)) == reproducible_fields(calm[0])
    assert rows(store) == rows(calm[1])


def damage_nothing(folder: Path) -> None:
    """Both checkpoints are whole."""


def cut_the_newest(folder: Path) -> None:
    content = (folder / RunPaths.checkpoint).read_bytes()
    (folder / RunPaths.checkpoint).write_bytes(content[: len(content) // 2])


def flip_a_bit_of_the_newest(folder: Path) -> None:
    content = bytearray((folder / RunPaths.checkpoint).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / RunPaths.checkpoint).write_bytes(content)


def lose_the_newest(folder: Path) -> None:
    """Power was lost between two renames."""
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
        (lose_the_newest, 9, 0),
        pytest.param(damage_both, 18, 2, marks=slow),
    ],
)
def test_a_damaged_checkpoint_falls_back_to_the_one_before_and_the_end_is_the_same(
    calm: Calm,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[Path], None],
    steps_left: int,
    damaged: int,
) -> None:
    store = Store(tmp_path)
    with monkeypatch.context() as patch:
        die_at(patch, 10)
        with pytest.raises(Killed):
            execute(store)
    damage(store.folder(SPEC, LABELS))
    counted, right = Counter[str](), Training._step

    def counting(self: Training, *arguments: Any, **how: Any) -> torch.Tensor:
        counted["steps"] += 1
        return right(self, *arguments, **how)

    monkeypatch.setattr(Training, "_step", counting)
    with caplog.at_level(logging.WARNING):
        record = execute(store)
    assert counted["steps"] == steps_left
    assert reproducible_fields(record) == reproducible_fields(calm[0])
    assert len([record for record in caplog.records if ".pt" in record.getMessage()]) == damaged


def test_threads_are_those_of_the_start(
    calm: Calm,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = Store(tmp_path)
    with monkeypatch.context() as patch:
        die_at(patch, 5)
        with pytest.raises(Killed):
            execute(store)
    record = execute(store, threads=2)
    assert record.threads == 1
    assert not missing(caplog.text, "threads 1", "2")
    assert reproducible_fields(record) == reproducible_fields(calm[0])


def test_on_another_kind_of_device_a_run_starts_again() -> None:
    there = running.RunConditions(device_kind="cuda", threads=1, precision="fp32")
    state = {"run_id": "r", "start": dataclasses.asdict(there)}
    here = running.RunConditions(device_kind="cpu", threads=1, precision="fp32")
    assert running.resumable(state, here, run_id="r") is None
    assert running.resumable(state, there, run_id="r") is state
    assert running.resumable(state, there, run_id="other") is None
    assert running.resumable(None, here, run_id="r") is None


def test_a_finished_run_keeps_no_checkpoint(calm: Calm) -> None:
    assert not list(calm[1].folder(SPEC, LABELS).glob("*checkpoint*"))


def test_within_an_epoch_checkpoints_wait_for_their_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[int] = []
    monkeypatch.setattr(Checkpoints, "save", lambda self, state: saved.append(state["training"]["done"]))
    execute(Store(tmp_path), every=1e9)
    assert saved == [0, 0]  # one an epoch
    saved.clear()
    execute(Store(tmp_path / "often"), every=0.0)
    assert saved == [*range(1, 9), 0, *range(1, 9), 0]


def test_a_loss_that_is_no_number_names_its_step_and_rate_and_is_never_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right, steps = Training._step, iter(range(100))

    def broken(self: Training, *arguments: Any, **how: Any) -> torch.Tensor:
        loss = right(self, *arguments, **how)
        return loss * float("nan") if next(steps) >= 12 else loss

    monkeypatch.setattr(Training, "_step", broken)
    store = Store(tmp_path)
    with pytest.raises(TrainingError, match=naming("nan", "step 4", "epoch 2", "learning rate")):
        execute(store)
    state = Checkpoints(store.folder(SPEC, LABELS)).load()
    assert state is not None and state["training"]["done"] == 3
    assert json.dumps(state["training"]["history"])


def test_what_cannot_be_read_again_does_not_replace_what_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save({"a": 1})
    monkeypatch.setattr("slbench.train.checkpoint.opened", lambda content: None)
    with pytest.raises(StoreError, match="read back differs"):
        checkpoints.save({"a": 2})
    monkeypatch.undo()
    assert checkpoints.load() == {"a": 1}
    assert sorted(path.name for path in tmp_path.iterdir()) == [RunPaths.checkpoint]


def test_a_run_that_is_asked_to_stop_does_so_after_a_checkpoint_of_that_very_step(calm: Calm, tmp_path: Path) -> None:
    store, asked = Store(tmp_path), iter([True] * 4)
    with pytest.raises(running.RunInterrupted):
        execute(store, every=1e9, should_continue=lambda: next(asked, False))
    state = Checkpoints(store.folder(SPEC, LABELS)).load()
    assert state is not None and state["training"]["done"] == 5
    assert reproducible_fields(execute(store)) == reproducible_fields(calm[0])


def test_a_damaged_checkpoint_does_not_take_the_place_of_a_whole_one(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for number in (1, 2):
        checkpoints.save({"a": number})
    (tmp_path / RunPaths.checkpoint).write_bytes(b"garbage")
    assert checkpoints.load() == {"a": 1}
    checkpoints.save({"a": 3})
    (tmp_path / RunPaths.checkpoint).unlink()  # the power goes, after all
    assert checkpoints.load() == {"a": 1}
