"""Submit the workers of a study that are missing, and cancel them."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from slbench.claims import Claims
from slbench.engine_settings import Engine, RaySettings, SlurmSettings
from slbench.engines.engine import Scheduler
from slbench.engines.schedulers import SCHEDULERS
from slbench.engines.submission import FOLDER, Submission, SubmissionFolder, folder_of, submissions
from slbench.engines.watch import (
    SubmissionStatus,
    WorkerStatus,
    bad_nodes,
    early_kills,
    failures_to_start,
    look_up,
    statuses,
)
from slbench.errors import EngineError, InputError
from slbench.files import write_atomic
from slbench.store import ENDED, Store, safe
from slbench.study import StudyRun
from slbench.study.shipped import base_folder
from slbench.text import plural

MAX_FAILED_STARTS, MAX_EARLY_KILLS = 3, 5  # in a row; then no more workers are submitted without consent
DAY_SECONDS = 86_400.0  # for which a node is left out
LOOKUPS = (1.0, 2.0, 4.0)  # seconds before each look for a submission whose answer was lost


@dataclass(frozen=True, kw_only=True)
class Request:
    """Workers of a study to have."""

    study: Path  # file, or folder of the queue of a search
    name: str
    runs: Sequence[StudyRun]
    digest: str  # of the runs of its file
    store: Store
    scheduler: Scheduler
    settings: SlurmSettings | RaySettings
    workers: int  # in total, with those that are active
    max_parallel: int | None
    more: Sequence[str] = ()  # further arguments of `slbench work`
    force: bool = False  # submit although workers failed to start, on any node
    address: str = ""  # of the cluster, for Ray

    @property
    def schedulers(self) -> Mapping[Engine, Scheduler]:
        """All schedulers; that of this request may have a cluster of its own."""
        return {**SCHEDULERS, self.scheduler.name: self.scheduler}


@dataclass(frozen=True)
class Outcome:
    """What a request led to."""

    submission: Submission | None  # None: nothing was missing
    script: Path | None
    active: int  # workers before it
    left_out: Mapping[str, str]  # nodes on which workers were lost or did not start, with what happened there
    left: int  # runs


def command(request: Request, study: Path, folder: Path) -> list[str]:
    """Return the command of a worker."""
    settings, jobs = request.settings, request.settings.concurrent_jobs
    return [
        sys.executable, "-P", "-m", "slbench", "work", str(study), "--store", str(request.store.root.absolute()),
        "--wait", "--idle-timeout", f"{settings.idle_timeout_s}s", "--threads", str(settings.threads),
        *([] if jobs is None else ["--jobs-per-device", str(jobs)]), *request.more, "--submission", str(folder),
    ]  # fmt: skip


def script_of(request: Request, submission: Submission) -> str:
    """Return the script that starts a worker of a submission."""
    folder = folder_of(request.store, submission).path.absolute()
    study = request.study.absolute() if request.study.is_dir() else folder / request.study.name
    return request.scheduler.script(submission, folder, command(request, study, folder))


def planned(request: Request, *, workers: int, exclude: str = "") -> Submission:
    """Return a submission of workers, which is not stored yet.

    Args:
        exclude: nodes to leave out.
    """
    settings = request.settings.model_copy(update={"exclude": exclude}) if exclude else request.settings
    submission = Submission.create(
        request.name,
        workers=workers,
        settings=settings,
        study_folder=base_folder(request.study),
        runs=request.digest,
        max_parallel=request.max_parallel,
    )
    return submission.model_copy(update={"address": request.address})


def submit(request: Request, *, sleep: Callable[[float], None] = time.sleep) -> Outcome:
    """Submit as many workers as are missing, at most one for each run that is left.

    The submission is stored before the scheduler is called and again after it has answered, so that one whose answer
    was lost is found by its name. Two processes never submit for a study at the same time.

    Raises:
        InputError: if the scheduler refuses it, or the latest workers failed to start.
        EngineError: if the scheduler does not answer. Then nothing was submitted, or the error says that that is not
            known.
    """
    with exclusive(request):
        found = confirmed(request.store, request.name, request.schedulers)
        active, left = sum(len(each.active) for each in found), runs_left(request)
        missing = min(request.workers, left) - active
        if missing <= 0:
            return Outcome(None, None, active, {}, left)
        if not request.force:
            check_starts(found)
        left_out = nodes_to_exclude(request, found)
        submission = planned(request, workers=missing, exclude=",".join(left_out))
        folder = folder_of(request.store, submission)
        write_atomic(folder.script, script_of(request, submission).encode())
        try:
            request.scheduler.check(submission, folder.path.absolute(), force=request.force)
        except (InputError, EngineError) as error:
            folder.write(submission.model_copy(update={"state": "refused", "message": str(error)}))
            raise
        if not request.study.is_dir():
            write_atomic(folder.path / request.study.name, request.study.read_bytes())
        folder.write(submission)
        submission = hand_over(request.scheduler, submission, folder, sleep=sleep)
        return Outcome(submission, folder.script, active, left_out, left)


def nodes_to_exclude(request: Request, found: Sequence[SubmissionStatus]) -> dict[str, str]:
    """Return the nodes on which workers were lost or did not start within a day, unless the user decides on nodes."""
    if request.force or request.settings.exclude is not None:
        return {}
    mine = [each for each in found if each.submission.engine == request.scheduler.name]
    return bad_nodes(each for each in mine if each.submission.age_seconds < DAY_SECONDS)


def hand_over(
    scheduler: Scheduler, submission: Submission, folder: SubmissionFolder, *, sleep: Callable[[float], None]
) -> Submission:
    """Hand a stored submission to the scheduler; return it with its job id.

    Raises:
        InputError: if the scheduler refuses it.
        EngineError: if it is not known whether the scheduler has accepted it.
    """
    answer = scheduler.start(submission, folder.path.absolute())
    if answer.code == 0:
        return confirm(submission, folder, answer.out)
    if not answer.is_unreachable:
        folder.write(submission.model_copy(update={"state": "refused", "message": answer.message}))
        raise InputError(f"--engine {scheduler.name}: refused by sbatch: {answer.message}")
    folder.write(submission.model_copy(update={"message": answer.message}))
    for seconds in LOOKUPS:
        sleep(seconds)
        try:
            tasks = scheduler.queue_of([submission])[submission.name]
        except (EngineError, InputError):
            continue
        if tasks:
            return confirm(submission, folder, tasks[0].job_id)
    raise EngineError(
        f"{scheduler.name} did not confirm {submission.name} ({answer.message}); it may have accepted it: "
        "slbench status shows that, and the same command submits nothing twice"
    )


def confirm(submission: Submission, folder: SubmissionFolder, job_id: str) -> Submission:
    """Store that SLURM has accepted a submission."""
    submission = submission.model_copy(update={"state": "submitted", "job_id": job_id, "message": ""})
    folder.write(submission)
    return submission


@contextmanager
def exclusive(request: Request) -> Iterator[None]:
    """Let no other process submit workers of this study within the block. Raises EngineError while one does."""
    claims = Claims(request.store.root / FOLDER / "claims")
    claim = claims.acquire_unless_alive(f"submit-{safe(request.name)}")
    if claim is None:
        raise EngineError(
            f"another process is submitting workers of '{request.name}'; try again when it has ended "
            f"(if it is dead, delete {claims.root})"
        )
    try:
        with claim.heartbeats():
            yield
    finally:
        claim.release(done=True)


def confirmed(store: Store, study: str, schedulers: Mapping[Engine, Scheduler] = SCHEDULERS) -> list[SubmissionStatus]:
    """Return the state of a study's workers; submissions whose answer was lost get their job id.

    Raises:
        InputError, EngineError: if a scheduler is not there, or does not answer.
    """
    known = submissions(store, study)
    try:
        queue = look_up(known, schedulers)
    except (InputError, EngineError) as error:
        folder = store.root / FOLDER / safe(study)
        raise type(error)(f"{error}; if all its workers are gone for good, delete {folder}") from error
    found = statuses(known, queue, {})
    for each in found:
        if each.submission.job_id is None and each.job_id is not None:
            confirm(each.submission, each.folder, each.job_id)
    return found


def runs_left(request: Request) -> int:
    """Return the number of runs that have not ended, running ones included; of a search, as many as it has workers."""
    if request.study.is_dir():
        return request.workers
    states = request.store.states(run.spec for run in request.runs)
    return sum(state not in ENDED for state in states.values())


def check_starts(found: Sequence[SubmissionStatus]) -> None:
    """Raise InputError if the latest workers all failed to start, or were killed before any run went on."""
    failed, killed = failures_to_start(found), early_kills(found)
    if len(failed) >= MAX_FAILED_STARTS:
        raise InputError(
            f"the last {plural(len(failed), 'worker')} failed to start ({failed[0].why}); logs: "
            f"{found[-1].folder.path}; --force submits all the same"
        )
    if len(killed) >= MAX_EARLY_KILLS:
        raise InputError(
            f"the last {plural(len(killed), 'worker')} were killed before any run went on, perhaps for want of memory; "
            f"logs: {found[-1].folder.path}; --force submits all the same"
        )


def cancel(
    store: Store, study: str, *, workers: int | None, schedulers: Mapping[Engine, Scheduler] = SCHEDULERS
) -> list[str]:
    """Cancel workers of a study, waiting ones first; return them by job id and task.

    Args:
        workers: how many; None: all.
    Raises:
        EngineError: if the scheduler does not answer.
    """
    found = confirmed(store, study, schedulers)
    active = [(each, worker) for each in found for worker in each.active if each.job_id is not None]
    active.sort(key=lambda pair: pair[1].state == "running")
    chosen = active if workers is None else active[:workers]
    targets = [f"{each.job_id}_{worker.task}" for each, worker in chosen]
    if not targets:
        return []
    for each in found:
        if tasks := tasks_of(each, chosen):
            stored = each.folder.read() or each.submission
            each.folder.write(stored.model_copy(update={"cancelled": sorted({*stored.cancelled, *tasks})}))
    for engine, scheduler in schedulers.items():
        mine = [
            (each.submission, each.job_id, None if workers is None else tasks_of(each, chosen))
            for each in found
            if each.submission.engine == engine and each.job_id is not None and tasks_of(each, chosen)
        ]
        if mine:
            scheduler.cancel(mine)
    return targets


def tasks_of(found: SubmissionStatus, chosen: Sequence[tuple[SubmissionStatus, WorkerStatus]]) -> list[int]:
    """Return the tasks of those workers that are of a submission."""
    return [worker.task for other, worker in chosen if other is found]
