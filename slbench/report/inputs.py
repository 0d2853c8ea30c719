"""Inputs of a report: records, failures and throughputs, read once. Unreadable records are listed and skipped."""

import contextlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from slbench.errors import InputError, StoreError
from slbench.grid.adaptive_seeds import SeedRuleState, outcomes_in
from slbench.measure.throughput_keys import record_key
from slbench.measurement_records import Throughput
from slbench.methods import METHODS
from slbench.record import (
    DivergedRecord,
    Failure,
    Outcome,
    RunRecord,
    read_failure,
)
from slbench.report.query import select
from slbench.report.tidy import RunKind, tidy
from slbench.stats.contrast import Contrast
from slbench.stats.settings import DEFAULT_STATISTICS, Statistics
from slbench.store import RESUME_CHECK, Store, read_ended
from slbench.study import SeedRule, Study, StudyRun
from slbench.study_files import StoredStudy, grid_run_ids, stored, studies_of
from slbench.table_spec import DEFAULT_TABLE, TableSpec
from slbench.text import shown
from slbench.tuning.record import load, searches

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class ReportInputs:
    """Runs of a study or of a whole store, with their records."""

    name: str
    title: str = ""
    source: str = ""  # table of published numbers, such as "arXiv:2112.13492 Table 5"
    runs: tuple[StudyRun, ...]  # all runs of the study, in the order of the table
    records: tuple[RunRecord, ...]  # of the finished runs, in the same order and with the same labels
    diverged: tuple[DivergedRecord, ...] = ()  # of the diverged runs, likewise
    kinds: Mapping[str, RunKind] = field(default_factory=dict)  # of the runs that are not of a grid, by id
    folders: Mapping[str, Path] = field(default_factory=dict)  # by run id
    failures: Mapping[str, Failure] = field(default_factory=dict)  # by run id
    speeds: Mapping[str, Throughput] = field(default_factory=dict)  # throughputs of one job alone, by run id
    unread: tuple[str, ...] = ()  # a line for each unreadable record
    table_spec: TableSpec = DEFAULT_TABLE
    query: str = ""  # that selected the runs
    is_study: bool = True  # False: a whole store
    seeds: SeedRule | None = None  # rule of adaptive seeds
    contrasts: tuple[Contrast, ...] | None = None  # questions of the study; None: each method against "none"
    statistics: Statistics = DEFAULT_STATISTICS
    studies: tuple[StoredStudy, ...] = ()  # whose seed rules added some of the runs
    unknown_rule: frozenset[str] = frozenset()  # runs of no readable study, where one is damaged and may have a rule
    asked: tuple[StudyRun, ...] = ()  # the runs before a query

    @cached_property
    def expected(self) -> Mapping[str, int]:
        """Number of seeds that the study asks for, by id of the experiment, whatever a query selects."""
        runs = self.asked or self.runs
        return Counter(run.spec.cell_id for run in runs if run.spec.run_id not in self.left_out)

    @cached_property
    def left_out(self) -> frozenset[str]:
        """Ids of runs of searches that means leave out, since their experiment has runs of a study too."""
        of_studies = {outcome.spec.cell_id for outcome in self.outcomes if outcome.run_id not in self.kinds}
        searched = (outcome for outcome in self.outcomes if self.kinds.get(outcome.run_id) == "tuning")
        return frozenset(outcome.run_id for outcome in searched if outcome.spec.cell_id in of_studies)

    @cached_property
    def averaged(self) -> tuple[Outcome, ...]:
        """The outcomes behind the means of a table."""
        return tuple(outcome for outcome in self.outcomes if outcome.run_id not in self.left_out)

    @cached_property
    def outcomes(self) -> tuple[Outcome, ...]:
        """Records of the finished runs and outcomes of the diverged ones, in the order of the table."""
        order = {run.spec.run_id: number for number, run in enumerate(self.runs)}
        both: tuple[Outcome, ...] = (*self.records, *self.diverged)
        return tuple(sorted(both, key=lambda outcome: order.get(outcome.run_id, len(order))))

    @cached_property
    def frame(self) -> "pd.DataFrame":
        """A tidy row for each finished or diverged run; cached, so do not modify it."""
        return tidy(self.outcomes, self.kinds)


def gather_study(study: Study, store: Store) -> ReportInputs:
    """Collect the runs of a study, with those added by its rule of seeds."""
    inputs = gather(
        study.runs, store, name=study.name, title=study.title, source=study.source, table_spec=study.table_spec
    )
    inputs = replace(inputs, seeds=study.seeds, contrasts=study.contrasts, statistics=study.statistics)
    if study.seeds is None:
        return inputs
    rule = SeedRuleState(study)
    looks = [decision.look for decision in rule.decisions(outcomes_in(store, rule.all_run_ids()))]
    return replace(inputs, studies=(stored(study, looks),))


def gather_store(store: Store) -> ReportInputs:
    """Collect every finished run of a store."""
    outcomes, unread = read_outcomes(store.ids())
    runs = [StudyRun(outcome.spec, outcome.labels) for outcome in outcomes]
    inputs = gather(
        sorted(runs, key=table_order),
        store,
        name="all",
        title="Every run of the store",
        outcomes={outcome.run_id: outcome for outcome in outcomes},
    )
    studies, damaged = studies_of(store)
    asked = grid_run_ids(studies)
    return replace(
        inputs,
        unread=(*unread, *damaged),
        unknown_rule=frozenset(inputs.folders) - asked if damaged else frozenset(),
        is_study=False,
        studies=tuple(study for study in studies if study.seeds is not None),
        kinds=kinds_of_runs(store, studies),
    )


def gather(
    runs: Sequence[StudyRun],
    store: Store,
    *,
    name: str,
    title: str = "",
    source: str = "",
    table_spec: TableSpec = DEFAULT_TABLE,
    outcomes: Mapping[str, Outcome] | None = None,
) -> ReportInputs:
    """Collect records, failures and throughputs of some runs.

    Args:
        outcomes: of all of them, by run id, if they have been read; reading and checking them takes most of the time.
    """
    known = store.ids()
    folders = {run.spec.run_id: known[run.spec.run_id] for run in runs if run.spec.run_id in known}
    read, unread = read_outcomes(folders) if outcomes is None else ([outcomes[run_id] for run_id in folders], [])
    labels = {run.spec.run_id: run.labels for run in runs}
    labelled = [outcome.model_copy(update={"labels": labels[outcome.run_id]}) for outcome in read]
    records = [outcome for outcome in labelled if isinstance(outcome, RunRecord)]
    done = {outcome.run_id for outcome in labelled}
    failures = {run_id: read_failure(folder) for run_id, folder in folders.items() if run_id not in done}
    return ReportInputs(
        name=name,
        title=title,
        source=source,
        runs=tuple(runs),
        records=tuple(records),
        diverged=tuple(outcome for outcome in labelled if isinstance(outcome, DivergedRecord)),
        folders=folders,
        failures={run_id: failure for run_id, failure in failures.items() if failure is not None},
        speeds=measured_speeds(records, store),
        unread=tuple(unread),
        table_spec=table_spec,
    )


def kinds_of_runs(store: Store, studies: Iterable[StoredStudy] = ()) -> dict[str, RunKind]:
    """Return the kind of each run of a store that is not of a grid, by id.

    Runs that a search has made are "tuning", unless a study of the store has them too; those of `slbench verify-resume`
    are "resume check". An unreadable search is left out.
    """
    if (store.root / RESUME_CHECK).exists():
        return dict.fromkeys(store.ids(), "resume check")
    ids = set[str]()
    for folder in searches(store):
        with contextlib.suppress(StoreError):
            ids |= load(folder).run_ids
    return dict.fromkeys(ids - grid_run_ids(studies), "tuning")


def read_outcomes(folders: Mapping[str, Path]) -> tuple[list[Outcome], list[str]]:
    """Return the outcomes in run folders (by id, in order), and a line for each unreadable one."""
    records, unread = list[Outcome](), list[str]()
    for folder in folders.values():
        try:
            outcome = read_ended(folder)
        except StoreError as error:
            unread.append(str(error))
            continue
        if outcome is not None:
            records.append(outcome)
    return records, unread


def measured_speeds(records: Iterable[RunRecord], store: Store) -> dict[str, Throughput]:
    """Return throughputs by run id, measured on the machine, device kind, threads and precision of each run."""
    speeds, known = dict[str, Throughput](), dict[tuple[object, ...], Throughput | None]()
    for record in records:
        kind = record.device.partition(":")[0]
        how = (record.spec.cell_id, record.host.machine_id, kind, record.threads, record.precision)
        if how not in known:
            known[how] = store.throughput(record.host.machine_id, record_key(record))
        inputs = known[how]
        if inputs is not None:
            speeds[record.run_id] = inputs
    return speeds


def only(inputs: ReportInputs, query: str) -> ReportInputs:
    """Select the finished runs that meet a condition on the columns of runs.csv; see `slbench.report.query`.

    Raises:
        InputError: for a condition that is not understood or holds for no run.
    """
    frame = inputs.frame
    try:
        chosen = set(frame.index[select(frame, query)]) if len(frame) else set()
    except InputError as error:
        raise InputError(f"--query: {error}") from error
    if not chosen:
        raise InputError(f"--query: matches none of {len(frame)} finished runs (got {shown(query)})")
    return replace(
        inputs,
        runs=tuple(run for run in inputs.runs if run.spec.run_id in chosen),
        records=tuple(record for record in inputs.records if record.run_id in chosen),
        diverged=tuple(outcome for outcome in inputs.diverged if outcome.run_id in chosen),
        query=query,
        asked=inputs.asked or inputs.runs,
    )


def table_order(run: StudyRun) -> tuple[str, int, str, int]:
    """Return the sort key of a run without a study: built-in methods in their order, others after them."""
    known = list(METHODS)
    position = known.index(run.labels.method) if run.labels.method in known else len(known)
    return run.labels.backbone, position, run.labels.method, run.spec.seed
