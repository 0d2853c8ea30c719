"""Tidy rows: one a run, every field of its spec and every metric a column."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from slbench.store import RunRecord

LEADING = ("run", "backbone", "method", "dataset", "seed", "protocol")
SPEC_HEADS = ("backbone_", "method_", "dataset_", "recipe_", "numerics_")


def tidy(records: Iterable[RunRecord]) -> pd.DataFrame:
    """A frame with a row for each record.

    Columns are named with underscores: `recipe_lr`, `final_test_top1`. `backbone`, `method` and
    `dataset` are the names that the study gave; `run` and `cell` end in the ids of the run and of the
    experiment it repeats (the same run but for the seed), and are never numbers for a reader of the CSV.
    """
    frame = pd.DataFrame([row(record) for record in records])
    for column in frame:
        if frame[column].isna().all():
            frame[column] = frame[column].astype("float64")
    return frame


def row(record: RunRecord) -> dict[str, Any]:
    """One record as flat columns."""
    labels = record.labels
    spec = record.spec.as_dict()
    name = f"{labels.backbone}-{labels.method}-{labels.dataset}"
    leading = {
        "run": f"{name}-s{record.spec.seed}-{record.run_id}",
        "cell": f"{name}-{record.spec.cell_id}",
        "backbone": labels.backbone,
        "method": labels.method,
        "dataset": labels.dataset,
        "seed": spec.pop("seed"),
        "protocol": spec.pop("protocol"),
    }
    results = record.model_dump(mode="json", exclude={"spec", "labels", "run_id", "uncounted_operators"})
    return {**leading, **flat(results), **flat(spec), "uncounted_operators": " ".join(record.uncounted_operators)}


def flat(nested: Mapping[str, Any], head: str = "") -> dict[str, Any]:
    """Nested keys joined by underscores; a list becomes its JSON, which no reader takes for a number."""
    columns: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, Mapping):
            columns |= flat(value, f"{head}{key}_")
        elif isinstance(value, list | tuple):
            columns[head + key] = json.dumps(value)
        else:
            columns[head + key] = value
    return columns


def varying(frame: pd.DataFrame) -> list[str]:
    """Columns of the spec in which runs differ that share backbone, method and data set by name.

    They must stand in a table beside those names: without them it would average different experiments.
    """
    candidates = [str(column) for column in frame if str(column).startswith(SPEC_HEADS)] + ["protocol"]
    counts = frame.groupby(["backbone", "method", "dataset"])[candidates].nunique(dropna=False)
    return [column for column in candidates if (counts[column] > 1).any()]
