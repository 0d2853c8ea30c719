"""TensorBoard logging: the columns of metrics.csv as scalars by epoch, one folder per run."""

import dataclasses
import importlib.util
import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from slbench.errors import InputError
from slbench.files import nearest_existing
from slbench.text import shown

if TYPE_CHECKING:
    from slbench.history import EpochMetrics

EVENTS = "events.out.tfevents.*"
log = logging.getLogger(__name__)


def check_board(folder: Path) -> None:
    """Raise InputError if TensorBoard cannot log to a folder, which need not exist. Leaves no files."""
    if importlib.util.find_spec("tensorboard") is None:
        raise InputError("--tensorboard: package tensorboard is not installed; pip install 'slbench[tensorboard]'")
    try:
        existing = nearest_existing(folder.absolute())
        if not existing.is_dir():
            raise InputError(f"--tensorboard: must be a folder, but {existing} is a file (got {shown(folder)})")
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise InputError(
            f"--tensorboard: not writable: {error.strerror} (got {shown(folder)}); choose another folder"
        ) from error


@contextmanager
def board(folder: Path | None, history: Sequence["EpochMetrics"]) -> Iterator[Callable[["EpochMetrics"], None]]:
    """Yield a function that logs the metrics of an epoch. Disk errors are only logged.

    Args:
        folder: of this run; its earlier events are replaced, so that no epoch is duplicated. None: no logging.
        history: finished epochs of a resumed run.
    """
    if folder is None:
        yield lambda metrics: None
        return
    from torch.utils.tensorboard import SummaryWriter

    writer = None
    with log_disk_errors(folder):
        for path in folder.glob(EVENTS):
            path.unlink()
        writer = SummaryWriter(str(folder))

    def add(metrics: "EpochMetrics") -> None:
        if writer is None:
            return
        columns = dataclasses.asdict(metrics)
        epoch = columns.pop("epoch")
        with log_disk_errors(folder):
            for name, value in columns.items():
                if value is not None:
                    writer.add_scalar(name, value, epoch)
            writer.flush()

    for metrics in history:
        add(metrics)
    try:
        yield add
    finally:
        with log_disk_errors(folder):
            if writer is not None:
                writer.close()


@contextmanager
def log_disk_errors(folder: Path) -> Iterator[None]:
    """Suppress OSError within the block and log a warning."""
    try:
        yield
    except OSError as error:
        log.warning("%s: not logged for TensorBoard: %s", folder, error.strerror or error)
