"""A search killed with SIGKILL at random times equals an uninterrupted one."""

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import optuna
import psutil
import pytest

from slbench.store import Store
from slbench.tuning.record import MethodRecord, load
from slbench.tuning.storage import open_storage
from tests.support import start_slbench

pytestmark = pytest.mark.slow
COMMAND = [
    *("tune-temperature", "--name", "killed", "--trials", "8", "--seeds-per-trial", "2", "--compare-seeds", "2"),
    *("--sampler", "tpe", "--pruner", "median", "--jobs-per-device", "1", "--epochs", "3", "--batch-size", "256"),
    *("--set", "backbone.patch_size=8", "--set", "backbone.dim=16", "--set", "backbone.depth=1"),
    *("--set", "backbone.num_heads=1", "--set", "recipe.precision=fp32"),
]
KILLS = 6


def start(store: Path) -> subprocess.Popen[str]:
    return start_slbench(*COMMAND, "--store", store, stdout=subprocess.DEVNULL, new_session=True)


def kill_all(process: subprocess.Popen[str]) -> None:
    """Kill launcher and worker processes at once, like a power cut."""
    pids = [process.pid, *(child.pid for child in psutil.Process(process.pid).children(recursive=True))]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    process.communicate()


def trials_of(store: Path) -> list[tuple[object, ...]]:
    """Return the trials of Optuna's journal."""
    study = optuna.load_study(study_name="killed-both", storage=open_storage(None, store / "tuning" / "killed"))
    return [
        (trial.number, trial.state, trial.user_attrs["setting"], trial.value, trial.intermediate_values)
        for trial in study.get_trials()
        if "setting" in trial.user_attrs
    ]


def result_of(store: Path) -> tuple[MethodRecord, list[tuple[object, ...]]]:
    (method,) = load(store / "tuning" / "killed").rows
    return method, trials_of(store)


def test_a_search_killed_repeatedly_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    process = start(undisturbed)
    _, stderr = process.communicate()
    assert process.returncode == 0, stderr
    total_seconds = sum(record.seconds for record in Store(undisturbed).records())

    chance = random.Random(0)
    for _ in range(KILLS):
        process = start(killed)
        time.sleep(5 + chance.random() * total_seconds / KILLS)
        if process.poll() is not None:
            break
        kill_all(process)
    else:
        process = start(killed)
        _, stderr = process.communicate()
        assert process.returncode == 0, stderr

    expected, expected_trials = result_of(undisturbed)
    result, trials = result_of(killed)
    by_setting = [entry[1:] for entry in expected_trials]
    assert [entry[1:] for entry in trials] == by_setting
    assert len(by_setting) == 8
    assert result.comparison == expected.comparison
    one, other = Store(undisturbed), Store(killed)
    for record in one.records():
        again = other.record(record.run_id)
        assert again is not None
        assert record.differences(again) == {}
