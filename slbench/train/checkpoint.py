"""Checkpoints of a run: written so that one is whole at any moment, and a damaged one is known for what it is."""

import hashlib
import io
import logging
from pathlib import Path
from typing import Any

import torch

from slbench.errors import StoreError
from slbench.files import durable_temporary, sync_file

CURRENT, PREVIOUS = "checkpoint.pt", "checkpoint-previous.pt"
log = logging.getLogger(__name__)


class Checkpoints:
    """The two newest checkpoints of a run, in its folder.

    A file is the sha256 of what follows, in hex and with a line's end, then the state as torch saves it.
    """

    def __init__(self, folder: Path) -> None:
        self.current, self.previous = folder / CURRENT, folder / PREVIOUS

    def save(self, state: dict[str, Any]) -> None:
        """Write a state: temporary file, fsync, read again, and only then in the place of the one before.

        Raises:
            StoreError: if what is read again is not what was written.
            OSError: if there is no space, or no right to write; the checkpoints that were there stay.
        """
        buffer = io.BytesIO()
        torch.save(state, buffer)
        with durable_temporary(self.current) as (temporary, file):
            file.write(sealed(buffer.getvalue()))
            sync_file(file)
            if opened(temporary.read_bytes()) is None:
                raise StoreError(f"{self.current}: what was written cannot be read again: check the disk")
            if self.current.exists():
                self.current.replace(self.previous)
            temporary.replace(self.current)

    def load(self) -> dict[str, Any] | None:
        """The newest state that is whole, on the CPU; None if there is none. A damaged one is told of in the log."""
        for path in (self.current, self.previous):
            if not path.exists():
                continue
            payload = opened(path.read_bytes())
            if payload is not None:
                state: dict[str, Any] = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
                return state
            log.warning("%s is damaged: going on from the one before it, if there is one", path)
            path.unlink()  # or the next one would take its place, and it that of the one before
        return None

    def clear(self) -> None:
        """Remove them: the run has its record."""
        for path in (self.current, self.previous):
            path.unlink(missing_ok=True)


def sealed(payload: bytes) -> bytes:
    """A payload under its own sha256."""
    return hashlib.sha256(payload).hexdigest().encode() + b"\n" + payload


def opened(content: bytes) -> bytes | None:
    """The payload if it is the one that was sealed."""
    digest, _, payload = content.partition(b"\n")
    return payload if hashlib.sha256(payload).hexdigest().encode() == digest else None
