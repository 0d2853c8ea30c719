"""A search from the first question to its tables: claimed, asked, trained, compared, written."""

import contextlib
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from slbench.errors import InputError
from slbench.grid.events import AlreadyFinished, Event, Failed, Finished, GridStopped, Progressed
from slbench.grid.launch import PreparedGrid, prepare
from slbench.grid.local import LocalExecutor
from slbench.grid.queue import Policy
from slbench.record import Pruned
from slbench.store import Store
from slbench.study import StudyRun
from slbench.tuning import record
from slbench.tuning.compare import compare, comparison_runs
from slbench.tuning.from_optuna import read_row
from slbench.tuning.outputs import made_with, write, write_trials
from slbench.tuning.record import Comparison, SearchRecord, folder_of
from slbench.tuning.search import MethodSearch, Search, SearchConfig, TrialOutcome
from slbench.tuning.space import Space
from slbench.tuning.storage import close_storage, hidden, open_storage, open_study, release_owner, speaking
from slbench.tuning.target import TuningTarget
from slbench.tuning.validation import validation_curve

if TYPE_CHECKING:
    import optuna

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,80}")


@dataclass(frozen=True, kw_only=True)
class PreparedSearch:
    """A search that is known to be good, before anything is written."""

    plan: SearchConfig
    subjects: tuple[TuningTarget, ...]
    spaces: tuple[Space, ...]
    store: Store
    grid: PreparedGrid  # devices and precision; its runs are the rows' own
    storage: str | None
    policy: Policy
    compare_seeds: int  # of the comparison at the end; 0 for none
    seconds: float | None  # after which no further trial begins
    command: str
    take_over: bool = False

    @property
    def folder(self) -> Path:
        return folder_of(self.store, self.plan.name)

    @property
    def fresh_seeds(self) -> range:
        """Seeds that the search has not seen."""
        return range(self.plan.seeds, self.plan.seeds + self.compare_seeds)


def plan_tuning(
    plan: SearchConfig,
    subjects: Sequence[TuningTarget],
    spaces: Sequence[Space],
    store: Store,
    *,
    devices: str,
    jobs_per_device: int | None,
    threads: int,
    storage: str | None,
    policy: Policy,
    compare_seeds: int,
    seconds: float | None,
    command: str,
    take_over: bool = False,
) -> PreparedSearch:
    """Check name, store, devices, data and precision. Writes nothing.

    Raises:
        InputError, StoreError: for what is wrong.
    """
    if NAME.fullmatch(plan.name) is None:
        raise InputError(f"--name {plan.name}: must be letters, digits, '.', '_' and '-', the first of them no sign")
    own = [run for subject in subjects for run in subject.runs({}, seeds=range(plan.seeds))]
    grid = prepare(
        own, store, devices=devices, jobs_per_device=jobs_per_device, threads=threads, writing=True, with_data=True
    )
    return PreparedSearch(
        plan=replace(plan, parallel=len(grid.slots) > 1),
        subjects=tuple(subjects),
        spaces=tuple(spaces),
        store=store,
        grid=grid,
        storage=storage,
        policy=policy,
        compare_seeds=compare_seeds,
        seconds=seconds,
        command=command,
        take_over=take_over,
    )


@dataclass(frozen=True)
class Searching:
    """The trials begin: so many are wanted, of all rows together, and these were over before."""

    wanted: int
    over: tuple[TrialOutcome, ...]


@dataclass(frozen=True)
class TimedOut:
    """--timeout: no further trial was begun; so many are not made."""

    left: int


@dataclass(frozen=True)
class Comparing:
    """The trials are over: the winners and the rows' own settings are trained anew."""

    runs: int


TuningEvent = Event | TrialOutcome | Searching | TimedOut | Comparing
Listener = Callable[[TuningEvent], None]


def run_tuning(tuning: PreparedSearch, *, on_event: Listener) -> tuple[SearchRecord, bool]:
    """Search, compare and write; the record, and whether nothing is missing.

    Interrupted, it leaves everything so that the same call goes on.

    Raises:
        InputError: if the storage cannot be reached, or another process is at this search.
        StorageError: if it goes away.
    """
    with claimed(tuning), speaking(tuning.storage), opened(tuning) as storage:
        rows = open_rows(tuning, storage)
        halted = search(tuning, rows, on_event=on_event)
        is_whole = not halted and not any(row.failures for row in rows)
        result = write_record(tuning, rows)
        if tuning.compare_seeds and not halted:
            comparisons = compare_rows(tuning, result, on_event=on_event)
            is_whole = is_whole and None not in comparisons
            result = write_record(tuning, rows, comparisons=comparisons)
        for row in rows:
            release_owner(row.study)
    write(result, tuning.folder, tuning.subjects, tuning.spaces, tuning.fresh_seeds)
    return result, is_whole


@contextlib.contextmanager
def claimed(tuning: PreparedSearch) -> Iterator[None]:
    """The search is ours while this lasts. Raises InputError if it is another process's on the same store."""
    claim = tuning.store.claims.acquire(f"tuning-{tuning.plan.name}")
    if claim is None:
        raise InputError(
            f"the search '{tuning.plan.name}' is at work in another process: one alone asks and tells; "
            "wait for it, or give another --name"
        )
    try:
        with claim.heartbeats():
            yield
    finally:
        claim.release(done=True)


@contextlib.contextmanager
def opened(tuning: PreparedSearch) -> Iterator["optuna.storages.BaseStorage"]:
    """The search's storage. Raises InputError if it cannot be reached."""
    storage = open_storage(tuning.storage, tuning.folder)
    try:
        yield storage
    finally:
        close_storage(storage)


def open_rows(tuning: PreparedSearch, storage: "optuna.storages.BaseStorage") -> list[MethodSearch]:
    """Each row's study in the storage. Raises InputError for a study of that name with another definition."""
    rows = list[MethodSearch]()
    for subject, space in zip(tuning.subjects, tuning.spaces, strict=True):
        study = open_study(
            storage,
            study_name(tuning.plan.name, subject),
            definition(subject, space, tuning.plan),
            store=str(tuning.store.root.absolute()),
            take_over=tuning.take_over,
        )
        rows.append(MethodSearch(subject, space, study, plan=tuning.plan))
    return rows


def study_name(name: str, subject: TuningTarget) -> str:
    return f"{name}-{subject.method}"


def definition(subject: TuningTarget, space: Space, plan: SearchConfig) -> dict[str, object]:
    """What must be the same for the trials of a search to be comparable."""
    run = subject.spec().as_dict()
    del run["seed"]
    return {"run": run, "space": space.content(), "seeds_per_trial": plan.seeds}


def search(tuning: PreparedSearch, rows: Sequence[MethodSearch], *, on_event: Listener) -> bool:
    """Run the trials that are missing; whether failures or a full disk ended the search before its end."""
    began, halts, epochs = time.monotonic(), list[GridStopped](), dict[str, int]()

    def curve(run: StudyRun) -> tuple[float, ...]:
        return validation_curve(tuning.store, run.spec)

    def stop(run: StudyRun, pruned: Pruned) -> None:
        executor.prune(run, pruned)

    def goes_on() -> bool:
        return tuning.seconds is None or time.monotonic() - began < tuning.seconds

    def tell(told: TrialOutcome) -> None:
        write_trials(write_record(tuning, rows), tuning.folder)  # for whoever looks meanwhile, or after a crash
        on_event(told)

    def hear(event: Event) -> None:
        """Pass on to the search that a run moved or ended, by its id; numbers stay here."""
        if isinstance(event, Progressed):
            if epochs.get(event.run.spec.run_id) != event.progress.epoch:
                epochs[event.run.spec.run_id] = event.progress.epoch
                trials.moved(event.run.spec.run_id)
        elif isinstance(event, Finished | AlreadyFinished):
            trials.ended(event.run.spec.run_id)
        elif isinstance(event, Failed) and not event.will_retry:
            trials.failed(event.run.spec.run_id, kind=event.failure.kind, reason=event.failure.reason)
        elif isinstance(event, GridStopped):
            halts.append(event)
        on_event(event)

    executor = LocalExecutor(
        tuning.grid.slots,
        store=tuning.store,
        precisions=tuning.grid.precisions,
        on_event=hear,
        policy=tuning.policy,
    )
    trials = Search(rows, curve=curve, stop=stop, tell=tell, goes_on=goes_on)
    on_event(Searching(sum(row.total for row in rows), tuple(told for row in rows for told in row.told())))
    executor.run([], more=trials.next)
    left = sum(row.left for row in rows)
    if left and not goes_on():
        on_event(TimedOut(left))
    return bool(halts)


def compare_rows(tuning: PreparedSearch, result: SearchRecord, *, on_event: Listener) -> list[Comparison | None]:
    """Train each row's winner and its own setting with fresh seeds on all training images, and compare them."""
    wanted = [
        comparison_runs(subject, space, row, tuning.fresh_seeds)
        for subject, space, row in zip(tuning.subjects, tuning.spaces, result.rows, strict=True)
    ]
    runs = {run.spec.run_id: run for pair in wanted if pair for each in pair for run in each}
    left = [run for run in runs.values() if not tuning.store.is_done(run.spec)]
    if left:
        on_event(Comparing(len(left)))
        executor = LocalExecutor(
            tuning.grid.slots,
            store=tuning.store,
            precisions=tuning.grid.precisions,
            on_event=on_event,
            policy=tuning.policy,
        )
        executor.run(left)
    return [compare(row, pair, tuning.fresh_seeds, tuning.store) for row, pair in zip(result.rows, wanted, strict=True)]


def write_record(
    tuning: PreparedSearch, rows: Sequence[MethodSearch], *, comparisons: Sequence[Comparison | None] | None = None
) -> SearchRecord:
    """File what is known of the search."""
    plan, run = tuning.plan, tuning.subjects[0].runs({}, seeds=[0])[0]

    def curve(run: StudyRun) -> tuple[float, ...]:
        return validation_curve(tuning.store, run.spec)

    read = [
        read_row(row, curve=curve, comparison=comparison)
        for row, comparison in zip(rows, comparisons or [None] * len(rows), strict=True)
    ]
    ids = [run_id for row in read for trial in row.trials for run_id in trial.run_ids]
    ids += [run_id for row in read if row.comparison for run_id in row.comparison.run_ids]
    result = SearchRecord(
        name=plan.name,
        command=tuning.command,
        backbone=run.labels.backbone,
        dataset=run.labels.dataset,
        seeds=plan.seeds,
        epochs=run.spec.recipe.epochs,
        images_per_epoch=run.spec.samples_per_epoch,
        validation_images=run.spec.dataset.num_validation,
        test_images=run.spec.dataset.num_test,
        trials=plan.trials,
        sampler=plan.sampler,
        pruner=plan.pruner,
        sampler_seed=plan.seed,
        study_names={row.subject.method: row.study.study_name for row in rows},
        storage="" if tuning.storage is None else hidden(tuning.storage),
        made_with=made_with(tuning.store, ids),
        notes=tuple(note for space in tuning.spaces for note in space.notes),
        rows=tuple(read),
    )
    record.save(result, tuning.folder)
    return result
