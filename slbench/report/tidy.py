"""Tidy data frame: a row per run, a column per field of its spec and per metric."""

import json
from collections.abc import Iterable
from typing import Any, cast

import pandas as pd

from slbench.differing import differing, flat
from slbench.record import RunRecord
from slbench.spec import to_dict
from slbench.text import distinct

LEADING = ("run", "backbone", "method", "dataset", "seed", "protocol")
METHOD_PREFIXES = ("backbone_", "method_", "numerics_")  # spec fields that backbone and method imply
TRAINING_PREFIXES = ("dataset_", "recipe_")  # spec fields that all rows of a table should share
EQUAL = "recipe_equal"


def tidy(records: Iterable[RunRecord]) -> pd.DataFrame:
    """Return a frame with a row per record, indexed by run id.

    Columns are named with underscores: `recipe_lr`, `final_test_top1`. `backbone`, `method` and `dataset` are labels
    of the study. `run` and `cell` end in the ids of the run and of its experiment (the run without its seed), so that
    no CSV reader parses them as numbers.
    """
    records_, specs = list(records), dict[str, dict[str, Any]]()
    index = pd.Index([record.run_id for record in records_], name="run_id", dtype="str")
    frame = pd.DataFrame([tidy_row(record, specs) for record in records_], index=index)
    for column in frame:
        if frame[column].isna().all():
            frame[column] = frame[column].astype("float64")
        elif frame[column].dtype == object:
            frame[column] = frame[column].where(frame[column].notna(), float("nan"))
    return frame


def tidy_row(record: RunRecord, specs: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return a record as flat columns.

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
        "run": f"{name}-s{record.spec.seed}-{record.run_id}",
        "cell": f"{name}-{record.spec.cell_id}",
        "backbone": labels.backbone,
        "method": labels.method,
        "dataset": labels.dataset,
        "seed": record.spec.seed,
        "protocol": record.spec.protocol,
    }
    results = record.model_dump(mode="json", exclude={"spec", "labels", "run_id"})
    # As JSON, versions and counts stay text for CSV readers; a host name may look like a number.
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
