"""Published data sets on this machine: find, verify, and read their archives once."""

import hashlib
import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from slbench.data.paths import check_space, data_root, exclusive_lock, file_exists, writing
from slbench.data.published import Archive
from slbench.data.specs import DatasetSpec
from slbench.errors import InputError

if TYPE_CHECKING:
    from slbench.data.splits import Splits

State = Literal["ready", "fetched", "missing"]
CHUNK = 2**20  # bytes
PREPARED = "prepared-1.npz"  # raise when a loader returns other arrays for the same archives


def folder_of(name: str) -> Path:
    return data_root() / name


def state_of(name: str, archives: Sequence[Archive]) -> State:
    """Return whether a set is prepared, only downloaded, or missing, judged by file names.

    Raises:
        InputError: if the data root is not readable.
    """
    if file_exists(folder_of(name) / PREPARED):
        return "ready"
    return "fetched" if all(file_exists(folder_of(name) / archive.name) for archive in archives) else "missing"


def check_present(name: str, archives: Sequence[Archive]) -> None:
    """Raise InputError with the download command if a published set is not on this machine."""
    if archives and state_of(name, archives) == "missing":
        raise InputError(f"data set '{name}' not found in {data_root()}: download it with: slbench data fetch {name}")


def load_published(spec: DatasetSpec, archives: Sequence[Archive], loader: str) -> "Splits":
    """Return the images of a published set from the cache, or from its archives, which fills the cache.

    Args:
        spec: of the images at their published size; they stay on the disk if they do not fit into memory.
    Raises:
        InputError: if the set is missing, or an archive does not match its checksum.
    """
    check_present(spec.name, archives)
    splits = load_cached(spec)
    if splits is not None:
        return splits
    with exclusive_lock(folder_of(spec.name) / PREPARED):
        splits = load_cached(spec)  # another process may have been faster
        if splits is None:
            prepare(spec, archives, loader)
            splits = load_cached(spec)
    if splits is None:
        raise InputError(f"{folder_of(spec.name) / PREPARED}: changed while it was written: check the disk")
    return splits


def load_cached(spec: DatasetSpec) -> "Splits | None":
    """Return the cached images of a published set, None if there are none."""
    from slbench.data.own_split import use_lazy_images
    from slbench.data.prepared_cache import open_prepared, read_prepared

    read = open_prepared if use_lazy_images(spec.num_bytes) else read_prepared
    return read(folder_of(spec.name) / PREPARED, of_content=spec.content)


def prepare(spec: DatasetSpec, archives: Sequence[Archive], loader: str) -> None:
    """Read a set from its archives, check it, sort it and write the cache."""
    from slbench.data.prepared_cache import write_prepared
    from slbench.data.splits import check_counts
    from slbench.data.spool import in_order

    folder = folder_of(spec.name)
    paths = [folder / archive.name for archive in archives]
    for archive, path in zip(archives, paths, strict=True):
        check_archive(archive, path)
    check_space(folder, 2 * spec.num_bytes)
    with writing(folder):
        splits = in_order(function_of(loader)(*paths), folder)
        check_counts(splits, spec)
        write_prepared(splits, folder / PREPARED, of_content=spec.content)


def verify(spec: DatasetSpec, archives: Sequence[Archive], loader: str) -> None:
    """Read a set again from its archives and compare it with the cache.

    Raises:
        InputError: if an archive or its cache is wrong.
    """
    from slbench.data.prepared_cache import prepared_content

    check_present(spec.name, archives)
    path = folder_of(spec.name) / PREPARED
    before = prepared_content(path, of_content=spec.content)
    prepare(spec, archives, loader)
    if before is not None and before != prepared_content(path, of_content=spec.content):
        raise InputError(f"{path}: differed from its archives; it has been rebuilt")


def function_of(loader: str) -> Callable[..., Any]:
    """Import and return the function named "module:function"."""
    module, name = loader.split(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function


def check_archive(archive: Archive, path: Path) -> None:
    """Raise InputError unless a file exists and is the archive."""
    if not path.exists():
        raise InputError(f"{path}: no such file: download it with: slbench data fetch {path.parent.name}")
    md5 = md5_of(path)
    if md5 != archive.md5:
        raise InputError(
            f"{path}: md5 {md5}, expected {archive.md5}: delete it and download it again with: "
            f"slbench data fetch {path.parent.name}"
        )


def md5_of(path: Path) -> str:
    """Return the md5 of a file in hex: what publishers state; detects damage, not forgery."""
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(CHUNK):
            digest.update(block)
    return digest.hexdigest()
