"""Logging of runs for other viewers: TensorBoard, Weights & Biases, or CSV and JSON files; one folder or run per run.

Logged are the settings of the run, the columns of metrics.csv by epoch, and the results at the end. Test metrics by
epoch are logged only under protocol "paper", whose best epoch is chosen on them: elsewhere they would invite that.
"""

import csv
import dataclasses
import importlib.util
import json
import logging
import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic.dataclasses import dataclass

from slbench.differing import flat
from slbench.errors import InputError
from slbench.files import dump_json, nearest_existing, write_atomic
from slbench.spec import RunSpec, to_dict
from slbench.text import choices, shown

if TYPE_CHECKING:
    from slbench.history import EpochMetrics
    from slbench.record import RunRecord

Kind = Literal["tensorboard", "wandb", "csv"]
PACKAGES: dict[str, str] = {"tensorboard": "tensorboard", "wandb": "wandb"}  # by kind; extras have the same names
KINDS = (*PACKAGES, "csv")
TITLES = {"tensorboard": "TensorBoard", "wandb": "Weights & Biases", "csv": "CSV"}
EVENTS = "events.out.tfevents.*"
PROJECT = "slbench"  # of Weights & Biases, unless WANDB_PROJECT names another
Scalar = float | int | str | bool
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tracking:
    """Where runs are logged."""

    kind: Kind
    folder: str  # parent of the folders of runs


def parse_tracking(text: str, *, default: Path, where: str = "--log-to") -> Tracking:
    """Return what "tensorboard" or "csv:DIR" asks for.

    Args:
        default: parent of the folder of a kind without a folder.
        where: flag, for error messages.
    Raises:
        InputError: for an unknown kind, a missing package, or a folder that cannot be written.
    """
    kind, has_folder, folder = text.partition(":")
    if kind not in KINDS:
        raise InputError(f"{where}: unknown tracker (got {shown(text)}){choices(KINDS, kind)}; KIND or KIND:DIR")
    if has_folder and not folder:
        raise InputError(f"{where}: {kind}: is an empty folder (got {shown(text)}); leave out the colon")
    path = Path(folder).expanduser() if folder else default / kind
    check_tracking(kind, path, where=where)
    return Tracking(kind, str(path.absolute()))  # type: ignore[arg-type]


def check_tracking(kind: str, folder: Path, *, where: str) -> None:
    """Raise InputError if runs cannot be logged to a folder, which need not exist. Leaves no files."""
    package = PACKAGES.get(kind)
    if package is not None and importlib.util.find_spec(package) is None:
        raise InputError(f"{where}: package {package} is not installed; pip install 'slbench[{package}]'")
    try:
        existing = nearest_existing(folder.absolute())
        if not existing.is_dir():
            raise InputError(f"{where}: must be a folder, but {existing} is a file (got {shown(folder)})")
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise InputError(
            f"{where}: not writable: {error.strerror} (got {shown(folder)}); choose another folder"
        ) from error


class Tracker(ABC):
    """Log of one run.

    Args:
        folder: of this run.
        settings: of the run, flat.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Scalar]) -> None:
        self.folder, self.settings = folder, settings

    @abstractmethod
    def add(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Log the metrics of an epoch."""

    @abstractmethod
    def finish(self, results: Mapping[str, float], epoch: int) -> None:
        """Log the results of the finished run."""

    @abstractmethod
    def close(self) -> None:
        """Write what is left."""


class TensorBoardTracker(Tracker):
    """Scalars by epoch, and settings with results in the tab HPARAMS."""

    def __init__(self, folder: Path, settings: Mapping[str, Scalar]) -> None:
        super().__init__(folder, settings)
        from torch.utils.tensorboard import SummaryWriter

        for path in folder.glob(EVENTS):  # of an earlier part of the run, so that no epoch is duplicated
            path.unlink()
        self.writer = SummaryWriter(str(folder))

    def add(self, epoch: int, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            self.writer.add_scalar(name, value, epoch)
        self.writer.flush()

    def finish(self, results: Mapping[str, float], epoch: int) -> None:
        from torch.utils.tensorboard.summary import hparams

        metrics = {f"result/{name}": value for name, value in results.items()}
        for summary in hparams(dict(self.settings), metrics):
            self.writer.file_writer.add_summary(summary)
        for name, value in metrics.items():
            self.writer.add_scalar(name, value, epoch)

    def close(self) -> None:
        self.writer.close()


class WandbTracker(Tracker):
    """A run of Weights & Biases under the run id; WANDB_MODE=offline keeps it in the folder."""

    def __init__(self, folder: Path, settings: Mapping[str, Scalar]) -> None:
        super().__init__(folder, settings)
        import wandb

        folder.mkdir(parents=True, exist_ok=True)
        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            id=folder.name.rpartition("-")[2],
            name=folder.name,
            dir=str(folder),
            config=dict(settings),
            resume="allow",
            reinit="create_new",
            settings=wandb.Settings(silent=True, console="off"),
        )

    def add(self, epoch: int, metrics: Mapping[str, float]) -> None:
        self.run.log(dict(metrics), step=epoch)

    def finish(self, results: Mapping[str, float], epoch: int) -> None:
        del epoch
        self.run.summary.update({f"result/{name}": value for name, value in results.items()})

    def close(self) -> None:
        self.run.finish()


class CsvTracker(Tracker):
    """settings.json, metrics.csv and results.json in the folder."""

    def __init__(self, folder: Path, settings: Mapping[str, Scalar]) -> None:
        super().__init__(folder, settings)
        self.rows = list[dict[str, float]]()
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / "settings.json", dump_json(dict(settings)))

    def add(self, epoch: int, metrics: Mapping[str, float]) -> None:
        self.rows.append({"epoch": epoch, **metrics})
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        with tempfile.TemporaryFile("w+", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, names, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)
            file.seek(0)
            write_atomic(self.folder / "metrics.csv", file.read().encode())

    def finish(self, results: Mapping[str, float], epoch: int) -> None:
        write_atomic(self.folder / "results.json", dump_json({"epoch": epoch, **results}))

    def close(self) -> None:
        """Do nothing: every file is complete."""


TRACKERS: dict[str, type[Tracker]] = {"tensorboard": TensorBoardTracker, "wandb": WandbTracker, "csv": CsvTracker}


class RunLog:
    """Log of a run that never stops it: errors of the tracker are logged as warnings.

    Args:
        tracking: None: nothing is logged.
        name: of the run's folder.
    """

    def __init__(self, tracking: Tracking | None, spec: RunSpec, name: str) -> None:
        self.spec, self.tracking = spec, tracking
        self.tracker: Tracker | None = None
        self.folder = Path(tracking.folder) / name if tracking is not None else Path()
        if tracking is not None:
            with self.warned():
                self.tracker = TRACKERS[tracking.kind](self.folder, settings_of(spec))

    def add(self, metrics: "EpochMetrics") -> None:
        """Log the metrics of an epoch, with those on test images only under protocol "paper"."""
        columns = dataclasses.asdict(metrics)
        epoch = columns.pop("epoch")
        shows_test = self.spec.protocol == "paper"
        names = [name for name in columns if shows_test or not name.startswith("test_")]
        values = {name: columns[name] for name in names if columns[name] is not None}
        if self.tracker is not None:
            with self.warned():
                self.tracker.add(epoch, values)

    def finish(self, record: "RunRecord") -> None:
        """Log the results of the finished run."""
        if self.tracker is not None:
            with self.warned():
                self.tracker.finish(results_of(record), record.spec.recipe.epochs)

    def close(self) -> None:
        if self.tracker is not None:
            with self.warned():
                self.tracker.close()

    @contextmanager
    def warned(self) -> Iterator[None]:
        """Turn an error of the tracker into a warning: a run must not be lost for its log."""
        try:
            yield
        except Exception as error:
            title = TITLES[self.tracking.kind] if self.tracking else ""
            reason = getattr(error, "strerror", None) or " ".join(str(error).split())
            log.warning("%s: not logged for %s: %s", self.folder, title, reason)


@contextmanager
def run_log(tracking: Tracking | None, spec: RunSpec, name: str) -> Iterator[RunLog]:
    """Yield the log of a run; close it at the end."""
    opened = RunLog(tracking, spec, name)
    try:
        yield opened
    finally:
        opened.close()


def settings_of(spec: RunSpec) -> dict[str, Scalar]:
    """Return the settings of a run by column of runs.csv; lists as JSON."""
    values = {name: value for name, value in flat(to_dict(spec)).items() if value is not None}
    return {
        name: value if isinstance(value, Scalar) else json.dumps(value, default=str) for name, value in values.items()
    }


def results_of(record: "RunRecord") -> dict[str, float]:
    """Return the results of a run: accuracies, loss, costs."""
    names = [
        "final_val_top1", "final_test_top1", "final_test_top5", "final_test_loss", "final_train_loss",
        "selected_test_top1", "macs", "params", "seconds",
    ]  # fmt: skip
    names += ["best_test_top1"] if record.spec.protocol == "paper" else []  # chosen on the test images
    values = {name: getattr(record, name) for name in names}
    return {name: float(value) for name, value in values.items() if value is not None}
