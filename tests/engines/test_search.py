"""A search that asks and tells here while workers of a scheduler train."""

import contextlib
import json
import time
from pathlib import Path
from subprocess import Popen

import pytest

from slbench.engines.submission import submissions
from slbench.grid.shared_queue import SharedQueue
from slbench.store import Store
from slbench.tuning.record import folder_of
from tests.cli.conftest import Command
from tests.engines.clusters import running_ray
from tests.engines.conftest import FakeSlurm
from tests.support import missing, runs, start_slbench

SEARCH = (
    "--method", "lsa", "--trials", "3", "--seeds-per-trial", "1", "--epochs", "4", "--batch-size", "512",
    "--compare-seeds", "0", "--set", "backbone.dim=8", "--set", "backbone.depth=1", "--set", "backbone.num_heads=1",
    "--set", "backbone.patch_size=16", "--set", "recipe.precision=fp32", "--pruner", "none",
)  # fmt: skip


def start(folder: Path, *more: str) -> Popen[str]:
    return start_slbench("tune-temperature", *SEARCH, "--name", "s", *more, cwd=folder)


def tune(folder: Path, *more: str) -> None:
    process = start(folder, *more)
    _, errors = process.communicate()
    assert process.returncode == 0, errors


def kill_during_the_second_trial(process: Popen[str], store: Store) -> None:
    """Kill the process that asks and tells, and nothing else, while a worker trains."""
    while not (len(store.ids()) == 2 and any(claim.progress for claim in store.claims.holders().values())):
        assert process.poll() is None, "the search ended before"
        time.sleep(0.1)
    process.kill()
    process.communicate()
    assert len(store.ids()) < 3, "the search had asked for every trial"


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "is_killed"), [("slurm", True), ("ray", True), ("ray", False)])
def test_the_search_has_the_results_of_one_on_this_machine(
    engine: str, is_killed: bool, tmp_path: Path, slurm: FakeSlurm
) -> None:
    slurm.faults()
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
    with running_ray(nodes=1) if engine == "ray" and is_killed else contextlib.nullcontext() as cluster:
        flags = ["--engine", engine, *([] if cluster is None else ["--ray-address", cluster.address])]
        if is_killed:  # a cluster that the search has started would end with it
            kill_during_the_second_trial(start(there, *flags), Store(there / "results"))
        tune(there, *flags)
    tune(here, "--devices", "cpu", "--jobs-per-device", "1")
    records = [json.loads((folder / "results/tuning/s/search.json").read_text()) for folder in (here, there)]
    assert records[0]["rows"] == records[1]["rows"] and len(records[0]["rows"][0]["trials"]) == 3
    weights = [
        {run.run_id: run.weights_sha256 for run in Store(folder / "results").records()} for folder in (here, there)
    ]
    assert weights[0] == weights[1] and len(weights[0]) == 3
    ((submission, workers),) = submissions(Store(there / "results"))
    assert submission.engine == engine and submission.workers == 1
    (attempt,) = workers.worker(0).attempts
    assert attempt.runs == 3, "a run was trained twice"
    assert list((there / "results/tuning/s/queue").glob("*.json")) == [there / "results/tuning/s/queue/queue.json"]


def test_a_second_process_is_refused_and_leaves_the_queue_of_the_first_alone(
    slbench: Command, tmp_path: Path, slurm: FakeSlurm
) -> None:
    store = Store(tmp_path / "results")
    queue = SharedQueue(folder_of(store, "s") / "queue", store)
    (run, *_) = runs({})
    queue.open("s", [run])
    queue.publish(run)
    before = {path: path.read_bytes() for path in queue.folder.iterdir()}
    claim = store.claims.acquire("tuning-s")
    assert claim is not None
    second = slbench("tune-temperature", *SEARCH, "--name", "s", "--store", store.root, "--engine", "slurm")
    assert second.code == 2 and not missing(second.err, "--name", "another process", "'s'")
    assert {path: path.read_bytes() for path in queue.folder.iterdir()} == before and len(before) == 2
    assert slurm.jobs == []
