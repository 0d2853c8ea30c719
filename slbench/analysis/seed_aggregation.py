"""Measures of layers as tidy frames: a line for each run and layer, then averaged over seeds."""

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


def identity(run: FinishedRun) -> dict[str, Any]:
    """The columns that say which run a line is of. `run` and `cell` are never numbers for a reader of the CSV."""
    labels, spec = run.record.labels, run.record.spec
    name = f"{labels.backbone}-{labels.method}-{labels.dataset}"
    return {
        "run": f"{name}-s{spec.seed}-{run.record.run_id}",
        "cell": f"{name}-{spec.cell_id}",
        "row": run.row,
        "backbone": labels.backbone,
        "method": labels.method,
        "dataset": labels.dataset,
        "seed": spec.seed,
    }


def with_distinct_titles(frame: pd.DataFrame, runs: Sequence[FinishedRun]) -> pd.DataFrame:
    """Return the frame with what tells cells of equal title and data set apart added to the title."""
    named: dict[str, str] = {}
    for dataset in distinct(run.record.labels.dataset for run in runs):
        cells = {identity(run)["cell"]: run for run in runs if run.record.labels.dataset == dataset}
        fields = {cell: flat({**run.record.spec.as_dict(), "seed": None}) for cell, run in cells.items()}
        named |= distinguished({cell: run.row for cell, run in cells.items()}, fields)
    return frame.assign(row=frame["cell"].map(named))


def over_seeds(frame: pd.DataFrame, measures: Sequence[str], by: Sequence[str]) -> pd.DataFrame:
    """Mean, sample standard deviation and n over the seeds of each cell: a row for each of `by` and each measure."""
    long = frame.melt(id_vars=[*by, "seed"], value_vars=list(measures), var_name="measure")
    long["measure"] = pd.Categorical(long["measure"], categories=list(measures))
    for column in CELL:  # in the order in which the runs came
        long[column] = pd.Categorical(long[column], categories=list(distinct(frame[column])))
    grouped = long.groupby([*by, "measure"], sort=True, observed=True)["value"]
    return grouped.agg(mean="mean", std="std", n="count").reset_index()


def averages(frame: pd.DataFrame, measures: Sequence[str]) -> pd.DataFrame:
    """Each run's mean over its layers of self-attention, then over the seeds. Class attention (CaiT) is left out."""
    among = frame[frame["kind"] != "class"]
    by_run = among.groupby([*CELL, "seed"], sort=False, observed=True)[list(measures)].mean().reset_index()
    return over_seeds(by_run, measures, CELL)


def shown(mean: float, std: float, n: int) -> str:
    """ "0.123 ± 0.004"; a dash where nothing was measured."""
    if n == 0:
        return "–"
    return f"{mean:.3f}" + (f" ± {std:.3f}" if n > 1 else "")


def as_table(values: pd.DataFrame, heads: dict[str, str], by: dict[str, str]) -> str:
    """What `over_seeds` gave as a Markdown table, a column for each measure.

    Args:
        heads: what each measure is called.
        by: the columns that name a line, and what they are called.
    """
    keys = [column for column in values if column not in ("measure", "mean", "std", "n")]
    lines = dict[tuple[Any, ...], dict[str, str]]()
    for value in values.to_dict("records"):
        named = {head: str(value[column]) for column, head in by.items()}
        line = lines.setdefault(tuple(value[key] for key in keys), named)
        line[heads[value["measure"]]] = shown(value["mean"], value["std"], value["n"])
    return table(pd.DataFrame(list(lines.values())))


def parts(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """What goes into one figure: runs of one backbone on one data set, by what their figure's name ends in."""
    groups = list(frame.groupby(["backbone", "dataset"], sort=False))
    if len(groups) == 1:
        return {"": frame}
    return {
        f"-{number}-{'-'.join(safe(str(name)) for name in names)}": group
        for number, (names, group) in enumerate(groups, start=1)
    }
