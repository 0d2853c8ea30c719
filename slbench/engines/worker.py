"""What a worker that a scheduler has started records of itself, and when it has itself requeued."""

import os
import platform
import signal
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from slbench.engine_settings import SlurmSettings
from slbench.engines import slurm
from slbench.engines.ray_cluster import job_id
from slbench.engines.submission import Attempt, End, Submission, SubmissionFolder, digest_of, now
from slbench.errors import InputError
from slbench.grid.events import Event, Finished, Limit, Progressed
from slbench.study import Study
from slbench.text import one_line

ENDS: Mapping[Limit, End] = {
    "idle": "idle",
    "max runs": "limit",
    "max time": "limit",
    "time limit": "time limit",
    "time left": "time limit",
    "terminated": "terminated",
}


def started_as(submission: Submission, task: int | None, environment: Mapping[str, str]) -> tuple[str, int]:
    """Return job id and task of this worker. Raises InputError if no scheduler has started it."""
    if submission.engine == "ray" and task is not None:
        return job_id(submission), task
    number, index = environment.get("SLURM_ARRAY_JOB_ID", ""), environment.get("SLURM_ARRAY_TASK_ID", "")
    if not (number.isdecimal() and index.isdecimal()):
        raise InputError("--submission: is for workers that slbench submit has started")
    return number, int(index)


def terminate_at_end_of_stdin() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


class EngineWorker:
    """The attempt of this process, as a context manager around its work: recorded when it begins and when it ends.

    Args:
        folder: of the submission.
        task: number of the worker; None: as SLURM says.
    Raises:
        InputError: if the folder is not visible here, or no scheduler started this process.
    """

    def __init__(self, folder: Path, *, task: int | None = None, environment: Mapping[str, str] = os.environ) -> None:
        self.folder, self.environment = SubmissionFolder(folder), environment
        if (submission := self.folder.read()) is None:
            raise InputError(
                f"{folder}: not visible on {platform.node()}; the store must be a folder that all nodes share"
            )
        self.submission, self.settings = submission, submission.settings
        self.job_id, self.task = started_as(submission, task, environment)
        self.earlier = self.folder.worker(self.task).attempts
        self.attempt = Attempt(
            restart=len(self.earlier)
            if submission.engine == "ray"
            else int(environment.get("SLURM_RESTART_COUNT", "0") or 0),
            job_id=self.job_id,
            hostname=platform.node(),
            started_at=now(),
        )
        self._runs, self._progressed = 0, False

    @property
    def seconds(self) -> float | None:
        """Seconds until this worker is warned of its time limit; None if it has none that is known."""
        if not isinstance(self.settings, SlurmSettings):
            return None
        seconds = slurm.end_of_allocation(self.settings, self.environment)
        return None if seconds is None else max(0.0, seconds - self.settings.signal_delay_s)

    def end_with_parent(self) -> None:
        """Let this process get SIGTERM when stdin is closed, as it is when the actor of Ray that started it is lost."""
        if self.submission.engine == "ray":
            threading.Thread(target=terminate_at_end_of_stdin, daemon=True).start()

    @property
    def study_folder(self) -> Path:
        """Folder of the submitted study file, where its relative paths start."""
        return Path(self.submission.study_folder)

    def check_runs(self, study: Study) -> None:
        """Raise InputError if a study has other runs here than when it was submitted."""
        if self.submission.runs and digest_of(study) != self.submission.runs:
            raise InputError(
                f"study '{study.name}' has other runs than when it was submitted: models, plugins or data changed; "
                "slbench cancel and submit it again"
            )

    def __enter__(self) -> Self:
        self._write()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.attempt.end is None:
            terminated = isinstance(error, KeyboardInterrupt)
            message = "" if error is None or terminated else one_line(str(error) or type(error).__name__)[:500]
            self.end("terminated" if terminated else "failed" if error is not None else "no work", message=message)

    def see(self, event: Event) -> None:
        self._runs += isinstance(event, Finished)
        if not self._progressed and isinstance(event, Finished | Progressed):
            self._progressed = True
            self.attempt = self.attempt.model_copy(update={"progressed": True})
            self._write()  # at once: a worker that is killed records no end

    def end(self, end: End, *, message: str = "") -> None:
        """Record how this attempt ends."""
        self.attempt = self.attempt.model_copy(
            update={
                "ended_at": now(), "end": end, "message": message,
                "runs": self._runs, "progressed": self._progressed,
            }
        )  # fmt: skip
        self._write()

    def requeue(self) -> str:
        """Have this worker started again after it has ended at its time limit, if that promises progress.

        Returns:
            What was done, as a line.
        """
        before = sum(attempt.end == "time limit" for attempt in self.earlier)
        if not self._progressed:
            return "not requeued: no run went on in this allocation"
        if before >= self.settings.max_num_timeout:
            return f"not requeued: at its time limit for the {before + 1}th time (max_num_timeout)"
        self._set_requeued(True)  # before it is, as the next attempt may begin at once
        if self.submission.engine == "slurm" and not slurm.requeue(self.job_id, self.task):
            self._set_requeued(False)
            return "not requeued: scontrol requeue failed; slbench submit adds a worker"
        return "requeued"

    def _set_requeued(self, requeued: bool) -> None:
        self.attempt = self.attempt.model_copy(update={"requeued": requeued})
        self._write()

    def _write(self) -> None:
        self.folder.write_worker(self.task, [*self.earlier, self.attempt])
