"""Clusters on this machine for one contract: plain processes, a real SLURM, a real Ray."""

import contextlib
import os
import subprocess
import sys
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from slbench.engines.submission import submissions
from slbench.store import Store
from tests.engines.real_slurm import Cluster as SlurmCluster
from tests.engines.real_slurm import running_cluster
from tests.support import ROOT

RAY_HEALTH = {  # a lost node is noticed in seconds
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 1000,
    "health_check_timeout_ms": 5000,
    "health_check_failure_threshold": 3,
}


class ClusterUnderTest(ABC):
    """Workers of a study, and what can happen to them.

    Args:
        study: file.
    """

    name: str
    excessive: tuple[object, ...] = ()  # flags of a worker that no node can hold
    refusal: str = ""  # words of its refusal

    def __init__(self, study: Path) -> None:
        self.study, self.store = study, Store(study.parent / "results")

    def command(self, command: str, *more: object) -> list[str]:
        store = str(self.store.root)
        return [sys.executable, "-m", "slbench", command, str(self.study), "--store", store, *map(str, more)]

    def environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(ROOT)}

    def workers(self) -> list[psutil.Process]:
        """Return the processes of `slbench work` on the store, oldest first."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                line = process.cmdline()
                is_worker = "work" in line and "slbench" in line and str(self.store.root) in line
                if is_worker and process.status() != psutil.STATUS_ZOMBIE:
                    found.append((process.create_time(), process.pid, process))
        return [process for _, _, process in sorted(found, key=lambda each: each[:2])]

    @abstractmethod
    def submit(self, count: int, *, umask: int = 0o022) -> None:
        """Have this many workers, with the umask of the user who asks for them."""

    @abstractmethod
    def cancel(self) -> None:
        """Cancel all workers."""

    @abstractmethod
    def preempt(self, worker: psutil.Process) -> None:
        """Take a worker away, as the cluster does, which starts it again later."""

    @abstractmethod
    def warn(self, worker: psutil.Process) -> None:
        """Announce the end of a worker's time."""

    @abstractmethod
    def lose(self, worker: psutil.Process) -> None:
        """Lose the node of a worker."""

    @abstractmethod
    def endings(self) -> list[str | None]:
        """Return how all attempts of workers ended; None: without a word."""

    def is_quiet(self) -> bool:
        """Return whether no worker runs or waits."""
        return not self.workers()

    def settle(self) -> None:
        """Do what goes on while a test waits."""
        return


class LocalWorkers(ClusterUnderTest):
    """`slbench work` in processes of this machine, started by hand."""

    name = "local"

    def __init__(self, study: Path) -> None:
        super().__init__(study)
        self.processes: list[subprocess.Popen[bytes]] = []
        self.warned: list[int] = []

    def submit(self, count: int, *, umask: int = 0o022) -> None:
        flags = ["--devices", "cpu", "--jobs-per-device", 1, "--wait", "--idle-timeout", "15s"]
        for _ in range(count - len(self.workers())):
            self.processes.append(
                subprocess.Popen(
                    self.command("work", *flags), env=self.environment(), umask=umask, stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL, start_new_session=True,
                )
            )  # fmt: skip

    def cancel(self) -> None:
        for worker in self.workers():
            worker.terminate()

    def preempt(self, worker: psutil.Process) -> None:
        worker.terminate()

    def warn(self, worker: psutil.Process) -> None:
        self.warned.append(worker.pid)
        worker.send_signal(10)

    def lose(self, worker: psutil.Process) -> None:
        kill_tree(worker)

    def endings(self) -> list[str | None]:
        codes = {process.pid: process.wait(timeout=60) for process in self.processes}
        ends = {0: "no work", 130: "terminated"}
        return ["time limit" if pid in self.warned else ends.get(code) for pid, code in codes.items()]


class SubmittedWorkers(ClusterUnderTest):
    """Workers that `slbench submit` has started."""

    flags: tuple[object, ...] = ()

    def run(self, command: str, *more: object, umask: int = 0o022) -> str:
        """Return the output of a command of slbench, which must succeed."""
        done = subprocess.run(
            self.command(command, *more), env=self.environment(), cwd=self.study.parent, capture_output=True, text=True,
            umask=umask,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def submit(self, count: int, *, umask: int = 0o022) -> None:
        assert "submitted" in self.run("submit", "--workers", count, *self.flags, umask=umask)

    def cancel(self) -> None:
        assert "cancelled" in self.run("cancel")

    def attempts(self) -> list[Any]:
        found = submissions(self.store)
        tasks = [folder.worker(task) for each, folder in found for task in range(each.workers)]
        return [attempt for worker in tasks for attempt in worker.attempts]

    def endings(self) -> list[str | None]:
        return [attempt.end for attempt in self.attempts()]


class Slurm(SubmittedWorkers):
    """Workers on the nodes of a real SLURM."""

    name = "slurm"
    flags = ("--engine", "slurm")
    excessive, refusal = ("--mem", "100G"), "not available"

    def __init__(self, study: Path, cluster: SlurmCluster) -> None:
        super().__init__(study)
        self.cluster = cluster

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "SLURM_CONF": str(self.cluster.config)}

    def preempt(self, worker: psutil.Process) -> None:
        self.cluster.preempt(worker.environ()["SLURMD_NODENAME"], self.study.parent / "preempt.sh")

    def warn(self, worker: psutil.Process) -> None:
        job = "{SLURM_ARRAY_JOB_ID}_{SLURM_ARRAY_TASK_ID}".format(**worker.environ())
        self.cluster.run("scancel", "--batch", "--signal=USR1", job)

    def lose(self, worker: psutil.Process) -> None:
        self.cluster.lose(worker.environ()["SLURMD_NODENAME"])

    def settle(self) -> None:
        self.cluster.start_waiting_jobs_now()

    def is_quiet(self) -> bool:
        names = ",".join(each.name for each, _ in submissions(self.store))
        return not self.workers() and not self.cluster.run("squeue", "--noheader", f"--name={names}").strip()


class Ray(SubmittedWorkers):
    """Workers on the nodes of a real Ray."""

    name = "ray"

    def __init__(self, study: Path, cluster: Any) -> None:
        super().__init__(study)
        self.cluster = cluster
        self.flags = ("--engine", "ray", "--ray-address", cluster.address)
        self.excessive, self.refusal = (*self.flags, "--num-cpus", 99), "at most there is CPU 1"

    def preempt(self, worker: psutil.Process) -> None:
        actor = worker.parent()
        assert actor is not None
        actor.kill()

    def warn(self, worker: psutil.Process) -> None:
        worker.send_signal(10)

    def lose(self, worker: psutil.Process) -> None:
        parents = {parent.pid for parent in worker.parents()}
        (node,) = (node for node in self.cluster.worker_nodes if raylet_of(node) in parents)
        for process in psutil.Process(raylet_of(node)).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                process.kill()
        self.cluster.remove_node(node, allow_graceful=False)


def raylet_of(node: Any) -> int:
    """Return the process id of the daemon of a node of Ray."""
    ((daemon,),) = (found for kind, found in node.all_processes.items() if kind == "raylet")
    pid: int = daemon.process.pid
    return pid


def add_node(cluster: Any, **settings: Any) -> None:
    """Add a node to a Ray. On a busy machine Ray may give up after half a minute; then it is tried again, once."""
    try:
        cluster.add_node(**settings)
    except Exception:
        cluster.add_node(**settings)


@contextlib.contextmanager
def running_ray(nodes: int = 3) -> Iterator[Any]:
    """Run a Ray of a head and nodes of one CPU within the block, all on the loopback interface."""
    before = dict(os.environ)
    os.environ |= {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": str(ROOT)}
    os.environ |= {"RAY_worker_niceness": "0"}  # workers are not to wait for other tests
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from ray.cluster_utils import Cluster

            head = {"num_cpus": 0, "include_dashboard": False, "node_ip_address": "127.0.0.1"}
            cluster = Cluster()
            try:
                add_node(cluster, **head, _system_config=RAY_HEALTH)
                for _ in range(nodes):
                    add_node(cluster, num_cpus=1, node_ip_address="127.0.0.1")
                yield cluster
            finally:
                cluster.shutdown()
    finally:
        os.environ.clear()
        os.environ |= before


@contextlib.contextmanager
def cluster_of(name: str, study: Path) -> Iterator[ClusterUnderTest]:
    """Yield a cluster for a study."""
    if name == "slurm":
        with running_cluster() as slurm:
            yield Slurm(study, slurm)
    elif name == "ray":
        with running_ray() as ray:
            yield Ray(study, ray)
    else:
        local = LocalWorkers(study)
        try:
            yield local
        finally:
            for worker in local.workers():
                kill_tree(worker)


def kill_tree(process: psutil.Process) -> None:
    """Kill a process and all that it has started."""
    for each in [*process.children(recursive=True), process]:
        with contextlib.suppress(psutil.Error):
            each.kill()


def wait_until(condition: Any, cluster: ClusterUnderTest, *, seconds: float) -> None:
    """Wait for a condition. Raises AssertionError if it does not come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {condition}"
        cluster.settle()
        time.sleep(0.3)
