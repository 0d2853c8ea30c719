"""A SLURM cluster on this machine: three nodes of two CPUs on the loopback interface, and a partition that preempts."""

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel")
NODES = ("n1", "n2", "n3")
CONFIG = """
ClusterName=loopback
SlurmctldHost=localhost(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={root}/munge/socket
CredType=cred/munge
SlurmctldPort={ports[0]}
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool-%n
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd-%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SlurmdParameters=config_overrides
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/none
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=2
KillWait=15
SlurmdTimeout=10
MessageTimeout=30
"""


class Cluster:
    """The daemons of a cluster.

    Args:
        root: folder of its files, with a short path: it holds a socket.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.config = root, root / "slurm.conf"
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        for folder in ("munge", "state", "log", *(f"spool-{node}" for node in NODES)):
            (self.root / folder).mkdir(mode=0o700)
        key = self.root / "munge" / "key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        munge = {name: f"{self.root}/munge/{name}" for name in ("socket", "pid-file", "log-file", "seed-file")}
        files = [f"--{name}={path}" for name, path in munge.items()]
        self._start("munged", "--foreground", "--force", "--num-threads=2", f"--key-file={key}", *files)
        wait_for((self.root / "munge" / "socket").exists)
        ports = free_ports(1 + len(NODES))
        cpus = "CPUs=2 Boards=1 SocketsPerBoard=1 CoresPerSocket=2 ThreadsPerCore=1 RealMemory=2000"
        text = CONFIG.format(root=self.root, user=getpass.getuser(), ports=ports)
        for node, port in zip(NODES, ports[1:], strict=True):
            text += f"NodeName={node} NodeHostname=localhost NodeAddr=127.0.0.1 Port={port} {cpus}\n"
        text += "PartitionName=low Nodes=ALL Default=YES PriorityTier=1\nPartitionName=high Nodes=ALL PriorityTier=10\n"
        self.config.write_text(text)
        self._start("slurmctld", "-D", "-f", str(self.config))
        for node in NODES:
            self._start("slurmd", "-D", "-f", str(self.config), "-N", node, name=node)
        wait_for(lambda: self.run("sinfo", "--noheader", "--format=%t %D", "--partition=low").split() == ["idle", "3"])

    def _start(self, program: str, *arguments: str, name: str = "") -> None:
        with (self.root / "log" / (name or program)).open("wb") as log:
            environment = {**os.environ, "SLURM_CONF": str(self.config)}
            self.daemons[name or program] = subprocess.Popen(
                [program, *arguments], stdout=log, stderr=log, env=environment, start_new_session=True
            )

    def run(self, *command: str) -> str:
        """Return the output of a command of SLURM; empty if it fails."""
        environment = {**os.environ, "SLURM_CONF": str(self.config)}
        return subprocess.run(command, capture_output=True, text=True, env=environment).stdout

    def start_waiting_jobs_now(self) -> None:
        """Do not let requeued workers wait for two minutes, as SLURM does."""
        for line in self.run("squeue", "--noheader", "--array", "--states=PENDING", "--format=%F_%K %r").splitlines():
            job, _, reason = line.partition(" ")
            if reason == "BeginTime":
                self.run("scontrol", "update", f"JobId={job}", "StartTime=now")

    def preempt(self, node: str, script: Path) -> None:
        """Take a node for a job of the partition that preempts."""
        script.write_text("#!/bin/sh\nsleep 1\n")
        options = ["--partition=high", f"--nodelist={node}", "--exclusive", "--output=/dev/null"]
        assert self.run("sbatch", *options, str(script))

    def lose(self, node: str) -> None:
        """Kill the daemon of a node and all that it has started, first what could tell the controller of it."""
        workers = list[psutil.Process]()
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("SLURMD_NODENAME") == node:
                    workers.append(process)
        parents = {parent for worker in workers for parent in worker.parents()}
        daemon = self.daemons.pop(node)
        daemon.kill()
        daemon.wait()
        for process in [*(parent for parent in parents if parent.name().startswith("slurmstepd")), *workers]:
            with contextlib.suppress(psutil.Error):
                process.kill()

    def stop(self) -> None:
        self.run("scancel", f"--user={getpass.getuser()}")
        for daemon in reversed(self.daemons.values()):
            daemon.terminate()
        for daemon in self.daemons.values():
            try:
                daemon.wait(timeout=10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


@contextlib.contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Run a cluster within the block; skip the test where SLURM is not installed (`.ci/run` installs it)."""
    absent = [program for program in PROGRAMS if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin") is None]
    if absent:
        pytest.skip(f"SLURM is not installed ({', '.join(absent)}): apt-get install slurmctld slurmd munge")
    root = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
    cluster = Cluster(root)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(root, ignore_errors=True)


def free_ports(count: int) -> list[int]:
    """Return ports of the loopback interface that nothing uses."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def wait_for(
    condition: Callable[[], bool], *, seconds: float = 60.0, while_waiting: Callable[[], None] | None = None
) -> None:
    """Wait for a condition. Raises AssertionError if it does not come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {condition}"
        if while_waiting is not None:
            while_waiting()
        time.sleep(0.3)
