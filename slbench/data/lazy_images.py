"""Images read on access, so that a data set may be larger than memory."""

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
    """Images on the disk that can be indexed and iterated like an array (n, channels, height, width).

    Threads prefetch; values and order do not depend on their number.
    """

    keys: Keys  # locate the image of each row
    sizes: tuple[tuple[int, int], ...]  # (height, width) in px of each resize, in order
    digests: Digests | None = None  # sha256 of each returned image; None: not known yet

    @property
    @abstractmethod
    def channels(self) -> int: ...

    @abstractmethod
    def decoded(self, row: int) -> Pixels:
        """Return an image before resizing. Raises InputError if it cannot be read."""

    @abstractmethod
    def name(self, row: int) -> str:
        """Return the name of an image for errors."""

    @abstractmethod
    def joined(self, other: "LazyImages") -> "LazyImages":
        """Return these images followed by those of another split, both without digests."""

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
        """Yield the pixels of every image, in order.

        Raises:
            InputError: at an image that is unreadable or has changed, naming the file.
        """
        return prefetch(range(len(self)), self.read)

    def batches_of(self, choices: Sequence[NDArray[np.int64]]) -> Generator[NDArray[np.uint8], None, None]:
        """Yield the pixels of each selection of rows, each image read once. Raises like `__iter__`."""
        with closing(prefetch(distinct(choices), self.read)) as pixels:
            for rows in choices:
                unique, positions = np.unique(rows, return_inverse=True)
                yield np.stack(list(islice(pixels, len(unique))))[positions]

    def read(self, row: int) -> Pixels:
        """Return an image after resizing. Raises InputError if its digest has changed."""
        pixels = self.resize_all(self.decoded(row))
        if self.digests is not None and digest_of(pixels) != self.digests[row].tobytes():
            raise InputError(
                f"{self.name(row)}: changed since the data were indexed: restore the file, "
                "or start again with the images as they are now"
            )
        return pixels

    def image_digests(self) -> list[bytes]:
        """Return the sha256 of each image before resizing; reads every image once."""
        return list(prefetch(range(len(self)), lambda row: digest_of(self.decoded(row))))

    def resize_all(self, pixels: Pixels) -> Pixels:
        """Return an image after all resizes."""
        for size in self.sizes:
            pixels = resize(pixels, size)
        return pixels

    def resized(self, size: tuple[int, int]) -> "LazyImages":
        """Return the same images with one more resize."""
        return replace(self, sizes=(*self.sizes, size), digests=None)


def distinct(choices: Iterable[NDArray[np.int64]]) -> Iterator[int]:
    """Yield the distinct rows of each selection, ascending."""
    for rows in choices:
        yield from np.unique(rows).tolist()
