"""SLURM through its own commands: the job script, and sbatch, squeue, sacct, scancel and scontrol."""

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from slbench.engine_settings import Engine, SlurmSettings
from slbench.engines.engine import ACTIVE, Answer, Task, script_body
from slbench.engines.submission import SCRIPT, Submission
from slbench.errors import EngineError, InputError
from slbench.text import one_line

COMMAND_SECONDS = 60.0  # for an answer of the scheduler
# messages of a controller that is busy or away: a request may have been carried out all the same
UNREACHABLE = (
    "timed out", "unable to contact", "connection refused", "communication", "zero bytes", "temporarily",
    "unexpected message", "slurm_receive_msg", "no answer",
)  # fmt: skip
FORMAT = "%F|%K|%T|%N|%j|%r"  # job id of the array, task, state, nodes, name, reason


class Slurm:
    """SLURM as a `Scheduler`."""

    name: Engine = "slurm"

    def script(self, submission: Submission, folder: Path, command: Sequence[str]) -> str:
        """See `Scheduler.script`."""
        return job_script(submission, folder, command)

    def check(self, submission: Submission, folder: Path, *, force: bool) -> None:  # noqa: ARG002
        """See `Scheduler.check`."""
        check_script(folder / SCRIPT)

    def start(self, submission: Submission, folder: Path) -> Answer:  # noqa: ARG002
        """See `Scheduler.start`."""
        return submit_script(folder / SCRIPT)

    def queue_of(self, submissions: Collection[Submission]) -> dict[str, list[Task]]:
        """See `Scheduler.queue_of`; also those that left it minutes ago."""
        return queue_of(each.name for each in submissions)

    def ended_states(self, job_ids: Collection[str]) -> dict[tuple[str, int], Task]:
        """See `Scheduler.ended_states`; empty where there is no accounting."""
        return ended_states(job_ids)

    def cancel(self, targets: Sequence[tuple[Submission, str, Collection[int] | None]]) -> None:
        """See `Scheduler.cancel`."""
        cancel([name for _, job_id, tasks in targets for name in job_names(job_id, tasks)])


def job_names(job_id: str, tasks: Collection[int] | None) -> list[str]:
    """Return the names of workers for scancel: "17" is all of an array, "17_3" one worker."""
    return [job_id] if tasks is None else [f"{job_id}_{task}" for task in tasks]


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
        return Answer(1, "", f"{command[0]}: no answer within {seconds:g} s", is_unreachable=True)
    except OSError as error:
        raise EngineError(f"{command[0]}: cannot be run: {error.strerror}") from error
    message = one_line(done.stderr) or one_line(done.stdout)
    lost = done.returncode != 0 and any(words in message.lower() for words in UNREACHABLE)
    return Answer(done.returncode, done.stdout, message, is_unreachable=lost)


def job_script(submission: Submission, folder: Path, command: Sequence[str]) -> str:
    """Return the job script of an array of workers; see `Scheduler.script`."""
    settings, workers, max_parallel = submission.settings, submission.workers, submission.max_parallel
    assert isinstance(settings, SlurmSettings)
    body = script_body(settings.setup, command, folder=folder)
    named = settings.model_dump(exclude={*NOT_OF_SBATCH, "options"}, exclude_none=True)
    at_once = "" if max_parallel is None else f"%{max_parallel}"
    options: Mapping[str, object] = {
        "job-name": submission.name,
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
        return Answer(1, "", f"sbatch: unexpected message: {answer.message}", is_unreachable=True)
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
