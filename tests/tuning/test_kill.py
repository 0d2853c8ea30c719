"""A search killed with SIGKILL at random times ends like an uninterrupted one."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import psutil
import pytest

from slbench.store import Store
from slbench.tuning.record import MethodRecord, load
from slbench.tuning.storage import open_storage

pytestmark = pytest.mark.slow
COMMAND = [
    *("tune-temperature", "--name", "killed", "--trials", "8", "--seeds-per-trial", "2", "--compare-seeds", "2"),
    *("--sampler", "tpe", "--pruner", "median", "--jobs-per-device", "1", "--epochs", "3", "--batch-size", "256"),
    *("--set", "backbone.patch_size=8", "--set", "backbone.dim=16", "--set", "backbone.depth=1"),
    *("--set", "backbone.num_heads=1", "--set", "recipe.precision=fp32"),
]
KILLS = 6


def start(store: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "slbench", *COMMAND, "--store", str(store)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill launcher and children at once, like a power cut."""
    family = [process.pid, *(child.pid for child in psutil.Process(process.pid).children(recursive=True))]
    for pid in family:
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
    (row,) = load(store / "tuning" / "killed").rows
    return row, trials_of(store)


def test_a_search_killed_repeatedly_ends_like_an_uninterrupted_one(tmp_path: Path) -> None:
    calm, storm = tmp_path / "calm", tmp_path / "storm"
    process = start(calm)
    _, stderr = process.communicate()
    assert process.returncode == 0, stderr.decode()
    took = sum(record.seconds for record in Store(calm).records())

    generator = random.Random(0)
    for _ in range(KILLS):
        process = start(storm)
        time.sleep(5 + generator.random() * took / KILLS)
        if process.poll() is not None:
            break
        kill(process)
    else:
        process = start(storm)
        _, stderr = process.communicate()
        assert process.returncode == 0, stderr.decode()

    calm_row, calm_trials = result_of(calm)
    storm_row, storm_trials = result_of(storm)
    by_setting = [entry[1:] for entry in calm_trials]
    assert [entry[1:] for entry in storm_trials] == by_setting
    assert len(by_setting) == 8
    assert storm_row.comparison == calm_row.comparison
    one, other = Store(calm), Store(storm)
    for record in one.records():
        again = other.record(record.run_id)
        assert again is not None
        assert record.differences(again) == {}
