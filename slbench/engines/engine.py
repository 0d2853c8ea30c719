"""What submitting, watching and cancelling need from a scheduler."""

import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from slbench.engine_settings import Engine as EngineName
from slbench.errors import InputError
from slbench.text import CONTROLS, shown

if TYPE_CHECKING:
    from slbench.engines.submission import Submission

ACTIVE = (
    "PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED",
    "RESIZING", "SIGNALING", "SPECIAL_EXIT", "STAGE_OUT", "STOPPED", "RESV_DEL_HOLD",
)  # fmt: skip
WAITING = ("PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "RESV_DEL_HOLD")


@dataclass(frozen=True)
class Answer:
    """What a command of a scheduler returned."""

    code: int
    out: str
    message: str  # on one line
    is_unreachable: bool = False  # the scheduler did not answer: it may have carried out the request all the same


@dataclass(frozen=True)
class Task:
    """A worker in the queue, or one that has left it."""

    job_id: str
    task: int
    state: str  # as of SLURM: "PENDING", "RUNNING", "TIMEOUT"
    node: str = ""
    reason: str = ""  # why it waits

    @property
    def is_active(self) -> bool:
        return self.state in ACTIVE

    @property
    def is_waiting(self) -> bool:
        return self.state in WAITING


Ended = Mapping[tuple[str, int], Task]  # how workers ended that have left the queue, by job id and task


class Scheduler(Protocol):
    """Starts workers elsewhere, and knows which of them are left."""

    name: EngineName

    def script(self, submission: "Submission", folder: Path, command: Sequence[str]) -> str:
        """Return the script that starts a worker of a submission.

        Args:
            folder: absolute path of the submission's folder.
            command: of a worker.
        """

    def check(self, submission: "Submission", folder: Path, *, force: bool) -> None:
        """Raise InputError for what cannot run, and EngineError if the scheduler does not answer.

        Args:
            force: leave out what may change while workers wait.
        """

    def start(self, submission: "Submission", folder: Path) -> Answer:
        """Hand a stored submission over; the output of the answer is the job id."""

    def queue_of(self, submissions: Collection["Submission"]) -> dict[str, list[Task]]:
        """Return the workers in the queue by name of their submission, in one query, else raise EngineError."""

    def ended_states(self, job_ids: Collection[str]) -> dict[tuple[str, int], Task]:
        """Return how workers ended that have left the queue, as far as the scheduler knows it."""

    def cancel(self, targets: Sequence[tuple["Submission", str, Collection[int] | None]]) -> None:
        """Cancel workers of submissions with these job ids; None: all. Raises EngineError if that fails."""


def script_body(setup: Sequence[str], command: Sequence[str], *, folder: Path) -> list[str]:
    """Return the lines of a script that start a worker, which replaces the shell, so that signals reach it.

    Raises:
        InputError: for a folder with a name that no line of a script can hold.
    """
    for path in (folder, Path.cwd()):
        if CONTROLS.search(str(path)) or "\n" in str(path):
            raise InputError(f"--store: must be a path without control characters (got {shown(path)})")
    return [f"cd -- {shlex.quote(str(Path.cwd()))} || exit 1", *setup, f"exec {shlex.join(command)}"]
