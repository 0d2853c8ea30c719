"""Images that stay on the disk as files, decoded when they are asked for."""

import os
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slbench.data.ahead import ahead
from slbench.data.images import CHANNELS, Pixels, decode, digest_of, resize
from slbench.errors import InputError

Names = NDArray[Any]  # (n,), text in bytes, as the file system has it
Digests = NDArray[np.uint8]  # (n, 32)


@dataclass(frozen=True)
class Form:
    """What every image of a set is brought to."""

    mode: str  # "L", "RGB" or "RGBA"
    sizes: tuple[tuple[int, int], ...]  # (height, width) in px, one after the other

    @property
    def shape(self) -> tuple[int, int, int]:
        return (CHANNELS[self.mode], *self.sizes[-1])

    def fitted(self, pixels: Pixels) -> Pixels:
        """Decoded pixels brought to the sizes."""
        for size in self.sizes:
            pixels = resize(pixels, size)
        return pixels


@dataclass(frozen=True, eq=False)
class Files:
    """Images on the disk, used like an array (n, channels, height, width) where rows are chosen and gone through.

    Threads decode ahead of who asks; what is given and its order do not depend on their number.
    """

    root: Path
    names: Names  # below the root, in the order of the rows
    form: Form
    digests: Digests | None = None  # sha256 of each image as it is given out; None: not known yet

    def __len__(self) -> int:
        return len(self.names)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return (len(self), *self.form.shape)

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        return np.dtype(np.uint8)

    def __getitem__(self, rows: NDArray[np.int64]) -> "Files":
        return replace(self, names=self.names[rows], digests=None if self.digests is None else self.digests[rows])

    def __iter__(self) -> Iterator[Pixels]:
        """The pixels of every image, in order.

        Raises:
            InputError: at an image that cannot be read or is not what it was, naming the file.
        """
        return ahead(range(len(self)), self.read)

    def stacks(self, choices: Sequence[NDArray[np.int64]]) -> Generator[NDArray[np.uint8], None, None]:
        """For each choice of rows the pixels of those images, each decoded once. Raises like `__iter__`."""
        with closing(ahead(distinct(choices), self.read)) as pixels:
            for rows in choices:
                different, places = np.unique(rows, return_inverse=True)
                yield np.stack(list(islice(pixels, len(different))))[places]

    def path(self, row: int) -> Path:
        return self.root / os.fsdecode(bytes(self.names[row]))

    def decoded(self, row: int) -> Pixels:
        """An image as its file has it."""
        return decode(self.path(row), self.form.mode, name=str(self.path(row)))

    def read(self, row: int) -> Pixels:
        """An image brought to its form, and the one it was when its digest was taken."""
        pixels = self.form.fitted(self.decoded(row))
        if self.digests is not None and digest_of(pixels) != self.digests[row].tobytes():
            raise InputError(
                f"{self.path(row)}: not the image that it was when the data were looked at: restore the file, "
                "or begin again with the images as they are now"
            )
        return pixels


def distinct(choices: Iterable[NDArray[np.int64]]) -> Iterator[int]:
    """The different rows of each choice, ascending."""
    for rows in choices:
        yield from np.unique(rows).tolist()


def named(paths: Iterable[Path], root: Path) -> Names:
    """Paths below a root as `Files` keeps them."""
    return np.array([os.fsencode(path.relative_to(root)) for path in paths], dtype=np.bytes_)
