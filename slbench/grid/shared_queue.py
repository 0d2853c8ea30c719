"""Runs of a search as files, which one process writes and workers elsewhere train.

<store>/tuning/<search>/queue/queue.json         name of the search, and runs of its default settings
<store>/tuning/<search>/queue/<run id>.json      a run to train
<store>/tuning/<search>/queue/<run id>.pruned    the search has pruned it: stop it
<store>/tuning/<search>/queue/<run id>.failed    it has failed for good: the search decides
<store>/tuning/<search>/queue/ended              no run will follow
"""

import contextlib
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from slbench import user_files
from slbench.claims import current_claim
from slbench.data.config import DataConfig
from slbench.errors import InputError
from slbench.files import dump_json, read_regular, write_atomic
from slbench.record import Labels, Pruned
from slbench.spec import RunSpec
from slbench.store import Store
from slbench.study import Study, StudyRun
from slbench.text import shown

FILE, ENDED = "queue.json", "ended"
TAKE_OVER_SECONDS = 30.0  # between two tries of a run that another worker has claimed, which may have died


class SharedRun(BaseModel):
    """A run of a search."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    spec: RunSpec
    labels: Labels
    data: DataConfig | None = None

    @classmethod
    def of(cls, run: StudyRun) -> "SharedRun":
        return cls(spec=run.spec, labels=run.labels, data=run.data)

    @property
    def run(self) -> StudyRun:
        return StudyRun(self.spec, self.labels, self.data)


class QueueFile(BaseModel):
    """What a worker has to know before it begins."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    search: str
    runs: tuple[SharedRun, ...]  # of the default settings; what they need, all others need
    files: tuple[str, ...] = Field(default_factory=user_files.paths)  # that the user named


class SharedQueue:
    """Queue of a search in a folder.

    Args:
        store: whose claims say which runs are being trained.
    """

    def __init__(self, folder: Path, store: Store) -> None:
        self.folder, self.store = folder, store
        self._tried: dict[str, float] = {}

    def open(self, search: str, runs: Iterable[StudyRun]) -> None:
        """Begin a search, or continue it. Runs of an earlier process are forgotten until the search asks for them."""
        for path in self.folder.glob("*"):
            if path.name != FILE:  # without it a worker that starts meanwhile would fail
                path.unlink(missing_ok=True)
        content = QueueFile(search=search, runs=tuple(map(SharedRun.of, runs)))
        write_atomic(self.folder / FILE, dump_json(content.model_dump(mode="json")))

    def close(self) -> None:
        """Tell the workers that no run will follow."""
        write_atomic(self.folder / ENDED, b"")

    @property
    def is_closed(self) -> bool:
        return (self.folder / ENDED).exists()

    def study(self) -> Study:
        """Return the runs of the default settings as a study.

        Raises:
            InputError: if the folder is no queue.
        """
        try:
            content = QueueFile.model_validate_json(read_regular(self.folder / FILE))
        except (OSError, ValidationError):
            raise InputError(
                f"STUDY: must be a study file, or the queue of a search (got {shown(self.folder)})"
            ) from None
        user_files.add_all(content.files)
        runs = tuple(each.run for each in content.runs)
        return Study(name=content.search, title="", source=str(self.folder), runs=runs, notes=())

    def publish(self, run: StudyRun) -> None:
        """Offer a run to the workers."""
        self.withdraw(run.spec.run_id)
        write_atomic(self._path(run.spec.run_id, "json"), dump_json(SharedRun.of(run).model_dump(mode="json")))

    def withdraw(self, run_id: str) -> None:
        for kind in ("json", "pruned", "failed"):
            self._path(run_id, kind).unlink(missing_ok=True)

    def prune(self, run_id: str, pruned: Pruned) -> None:
        """Ask the worker that trains a run to stop it."""
        write_atomic(self._path(run_id, "pruned"), dump_json(pruned.model_dump(mode="json")))

    def pruned(self, run_id: str) -> Pruned | None:
        """Return how a search has pruned a run; None if it has not."""
        with contextlib.suppress(OSError, ValidationError):
            return Pruned.model_validate_json(read_regular(self._path(run_id, "pruned")))
        return None

    def fail(self, run_id: str) -> None:
        """Tell the search that a run has failed for good, and offer it to no other worker."""
        write_atomic(self._path(run_id, "failed"), b"")

    def has_failed(self, run_id: str) -> bool:
        return self._path(run_id, "failed").exists()

    def is_claimed(self, run_id: str) -> bool:
        """Return whether a worker has claimed a run; it may have died."""
        claim = current_claim(self.store.claims.root / run_id)
        return claim is not None and not claim.is_free

    def next(self) -> StudyRun | None:
        """Return a run for a free slot of a worker: one that none has claimed; now and then a claimed one."""
        now, claimed = time.monotonic(), None
        for run_id in self._offered():
            if now - self._tried.get(run_id, -TAKE_OVER_SECONDS) < TAKE_OVER_SECONDS:
                continue
            if not self.is_claimed(run_id):
                return self._take(run_id, now)
            claimed = claimed or run_id
        return None if claimed is None else self._take(claimed, now)

    def _take(self, run_id: str, now: float) -> StudyRun | None:
        self._tried[run_id] = now
        with contextlib.suppress(OSError, ValidationError):
            return SharedRun.model_validate_json(read_regular(self._path(run_id, "json"))).run
        return None

    def _offered(self) -> Iterator[str]:
        """Yield the ids of the runs to train, oldest first."""
        names = {path.name for path in self.folder.glob("*.*")}
        offered = [name.removesuffix(".json") for name in names if name.endswith(".json") and name != FILE]
        stopped = {name.rpartition(".")[0] for name in names if not name.endswith(".json")}
        yield from sorted((run_id for run_id in offered if run_id not in stopped), key=self._age)

    def _age(self, run_id: str) -> float:
        with contextlib.suppress(OSError):
            return self._path(run_id, "json").stat().st_mtime
        return 0.0

    def _path(self, run_id: str, kind: str) -> Path:
        return self.folder / f"{run_id}.{kind}"
