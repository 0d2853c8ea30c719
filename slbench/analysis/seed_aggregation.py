"""Tidy frames of layer metrics, aggregated over seeds."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from slbench.analysis.captions import table
from slbench.analysis.run_selection import FinishedRun
from slbench.differing import distinguished, flat
from slbench.store import safe
from slbench.text import distinct

CELL = ["row", "backbone", "method", "dataset", "cell"]
LAYER = ["number", "layer", "kind"]


def run_columns(run: FinishedRun) -> dict[str, Any]:
    """Return the columns that identify a run: `run` is its id, as everywhere; `cell` is shared by its seeds."""
    labels, spec = run.record.labels, run.record.spec
    return {
        "run": run.record.run_id,
        "cell": f"{labels.backbone}-{labels.method}-{labels.dataset}-{spec.cell_id}",
        "row": run.model,
        "backbone": labels.backbone,
        "method": labels.method,
        "dataset": labels.dataset,
        "seed": spec.seed,
    }


def with_distinct_titles(frame: pd.DataFrame, runs: Sequence[FinishedRun]) -> pd.DataFrame:
    """Return the frame with distinguishing fields added to equal titles of one data set."""
    titles: dict[str, str] = {}
    for dataset in distinct(run.record.labels.dataset for run in runs):
        cells = {run_columns(run)["cell"]: run for run in runs if run.record.labels.dataset == dataset}
        fields = {cell: flat({**run.record.spec.as_dict(), "seed": None}) for cell, run in cells.items()}
        titles |= distinguished({cell: run.model for cell, run in cells.items()}, fields)
    return frame.assign(row=frame["cell"].map(titles))


def over_seeds(frame: pd.DataFrame, measures: Sequence[str], by: Sequence[str]) -> pd.DataFrame:
    """Return mean, sample standard deviation and n over the seeds of each cell, by `by` and metric."""
    long = frame.melt(id_vars=[*by, "seed"], value_vars=list(measures), var_name="measure")
    long["measure"] = pd.Categorical(long["measure"], categories=list(measures))
    for column in CELL:  # keep the order of the runs
        long[column] = pd.Categorical(long[column], categories=list(distinct(frame[column])))
    grouped = long.groupby([*by, "measure"], sort=True, observed=True)["value"]
    return grouped.agg(mean="mean", std="std", n="count").reset_index()


def averages(frame: pd.DataFrame, measures: Sequence[str]) -> pd.DataFrame:
    """Return the mean over layers of self-attention (class attention excluded) per run, then over seeds."""
    self_attention = frame[frame["kind"] != "class"]
    by_run = self_attention.groupby([*CELL, "seed"], sort=False, observed=True)[list(measures)].mean().reset_index()
    return over_seeds(by_run, measures, CELL)


def mean_text(mean: float, std: float, n: int) -> str:
    """Return text such as "0.123 ± 0.004"; a dash for n = 0."""
    if n == 0:
        return "–"
    return f"{mean:.3f}" + (f" ± {std:.3f}" if n > 1 else "")


def as_table(values: pd.DataFrame, heads: dict[str, str], by: dict[str, str]) -> str:
    """Return the output of `over_seeds` as a Markdown table with a column per metric.

    Args:
        heads: column titles of the metrics.
        by: identifying columns and their titles.
    """
    keys = [column for column in values if column not in ("measure", "mean", "std", "n")]
    lines = dict[tuple[Any, ...], dict[str, str]]()
    for value in values.to_dict("records"):
        named = {head: str(value[column]) for column, head in by.items()}
        line = lines.setdefault(tuple(value[key] for key in keys), named)
        line[heads[value["measure"]]] = mean_text(value["mean"], value["std"], value["n"])
    return table(pd.DataFrame(list(lines.values())))


def figure_groups(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the lines of each figure (one backbone and data set) by suffix of its name."""
    groups = list(frame.groupby(["backbone", "dataset"], sort=False))
    if len(groups) == 1:
        return {"": frame}
    return {
        f"-{number}-{'-'.join(safe(str(name)) for name in names)}": group
        for number, (names, group) in enumerate(groups, start=1)
    }
