"""Read published archives in place; no member is ever written to the disk under its own name."""

import gzip
import io
import lzma
import pickle
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from slbench.errors import InputError, unreadable
from slbench.files import open_regular
from slbench.limits import ARCHIVE_BYTES

MAX_MEMBERS = 300_000  # Tiny-ImageNet has 120,609
MEMBER_SHARE = 8  # a file, which is read whole, may have an eighth of the bytes; the largest, of CIFAR-100, has 0.16 GB
RAISE = f"; if that is right, raise {ARCHIVE_BYTES.variable}"
CHUNK = 2**20  # bytes of a .gz file read at once
MAX_NAME = 2**16  # bytes of a long name or other extended header of tar
DAMAGED = (
    OSError,
    EOFError,
    ValueError,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    RuntimeError,
)
EXTENDED = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)
ARRAY_PARTS = {  # globals of a pickled numpy array; any other is refused
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}


class BoundedTarInfo(tarfile.TarInfo):
    """Header of a tar member that refuses extended headers of a size for which tarfile would take memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "BoundedTarInfo":
        info = super().frombuf(buf, encoding, errors)
        if info.size < 0 or (info.type in EXTENDED and info.size > MAX_NAME):
            raise ValueError(f"header of {info.size:,} bytes")
        return info


class UnpackBudget:
    """Limits on the members of an archive: names, count and unpacked size."""

    def __init__(self, archive: Path, *, most_members: int, most_bytes: int, cure: str = "") -> None:
        self.archive, self.most_members, self.most_bytes = archive, most_members, most_bytes
        self.cure = cure  # end of the error, such as the option that raises the limits
        self.members, self.bytes = most_members, most_bytes
        self.names = set[str]()

    def admit(self, name: str, size: int, *, is_link: bool, is_folder: bool = False) -> None:
        """Count a member. Raises InputError for a link, a repetition, a path out of its folder, or above the limits."""
        parts = PurePosixPath(name.replace("\\", "/"))
        if parts.is_absolute() or ".." in parts.parts or (parts.parts[:1] and parts.parts[0].endswith(":")):
            raise InputError(f"{self.archive}: refused: its member '{name}' leaves the archive's folder")
        if is_link:
            raise InputError(f"{self.archive}: refused: its member '{name}' is a link")
        if not is_folder and name in self.names:
            raise InputError(f"{self.archive}: refused: its member '{name}' occurs twice")
        self.names.add(name)
        self.members, self.bytes = self.members - 1, self.bytes - size
        if self.members < 0 or self.bytes < 0:
            most = f"{self.most_members:,} files or {self.most_bytes / 2**30:g} GiB"
            raise InputError(f"{self.archive}: refused: unpacks to more than {most}{self.cure}")


def members(path: Path, is_wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the wanted files of a .zip or .tar (compressed or not), in archive order.

    Raises:
        InputError: if the archive is damaged, or a member is a link, leaves its folder or exceeds the limits.
    """
    try:
        with open_regular(path) as file:
            is_zip = zipfile.is_zipfile(file)
        yield from (zip_members if is_zip else tar_members)(path, is_wanted)
    except InputError:
        raise
    except DAMAGED as error:
        raise damaged(path, error) from error


def damaged(path: Path, error: Exception) -> InputError:
    """Return the error for an archive that cannot be opened or unpacked."""
    if isinstance(error, OSError) and error.filename:
        return unreadable(path, error)
    return InputError(f"{path}: damaged archive: {error}")


def budget_of(path: Path) -> UnpackBudget:
    """Return the limits on a published archive."""
    return UnpackBudget(path, most_members=MAX_MEMBERS, most_bytes=ARCHIVE_BYTES.value, cure=RAISE)


def tar_members(path: Path, is_wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    budget = budget_of(path)
    with open_regular(path) as content, tarfile.open(fileobj=content, tarinfo=BoundedTarInfo) as archive:
        for member in archive:
            is_link = not (member.isreg() or member.isdir())
            budget.admit(member.name, member.size, is_folder=member.isdir(), is_link=is_link)
            if member.isreg() and is_wanted(member.name):
                check_member(path, member.name, member.size)
                file = archive.extractfile(member)
                assert file is not None
                yield member.name, file.read()


def zip_members(path: Path, is_wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    budget = budget_of(path)
    with open_regular(path) as content, zipfile.ZipFile(content) as archive:
        infos = archive.infolist()
        for member in infos:
            is_link = (member.external_attr >> 16) & 0o170000 == 0o120000
            budget.admit(member.filename, member.file_size, is_folder=member.is_dir(), is_link=is_link)
        for member in infos:
            if not member.is_dir() and is_wanted(member.filename):
                check_member(path, member.filename, member.file_size)
                yield member.filename, archive.read(member)


def check_member(path: Path, name: str, size: int) -> None:
    """Raise InputError if a member is too large to be read whole."""
    most = ARCHIVE_BYTES.value // MEMBER_SHARE
    if size > most:
        raise InputError(f"{path}: refused: its member '{name}' unpacks to more than {most / 2**30:g} GiB{RAISE}")


def unpacked(path: Path) -> bytes:
    """Return the content of a .gz file. Raises InputError if it is damaged or too large."""
    most = ARCHIVE_BYTES.value // MEMBER_SHARE
    try:
        with open_regular(path) as packed, gzip.open(packed) as file:
            content = bytearray()
            while len(content) <= most and (block := file.read(CHUNK)):
                content += block
    except DAMAGED as error:
        raise damaged(path, error) from error
    if len(content) > most:
        raise InputError(f"{path}: refused: unpacks to more than {most / 2**30:g} GiB{RAISE}")
    return bytes(content)


class ArraysOnly(pickle.Unpickler):
    """Unpickler of numbers, text, lists, dicts and numpy arrays that refuses everything else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ARRAY_PARTS:
            raise pickle.UnpicklingError(f"asks for {module}.{name}")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def unpickled(content: bytes, name: str) -> Any:
    """Return the values and arrays of a pickle, text as latin-1. Raises InputError for any other content."""
    try:
        return ArraysOnly(io.BytesIO(content), encoding="latin1").load()
    except Exception as error:  # a damaged pickle can raise anything
        raise InputError(f"{name}: refused: {error}") from error
