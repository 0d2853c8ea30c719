"""What runs on the nodes of a Ray cluster: an actor that starts `slbench work`, and a probe of a node. Imports ray."""

import contextlib
import os
import platform
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path

import ray

from slbench.engines.ray_cluster import job_id
from slbench.engines.submission import SCRIPT, Attempt, SubmissionFolder, now

NAMESPACE = "slbench"


class RayWorker:
    """Starts a worker of a submission as a child process; after it has ended, no actor of its name is left.

    Ray starts the actor again, on another node if need be, when its process or its node is lost. The child sees that
    the actor is gone because its stdin is closed; then it stops at a checkpoint.

    Args:
        name: of the actor.
        folder: of the submission.
        umask: of the files that the worker writes.
        environment: variables that the worker gets besides those of the node.
    """

    def __init__(self, name: str, folder: str, task: int, *, umask: int, environment: Mapping[str, str]) -> None:
        os.umask(umask)
        self.name, self.folder, self.task = name, SubmissionFolder(Path(folder)), task
        self.environment = {**os.environ, **environment}
        self._process: subprocess.Popen[bytes] | None = None
        self._is_stopped = False
        threading.Thread(target=self._work, daemon=True).start()

    def node(self) -> str:
        """Return the name of the host."""
        return platform.node()

    def stop(self) -> None:
        """Let the worker stop at a checkpoint, and do not start it again."""
        self._is_stopped = True
        if self._process is not None:
            self._process.terminate()

    def _work(self) -> None:
        try:
            with contextlib.suppress(OSError):  # the store is not visible here any more
                while not self._is_stopped and self._attempt():
                    pass
        finally:
            ray.kill(ray.get_actor(self.name, namespace=NAMESPACE), no_restart=True)

    def _attempt(self) -> bool:
        """Run the worker, and record the failure of one that could not; return whether it is to be started again."""
        earlier = self.folder.worker(self.task).attempts
        command = ["bash", str(self.folder.path / SCRIPT), str(self.task)]
        with self.folder.log(self.task).open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=self.environment, start_new_session=True
            )
        if self._is_stopped:
            self._process.terminate()
        code, attempts = self._process.wait(), self.folder.worker(self.task).attempts
        if len(attempts) > len(earlier):
            return attempts[-1].requeued
        if not self._is_stopped and (submission := self.folder.read()) is not None:
            failed = Attempt(
                restart=len(earlier), job_id=job_id(submission), hostname=self.node(), started_at=now(), ended_at=now(),
                end="failed", message=f"exit code {code} before slbench work began",
            )  # fmt: skip
            self.folder.write_worker(self.task, [*earlier, failed])
        return False


def probe_node(folder: str, python: str) -> tuple[str, str]:
    """Return the name of this host and why a worker of a submission could not start here; empty if it could."""
    path, node = Path(folder), platform.node()
    if not (path / SCRIPT).is_file():
        return node, f"{path.parent.parent.parent} is not visible there"
    if not os.access(path, os.W_OK):
        return node, f"{path.parent.parent.parent} cannot be written there"
    if not os.access(python, os.X_OK):
        return node, f"{python} does not exist there: install slbench at the same path on all nodes"
    return node, ""
