"""Checkpoints of a run: at any moment one is complete, and damage is detected."""

import hashlib
import io
import logging
from pathlib import Path
from typing import Any

import torch

from slbench.errors import StoreError
from slbench.files import durable_temporary, sync_file
from slbench.run_paths import RunPaths

log = logging.getLogger(__name__)


class Checkpoints:
    """The two newest checkpoints of a run in its folder.

    A file is the sha256 of the rest in hex, a newline, and the state as saved by torch.
    """

    def __init__(self, folder: Path) -> None:
        paths = RunPaths(folder)
        self.current, self.previous = paths.checkpoint, paths.previous_checkpoint

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

    def load(self) -> dict[str, Any] | None:
        """Return the newest undamaged state, on the CPU; None if there is none. Logs a warning for damaged ones."""
        for path in (self.current, self.previous):
            if not path.exists():
                continue
            payload = opened(path.read_bytes())
            if payload is not None:
                state: dict[str, Any] = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
                return state
            log.warning("%s is damaged: using the previous checkpoint, if there is one", path)
            path.unlink()  # or the next save would make it the previous checkpoint
        return None

    def clear(self) -> None:
        """Remove both checkpoints."""
        for path in (self.current, self.previous):
            path.unlink(missing_ok=True)


def sealed(payload: bytes) -> bytes:
    """Return a payload with its sha256 in front."""
    return hashlib.sha256(payload).hexdigest().encode() + b"\n" + payload


def opened(content: bytes) -> bytes | None:
    """Return the payload of `sealed` content; None if it is damaged."""
    digest, _, payload = content.partition(b"\n")
    return payload if hashlib.sha256(payload).hexdigest().encode() == digest else None
