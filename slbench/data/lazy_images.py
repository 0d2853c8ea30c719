"""Images that are read when they are asked for, so that a data set may be larger than memory."""

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slbench.data.images import Pixels, digest_of, resize
from slbench.data.prefetch import prefetch
from slbench.errors import InputError

Keys = NDArray[Any]  # (n,)
Digests = NDArray[np.uint8]  # (n, 32)


@dataclass(frozen=True, eq=False, kw_only=True)
class LazyImages(ABC):
    """Images used like an array (n, channels, height, width) where rows are chosen and gone through.

    Threads read ahead of who asks; what is given and its order do not depend on their number.
    """

    keys: Keys  # what finds the image of each row
    sizes: tuple[tuple[int, int], ...]  # (height, width) in px that each is brought to, one after the other
    digests: Digests | None = None  # sha256 of each image as it is given out; None: not known yet

    @property
    @abstractmethod
    def channels(self) -> int: ...

    @abstractmethod
    def decoded(self, row: int) -> Pixels:
        """An image as it lies there. Raises InputError if it cannot be read."""

    @abstractmethod
    def name(self, row: int) -> str:
        """What errors call an image."""

    @abstractmethod
    def joined(self, other: "LazyImages") -> "LazyImages":
        """These images and then those of another part of the same set, neither with digests."""

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return (len(self), self.channels, *self.sizes[-1])

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        return np.dtype(np.uint8)

    def __getitem__(self, rows: NDArray[np.int64]) -> "LazyImages":
        return replace(self, keys=self.keys[rows], digests=None if self.digests is None else self.digests[rows])

    def __iter__(self) -> Iterator[Pixels]:
        """The pixels of every image, in order.

        Raises:
            InputError: at an image that cannot be read or is not what it was, naming the file.
        """
        return prefetch(range(len(self)), self.read)

    def batches_of(self, choices: Sequence[NDArray[np.int64]]) -> Generator[NDArray[np.uint8], None, None]:
        """For each choice of rows the pixels of those images, each read once. Raises like `__iter__`."""
        with closing(prefetch(distinct(choices), self.read)) as pixels:
            for rows in choices:
                different, places = np.unique(rows, return_inverse=True)
                yield np.stack(list(islice(pixels, len(different))))[places]

    def read(self, row: int) -> Pixels:
        """An image brought to the sizes, and the one it was when its digest was taken."""
        pixels = self.fitted(self.decoded(row))
        if self.digests is not None and digest_of(pixels) != self.digests[row].tobytes():
            raise InputError(
                f"{self.name(row)}: not the image that it was when the data were looked at: restore the file, "
                "or begin again with the images as they are now"
            )
        return pixels

    def seen(self) -> list[bytes]:
        """sha256 of each image as it lies there, before it is brought to a size. Reads each once."""
        return list(prefetch(range(len(self)), lambda row: digest_of(self.decoded(row))))

    def fitted(self, pixels: Pixels) -> Pixels:
        """An image brought to the sizes."""
        for size in self.sizes:
            pixels = resize(pixels, size)
        return pixels

    def resized(self, size: tuple[int, int]) -> "LazyImages":
        """The same images brought to one more size."""
        return replace(self, sizes=(*self.sizes, size), digests=None)


def distinct(choices: Iterable[NDArray[np.int64]]) -> Iterator[int]:
    """The different rows of each choice, ascending."""
    for rows in choices:
        yield from np.unique(rows).tolist()
