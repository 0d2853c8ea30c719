"""Run a search: claim it, run trials, compare the winners and write the results."""

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from slbench.errors import InputError, StoreError
from slbench.grid.events import AlreadyFinished, Diverged, Event, Failed, Finished, GridStopped, Progressed
from slbench.grid.executor import Executor, MakeExecutor
from slbench.grid.launch import PreparedGrid, check_data, prepare
from slbench.grid.local import LocalExecutor
from slbench.grid.queue import Policy
from slbench.record import Pruned
from slbench.stats.intervals import LEVEL
from slbench.store import Store
from slbench.study import StudyRun
from slbench.text import hide_password, shown
from slbench.tuning import record
from slbench.tuning.compare import Compared, compare, fresh_runs, fresh_seeds
from slbench.tuning.from_optuna import read_method
from slbench.tuning.outputs import check_outputs, made_with, write, write_trials
from slbench.tuning.record import SearchRecord, folder_of
from slbench.tuning.search import MethodSearch, Search, SearchConfig, TrialOutcome
from slbench.tuning.space import Space
from slbench.tuning.storage import (
    JOURNAL,
    close_storage,
    ended_twice,
    open_storage,
    open_study,
    release_owner,
    reporting_outages,
)
from slbench.tuning.target import TuningTarget
from slbench.tuning.trial_check import TrialCheck
from slbench.tuning.validation import validation_curve

if TYPE_CHECKING:
    import optuna

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,80}")


@dataclass(frozen=True, kw_only=True)
class PreparedSearch:
    """Validated search, before anything is written."""

    config: SearchConfig
    targets: tuple[TuningTarget, ...]
    spaces: tuple[Space, ...]
    store: Store
    grid: PreparedGrid  # devices and precision; its runs are the default settings
    storage: str | None
    policy: Policy
    fresh_seeds: tuple[int, ...]  # of the comparisons, not used by the search; empty for none
    seconds: float | None  # time limit for starting trials
    command: str
    take_over: bool = False
    executor: MakeExecutor = LocalExecutor

    @property
    def folder(self) -> Path:
        return folder_of(self.store, self.config.name)


def prepare_tuning(
    config: SearchConfig,
    targets: Sequence[TuningTarget],
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
    executor: MakeExecutor = LocalExecutor,
    capacity: int | None = None,
) -> PreparedSearch:
    """Validate name, store, devices, data and precision. Writes nothing.

    Args:
        executor: runs the trials.
        capacity: number of runs that train at a time elsewhere; None: here, on the devices.

    Raises:
        InputError, StoreError: for invalid input.
    """
    if NAME.fullmatch(config.name) is None:
        raise InputError(
            f"--name: invalid name (got {shown(config.name)}); "
            "allowed: letters, digits, '.', '_' and '-', starting with a letter or digit"
        )
    check_outputs(folder_of(store, config.name))
    runs = [run for target in targets for run in target.runs({}, seeds=range(config.seeds))]
    here = capacity is None
    grid = prepare(
        runs, store, devices=devices, jobs_per_device=jobs_per_device, threads=threads, writing=True, with_data=here
    )
    if not here:
        check_data(grid)
    return PreparedSearch(
        config=replace(config, parallel=(capacity or len(grid.slots)) > 1),
        targets=tuple(targets),
        spaces=tuple(spaces),
        store=store,
        grid=grid,
        storage=storage,
        policy=policy,
        fresh_seeds=fresh_seeds(
            earlier_record(store, config.name),
            name=config.name,
            trials=config.trials,
            searched=config.seeds,
            count=compare_seeds,
        ),
        seconds=seconds,
        command=command,
        take_over=take_over,
        executor=executor,
    )


def earlier_record(store: Store, name: str) -> SearchRecord | None:
    """Return the record of a search; None without a readable one."""
    try:
        return record.load(folder_of(store, name))
    except StoreError:
        return None


@dataclass(frozen=True)
class Searching:
    """Trials start: total over all methods, and outcomes of an earlier run."""

    total: int
    finished: tuple[TrialOutcome, ...]


@dataclass(frozen=True)
class Corrected:
    """The storage contradicted the runs or the record of the search."""

    line: str


@dataclass(frozen=True)
class TimedOut:
    """--timeout was reached with this many trials left."""

    remaining: int


@dataclass(frozen=True)
class Comparing:
    """Trials are finished: winners and default settings are retrained."""

    runs: int


TuningEvent = Event | TrialOutcome | Searching | Corrected | TimedOut | Comparing
Listener = Callable[[TuningEvent], None]


def run_tuning(
    tuning: PreparedSearch,
    *,
    on_event: Listener,
    workers: contextlib.AbstractContextManager[object] | None = None,
) -> tuple[SearchRecord, bool]:
    """Search, compare and write; return the record and whether it is complete.

    The same call continues an interrupted search.

    Args:
        workers: elsewhere, if any; entered once this process has claimed the search, so that a second process that
            is refused leaves the workers and the queue of the first alone.
    Raises:
        InputError: if the storage is not reachable, or another process runs this search.
        StorageError: if the storage becomes unreachable.
    """
    workers = workers or contextlib.nullcontext()
    with claim_search(tuning), workers, reporting_outages(tuning.storage), opened_storage(tuning) as storage:
        searches = open_searches(tuning, storage, on_event=on_event)
        stopped = run_trials(tuning, searches, on_event=on_event)
        is_whole = not stopped and not any(search.failures for search in searches)
        result = write_record(tuning, searches)
        if tuning.fresh_seeds and not stopped:
            compared = compare_winners(tuning, result, on_event=on_event)
            is_whole = is_whole and None not in compared.with_default
            result = write_record(tuning, searches, compared=compared)
        for search in searches:
            release_owner(search.study)
    write(result, tuning.folder, tuning.targets, tuning.spaces, tuning.fresh_seeds)
    return result, is_whole


@contextlib.contextmanager
def claim_search(tuning: PreparedSearch) -> Iterator[None]:
    """Hold the claim of the search. Raises InputError if another process holds it."""
    claim = tuning.store.claims.acquire_unless_alive(f"tuning-{tuning.config.name}")
    if claim is None:
        raise InputError(
            f"--name: search is running in another process (got {shown(tuning.config.name)}); "
            "wait for it, or choose another"
        )
    try:
        with claim.heartbeats():
            yield
    finally:
        claim.release(done=True)


@contextlib.contextmanager
def opened_storage(tuning: PreparedSearch) -> Iterator["optuna.storages.BaseStorage"]:
    """Open the storage of the search. Raises InputError if it is not reachable."""
    storage = open_storage(tuning.storage, tuning.folder)
    try:
        yield storage
    finally:
        close_storage(storage)


def open_searches(
    tuning: PreparedSearch, storage: "optuna.storages.BaseStorage", *, on_event: Listener
) -> list[MethodSearch]:
    """Open the study of each method, corrected by its runs. Raises InputError if one has another definition."""
    searches, repeated = list[MethodSearch](), set[int]()
    if tuning.storage is None:
        check_names(storage, tuning)
        repeated = ended_twice(tuning.folder / JOURNAL)
    try:
        earlier = record.load(tuning.folder) if os.path.lexists(tuning.folder / record.FILE) else None
    except StoreError as error:
        earlier = None
        on_event(Corrected(f"{error}; it is written again from the storage and the runs"))
    rows = {} if earlier is None else {row.method: row for row in earlier.rows}
    for target, space in zip(tuning.targets, tuning.spaces, strict=True):
        study = open_study(
            storage,
            study_name(tuning.config.name, target),
            definition(target, space, tuning.config),
            store=str(tuning.store.root.absolute()),
            take_over=tuning.take_over,
        )
        check = TrialCheck(
            target, space, tuning.config.seeds, partial(validation_curve, tuning.store), rows.get(target.method)
        )
        for trial in study.get_trials(deepcopy=False):
            if trial._trial_id in repeated:
                check.add(trial.number, "ends twice in the journal; the first end counts")
        study = check.correct(study)
        lost = check.lost(study)
        for line in check.lines:
            on_event(Corrected(line))
        searches.append(MethodSearch(target, space, study, config=tuning.config, lost=lost))
    return searches


def check_names(storage: "optuna.storages.BaseStorage", tuning: PreparedSearch) -> None:
    """Raise InputError for a journal with studies of another search."""
    names = [study.study_name for study in storage.get_all_studies()]
    others = [name for name in names if not name.startswith(f"{tuning.config.name}-")]
    if others:
        path = tuning.folder / JOURNAL
        raise InputError(f"{path}: of another search (got study {shown(others[0])}); move it away to restart")


def study_name(name: str, target: TuningTarget) -> str:
    return f"{name}-{target.method}"


def definition(target: TuningTarget, space: Space, config: SearchConfig) -> dict[str, object]:
    """Return the settings shared by all comparable trials of a search."""
    run = target.spec().as_dict()
    del run["seed"]
    return {"run": run, "space": space.content(), "seeds_per_trial": config.seeds}


def run_trials(tuning: PreparedSearch, searches: Sequence[MethodSearch], *, on_event: Listener) -> bool:
    """Run the missing trials; return whether failures or a full disk stopped the search."""
    began, stops, epochs = time.monotonic(), list[GridStopped](), dict[str, int]()

    def stop(run: StudyRun, pruned: Pruned) -> None:
        executor.prune(run, pruned)

    def in_time() -> bool:
        return tuning.seconds is None or time.monotonic() - began < tuning.seconds

    def save_and_notify(outcome: TrialOutcome) -> None:
        write_trials(write_record(tuning, searches), tuning.folder)  # current even after a crash
        on_event(outcome)

    def forward(event: Event) -> None:
        """Forward progress and end of a run to the search by run id, without any numbers."""
        if isinstance(event, Progressed):
            if epochs.get(event.run.spec.run_id) != event.progress.epoch:
                epochs[event.run.spec.run_id] = event.progress.epoch
                trials.on_epoch(event.run.spec.run_id)
        elif isinstance(event, Finished | AlreadyFinished | Diverged):
            outcome = tuning.store.diverged(event.run.spec.run_id)
            if outcome is None:
                trials.on_finished(event.run.spec.run_id)
            else:
                trials.on_failed(event.run.spec.run_id, kind="diverged", reason=outcome.reason)
        elif isinstance(event, Failed) and not event.will_retry:
            trials.on_failed(event.run.spec.run_id, kind=event.failure.kind, reason=event.failure.reason)
        elif isinstance(event, GridStopped):
            stops.append(event)
        on_event(event)

    executor = make_executor(tuning, on_event=forward)
    trials = Search(
        searches,
        curve=partial(validation_curve, tuning.store),
        stop=stop,
        on_outcome=save_and_notify,
        may_start=in_time,
    )
    before = tuple(outcome for search in searches for outcome in search.outcomes())
    on_event(Searching(sum(search.total for search in searches), before))
    executor.run([], more=trials.next)
    remaining = sum(search.remaining for search in searches)
    if remaining and not in_time():
        on_event(TimedOut(remaining))
    return bool(stops)


def make_executor(tuning: PreparedSearch, *, on_event: Callable[[Event], None]) -> Executor:
    return tuning.executor(
        tuning.grid.slots,
        store=tuning.store,
        precisions=tuning.grid.precisions,
        on_event=on_event,
        policy=tuning.policy,
    )


def compare_winners(tuning: PreparedSearch, result: SearchRecord, *, on_event: Listener) -> Compared:
    """Train winner and default setting of each method with fresh seeds on all training images, and compare."""
    fresh = [
        fresh_runs(target, space, method_record, tuning.fresh_seeds)
        for target, space, method_record in zip(tuning.targets, tuning.spaces, result.rows, strict=True)
    ]
    runs = {run.spec.run_id: run for each in fresh if each for run in (*each.tuned, *each.default)}
    missing = [run for run in runs.values() if not tuning.store.has_ended(run.spec)]
    if missing:
        on_event(Comparing(len(missing)))
        make_executor(tuning, on_event=on_event).run(missing)
    return compare(result.rows, fresh, tuning.store)


def write_record(
    tuning: PreparedSearch, searches: Sequence[MethodSearch], *, compared: Compared | None = None
) -> SearchRecord:
    """Write the current record of the search."""
    compared = compared or Compared((None,) * len(searches), (), LEVEL)
    config, run = tuning.config, tuning.targets[0].runs({}, seeds=[0])[0]

    method_records = [
        read_method(search, curve=partial(validation_curve, tuning.store), comparison=comparison)
        for search, comparison in zip(searches, compared.with_default, strict=True)
    ]
    ids = [run_id for entry in method_records for trial in entry.trials for run_id in trial.run_ids]
    ids += [run_id for entry in method_records if entry.comparison for run_id in entry.comparison.run_ids]
    result = SearchRecord(
        name=config.name,
        command=tuning.command,
        backbone=run.labels.backbone,
        dataset=run.labels.dataset,
        seeds=config.seeds,
        epochs=run.spec.recipe.epochs,
        images_per_epoch=run.spec.samples_per_epoch,
        validation_images=run.spec.dataset.num_validation,
        test_images=run.spec.dataset.num_test,
        trials=config.trials,
        sampler=config.sampler,
        pruner=config.pruner,
        sampler_seed=config.seed,
        study_names={search.target.method: search.study.study_name for search in searches},
        storage="" if tuning.storage is None else hide_password(tuning.storage),
        made_with=made_with(tuning.store, ids),
        notes=tuple(note for space in tuning.spaces for note in space.notes),
        rows=tuple(method_records),
        fresh_seeds=tuning.fresh_seeds,
        between=compared.between,
        level=compared.level,
    )
    record.save(result, tuning.folder)
    return result
