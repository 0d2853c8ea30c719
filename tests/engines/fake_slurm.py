"""A stand-in for the commands of SLURM: sbatch, squeue, sacct, scancel, scontrol. The first argument is the command.

State and faults are files in the folder of the environment variable FAKE_SLURM:

    jobs.json   all workers that were ever submitted
    calls.txt   a line for each command
    faults.json optional: {"squeue": "message", "sbatch": "message", "test-only": "message"} make that command fail;
                {"squeue with jobs": "message"} does so once something was submitted;
                {"lost": "message"} lets sbatch accept a job and fail; {"hold": true} starts nothing;
                {"no job runs": true} accepts jobs that end at once without having run;
                {"bad node": "n1"} does so unless a job excludes that node
"""

import fcntl
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

Job = dict[str, Any]
Faults = dict[str, Any]
ROOT = Path(os.environ["FAKE_SLURM"])


def fail(message: str) -> NoReturn:
    print(message, file=sys.stderr)
    sys.exit(1)


def options_of(script: Path) -> dict[str, str]:
    """Return the #SBATCH options of a job script."""
    options = {}
    for line in script.read_text().splitlines():
        if line.startswith("#SBATCH "):
            (word,) = shlex.split(line.removeprefix("#SBATCH "))
            name, _, value = word.removeprefix("--").partition("=")
            options[name] = value
    return options


def start(job: Job) -> None:
    """Start a waiting worker as a process."""
    log = job["output"].replace("%%", "\0").replace("%a", str(job["task"])).replace("\0", "%")
    environment = {
        **os.environ,
        "SLURM_ARRAY_JOB_ID": job["id"],
        "SLURM_ARRAY_TASK_ID": str(job["task"]),
        "SLURM_RESTART_COUNT": str(job["restarts"]),
    }
    with Path(log).open("ab") as output:
        process = subprocess.Popen(
            ["bash", job["script"]], stdout=output, stderr=output, env=environment, start_new_session=True
        )
    job.update(state="RUNNING", reason="None", node="n1", pid=process.pid)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def tick(jobs: list[Job], faults: Faults) -> None:
    """Notice what has ended, and start what waits."""
    for job in jobs:
        if job["state"] == "RUNNING" and job["pid"] and not is_alive(job["pid"]):
            job["state"] = "COMPLETED"
        bad = faults.get("bad node", "")
        if job["state"] == "PENDING" and (faults.get("no job runs") or (bad and bad not in job["exclude"])):
            job.update(state="FAILED", node="n1")
        elif job["state"] == "PENDING" and not faults.get("hold"):
            start(job)


def sbatch(arguments: list[str], jobs: list[Job], faults: Faults) -> None:
    script = Path(arguments[-1])
    options = options_of(script)
    if "--test-only" in arguments:
        if "test-only" in faults:
            fail(faults["test-only"])
        return
    if "sbatch" in faults:
        fail(faults["sbatch"])
    number = str(100 + len({job["id"] for job in jobs}))
    first, last = map(int, re.findall(r"\d+", options["array"])[:2])
    for task in range(first, last + 1):
        jobs.append(
            {
                "id": number, "task": task, "name": options["job-name"], "state": "PENDING", "reason": "Resources",
                "node": "", "pid": 0, "restarts": 0, "script": str(script), "output": options["output"],
                "exclude": options.get("exclude", "").split(","),
            }
        )  # fmt: skip
    if "lost" in faults:
        fail(faults["lost"])
    print(number)


def squeue(arguments: list[str], jobs: list[Job], faults: Faults) -> None:
    if "squeue" in faults:
        fail(faults["squeue"])
    if "squeue with jobs" in faults and jobs:
        fail(faults["squeue with jobs"])
    (names,) = [argument.removeprefix("--name=") for argument in arguments if argument.startswith("--name=")]
    for job in jobs:
        if job["name"] in names.split(",") and not job.get("forgotten"):
            print("|".join(str(job[key]) for key in ("id", "task", "state", "node", "name", "reason")))


def sacct(_arguments: list[str], jobs: list[Job], faults: Faults) -> None:
    if not faults.get("sacct"):
        fail("Slurm accounting storage is disabled")
    for job in jobs:
        print(f"{job['id']}_{job['task']}|{job.get('final', job['state'])}|{job['node']}")


def scancel(arguments: list[str], jobs: list[Job], _faults: Faults) -> None:
    for job in jobs:
        if {job["id"], f"{job['id']}_{job['task']}"} & set(arguments) and job["state"] in ("PENDING", "RUNNING"):
            if job["pid"] and is_alive(job["pid"]):
                os.killpg(job["pid"], signal.SIGTERM)
            job["state"] = "CANCELLED"


def scontrol(arguments: list[str], jobs: list[Job], _faults: Faults) -> None:
    for job in jobs:
        if arguments == ["requeue", f"{job['id']}_{job['task']}"]:
            job.update(state="PENDING", reason="BeginTime", node="", restarts=job["restarts"] + 1)


COMMANDS: dict[str, Callable[[list[str], list[Job], Faults], None]] = {
    command.__name__: command for command in (sbatch, squeue, sacct, scancel, scontrol)
}


def main() -> None:
    name, *arguments = sys.argv[1:]
    with (ROOT / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with (ROOT / "calls.txt").open("a") as calls:
            calls.write(shlex.join([name, *arguments]) + "\n")
        path, faults = ROOT / "jobs.json", ROOT / "faults.json"
        jobs = json.loads(path.read_text()) if path.exists() else []
        known = json.loads(faults.read_text()) if faults.exists() else {}
        try:
            tick(jobs, known)
            COMMANDS[name](arguments, jobs, known)
            if name != "squeue":
                tick(jobs, known)
        finally:
            path.write_text(json.dumps(jobs))


if __name__ == "__main__":
    main()
