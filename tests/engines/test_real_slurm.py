"""Workers on a real SLURM: killed, preempted, out of time, on a node that is lost, cancelled and submitted again."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from slbench.store import Store
from slbench.study import load_study
from tests.engines.real_slurm import Cluster, running_cluster, wait_for
from tests.support import ROOT, TINY_STUDY, missing

pytestmark = pytest.mark.slow
SETTINGS = """
[engine.slurm]
time = "30"
signal_delay_s = 80
jobs_per_device = 1
idle_timeout_s = 15
options = { exclusive = true }
"""
Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study of three runs of half a minute of CPU time each."""
    path = tmp_path / "it's %a study.toml"
    grid = TINY_STUDY.replace('["none", "lsa"]', '["none", "lsa", "spt"]').replace("epochs = 1", "epochs = 50")
    path.write_text(grid + SETTINGS)
    return path


@pytest.fixture
def cli(cluster: Cluster, study: Path, tmp_path: Path) -> Cli:
    """Return a function that runs a command on the study and its store."""

    def run(command: str, *more: object, store: str = "results") -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "slbench", command, study, "--store", tmp_path / store, *map(str, more)],
            env={**os.environ, "PYTHONPATH": str(ROOT), "SLURM_CONF": str(cluster.config)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )

    return run


def workers(cli: Cli) -> list[dict[str, Any]]:
    """Return the workers of all submissions, oldest first, as `slbench status` shows them."""
    document = json.loads(cli("status", "--json").stdout)
    return [worker for engine in document["engines"] for worker in engine["workers"]]


def trains(worker: dict[str, Any], store: Store) -> bool:
    """Return whether a worker has a run that has made progress."""
    processes = {pid for pid, _ in worker_processes(worker)}
    active = store.claims.holders().values()
    return any(claim.progress and processes & {pid for pid, _ in claim.owner.processes} for claim in active)


def worker_processes(worker: dict[str, Any]) -> list[tuple[int, psutil.Process]]:
    """Return the processes of slbench of a worker."""
    wanted = (worker["attempts"][-1]["job_id"] if worker["attempts"] else "none", str(worker["task"]))
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            job = tuple(process.environ().get(name) for name in ("SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"))
            if job == wanted and "slbench" in " ".join(process.cmdline()):
                found.append((process.pid, process))
    return found


def test_disturbed_workers_finish_every_run_once_with_the_weights_of_a_local_grid(
    cluster: Cluster, cli: Cli, study: Path, tmp_path: Path
) -> None:
    store, runs = Store(tmp_path / "results"), [run.spec for run in load_study(study).runs]
    submitted = cli("submit", "--workers", 3)
    assert submitted.returncode == 0, submitted.stderr
    wait_for(lambda: all(trains(worker, store) for worker in workers(cli)), seconds=180)
    killed, preempted, lost = workers(cli)
    for _, process in worker_processes(killed):
        with contextlib.suppress(psutil.Error):
            process.kill()
    cluster.preempt(preempted["node"], tmp_path / "preempt.sh")
    cluster.lose(lost["node"])
    wait_for(lambda: workers(cli)[0]["state"] == "ended", seconds=60)
    assert workers(cli)[0]["why"] == "killed"
    assert not missing(cli("submit", "--workers", 3).stdout, "1 worker", "2 active")
    wait_for(lambda: len(workers(cli)[1]["attempts"]) > 1, while_waiting=cluster.start_waiting_jobs_now, seconds=120)
    assert workers(cli)[1]["attempts"][0]["end"] == "terminated", "preempted"
    wait_for(lambda: trains(workers(cli)[1], store), seconds=120)
    cluster.warn(f"{workers(cli)[1]['attempts'][0]['job_id']}_1")
    written = dict[str, tuple[int, int]]()

    def is_over() -> bool:
        for path in store.root.glob("runs/*/record.json"):
            version = path.stat().st_ino, path.stat().st_mtime_ns
            assert written.setdefault(path.parent.name, version) == version, "a record was written again"
        return set(store.states(runs).values()) == {"done"}

    wait_for(is_over, while_waiting=cluster.start_waiting_jobs_now, seconds=420)
    wait_for(lambda: all(worker["state"] == "ended" for worker in workers(cli)), seconds=90)
    attempts = [attempt for worker in workers(cli) for attempt in worker["attempts"]]
    assert "time limit" in {attempt["end"] for attempt in attempts}
    assert list(store.root.glob("runs/*/failure.json")) == [], "none of it is a failure of a run"
    assert "nothing to submit" in cli("submit", "--workers", 3).stdout
    assert cli("run-grid", "--devices", "cpu", "--no-throughput", store="local").returncode == 0
    for run, local in zip(
        store.records([run.run_id for run in runs]), Store(tmp_path / "local").records(), strict=False
    ):
        other = Store(tmp_path / "local").record(run.run_id)
        assert other is not None and run.differences(other) == {}
        print(run.run_id, run.weights_sha256[:12], other.weights_sha256[:12])
        del local
    print([[attempt["end"] for attempt in worker["attempts"]] for worker in workers(cli)])


def test_cancelled_workers_stop_at_a_checkpoint_and_may_be_submitted_again(
    cli: Cli, study: Path, tmp_path: Path
) -> None:
    store, runs = Store(tmp_path / "results"), [run.spec for run in load_study(study).runs]
    assert cli("submit", "--workers", 1).returncode == 0
    wait_for(lambda: trains(workers(cli)[0], store), seconds=120)
    assert not missing(cli("cancel").stdout, "1 worker")
    wait_for(lambda: workers(cli)[0]["state"] == "ended", seconds=60)
    assert workers(cli)[0]["why"] == "cancelled"
    assert set(store.states(runs).values()) == {"missing"} and list(store.root.glob("runs/*/checkpoint.pt"))
    assert not missing(cli("submit", "--workers", 1).stdout, "submitted 1 worker")
    assert cli("cancel").returncode == 0
    log = next((store.root / "engines").glob("*/*/0.log")).read_text()
    assert "Traceback" not in log, log


def test_what_no_node_has_is_refused_before_submission(cli: Cli) -> None:
    result = cli("submit", "--mem", "100G")
    assert result.returncode == 2 and result.stderr.count("\n") == 1
    assert not missing(result.stderr, "sbatch --test-only", "not available")
