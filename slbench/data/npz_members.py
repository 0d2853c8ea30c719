"""Locate arrays of images in an npz file without reading them."""

import hashlib
import math
import shutil
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from slbench.data.image_arrays import FileArray, OpenFile
from slbench.data.paths import check_space, data_root, exclusive_lock, writing
from slbench.errors import InputError
from slbench.files import atomic_writer

# Local file header of a zip member (APPNOTE.TXT, 4.3.7).
LOCAL_HEADER = struct.Struct("<4s5H3L2H")
READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
    (3, 0): np.lib.format.read_array_header_2_0,  # differs only in the encoding of field names
}
NOT_PACKED = zipfile.ZIP_STORED
COLUMNS_FIRST = (
    "is in Fortran order, so that its images cannot be read one by one: save it again with numpy.ascontiguousarray"
)


@dataclass(frozen=True)
class ArrayHeader:
    """Type, shape and header size of an array in an npz file."""

    shape: tuple[int, ...]
    fortran_order: bool
    dtype: np.dtype
    size: int  # size of the header, in bytes


def header(archive: zipfile.ZipFile, name: str) -> ArrayHeader:
    """Return the header of an array.

    Raises:
        ValueError: if it is damaged or states another size than the array has; also errors of zipfile.
    """
    with archive.open(f"{name}.npy") as content:
        version = np.lib.format.read_magic(content)
        if version not in READERS:
            raise ValueError(f"npy version {version}")
        array_header = ArrayHeader(*READERS[version](content), content.tell())
    size = archive.getinfo(f"{name}.npy").file_size
    expected = array_header.size + math.prod(array_header.shape) * array_header.dtype.itemsize
    if not array_header.dtype.hasobject and size != expected:
        raise ValueError(f"{name}: {size} bytes")
    return array_header


def stored(path: Path, name: str, *, channels_first: bool = False) -> FileArray:
    """Return a uint8 array of an npz file: in place if stored uncompressed, else unpacked once into the data root.

    Args:
        channels_first: the array is (n, c, h, w) and not (n, h, w) or (n, h, w, c).
    Raises:
        InputError: if its memory order does not allow reading image by image, or it cannot be unpacked.
        ValueError: if the file is damaged; also errors of zipfile.
    """
    with zipfile.ZipFile(path) as archive:
        array_header, member = header(archive, name), archive.getinfo(f"{name}.npy")
        if array_header.dtype != np.uint8:
            raise ValueError(f"{name}: {array_header.dtype}")
        if array_header.fortran_order:
            raise InputError(f"{path}: {name}: {COLUMNS_FIRST}")
        if member.compress_type == NOT_PACKED:
            with path.open("rb") as file:
                start = content_of(file, member) + array_header.size
                return FileArray(OpenFile(file), f"{path}: {name}", start, array_header.shape, channels_first)
        unpacked = unpack(archive, member, array_header, path)
    name_in_errors = f"{unpacked}, unpacked from {path} (delete it to have that done again)"
    with unpacked.open("rb") as file:
        return FileArray(OpenFile(file), name_in_errors, 0, array_header.shape, channels_first)


def content_of(file: IO[bytes], member: zipfile.ZipInfo) -> int:
    """Return the offset of a member's content in a zip file, in bytes."""
    file.seek(member.header_offset)
    fields = LOCAL_HEADER.unpack(file.read(LOCAL_HEADER.size))
    name, extra = fields[-2:]
    return member.header_offset + LOCAL_HEADER.size + int(name) + int(extra)


def unpack(archive: zipfile.ZipFile, member: zipfile.ZipInfo, array_header: ArrayHeader, path: Path) -> Path:
    """Return the file in the data root with the bytes of a packed array, made if missing."""
    folder = data_root() / "unpacked" / hashlib.sha256(str(path).encode()).hexdigest()[:32]
    stat = path.stat()
    target = folder / f"{member.filename}-{stat.st_size}-{stat.st_mtime_ns}"
    size = math.prod(array_header.shape)
    with writing(folder), exclusive_lock(folder / member.filename):
        if target.exists() and target.stat().st_size == size:
            return target
        for partial in folder.glob(f".{member.filename}-*.tmp"):  # left by a killed process
            partial.unlink()
        check_space(folder, size)
        with atomic_writer(target) as file, archive.open(member) as content:
            content.read(array_header.size)
            shutil.copyfileobj(content, file, 2**18)
            if file.tell() != size:
                raise ValueError(f"{member.filename}: {file.tell()} bytes")
        for outdated in folder.glob(f"{member.filename}-*"):  # of a file replaced by this one
            if outdated != target:
                outdated.unlink()
    return target
