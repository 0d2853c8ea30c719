"""Image files decoded on access."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from slbench.data.images.decode import CHANNELS, Pixels, decode, resize
from slbench.data.images.source import Size


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """Image files below a root, brought to one size: a reader."""

    root: Path
    paths: Sequence[str]  # below the root
    mode: str  # decoded as "L", "RGB" or "RGBA"
    size: Size

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return (len(self.paths), CHANNELS[self.mode], *self.size)

    def read(self, row: int) -> Pixels:
        return resize(self.decoded(row), self.size)

    def decoded(self, row: int) -> Pixels:
        """Return an image at its own size. Raises InputError if it cannot be decoded."""
        return decode(self.root / self.paths[row], self.mode, name=self.name(row))

    def name(self, row: int) -> str:
        return os.fspath(self.root / self.paths[row])
