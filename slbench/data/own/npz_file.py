"""Arrays of an npz file, judged by their headers before anything is unpacked."""

import contextlib
import io
import lzma
import math
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from slbench.data.own.split import fits
from slbench.errors import InputError, unreadable
from slbench.files import open_regular
from slbench.text import megabytes

BLOCK = 2**18  # bytes read at once; zipfile holds some four times as many
MAX_HEADER = 2**16  # bytes; numpy writes 128 and refuses to interpret more than 10,000
READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
    (3, 0): np.lib.format.read_array_header_2_0,  # differs only in the encoding of field names
}
DAMAGED = (
    OSError,
    ValueError,
    EOFError,
    AttributeError,
    LookupError,
    TypeError,
    RuntimeError,
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)


@dataclass(frozen=True)
class ArrayHeader:
    """Type, shape and header size of an array in an npz file."""

    shape: tuple[int, ...]
    fortran_order: bool
    dtype: np.dtype
    size: int  # size of the header, in bytes

    @property
    def num_bytes(self) -> int:
        """Size of the array in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Channels, height and width of an image."""
        return (1, *self.shape[1:]) if len(self.shape) == 3 else (self.shape[3], *self.shape[1:3])


class NpzFile:
    """An open npz file.

    Raises:
        InputError: if a name occurs twice.
    """

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self.path, self.archive = path, archive
        self.members = dict[str, zipfile.ZipInfo]()
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            if name in self.members:
                raise InputError(f"{path}: {name}: two arrays of this name; save the file again with numpy.savez")
            self.members[name] = info

    def header(self, name: str) -> ArrayHeader:
        """Return the header of an array, which is not unpacked.

        Raises:
            InputError: for an array of objects.
            ValueError: if it is damaged or states another size than the array has; also errors of zipfile.
        """
        info = self.members[name]
        with self.archive.open(info) as content:
            head = parsed(content.read(MAX_HEADER))
        if head.dtype.hasobject:
            raise InputError(
                f"{self.path}: {name}: an array of objects, which is never unpickled; save it as numbers or as text"
            )
        if info.file_size != head.size + head.num_bytes or min(head.shape, default=0) < 0:
            raise ValueError(f"{name}: {info.file_size} bytes")
        return head

    def read(self, name: str) -> np.ndarray:
        """Return an array. Raises like `header`, and InputError if it is larger than free memory."""
        head = self.header(name)
        if not fits(head.num_bytes):
            raise InputError(f"{self.path}: {name}: {megabytes(head.num_bytes)} do not fit into free memory")
        content = b"".join(self.blocks(name, max(1, head.num_bytes)))
        return np.ndarray(head.shape, head.dtype, content, order="F" if head.fortran_order else "C")

    def blocks(self, name: str, size: int) -> Iterator[bytes]:
        """Yield the bytes of an array, `size` at a time. Raises BadZipFile at the end if they are damaged."""
        head = self.header(name)
        with self.archive.open(self.members[name]) as content:
            content.read(head.size)
            for start in range(0, head.num_bytes, size):
                yield content.read(min(size, head.num_bytes - start))
            content.read(1)  # at its end zipfile compares the checksum


def parsed(start: bytes) -> ArrayHeader:
    """Return the header at the start of an array in the npy format. Raises ValueError if it is damaged."""
    content = io.BytesIO(start)
    try:
        reader = READERS[np.lib.format.read_magic(content)]
        return ArrayHeader(*reader(content), content.tell())
    except Exception as error:  # numpy can raise anything on a damaged header
        raise ValueError("damaged header") from error


@contextlib.contextmanager
def open_npz(path: Path) -> Iterator[NpzFile]:
    """Open an npz file. Raises InputError if it, or what is read of it within the block, is damaged."""
    with damage_as_input_error(path), open_regular(path) as file, zipfile.ZipFile(file) as archive:
        yield NpzFile(path, archive)


@contextlib.contextmanager
def damage_as_input_error(path: Path) -> Iterator[None]:
    """Turn errors of numpy and zipfile on a damaged file into an InputError that names it."""
    try:
        yield
    except InputError:
        raise
    except DAMAGED as error:
        if isinstance(error, OSError) and error.filename:  # it cannot be opened
            raise unreadable(path, error) from error
        raise InputError(
            f"{path}: not an npz file, or damaged; restore it, or save it again with numpy.savez"
        ) from error
