"""The published data sets on this machine: where their archives are, whether they are right, reading them once."""

import hashlib
import importlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from slbench.data.places import data_root, is_there, writing
from slbench.data.published import Archive
from slbench.data.specs import DatasetSpec
from slbench.errors import InputError

if TYPE_CHECKING:
    from slbench.data.splits import Splits

State = Literal["ready", "fetched", "missing"]
CHUNK = 2**20  # bytes
PREPARED = "prepared-1.npz"  # raised when a loader gives other arrays for the same archives


def folder_of(name: str) -> Path:
    return data_root() / name


def state_of(name: str, archives: Sequence[Archive]) -> State:
    """Whether a set has been read and put in order, only fetched, or neither. By the files' names alone.

    Raises:
        InputError: if the data root may not be looked into.
    """
    if is_there(folder_of(name) / PREPARED):
        return "ready"
    return "fetched" if all(is_there(folder_of(name) / archive.name) for archive in archives) else "missing"


def check_present(name: str, archives: Sequence[Archive]) -> None:
    """Raise InputError, saying how to get it, if a published set is not on this machine."""
    if archives and state_of(name, archives) == "missing":
        raise InputError(f"data set '{name}' is not in {data_root()}: get it with: slbench data fetch {name}")


def load_published(spec: DatasetSpec, archives: Sequence[Archive], loader: str) -> "Splits":
    """The images of a published set: as they were kept, or else from its archives, and kept from then on.

    Raises:
        InputError: if the set is not here, or its archives are not what their checksums say.
    """
    from slbench.data.prepared import kept

    check_present(spec.name, archives)
    splits = kept(folder_of(spec.name) / PREPARED, of=spec.content)
    return splits if splits is not None else prepare(spec, archives, loader)


def prepare(spec: DatasetSpec, archives: Sequence[Archive], loader: str) -> "Splits":
    """Read a set from its archives, check it, put it in order and keep it."""
    from slbench.data.own import check_memory
    from slbench.data.prepared import keep
    from slbench.data.splits import check_counts

    check_memory(f"data set '{spec.name}'", spec.num_bytes)
    paths = [folder_of(spec.name) / archive.name for archive in archives]
    for archive, path in zip(archives, paths, strict=True):
        check_archive(archive, path)
    splits = call(loader, *paths)
    check_counts(splits, spec)
    check_space(folder_of(spec.name), splits.train.array.nbytes + splits.test.array.nbytes)
    with writing(folder_of(spec.name)):
        keep(splits, folder_of(spec.name) / PREPARED, of=spec.content)
    return splits


def verify(spec: DatasetSpec, archives: Sequence[Archive], loader: str) -> None:
    """Read a set again from its archives and compare with what is kept.

    Raises:
        InputError: if an archive or what is kept of it is not what it must be.
    """
    from slbench.data.prepared import kept
    from slbench.data.splits import content_hash

    check_present(spec.name, archives)
    there = kept(folder_of(spec.name) / PREPARED, of=spec.content)
    again = prepare(spec, archives, loader)
    if there is not None and content_hash(there) != content_hash(again):
        raise InputError(f"{folder_of(spec.name) / PREPARED}: was not what its archives hold; it has been made again")


def call(loader: str, *paths: Path) -> "Splits":
    """What a "module:function" reads from its archives."""
    module, name = loader.split(":")
    splits: Splits = getattr(importlib.import_module(module), name)(*paths)
    return splits


def check_archive(archive: Archive, path: Path) -> None:
    """Raise InputError unless a file is there and is the archive."""
    if not path.exists():
        raise InputError(f"{path}: no such file: get it with: slbench data fetch {path.parent.name}")
    found = md5_of(path)
    if found != archive.md5:
        raise InputError(
            f"{path}: md5 {found}, and the published one is {archive.md5}: delete it and fetch it again with: "
            f"slbench data fetch {path.parent.name}"
        )


def md5_of(path: Path) -> str:
    """md5 of a file, in hex: what publishers give; against damage, not against forgery."""
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(CHUNK):
            digest.update(block)
    return digest.hexdigest()


def check_space(folder: Path, needed: int) -> None:
    """Raise InputError if a folder's disk has not so many bytes free."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise InputError(
            f"{folder}: needs {needed / 1e6:.0f} MB, and {free / 1e6:.0f} MB are free: "
            "make room, or name another folder with --data-root or SLBENCH_DATA"
        )
