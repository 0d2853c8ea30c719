"""Rows and columns of a study's table, and all columns that a table can have."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from slbench.errors import InputError
from slbench.names import lookup
from slbench.stats.classification import balanced_accuracy, calibration_error
from slbench.text import choices, shown

if TYPE_CHECKING:
    import numpy as np

    from slbench.measurement_records import Throughput
    from slbench.record import RunRecord


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A number of a run that a table can show, as a mean over the seeds."""

    head: str  # of its column, after the data set
    description: str  # of the caption
    key: str  # of its columns in a CSV, after the data set
    field: str | None = None  # of the record
    # in place of a field: functions of the stored logits (n k) or predicted classes (n), and of the labels (n)
    from_logits: "Callable[[np.ndarray, np.ndarray], float] | None" = None
    from_predictions: "Callable[[np.ndarray, np.ndarray], float] | None" = None
    noun: str = ""  # in a sentence; empty: its head
    lowest_is_best: bool = False
    digits: int = 2
    is_accuracy: bool = True  # top-1 in %
    on_test_images: bool = True

    @property
    def from_outputs(self) -> bool:
        """Whether the metric is computed from stored test outputs."""
        return self.field is None


@dataclass(frozen=True, kw_only=True)
class Cost:
    """A property of a network that a table can show: one value per image shape among the data sets."""

    head: str  # of its column
    value: "Callable[[RunRecord, Throughput | None], float | None]"  # of a run and its measured throughput, if any
    scale: float = 1.0  # a table shows value / scale
    digits: int = 0
    highest_first: bool = False  # order of the first click on its head


# Captions explain metrics in this order.
METRICS: dict[str, Metric] = {
    "final": Metric(
        head="final top-1",
        description="test accuracy of the last epoch",
        key="final_test_top1",
        field="final_test_top1",
    ),
    "selected": Metric(
        head="selected top-1",
        description="test accuracy of the epoch with the best validation accuracy",
        key="selected_test_top1",
        field="selected_test_top1",
    ),
    "best": Metric(
        head="best top-1",
        description="best test accuracy of all epochs (chosen on the test images, as in the paper)",
        key="best_test_top1",
        field="best_test_top1",
    ),
    "validation": Metric(
        head="validation top-1",
        description="validation accuracy of the last epoch",
        key="final_val_top1",
        field="final_val_top1",
        on_test_images=False,
    ),
    "top5": Metric(
        head="top-5",
        description="test top-5 accuracy of the last epoch in %",
        key="final_test_top5",
        field="final_test_top5",
        is_accuracy=False,
    ),
    "balanced_accuracy": Metric(
        head="balanced",
        description="mean over the classes of their test accuracy after the last epoch in %",
        key="final_test_balanced_accuracy",
        from_predictions=balanced_accuracy,
        noun="balanced accuracy",
        is_accuracy=False,
    ),
    "nll": Metric(
        head="NLL",
        description="cross entropy of the test labels after the last epoch, without smoothing, in nats",
        key="final_test_loss",
        field="final_test_loss",
        lowest_is_best=True,
        digits=3,
        is_accuracy=False,
    ),
    "ece": Metric(
        head="ECE",
        description="expected calibration error on the test images after the last epoch in %, 15 bins of equal width "
        "(arXiv:1706.04599)",
        key="final_test_ece",
        from_logits=calibration_error,
        lowest_is_best=True,
        is_accuracy=False,
    ),
}
COSTS: dict[str, Cost] = {
    "images_per_second": Cost(
        head="Images/s", value=lambda _, speed: speed.median if speed else None, highest_first=True
    ),
    "macs": Cost(head="MACs (M)", value=lambda record, _: record.macs, scale=1e6, digits=1),
    "params": Cost(head="Params (M)", value=lambda record, _: record.params, scale=1e6, digits=2),
}
COMPARISONS = {  # columns that compare the metric before them
    "gain": "mean difference to the plain backbone, paired by seed, with its simultaneous interval",
    "gain_images": "interval of the gain over seeds and test images; verdicts are by the seeds",
    "median": "median over the seeds",
    "iqm": "mean of the middle half of the seeds",
    "diverged": "runs that diverged, of those that ended",
    "published": "the paper's best test accuracy beside ours, and verdicts on it and on its gain",
}
DEFAULT_COLUMNS = ("images_per_second", "macs", "params", "final", "gain")
PAPER_COLUMNS = (*DEFAULT_COLUMNS, "best")  # where every run follows protocol paper


class TableSpec(BaseModel):
    """Rows (by label) and columns (by name) of a study's table, in order; empty: default."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid", strict=True)

    backbone: tuple[str, ...] = ()  # labels of backbones, in the order of the rows
    method: tuple[str, ...] = ()  # names of methods, in the order of the rows
    dataset: tuple[str, ...] = ()  # names of data sets, in the order of the columns
    columns: tuple[str, ...] = ()  # costs, metrics, and comparisons after their metric


DEFAULT_TABLE = TableSpec.model_construct()  # `TableSpec()` without building its schema


def column_names() -> list[str]:
    """Return the names of all columns that a table can have."""
    return [*COSTS, *METRICS, *COMPARISONS]


def check_columns(columns: Iterable[str], origin: str) -> None:
    """Raise InputError for an unknown or repeated column, or a comparison without a metric before it.

    Args:
        origin: file and key, or flag, for the message.
    """
    before: str | None = None
    seen = set[tuple[str | None, str]]()
    for name in columns:
        lookup(dict.fromkeys(column_names()), name, "column", where=origin)
        column = (before if name in COMPARISONS else None, name)
        if column in seen:
            raise InputError(f"{origin}: names a column twice (got {shown(name)})")
        seen.add(column)
        if name in COMPARISONS and before is None:
            raise InputError(
                f"{origin}: must follow a metric (got {shown(name)}); allowed before it: {', '.join(METRICS)}"
            )
        if name == "gain_images" and before != "final":
            raise InputError(
                f"{origin}: gain_images: must follow final (got {shown(before)}); allowed before it: final"
            )
        if name in METRICS:
            before = name
        elif name in COSTS:
            before = None


def check_labels(table_spec: TableSpec, known: Mapping[str, Sequence[str]], where: str) -> None:
    """Raise InputError for a label that no run of the study has.

    Args:
        known: labels of the study by key: backbone, method, dataset.
    """
    for key, labels in known.items():
        for label in getattr(table_spec, key):
            if label not in labels:
                problem = f"no run has this label (got {shown(label)}){choices(labels, label)}"
                raise InputError(f"{where}: report.{key}: {problem}")
