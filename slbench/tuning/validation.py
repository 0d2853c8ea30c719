"""The one door through which a search sees a run: its accuracy on the validation images, and nothing else of it."""

import csv

from slbench.spec import RunSpec
from slbench.store import Store


def validation_curve(store: Store, run: RunSpec) -> tuple[float, ...]:
    """Validation accuracy in % after each epoch of a run that has ended; empty if there is none yet.

    The file beside it also has the test accuracies: they are not given.
    """
    folder = store.ids().get(run.run_id)
    try:
        if folder is None:
            return ()
        with (folder / "metrics.csv").open(newline="") as file:
            return tuple(float(row["val_top1"]) for row in csv.DictReader(file))
    except FileNotFoundError:
        return ()
