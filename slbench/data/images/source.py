"""Images of a split: in memory, or on the disk so that a data set may be larger than memory."""

import os
import weakref
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from slbench.data.images.decode import Pixels, digest_of, resize
from slbench.data.images.prefetch import prefetch
from slbench.errors import InputError, unreadable
from slbench.files import open_descriptor

Images = NDArray[np.uint8]  # (n, channels, height, width)
Rows = NDArray[np.int64]
Size = tuple[int, int]  # (height, width) in px


@runtime_checkable
class ImageSource(Protocol):
    """Images of one size, (n, channels, height, width), in an order."""

    @property
    def shape(self) -> tuple[int, int, int, int]: ...

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Pixels]: ...

    def take(self, rows: Rows) -> "ImageSource":
        """Return the selected images."""

    def batches_of(self, choices: Sequence[Rows]) -> Generator[Images, None, None]:
        """Yield the pixels of each selection of rows."""

    def image_digests(self) -> list[bytes]:
        """Return the sha256 of each image."""


@dataclass(frozen=True, eq=False)
class InMemoryImages:
    """Images in an array (n, channels, height, width)."""

    array: Images

    @property
    def shape(self) -> tuple[int, int, int, int]:
        count, channels, height, width = self.array.shape
        return count, channels, height, width

    def __len__(self) -> int:
        return len(self.array)

    def __iter__(self) -> Iterator[Pixels]:
        return iter(self.array)

    def take(self, rows: Rows) -> "InMemoryImages":
        return InMemoryImages(self.array[rows])

    def batches_of(self, choices: Sequence[Rows]) -> Generator[Images, None, None]:
        """Yield the pixels of each selection of rows."""
        for rows in choices:
            yield self.array[rows]

    def image_digests(self) -> list[bytes]:
        """Return the sha256 of each image; computes it."""
        return [digest_of(image) for image in self.array]


@runtime_checkable
class ImageReader(Protocol):
    """Random access to stored images."""

    @property
    def shape(self) -> tuple[int, int, int, int]: ...

    def read(self, row: int) -> Pixels:
        """Return one image; thread-safe. Raises InputError if it cannot be read."""

    def name(self, row: int) -> str:
        """Return the name of an image for errors."""


@dataclass(frozen=True, eq=False)
class JoinedReader:
    """Images of two readers as one, those of the second after those of the first."""

    first: ImageReader
    second: ImageReader

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return (self.first.shape[0] + self.second.shape[0], *self.first.shape[1:])

    def read(self, row: int) -> Pixels:
        count = self.first.shape[0]
        return self.first.read(row) if row < count else self.second.read(row - count)

    def name(self, row: int) -> str:
        count = self.first.shape[0]
        return self.first.name(row) if row < count else self.second.name(row - count)


@dataclass(frozen=True, eq=False)
class OnDiskImages:
    """Images read and resized on access. Threads prefetch; values and order do not depend on their number."""

    reader: ImageReader
    rows: Rows  # of the reader
    digests: NDArray[np.uint8] | None = None  # (n, 32): sha256 of each image as returned; None: not known yet
    size: Size | None = None  # of the returned images; None: as stored

    @classmethod
    def all_of(cls, reader: ImageReader, digests: NDArray[np.uint8] | None = None) -> "OnDiskImages":
        return cls(reader, np.arange(reader.shape[0]), digests)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        _, channels, height, width = self.reader.shape
        return (len(self), channels, *(self.size or (height, width)))

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Pixels]:
        """Yield every image, in order. Raises InputError at one that is unreadable or has changed, naming the file."""
        rows = range(len(self))
        if isinstance(self.reader, ArrayFile) and self.digests is None and self.size is None:
            return map(self.read, rows)  # threads would only add to the time
        return prefetch(rows, self.read)

    def take(self, rows: Rows) -> "OnDiskImages":
        return replace(self, rows=self.rows[rows], digests=None if self.digests is None else self.digests[rows])

    def batches_of(self, choices: Sequence[Rows]) -> Generator[Images, None, None]:
        """Yield the pixels of each selection of rows, each image read once. Raises like `__iter__`."""
        with closing(prefetch(distinct(choices), self.read)) as pixels:
            for rows in choices:
                unique, positions = np.unique(rows, return_inverse=True)
                yield np.stack(list(islice(pixels, len(unique))))[positions]

    def read(self, row: int) -> Pixels:
        """Return an image. Raises InputError if its digest has changed."""
        pixels = self.reader.read(int(self.rows[row]))
        if self.size is not None:
            pixels = resize(pixels, self.size)
        if self.digests is not None and digest_of(pixels) != self.digests[row].tobytes():
            raise InputError(
                f"{self.reader.name(int(self.rows[row]))}: changed since the data were indexed; restore the file, "
                "or delete it and start again"
            )
        return pixels

    def image_digests(self) -> list[bytes]:
        """Return the stored sha256 of each image, without reading them."""
        assert self.digests is not None, "images on the disk without digests"
        return [digest.tobytes() for digest in self.digests]

    def in_memory(self) -> InMemoryImages:
        """Return the images read into memory."""
        images = np.empty(self.shape, dtype=np.uint8)
        for row, pixels in enumerate(self):
            images[row] = pixels
        return InMemoryImages(images)


def distinct(choices: Iterable[Rows]) -> Iterator[int]:
    """Yield the distinct rows of each selection, ascending."""
    for rows in choices:
        yield from np.unique(rows).tolist()


class OpenFile:
    """Open file that is closed with its last reader; stays readable if another replaces it under its name."""

    def __init__(self, path: Path, number: int | None = None) -> None:
        """
        Args:
            path: name in errors.
            number: open descriptor, which is duplicated; default: the file is opened.
        """
        self.path = path
        self.number = open_descriptor(path) if number is None else os.dup(number)
        weakref.finalize(self, os.close, self.number)

    def signature(self) -> tuple[int, int, int]:
        """Return size, modification time in ns and inode."""
        stat = os.fstat(self.number)
        return stat.st_size, stat.st_mtime_ns, stat.st_ino

    def read(self, size: int, *, start: int) -> bytes:
        """Return `size` bytes from `start`. Raises InputError if the file is truncated or unreadable."""
        try:
            content = os.pread(self.number, size, start)
        except OSError as error:
            raise unreadable(self.path, error) from error
        if len(content) != size:
            raise self.changed()
        return content

    def fill(self, array: np.ndarray, *, start: int) -> None:
        """Fill an array with the bytes from `start`. Raises like `read`."""
        view, done = array.reshape(-1).view(np.uint8).data, 0
        while done < len(view):
            try:
                count = os.preadv(self.number, [view[done : done + 2**28]], start + done)
            except OSError as error:
                raise unreadable(self.path, error) from error
            if count == 0:
                raise self.changed()
            done += count

    def changed(self) -> InputError:
        return InputError(f"{self.path}: truncated or changed while it was read; start again to have it rebuilt")


@dataclass(frozen=True, eq=False)
class ArrayFile:
    """Images of an open file, one after the other: a reader."""

    file: OpenFile
    shape: tuple[int, int, int, int]
    start: int = 0  # offset of the first image, in bytes

    def read(self, row: int) -> Pixels:
        image = self.shape[1:]
        size = image[0] * image[1] * image[2]
        return np.frombuffer(self.file.read(size, start=self.start + row * size), dtype=np.uint8).reshape(image)

    def name(self, row: int) -> str:
        return f"{self.file.path}: image {row}"
