"""A search that asks and tells here while workers of a scheduler train."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from slbench.engines.submission import submissions
from slbench.store import Store
from tests.engines.conftest import FakeSlurm
from tests.support import ROOT

SEARCH = (
    "--method", "lsa", "--trials", "2", "--seeds-per-trial", "1", "--epochs", "1", "--batch-size", "512",
    "--compare-seeds", "0", "--set", "backbone.dim=8", "--set", "backbone.depth=1", "--set", "backbone.num_heads=1",
    "--set", "backbone.patch_size=16", "--set", "recipe.precision=fp32", "--pruner", "none",
)  # fmt: skip


def tune(folder: Path, *more: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "slbench", "tune-temperature", *SEARCH, "--name", "s", *more],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["slurm", "ray"])
def test_the_search_has_the_results_of_one_on_this_machine(engine: str, tmp_path: Path, slurm: FakeSlurm) -> None:
    slurm.faults()
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
    done = tune(there, "--engine", engine)
    assert done.returncode == 0, done.stderr
    assert tune(here, "--devices", "cpu", "--jobs-per-device", "1").returncode == 0
    records = [json.loads((folder / "results/tuning/s/search.json").read_text()) for folder in (here, there)]
    assert [row["trials"] for row in records[0]["rows"]] == [row["trials"] for row in records[1]["rows"]]
    weights = [
        {run.run_id: run.weights_sha256 for run in Store(folder / "results").records()} for folder in (here, there)
    ]
    assert weights[0] == weights[1] and len(weights[0]) == 2
    ((submission, _),) = submissions(Store(there / "results"))
    assert submission.engine == engine and submission.workers == 1
    assert list((there / "results/tuning/s/queue").glob("*.json")) == [there / "results/tuning/s/queue/queue.json"]
