"""Tidy rows: one a run, every field of its spec and every metric a column."""

import json
from collections.abc import Iterable
from typing import Any, cast

import pandas as pd

from slbench.differing import differing, flat
from slbench.record import RunRecord
from slbench.spec import to_dict
from slbench.text import distinct

LEADING = ("run", "backbone", "method", "dataset", "seed", "protocol")
ROW_HEADS = ("backbone_", "method_", "numerics_")  # spec fields that the names of a row stand for
TRAINING_HEADS = ("dataset_", "recipe_")  # and those that all rows of a table should share
EQUAL = "recipe_equal"


def tidy(records: Iterable[RunRecord]) -> pd.DataFrame:
    """A frame with a row for each record, its index the ids of the runs.

    Columns are named with underscores: `recipe_lr`, `final_test_top1`. `backbone`, `method` and
    `dataset` are the names that the study gave; `run` and `cell` end in the ids of the run and of the
    experiment it repeats (the same run but for the seed), and are never numbers for a reader of the CSV.
    """
    held, specs = list(records), dict[str, dict[str, Any]]()
    index = pd.Index([record.run_id for record in held], name="run_id", dtype="str")
    frame = pd.DataFrame([row(record, specs) for record in held], index=index)
    for column in frame:
        if frame[column].isna().all():
            frame[column] = frame[column].astype("float64")
        elif frame[column].dtype == object:
            frame[column] = frame[column].where(frame[column].notna(), float("nan"))
    return frame


def row(record: RunRecord, specs: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """One record as flat columns.

    Args:
        specs: the flat columns of specs, but for their seeds, by the ids of experiments; filled here.
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
    # As JSON, versions and counts are text for every reader of the CSV; a host's name may look like a number.
    results["uncounted_operators"] = json.dumps(results["uncounted_operators"])
    results["code"]["versions"] = json.dumps(results["code"]["versions"])
    del results["host"]["hostname"]
    return {**leading, **flat(results), **specs[record.spec.cell_id]}


def varying(frame: pd.DataFrame) -> list[str]:
    """Columns of the spec that must stand in a table beside the names of its rows.

    Without those in which runs differ that share backbone, method and data set by name, it would average
    different experiments; without those in which runs on one data set were trained in different ways, it
    would compare what is not comparable.
    """
    columns = [str(column) for column in frame]
    of_training = [column for column in columns if column.startswith(TRAINING_HEADS)] + ["protocol"]
    of_row = [column for column in columns if column.startswith(ROW_HEADS)]
    # recipe_equal means nothing for whole sets, which stand beside subsets of either kind
    names = differing_within(frame, ["backbone", "method", "dataset"], of_row)
    trained = differing_within(frame, ["dataset"], of_training, optional=(EQUAL,))
    return [column for column in of_row if column in names] + [column for column in of_training if column in trained]


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
