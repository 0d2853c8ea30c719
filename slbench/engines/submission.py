"""Submissions of workers to a scheduler, and the attempts of the workers, as files in the store."""

import getpass
import os
import platform
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from slbench.engine_settings import Engine, RaySettings, SlurmSettings
from slbench.files import dump_json, read_regular, write_atomic
from slbench.spec import digest
from slbench.store import Store, safe
from slbench.study import Study

FOLDER, SCRIPT = "engines", "script.sh"
State = Literal["submitting", "submitted", "refused"]  # "submitting": the scheduler has not confirmed it
End = Literal["no work", "idle", "limit", "time limit", "terminated", "failed"]


class Stored(BaseModel):
    model_config = ConfigDict(defer_build=True, frozen=True, extra="ignore")


class Attempt(Stored):
    """One start of a worker; a requeued one starts again."""

    restart: int  # times that the scheduler had started it before
    job_id: str  # of the array
    hostname: str
    started_at: str
    ended_at: str | None = None
    end: End | None = None  # None: it runs, or was killed
    message: str = ""
    runs: int = 0  # finished
    progressed: bool = False  # whether any run went on
    requeued: bool = False  # at its time limit: it is started again


class Worker(Stored):
    """Attempts of a worker."""

    attempts: list[Attempt] = []

    @property
    def last(self) -> Attempt | None:
        return self.attempts[-1] if self.attempts else None


class Submission(Stored):
    """Workers that were asked of a scheduler together."""

    name: str  # of the job; no other submission has it
    engine: Engine
    study: str
    study_folder: str  # of the submitted file, where its relative paths start
    runs: str  # digest of the ids of the runs of its file
    created_at: str
    hostname: str
    user: str
    workers: int
    max_parallel: int | None = None  # workers at once
    settings: SlurmSettings | RaySettings
    address: str = ""  # of the cluster, for Ray
    state: State = "submitting"
    job_id: str | None = None
    message: str = ""  # of the scheduler
    cancelled: list[int] = []  # tasks

    @classmethod
    def create(
        cls,
        study: str,
        *,
        workers: int,
        settings: SlurmSettings | RaySettings,
        study_folder: Path,
        runs: str = "",
        max_parallel: int | None = None,
    ) -> Self:
        """Return a new submission, which is not stored yet."""
        return cls(
            name=f"slbench-{safe(study)}-{uuid.uuid4().hex[:8]}",
            engine="slurm" if isinstance(settings, SlurmSettings) else "ray",
            study=study,
            study_folder=str(study_folder.absolute()),
            runs=runs,
            created_at=now(),
            hostname=platform.node(),
            user=user_name(),
            workers=workers,
            max_parallel=max_parallel,
            settings=settings,
        )

    @property
    def age_seconds(self) -> float:
        return (datetime.now(UTC) - datetime.fromisoformat(self.created_at)).total_seconds()


class SubmissionFolder:
    """Folder of a submission in a store."""

    def __init__(self, path: Path) -> None:
        self.path, self.script = path, path / SCRIPT

    def write(self, submission: Submission) -> None:
        write_atomic(self.path / "submission.json", dump_json(submission.model_dump(mode="json")))

    def read(self) -> Submission | None:
        """Return the submission; None if its file is missing or damaged."""
        try:
            return Submission.model_validate_json(read_regular(self.path / "submission.json"))
        except (OSError, ValidationError):
            return None

    def log(self, task: int) -> Path:
        return self.path / f"{task}.log"

    def worker(self, task: int) -> Worker:
        """Return the attempts of a worker; none if it has not started."""
        try:
            return Worker.model_validate_json(read_regular(self.path / f"{task}.json"))
        except (OSError, ValidationError):
            return Worker()

    def write_worker(self, task: int, attempts: Sequence[Attempt]) -> None:
        worker = Worker(attempts=list(attempts))
        write_atomic(self.path / f"{task}.json", dump_json(worker.model_dump(mode="json")))


def folder_of(store: Store, submission: Submission) -> SubmissionFolder:
    return SubmissionFolder(store.root / FOLDER / safe(submission.study) / submission.name)


def submissions(store: Store, study: str | None = None) -> list[tuple[Submission, SubmissionFolder]]:
    """Return the submissions of a study, or of all, oldest first. Those that are not readable are left out."""
    parent = "*" if study is None else safe(study)
    folders = [SubmissionFolder(path.parent) for path in (store.root / FOLDER).glob(f"{parent}/*/submission.json")]
    known = [(submission, folder) for folder in folders if (submission := folder.read()) is not None]
    chosen = [each for each in known if study is None or each[0].study == study]
    return sorted(chosen, key=lambda each: (each[0].created_at, each[0].name))


def digest_of(study: Study) -> str:
    """Return a digest of the ids of a study's runs, which its models, plugins and data change too."""
    return digest({"runs": sorted(run.spec.run_id for run in study.runs)})


def user_name() -> str:
    """Return the name of this user; the number of one without a name, as in many containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
