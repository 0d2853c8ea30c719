"""`slbench report`: from a study and a store to files."""

from collections.abc import Sequence
from pathlib import Path

from slbench.files import write_atomic
from slbench.measure.speeds import record_key
from slbench.measured import Throughput
from slbench.report import SUFFIXES, render
from slbench.report.caption import AccuracyName
from slbench.report.rows import tidy
from slbench.report.sweep import draw_sweeps
from slbench.report.table import Table, make_table
from slbench.store import RunRecord, Store
from slbench.study import StudyRun

FORMATS = {"md": render.markdown, "csv": render.csv, "latex": render.latex}


def finished(runs: Sequence[StudyRun], store: Store) -> list[RunRecord]:
    """Records of the runs that have one, in the study's order and under the study's names.

    Raises:
        StoreError: at a damaged record.
    """
    labels = {run.spec.run_id: run.labels for run in runs}
    return [record.model_copy(update={"labels": labels[record.run_id]}) for record in store.records(labels)]


def measured_speeds(records: Sequence[RunRecord], store: Store) -> dict[str, Throughput]:
    """Speeds of the records' networks on the machine, device kind, threads and precision of their runs, by run id."""
    speeds = {record.run_id: store.throughput(record.host.machine_id, record_key(record)) for record in records}
    return {run_id: speed for run_id, speed in speeds.items() if speed is not None}


def report(
    name: str,
    title: str,
    runs: Sequence[StudyRun],
    store: Store,
    *,
    accuracies: Sequence[AccuracyName],
    formats: Sequence[str],
    out: Path,
) -> tuple[Table, list[tuple[str, str]]]:
    """Write `runs.csv`, the table in each format, and a figure of each setting that is swept, under `out`.

    Gives the table, and each figure's name, without suffix, with what it shows.
    """
    records = finished(runs, store)
    table = make_table(name, title, runs, records, measured_speeds(records, store), accuracies=accuracies)
    write_atomic(out / "runs.csv", tidy(records).to_csv(index=False).encode())
    for name_ in formats:
        write_atomic(out / f"table.{SUFFIXES[name_]}", FORMATS[name_](table).encode())
    if not records:
        return table, []
    return table, draw_sweeps(records, out, accuracy=table.columns[0][1])
