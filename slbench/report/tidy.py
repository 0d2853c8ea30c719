"""Tidy data frame: a row per run, a column per field of its spec and per metric."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, cast

import pandas as pd

from slbench.csv_text import read_csv
from slbench.differing import differing, flat
from slbench.errors import InputError
from slbench.record import Outcome, RunRecord
from slbench.spec import to_dict
from slbench.text import distinct

RunKind = Literal["grid", "tuning", "resume check"]
METHOD_PREFIXES = ("backbone_", "method_", "numerics_")  # spec fields that backbone and method imply
TRAINING_PREFIXES = ("dataset_", "recipe_")  # spec fields that all rows of a table should share
EQUAL = "recipe_equal"
COMPILE = "recipe_compile"  # true, false or "auto"
TEXTS = (  # text even if it looks like a number
    "run", "cell", "backbone", "method", "dataset", "protocol", "status", "kind", "device_name", "dataset_name",
    "host_machine_id", "host_cpu", "code_commit", "data_sha256", "weights_sha256",
)  # fmt: skip


def tidy(outcomes: Iterable[Outcome], kinds: Mapping[str, RunKind] = {}) -> pd.DataFrame:
    """Return a frame with a row per finished or diverged run, indexed by run id.

    Columns are named with underscores: `recipe_lr`, `final_test_top1`. `backbone`, `method` and `dataset` are labels
    of the study. `run` and `cell` end in the ids of the run and of its experiment (the run without its seed), so that
    no CSV reader parses them as numbers. `status` is "finished" or "diverged"; results of diverged runs are of their
    last epoch with finite ones. `kind` is "grid", "tuning" or "resume check".

    Args:
        kinds: of the runs that are not of a grid, by id.
    """
    records_, specs = list(outcomes), dict[str, dict[str, Any]]()
    index = pd.Index([record.run_id for record in records_], name="run_id", dtype="str")
    rows = [tidy_row(record, specs) | {"kind": kinds.get(record.run_id, "grid")} for record in records_]
    frame = pd.DataFrame(rows, index=index).replace("", None)  # as a CSV file has no text and no value alike
    for column in frame:
        if frame[column].isna().all():
            frame[column] = frame[column].astype("float64")
        elif frame[column].dtype == object:
            frame[column] = frame[column].where(frame[column].notna(), float("nan"))
    return frame


def read_runs(path: Path) -> pd.DataFrame:
    """Return the frame that was written as this `runs.csv`. Raises InputError for another file."""
    frame = read_csv(path, texts=TEXTS)
    if "run" not in frame:
        raise InputError(f"{path}: not the runs.csv of a report: it has no column run")
    if COMPILE in frame:  # text in all rows if some say "auto"
        frame[COMPILE] = [{"True": True, "False": False}.get(value, value) for value in frame[COMPILE]]
    return frame.set_index(pd.Index([run.rpartition("-")[2] for run in frame["run"]], name="run_id", dtype="str"))


def tidy_row(record: Outcome, specs: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return an outcome as flat columns.

    Args:
        specs: cache of flat specs without seed, by id of the experiment; filled here.
    """
    labels = record.labels
    if record.spec.cell_id not in specs:
        spec = to_dict(record.spec)
        del spec["seed"], spec["protocol"]
        specs[record.spec.cell_id] = flat(spec)
    name = f"{labels.backbone}-{labels.method}-{labels.dataset}"
    leading = {
        "run": record.run_id,
        "cell": f"{name}-{record.spec.cell_id}",
        "backbone": labels.backbone,
        "method": labels.method,
        "dataset": labels.dataset,
        "seed": record.spec.seed,
        "protocol": record.spec.protocol,
        "status": "finished" if isinstance(record, RunRecord) else "diverged",
        "kind": "grid",
    }
    results = record.model_dump(mode="json", exclude={"spec", "labels", "run_id", "reason", "epoch"})
    # As JSON, versions and counts stay text for CSV readers; a host name may look like a number.
    if "uncounted_operators" in results:
        results["uncounted_operators"] = json.dumps(results["uncounted_operators"])
    results["code"]["versions"] = json.dumps(results["code"]["versions"])
    del results["host"]["hostname"]
    return {**leading, **flat(results), **specs[record.spec.cell_id]}


def varying(frame: pd.DataFrame) -> list[str]:
    """Return the spec columns that a table needs to distinguish its rows.

    These are fields of backbone and method that differ between runs with the same labels (else it would average
    different experiments), and training fields that differ within a data set (else it would compare runs that were
    trained differently).
    """
    columns = [str(column) for column in frame]
    training_columns = [column for column in columns if column.startswith(TRAINING_PREFIXES)] + ["protocol"]
    method_columns = [column for column in columns if column.startswith(METHOD_PREFIXES)]
    # recipe_equal has no meaning for full sets, which are compared with both kinds of subsets
    names = differing_within(frame, ["backbone", "method", "dataset"], method_columns)
    trained = differing_within(frame, ["dataset"], training_columns, optional=(EQUAL,))
    return [column for column in method_columns if column in names] + [
        column for column in training_columns if column in trained
    ]


def differing_within(
    frame: pd.DataFrame, by: list[str], columns: list[str], *, optional: tuple[str, ...] = ()
) -> set[str]:
    """Return the columns in which rows of one group differ."""
    different = frame[list(distinct([*by, *columns]))].drop_duplicates()
    return {
        name
        for _, group in different.groupby(by)
        for name in differing(cast(list[dict[str, Any]], group.to_dict("records")), optional=optional)
    }
