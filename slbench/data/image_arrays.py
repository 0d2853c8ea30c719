"""Images in arrays, in memory or in a file, read and resized on access."""

import math
import os
import weakref
from dataclasses import dataclass, replace
from functools import cached_property
from typing import IO

import numpy as np
from numpy.typing import NDArray

from slbench.data.images import Pixels
from slbench.data.lazy_images import LazyImages
from slbench.errors import InputError, unreadable


class OpenFile:
    """Open file that is closed with its last reader."""

    def __init__(self, file: IO[bytes]) -> None:
        self.number = os.dup(file.fileno())
        weakref.finalize(self, os.close, self.number)

    def read(self, size: int, *, start: int) -> bytes:
        """Read `size` bytes from `start`, fewer at the end of the file. Thread-safe. Raises OSError."""
        return os.pread(self.number, size, start)


@dataclass(frozen=True, eq=False)
class FileArray:
    """uint8 images in a file, indexed by image like an array (n, channels, height, width).

    Reads the file that was opened, even if another has replaced it since.
    """

    file: OpenFile
    name: str  # name in errors
    start: int  # offset in the file, in bytes
    saved: tuple[int, ...]  # shape: (n, h, w), (n, h, w, c) or, channels first, (n, c, h, w)
    channels_first: bool = False

    @property
    def shape(self) -> tuple[int, int, int, int]:
        if len(self.saved) == 3:
            count, height, width = self.saved
            return count, 1, height, width
        count, *rest = self.saved
        channels, height, width = rest if self.channels_first else (rest[2], rest[0], rest[1])
        return count, channels, height, width

    def __len__(self) -> int:
        return self.saved[0]

    def __getitem__(self, row: int) -> Pixels:
        """Return one image. Raises InputError if it cannot be read."""
        size = math.prod(self.saved[1:])
        try:
            content = self.file.read(size, start=self.start + row * size)
        except OSError as error:
            raise unreadable(self.name, error) from error
        if len(content) != size:
            raise InputError(f"{self.name}: truncated in image {row}: restore the file")
        pixels = np.frombuffer(content, dtype=np.uint8).reshape(self.saved[1:])
        if pixels.ndim == 2:
            return pixels[None]
        return pixels if self.channels_first else np.ascontiguousarray(pixels.transpose(2, 0, 1))


@dataclass(frozen=True, eq=False, kw_only=True)
class ImageArrays(LazyImages):
    """Images of several arrays; a key is an image number counted over all of them."""

    arrays: tuple[NDArray[np.uint8] | FileArray, ...]  # each (n, channels, height, width)

    @classmethod
    def wrap(cls, array: NDArray[np.uint8] | FileArray) -> "ImageArrays":
        """Return all images of an array, in order, at their own size."""
        return cls(arrays=(array,), keys=np.arange(len(array)), sizes=(array.shape[2:],))

    @cached_property
    def ends(self) -> NDArray[np.int64]:
        """Return the cumulative number of images."""
        return np.cumsum([len(array) for array in self.arrays])

    @property
    def channels(self) -> int:
        return int(self.arrays[0].shape[1])

    def locate(self, row: int) -> tuple[NDArray[np.uint8] | FileArray, int]:
        """Return the array of a row's image and its index there."""
        key = int(self.keys[row])
        which = int(np.searchsorted(self.ends, key, side="right"))
        array = self.arrays[which]
        return array, key - int(self.ends[which]) + len(array)

    def decoded(self, row: int) -> Pixels:
        array, number = self.locate(row)
        return array[number]

    def name(self, row: int) -> str:
        array, number = self.locate(row)
        return f"{array.name}: image {number}" if isinstance(array, FileArray) else f"image {number}"

    def joined(self, other: LazyImages) -> "ImageArrays":
        assert isinstance(other, ImageArrays)
        keys = np.concatenate([self.keys, other.keys + self.ends[-1]])
        return replace(self, arrays=(*self.arrays, *other.arrays), keys=keys)
