"""Validation accuracies of runs, the only results that a search can read."""

import csv
from pathlib import Path

from slbench.run_paths import RunPaths
from slbench.store import Store
from slbench.study import StudyRun


def validation_curve(store: Store, run: StudyRun) -> tuple[float, ...]:
    """Return the validation accuracy in % after each finished epoch of a run; empty if there is none.

    The file also has test accuracies, which are not returned.
    """
    return curve_of_folder(store.ids().get(run.spec.run_id))


def curve_of_folder(folder: Path | None) -> tuple[float, ...]:
    """Return the validation accuracy in % after each finished epoch of a run's folder; empty if there is none."""
    try:
        if folder is None:
            return ()
        with RunPaths(folder).history.open(newline="") as file:
            return tuple(float(row["val_top1"]) for row in csv.DictReader(file))
    except (OSError, KeyError, ValueError, TypeError):  # none, or damaged, which the record of the run names
        return ()
