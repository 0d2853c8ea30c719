"""The study files that ship are valid, and the one that runs everything runs."""

import subprocess
import sys
from pathlib import Path

import pytest

from slbench.store import Store
from slbench.study import load_study
from tests.support import ROOT

STUDIES = sorted((ROOT / "studies").glob("*.toml"))


@pytest.mark.parametrize("path", STUDIES, ids=[path.stem for path in STUDIES])
def test_a_shipped_study_is_valid_and_its_header_says_command_cost_and_expectation(path: Path) -> None:
    assert load_study(path).runs
    header = [line for line in path.read_text().splitlines() if line.startswith("#")]
    for word in ("command", "cost", "expect"):
        assert any(line.startswith(f"# {word} ") for line in header), word


@pytest.mark.slow
def test_every_backbone_trains_and_reports_with_every_row_it_takes(tmp_path: Path) -> None:
    study = ROOT / "studies" / "smoke.toml"
    for command in (["run-grid", str(study), "--no-throughput"], ["report", str(study)]):
        done = subprocess.run(
            [sys.executable, "-m", "slbench", *command, "--store", str(tmp_path)], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
    records = list(Store(tmp_path).records())
    assert len(records) == len(load_study(study).runs) == 23
    # A network that guesses has log(10) = 2.303, and with smoothed labels none has less without having learned.
    assert all(record.final_train_loss < 2.31 for record in records)
