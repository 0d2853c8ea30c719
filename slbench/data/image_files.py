"""Image files decoded on access."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from slbench.data.images import CHANNELS, Pixels, decode
from slbench.data.lazy_images import Keys, LazyImages


@dataclass(frozen=True, eq=False, kw_only=True)
class ImageFiles(LazyImages):
    """Image files; a key is the path below the root in the bytes of the file system."""

    root: Path
    mode: str  # decoded as "L", "RGB" or "RGBA"

    @property
    def channels(self) -> int:
        return CHANNELS[self.mode]

    def path(self, row: int) -> Path:
        return self.root / os.fsdecode(bytes(self.keys[row]))

    def name(self, row: int) -> str:
        return str(self.path(row))

    def decoded(self, row: int) -> Pixels:
        return decode(self.path(row), self.mode, name=self.name(row))

    def joined(self, other: LazyImages) -> "ImageFiles":
        return replace(self, keys=np.concatenate([self.keys, other.keys]))


def paths_as_keys(paths: Iterable[Path], root: Path) -> Keys:
    """Return paths below a root as keys of `ImageFiles`."""
    return np.array([os.fsencode(path.relative_to(root)) for path in paths], dtype=np.bytes_)
