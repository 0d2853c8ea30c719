"""Settings of SLURM from the user's file, the study and flags."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from slbench.engine_settings import RaySettings, SlurmSettings, seconds_of, settings_of
from slbench.errors import InputError
from tests.support import TINY, naming, study

GRID = {"grid": {"backbone": [TINY], "method": ["none"]}}


@pytest.fixture(autouse=True)
def user_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's file, which does not exist yet."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "slbench").mkdir()
    return tmp_path / "slbench" / "engines.toml"


def settings(text: str, **flags: Any) -> SlurmSettings:
    """Return the settings of a study with this [engine.slurm] table."""
    return settings_of(SlurmSettings, study({**GRID, **tomllib.loads(text)}).engines, flags, where="study.toml")


@pytest.mark.parametrize(
    ("time", "seconds"),
    [
        ("7", 7 * 60), ("7:05", 7 * 60 + 5), ("2:07:05", 2 * 3600 + 7 * 60 + 5), ("3-2", 74 * 3600),
        ("3-2:07", 74 * 3600 + 7 * 60), ("1-00:00:11", 86411), ("UNLIMITED", None),
    ],
)  # fmt: skip
def test_times_are_those_of_sbatch(time: str, seconds: int | None) -> None:
    assert seconds_of(time) == seconds


def test_flags_win_over_the_study_and_the_study_over_the_user(user_file: Path) -> None:
    user_file.write_text('[slurm]\npartition = "u"\naccount = "u"\nqos = "u"\noptions = { nice = 3, licenses = "u" }\n')
    found = settings(
        '[engine.slurm]\npartition = "s"\naccount = "s"\noptions = { licenses = "s" }',
        partition="f",
        options={"x": True},
    )
    assert (found.partition, found.account, found.qos) == ("f", "s", "u")
    assert found.options == {"nice": 3, "licenses": "s", "x": True}


@pytest.mark.parametrize(
    ("table", "parts"),
    [
        ('time = "4h"', ("time", "4h", "1:30:00")),
        ('time = "1"', ("time", "signal_delay_s", "90")),
        ('partition = "a\\nb"', ("partition", "one line")),
        ('setup = ["a\\u0001"]', ("setup", "one line")),
        ("options = { array = '0-9' }", ("options", "array", "set by slbench")),
        ("options = { 'a b' = 1 }", ("options", "a b")),
        ("options = { nice = 0.5 }", ("options", "nice", "0.5")),
        ("gpus_per_node = -1", ("gpus_per_node", "-1")),
        ("cpu_per_task = 1", ("cpu_per_task", "cpus_per_task")),
        ("signal_delay_s = 1", ("signal_delay_s", "at least 10")),
    ],
)
def test_what_no_job_script_can_hold_is_refused(table: str, parts: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match=naming("engine", "slurm", *parts)):
        settings(f"[engine.slurm]\n{table}")


def test_an_invalid_file_of_the_user_is_named(user_file: Path) -> None:
    user_file.write_text("[slurm]\nmemory = '1G'\n")
    with pytest.raises(InputError, match=naming(user_file, "slurm", "memory", "mem")):
        settings("")


@pytest.mark.parametrize(
    ("table", "parts"),
    [
        ("num_gpus = 1.5", ("num_gpus", "whole number", "1.5")),
        ("num_cpus = 2\nthreads = 3", ("num_cpus", "jobs_per_device x threads = 3", "2")),
        ("num_cpus = 2\njobs_per_device = 3", ("num_cpus", "3", "2")),
        ("resources = { GPU = 1.0 }", ("resources", "GPU", "num_gpus")),
        ("resources = { a100 = 0.0 }", ("resources", "a100", "above 0")),
        ("num_gpu = 1", ("num_gpu", "num_gpus")),
    ],
)
def test_contradictory_settings_of_ray_are_refused(table: str, parts: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match=naming("engine", "ray", *parts)):
        ray_settings(f"[engine.ray]\n{table}")


def test_a_worker_of_ray_without_a_gpu_runs_as_many_jobs_as_its_cpus_hold() -> None:
    assert ray_settings("[engine.ray]\nnum_cpus = 7\nthreads = 2").concurrent_jobs == 3
    found = ray_settings("[engine.ray]\nresources = { a100 = 1.0 }", num_gpus=0.5, resources={"b": 2.0})
    assert found.concurrent_jobs is None and found.needs == {"CPU": 1, "GPU": 0.5, "a100": 1, "b": 2}


def ray_settings(text: str, **flags: Any) -> RaySettings:
    """Return the settings of a study with this [engine.ray] table."""
    return settings_of(RaySettings, study({**GRID, **tomllib.loads(text)}).engines, flags, where="study.toml")
