"""Checkpoints of a run: at any moment one is complete, and damage is detected."""

import hashlib
import io
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from slbench.errors import InputError, StoreError
from slbench.files import durable_temporary, read_regular, remove, sync_file
from slbench.run_paths import RunPaths

log = logging.getLogger(__name__)


class Checkpoints:
    """The two newest checkpoints of a run in its folder.

    A file is the sha256 of the rest in hex, a newline, and the state as saved by torch.
    """

    def __init__(self, folder: Path) -> None:
        paths = RunPaths(folder)
        self.current, self.previous, self.conditions = paths.checkpoint, paths.previous_checkpoint, paths.conditions

    def save(self, state: dict[str, Any]) -> None:
        """Write a state to a temporary file, verify it, and replace the current checkpoint.

        Raises:
            StoreError: if the file read back differs.
            OSError: if it cannot be written; the existing checkpoints are kept.
        """
        buffer = io.BytesIO()
        torch.save(state, buffer)
        with durable_temporary(self.current) as (temporary, file):
            file.write(sealed(buffer.getvalue()))
            sync_file(file)
            if opened(temporary.read_bytes()) is None:
                raise StoreError(f"{self.current}: the file read back differs from what was written; check the disk")
            if self.current.exists():
                self.current.replace(self.previous)
            temporary.replace(self.current)

    def load(self, check: Callable[[Any], None] = lambda state: None) -> dict[str, Any] | None:
        """Return the newest usable state, on the CPU; None if there is none.

        Others are removed, or the next save would make one of them the previous checkpoint, and a warning names each.

        Args:
            check: raises InputError, with the reason, for a state that does not fit the run.
        Raises:
            OSError: if a file cannot be read, which may be temporary.
        """
        paths = [path for path in (self.current, self.previous) if os.path.lexists(path)]
        usable = None
        for path, older in zip(paths, [*paths[1:], None], strict=False):
            try:
                check_is_file(path)
                usable = usable or read_state(path, check)
            except InputError as error:
                log.warning("%s: unusable: %s; %s", path, error, continuation(older))
                remove(path)
        return usable

    def clear(self) -> None:
        """Remove both checkpoints, and the conditions of the run beside them."""
        for path in (self.current, self.previous, self.conditions):
            remove(path)


def continuation(older: Path | None) -> str:
    """Return what a run continues from after an unusable checkpoint, as the end of a message."""
    return "starting from the beginning" if older is None else f"trying {older.name}"


def check_is_file(path: Path) -> None:
    """Raise InputError for a folder or a broken link, or a FIFO or device, which could wait."""
    if not path.is_file():
        raise InputError("is a folder, not a file" if path.is_dir() else "is not a regular file")


def read_state(path: Path, check: Callable[[Any], None]) -> dict[str, Any]:
    """Return the state in a checkpoint.

    Raises:
        InputError: with the reason, if it is damaged or does not pass the check.
        OSError: if the file cannot be read.
    """
    payload = opened(read_regular(path))
    if payload is None:
        raise InputError("damaged, as its sha256 shows")
    try:
        state = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except Exception as error:  # of any kind, as the content may be anything
        raise InputError(f"not a state saved by slbench ({type(error).__name__})") from error
    if not isinstance(state, dict):
        raise InputError(f"not a state saved by slbench (got {type(state).__name__})")
    check(state)
    return state


def sealed(payload: bytes) -> bytes:
    """Return a payload with its sha256 in front."""
    return hashlib.sha256(payload).hexdigest().encode() + b"\n" + payload


def opened(content: bytes) -> bytes | None:
    """Return the payload of `sealed` content; None if it is damaged."""
    digest, _, payload = content.partition(b"\n")
    return payload if hashlib.sha256(payload).hexdigest().encode() == digest else None
