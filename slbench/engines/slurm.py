"""SLURM through its own commands: the job script, and sbatch, squeue, sacct, scancel and scontrol."""

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from slbench.engine_settings import SlurmSettings
from slbench.errors import EngineError, InputError
from slbench.text import CONTROLS, one_line, shown

COMMAND_SECONDS = 60.0  # for an answer of the scheduler
# messages of a controller that is busy or away: a request may have been carried out all the same
UNREACHABLE = (
    "timed out", "unable to contact", "connection refused", "communication", "zero bytes", "temporarily",
    "unexpected message", "slurm_receive_msg", "no answer",
)  # fmt: skip
ACTIVE = (
    "PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED",
    "RESIZING", "SIGNALING", "SPECIAL_EXIT", "STAGE_OUT", "STOPPED", "RESV_DEL_HOLD",
)  # fmt: skip
WAITING = ("PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "RESV_DEL_HOLD")
FORMAT = "%F|%K|%T|%N|%j|%r"  # job id of the array, task, state, nodes, name, reason


@dataclass(frozen=True)
class Answer:
    """What a command of SLURM returned."""

    code: int
    out: str
    message: str  # on one line

    @property
    def is_unreachable(self) -> bool:
        """Whether the controller did not answer, so that nothing is known of the request."""
        return self.code != 0 and any(words in self.message.lower() for words in UNREACHABLE)


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


def ask(*command: str, seconds: float = COMMAND_SECONDS) -> Answer:
    """Run a command of SLURM.

    Raises:
        InputError: if it is not installed here.
    """
    if shutil.which(command[0]) is None:
        raise InputError(f"--engine slurm: {command[0]} is not on the PATH; run this on a login node of the cluster")
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            env={**os.environ, "LC_ALL": "C"},
        )
    except subprocess.TimeoutExpired:
        return Answer(1, "", f"{command[0]}: no answer within {seconds:g} s")
    except OSError as error:
        raise EngineError(f"{command[0]}: cannot be run: {error.strerror}") from error
    return Answer(done.returncode, done.stdout, one_line(done.stderr) or one_line(done.stdout))


def job_script(
    *, name: str, folder: Path, settings: SlurmSettings, workers: int, max_parallel: int | None, command: Sequence[str]
) -> str:
    """Return the job script of an array of workers.

    Args:
        folder: absolute path of the submission's folder.
        command: of a worker; it replaces the shell, so that the warning signal reaches it.
    Raises:
        InputError: for a folder with a name that no line of a script can hold.
    """
    for path in (folder, Path.cwd()):
        if CONTROLS.search(str(path)) or "\n" in str(path):
            raise InputError(f"--store: must be a path without control characters (got {shown(path)})")
    named = settings.model_dump(exclude={*NOT_OF_SBATCH, "options"}, exclude_none=True)
    at_once = "" if max_parallel is None else f"%{max_parallel}"
    options: Mapping[str, object] = {
        "job-name": name,
        "output": str(folder).replace("%", "%%") + "/%a.log",
        "open-mode": "append",
        "array": f"0-{workers - 1}{at_once}",
        "nodes": 1,
        "ntasks": 1,
        "signal": f"B:USR1@{settings.signal_delay_s}",
        "requeue": True,
        **{key.replace("_", "-"): value for key, value in named.items()},
        **settings.options,
    }
    lines = [f"#SBATCH {option_text(key, value)}" for key, value in options.items() if value is not False]
    body = [f"cd -- {shlex.quote(str(Path.cwd()))} || exit 1", *settings.setup, f"exec {shlex.join(command)}"]
    return "\n".join(["#!/bin/bash", *lines, "", *body, ""])


NOT_OF_SBATCH = ("setup", "jobs_per_device", "threads", "signal_delay_s", "max_num_timeout", "idle_timeout_s")


def option_text(name: str, value: object) -> str:
    return f"--{name}" if value is True else f"--{name}={shlex.quote(str(value))}"


def check_script(script: Path) -> None:
    """Have SLURM check a job script without submitting it.

    Raises:
        InputError: if SLURM refuses it, such as for resources that no node has.
        EngineError: if SLURM does not answer.
    """
    answer = ask("sbatch", "--test-only", str(script))
    if answer.is_unreachable:
        raise EngineError(f"SLURM does not answer ({answer.message}); nothing was submitted, try again later")
    if answer.code != 0:
        raise InputError(f"--engine slurm: refused by sbatch --test-only: {answer.message}")


def submit_script(script: Path) -> Answer:
    """Submit a job script; the output of the answer is the job id."""
    answer = ask("sbatch", "--parsable", str(script))
    if answer.code != 0:
        return answer
    job_id = answer.out.strip().splitlines()[-1].partition(";")[0] if answer.out.strip() else ""
    if not job_id.isdecimal():
        return Answer(1, "", f"sbatch: unexpected message: {answer.message}")
    return Answer(0, job_id, answer.message)


def queue_of(names: Iterable[str]) -> dict[str, list[Task]]:
    """Return the workers in the queue by name of their job, in one query; also those that left it minutes ago.

    Raises:
        EngineError: if SLURM does not answer.
    """
    chosen = sorted(names)
    if not chosen:
        return {}
    answer = ask("squeue", "--noheader", "--array", "--states=all", f"--name={','.join(chosen)}", f"--format={FORMAT}")
    if answer.code != 0:
        raise EngineError(f"squeue: {answer.message}")
    found: dict[str, list[Task]] = {name: [] for name in chosen}
    for line in answer.out.splitlines():
        parts = line.strip().split("|", 5)
        if len(parts) == 6 and parts[4] in found and parts[1].isdecimal():
            job_id, task, state, node, name, reason = parts
            found[name].append(Task(job_id, int(task), state, node, "" if reason == "None" else reason))
    return found


def ended_states(job_ids: Iterable[str]) -> dict[tuple[str, int], Task]:
    """Return how workers ended by job id and task, in one query of the accounting; empty where there is none."""
    chosen = sorted(job_ids)
    if not chosen or shutil.which("sacct") is None:
        return {}
    answer = ask(
        "sacct", "--allocations", "--array", "--noheader", "--parsable2", f"--jobs={','.join(chosen)}",
        "--format=JobID,State,NodeList",
    )  # fmt: skip
    ended = {}
    for line in answer.out.splitlines() if answer.code == 0 else ():
        match = re.fullmatch(r"(\d+)_(\d+)\|(\w+)[^|]*\|(.*)", line.strip())
        if match is not None and match[3] not in ACTIVE:
            ended[match[1], int(match[2])] = Task(match[1], int(match[2]), match[3], match[4])
    return ended


def cancel(targets: Sequence[str]) -> None:
    """Cancel arrays ("17") or single workers ("17_3"). Raises EngineError if SLURM does not carry it out."""
    answer = ask("scancel", *targets)
    if answer.code != 0:
        raise EngineError(f"scancel: {answer.message}")


def requeue(job_id: str, task: int) -> bool:
    """Requeue a running worker, which is ended for that; return whether SLURM accepted it."""
    with contextlib.suppress(InputError, EngineError):
        return ask("scontrol", "requeue", f"{job_id}_{task}").code == 0
    return False


def end_of_allocation(settings: SlurmSettings, environment: Mapping[str, str]) -> float | None:
    """Return the seconds until the allocation of this worker ends; None if it has no known limit."""
    ends = environment.get("SLURM_JOB_END_TIME", "")
    if ends.isdecimal():
        return int(ends) - time.time()
    return settings.seconds
