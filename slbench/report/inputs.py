"""All that a report reads, read once: records, failures, speeds. What cannot be read is named and left out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from slbench.errors import InputError, StoreError
from slbench.measure.throughput_keys import record_key
from slbench.measurement_records import Throughput
from slbench.methods import METHODS
from slbench.names import suggestion
from slbench.record import Failure, RunRecord, read_failure, read_record
from slbench.report.tidy import tidy
from slbench.store import Store
from slbench.study import SeedRule, Study, StudyRun
from slbench.table_spec import DEFAULT_TABLE, TableSpec

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class ReportInputs:
    """The runs of a study, or of a whole store, with what is known of each."""

    name: str
    title: str = ""
    source: str = ""  # of published numbers for the same table
    runs: tuple[StudyRun, ...]  # all that are asked for, in the order of the table
    records: tuple[RunRecord, ...]  # of those that are finished, in the same order and under the same names
    folders: Mapping[str, Path] = field(default_factory=dict)  # of runs, by id
    failures: Mapping[str, Failure] = field(default_factory=dict)  # of those that failed, by id
    speeds: Mapping[str, Throughput] = field(default_factory=dict)  # measured alone, by run id
    unread: tuple[str, ...] = ()  # a line for each record that is there and cannot be read
    table_spec: TableSpec = DEFAULT_TABLE
    query: str = ""  # what the runs were chosen by, beside the study
    is_study: bool = True  # not a whole store
    seeds: SeedRule | None = None  # by which seeds were added

    @cached_property
    def frame(self) -> "pd.DataFrame":
        """A tidy row for each record. Not to be changed: it is made once."""
        return tidy(self.records)


def gather_study(study: Study, store: Store) -> ReportInputs:
    """Collect the runs of a study, which include those that its rule of seeds has asked for."""
    found = gather(
        study.runs, store, name=study.name, title=study.title, source=study.source, table_spec=study.table_spec
    )
    return replace(found, seeds=study.seeds)


def gather_store(store: Store) -> ReportInputs:
    """Every finished run of a store."""
    records, unread = read_records(store.ids())
    runs = [StudyRun(record.spec, record.labels) for record in records]
    gathered = gather(sorted(runs, key=table_order), store, name="all", title="Every run of the store")
    return replace(gathered, unread=tuple(unread), is_study=False)


def gather(
    runs: Sequence[StudyRun],
    store: Store,
    *,
    name: str,
    title: str = "",
    source: str = "",
    table_spec: TableSpec = DEFAULT_TABLE,
) -> ReportInputs:
    """Some runs, with what the store knows of them."""
    known = store.ids()
    folders = {run.spec.run_id: known[run.spec.run_id] for run in runs if run.spec.run_id in known}
    read, unread = read_records(folders)
    labels = {run.spec.run_id: run.labels for run in runs}
    records = [record.model_copy(update={"labels": labels[record.run_id]}) for record in read]
    done = {record.run_id for record in records}
    failures = {run_id: read_failure(folder) for run_id, folder in folders.items() if run_id not in done}
    return ReportInputs(
        name=name,
        title=title,
        source=source,
        runs=tuple(runs),
        records=tuple(records),
        folders=folders,
        failures={run_id: failure for run_id, failure in failures.items() if failure is not None},
        speeds=measured_speeds(records, store),
        unread=tuple(unread),
        table_spec=table_spec,
    )


def read_records(folders: Mapping[str, Path]) -> tuple[list[RunRecord], list[str]]:
    """The records in some runs' folders, by id, in their order; and a line for each that cannot be read."""
    records, unread = list[RunRecord](), list[str]()
    for run_id, folder in folders.items():
        path = folder / "record.json"
        if not path.exists():
            continue
        try:
            record = read_record(path)
        except StoreError as error:
            if path.exists():  # else somebody has removed it just now
                unread.append(str(error))
            continue
        if record.run_id == run_id:
            records.append(record)
        else:
            unread.append(f"{path}: record of another run ({record.run_id}); delete its folder to rerun")
    return records, unread


def measured_speeds(records: Iterable[RunRecord], store: Store) -> dict[str, Throughput]:
    """Speeds of the records' networks on the machine, device kind, threads and precision of their runs, by run id."""
    speeds, known = dict[str, Throughput](), dict[tuple[object, ...], Throughput | None]()
    for record in records:
        kind = record.device.partition(":")[0]
        how = (record.spec.cell_id, record.host.machine_id, kind, record.threads, record.precision)
        if how not in known:
            known[how] = store.throughput(record.host.machine_id, record_key(record))
        found = known[how]
        if found is not None:
            speeds[record.run_id] = found
    return speeds


def only(gathered: ReportInputs, query: str) -> ReportInputs:
    """Those finished runs for which a pandas expression over the columns of runs.csv holds.

    Raises:
        InputError: for an expression that cannot be evaluated, or that holds for no run.
    """
    frame = gathered.frame
    try:
        chosen = set(frame.query(query, engine="python").index) if len(frame) else set()
    except Exception as error:  # whatever a person's expression makes pandas raise
        name = getattr(error, "args", [""])[0]
        unknown = str(name).partition("'")[2].partition("'")[0] if "is not defined" in str(error) else ""
        hint = suggestion(unknown, [str(column) for column in frame]) if unknown else ""
        raise InputError(f"--query {query}: {' '.join(str(error).split())}{hint}") from error
    if not chosen:
        raise InputError(f"--query {query}: holds for none of {len(frame)} finished runs")
    return replace(
        gathered,
        runs=tuple(run for run in gathered.runs if run.spec.run_id in chosen),
        records=tuple(record for record in gathered.records if record.run_id in chosen),
        query=query,
    )


def table_order(run: StudyRun) -> tuple[str, int, str, int]:
    """Where a run stands when no study says: shipped rows as they are listed, others after them."""
    known = list(METHODS)
    position = known.index(run.labels.method) if run.labels.method in known else len(known)
    return run.labels.backbone, position, run.labels.method, run.spec.seed
