"""One contract of all engines: whatever happens to workers, every run ends once, with the weights of a local grid."""

import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from slbench.engines.submission import submissions
from slbench.store import Store
from slbench.study import load_study
from tests.engines.clusters import ClusterUnderTest, cluster_of, kill_tree, wait_until
from tests.support import ROOT, TINY_STUDY, missing

pytestmark = pytest.mark.slow
SETTINGS = """
[engine.slurm]
time = "30"
signal_delay_s = 80
jobs_per_device = 1
idle_timeout_s = 15
options = { exclusive = true }
[engine.ray]
idle_timeout_s = 15
"""


@pytest.fixture(scope="module")
def grid() -> str:
    """A study of four runs of some seconds."""
    text = TINY_STUDY.replace('["none", "lsa"]', '["none", "lsa", "spt", "both"]')
    return text.replace("epochs = 1", "epochs = 14") + SETTINGS


@pytest.fixture(scope="module")
def undisturbed(grid: str, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The store of a local grid."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "study.toml").write_text(grid)
    command = [sys.executable, "-m", "slbench", "run-grid", "study.toml", "--devices", "cpu", "--no-throughput"]
    subprocess.run(command, cwd=folder, env={"PYTHONPATH": str(ROOT)}, check=True, capture_output=True)
    return Store(folder / "results")


def training(cluster: ClusterUnderTest) -> list[psutil.Process]:
    """Return the workers that have a run that has made progress."""
    claims = [claim for claim in cluster.store.claims.holders().values() if claim.progress]
    owners = {pid for claim in claims for pid, _ in claim.owner.processes}
    return [worker for worker in cluster.workers() if worker.pid in owners]


def files_with_modes(store: Store, pattern: str) -> set[str]:
    """Return the permissions of files."""
    return {oct(stat.S_IMODE(path.stat().st_mode)) for path in store.root.glob(pattern)}


def check_refusal(cluster: ClusterUnderTest) -> None:
    """Check that what no node has is refused before anything is submitted."""
    if cluster.excessive:
        command = cluster.command("submit", *cluster.excessive)
        result = subprocess.run(command, env=cluster.environment(), capture_output=True, text=True)
        assert result.returncode == 2 and result.stderr.count("\n") == 1
        assert not missing(result.stderr, "--engine", cluster.name, cluster.refusal)


@pytest.mark.parametrize("engine", ["local", "slurm", "ray"])
def test_disturbed_workers_finish_every_run_once_with_the_weights_of_a_local_grid(
    engine: str, grid: str, undisturbed: Store, tmp_path: Path
) -> None:
    study = tmp_path / "it's %a $(touch x) study.toml"
    study.write_text(grid)
    runs = [run.spec for run in load_study(study).runs]
    with cluster_of(engine, study) as cluster:
        store = cluster.store
        check_refusal(cluster)
        cluster.submit(3, umask=0o027)
        wait_until(lambda: len(training(cluster)) == 3, cluster, seconds=600)
        cluster.preempt(preempted := training(cluster)[1])
        wait_until(lambda: not preempted.is_running() or preempted.status() == "zombie", cluster, seconds=240)
        cluster.cancel()
        wait_until(cluster.is_quiet, cluster, seconds=240)
        assert set(store.states(runs).values()) <= {"missing", "paused", "done"}
        assert list(store.root.glob("runs/*/checkpoint.pt")), "they stopped at checkpoints"

        cluster.submit(3, umask=0o002)
        wait_until(lambda: len(training(cluster)) == 3, cluster, seconds=600)
        killed, warned, lost = training(cluster)
        kill_tree(killed)
        cluster.warn(warned)
        cluster.lose(lost)
        wait_until(lambda: killed not in cluster.workers() and warned not in cluster.workers(), cluster, seconds=240)
        cluster.submit(3)
        written = dict[str, tuple[int, int]]()

        def is_over() -> bool:
            for path in store.root.glob("runs/*/record.json"):
                version = path.stat().st_ino, path.stat().st_mtime_ns
                assert written.setdefault(path.parent.name, version) == version, "a record was written again"
            return set(store.states(runs).values()) == {"done"}

        wait_until(is_over, cluster, seconds=900)
        wait_until(cluster.is_quiet, cluster, seconds=240)
        ends = cluster.endings()
    assert {"time limit", "terminated", None} <= set(ends), ends
    assert list(store.root.glob("runs/*/failure.json")) == [], "none of it is a failure of a run"
    assert not list(tmp_path.rglob("x"))
    print(f"\n{engine}: killed 1, node lost 1, attempts ended {[str(end) for end in ends]}")
    for run in runs:
        record, other = store.record(run.run_id), undisturbed.record(run.run_id)
        assert record is not None and other is not None and record.differences(other) == {}
        print(run.run_id, record.labels.method, record.weights_sha256[:16], other.weights_sha256[:16])
    accepted = [folder for each, folder in submissions(store) if each.state == "submitted"]
    for folder, mode in zip(accepted, ("0o640", "0o664"), strict=False):
        assert files_with_modes(store, f"{folder.path.relative_to(store.root)}/[0-9].*") == {mode}
