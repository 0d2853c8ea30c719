"""`slbench run-grid --plan`: estimated times."""

import json
from pathlib import Path

import pytest

from slbench.grid.estimate import JobSetting, save_probes
from slbench.study import load_study
from tests.cli.conftest import Command
from tests.grid.helpers import make_probe
from tests.support import missing


def test_a_plan_for_gpus_uses_probes_of_another_machine(slbench: Command, study: Path, tmp_path: Path) -> None:
    setting = JobSetting("cuda", 1, "fp32", 1)
    probes = [
        make_probe(run, setting, device_kind="cuda", device_name="NVIDIA H100", step_seconds=0.001, computes_bf16=True)
        for run in load_study(study).runs
    ]
    save_probes(tmp_path / "h100.json", probes)
    flags = ("--plan", "--speeds", tmp_path / "h100.json", "--devices", "cuda:0,cuda:1")
    result = slbench("run-grid", study, "--store", tmp_path / "r", *flags)
    assert result.code == 0
    # start 2, an epoch of 17 steps and 3,000 images and a checkpoint, an end of 1
    assert not missing(result.out, "Tiny none fashion-mnist-12k", "1 x 0:06")
    assert not missing(result.out, "0:06", "2", "cuda:0", "cuda:1", "images/s", "NVIDIA H100")
    assert not (tmp_path / "r").exists()
    document = json.loads(slbench("run-grid", study, "--store", tmp_path / "r", *flags, "--json").out)
    assert document["plan"]["wall_seconds"] == pytest.approx(2 + 0.017 + 3 + 0.25 + 1)
    assert document["plan"]["slots"] == ["cuda:0", "cuda:1"]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--probe"], ("--probe", "--speeds", "--save-speeds", "--plan")),
        (["--speeds", "x"], ("--plan",)),
        (["--plan", "--probe", "--speeds", "x"], ("--probe", "--speeds")),
        (["--plan", "--speeds", "x"], ("--speeds",)),
        (["--jobs-per-device", "many"], ("--jobs-per-device", "number", "1")),
        (["--jobs-per-device", "0"], ("--jobs-per-device", "0", "number", "1")),
    ],
)
def test_contradicting_flags_are_refused(
    slbench: Command, study: Path, tmp_path: Path, flags: list[str], words: tuple[object, ...]
) -> None:
    result = slbench("run-grid", study, "--store", tmp_path / "r", *flags)
    result.check_error(*words)
    assert not (tmp_path / "r").exists()


def test_a_plan_without_probes_suggests_probing_and_has_the_difference_that_its_seeds_decide(
    slbench: Command, study: Path, tmp_path: Path
) -> None:
    result = slbench("run-grid", study, "--store", tmp_path / "r", "--plan", "--seeds", 3)
    assert not missing(result.out, "2 kinds", "--plan", "--probe")
    assert not missing(result.out, "1 contrast", "3 seeds", "95 %", "3.26")  # power 0.8 of a paired t test of 3 seeds
