"""TensorBoard: what metrics.csv holds, as scalars by epoch, a folder a run."""

import dataclasses
import importlib.util
import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from slbench.errors import InputError

if TYPE_CHECKING:
    from slbench.train.loop import EpochMetrics

EVENTS = "events.out.tfevents.*"
log = logging.getLogger(__name__)


def check_board(folder: Path) -> None:
    """Raise InputError if nothing could be logged to a folder, which need not exist. Leaves nothing behind."""
    if importlib.util.find_spec("tensorboard") is None:
        raise InputError(
            "--tensorboard needs the package tensorboard, which is not installed: get it with: "
            "pip install 'slbench[tensorboard]'"
        )
    try:
        existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
        if not existing.is_dir():
            raise InputError(f"--tensorboard {folder}: must be a folder, and {existing} is a file")
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise InputError(
            f"--tensorboard {folder}: cannot write here ({error.strerror}): name another folder"
        ) from error


@contextmanager
def board(folder: Path | None, history: Sequence["EpochMetrics"]) -> Iterator[Callable[["EpochMetrics"], None]]:
    """Gives a function that logs an epoch, under the names of the columns of metrics.csv.

    An error of the disk is noted and ends no run.

    Args:
        folder: of this run alone, whose earlier events are replaced, so that no epoch stands there twice;
            None: nothing is logged.
        history: the epochs that are done, of a run that goes on.
    """
    if folder is None:
        yield lambda metrics: None
        return
    from torch.utils.tensorboard import SummaryWriter

    writer = None
    with unharmed(folder):
        for left_over in folder.glob(EVENTS):
            left_over.unlink()
        writer = SummaryWriter(str(folder))

    def add(metrics: "EpochMetrics") -> None:
        if writer is None:
            return
        columns = dataclasses.asdict(metrics)
        epoch = columns.pop("epoch")
        with unharmed(folder):
            for name, value in columns.items():
                if value is not None:
                    writer.add_scalar(name, value, epoch)
            writer.flush()

    for metrics in history:
        add(metrics)
    try:
        yield add
    finally:
        with unharmed(folder):
            if writer is not None:
                writer.close()


@contextmanager
def unharmed(folder: Path) -> Iterator[None]:
    """Note an error of the disk and go on."""
    try:
        yield
    except OSError as error:
        log.warning("%s: not logged for TensorBoard: %s", folder, error.strerror or error)
