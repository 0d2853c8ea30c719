"""Named data sets on this machine: find, prepare and verify them."""

import dataclasses
import hashlib
import importlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from slbench.data.config import DataConfig, check_space, exclusive_lock, file_exists, writing
from slbench.data.sets.catalog import DATASETS, DatasetEntry
from slbench.data.sets.published import Archive
from slbench.data.specs import DatasetSpec
from slbench.errors import InputError, unreadable
from slbench.files import open_regular

if TYPE_CHECKING:
    from slbench.data.build import RawDataset
    from slbench.data.prepared import PreparedDataset
    from slbench.data.splits import Sample, Splits

State = Literal["ready", "fetched", "missing"]
CHUNK = 2**20  # bytes
PREPARED = "prepared-2"  # raise when a loader returns other arrays for the same archives
OLDER = "prepared-1.npz"  # the same arrays as slbench 0.1 wrote them


def folder_of(name: str, config: DataConfig) -> Path:
    """Return the folder of a set's archives and caches."""
    return config.root / name


def cache_of(entry: DatasetEntry, spec: DatasetSpec, config: DataConfig) -> Path:
    """Return the folder of a set's prepared cache."""
    size = "-{}x{}".format(*spec.image_size) if entry.sizes_differ else ""
    return folder_of(spec.name, config) / (PREPARED + size)


def state_of(entry: DatasetEntry, config: DataConfig) -> State:
    """Return whether a set is prepared, only downloaded, or missing, judged by file names.

    Raises:
        InputError: if the data root is not readable.
    """
    folder = folder_of(entry.spec.name, config)
    if file_exists(folder / OLDER) or any(folder.glob(f"{PREPARED}*/index.json")):
        return "ready"
    if entry.subset_of:  # prepared from the other set
        return "missing" if state_of(DATASETS[entry.subset_of], config) == "missing" else "fetched"
    return "fetched" if all(file_exists(folder / archive.name) for archive in entry.archives) else "missing"


def check_present(entry: DatasetEntry, config: DataConfig) -> None:
    """Raise InputError with the download command if a set is not on this machine."""
    if not entry.is_bundled and state_of(entry, config) == "missing":
        name = entry.spec.name
        raise InputError(f"data set '{name}': not found in {config.root}; download it with: slbench data fetch {name}")


def load_published(entry: DatasetEntry, spec: DatasetSpec, config: DataConfig) -> "PreparedDataset":
    """Return the cache of a named set, made from its archives if it is missing.

    Args:
        spec: of the set, at any size.
    Raises:
        InputError: if the set is missing, or an archive does not match its checksum.
    """
    from slbench.data.cache import obtain

    check_present(entry, config)
    native = at_published_size(entry, spec)
    folder = cache_of(entry, spec, config)
    return obtain(folder, lambda: prepare(entry, native, config), of=native.content, older=folder.parent / OLDER)


def at_published_size(entry: DatasetEntry, spec: DatasetSpec) -> DatasetSpec:
    return spec if entry.sizes_differ else dataclasses.replace(spec, image_size=entry.spec.image_size)


def prepare(
    entry: DatasetEntry,
    spec: DatasetSpec,
    config: DataConfig,
    samples: Callable[[], Iterable["Sample"]] | None = None,
) -> "PreparedDataset":
    """Read a set from its archives, check it, sort it and write the cache.

    Args:
        spec: of the set at its published size.
        samples: its images from elsewhere; default: from its archives, or from the set it is a subset of.
    """
    from slbench.data.cache import make
    from slbench.data.splits import check_content, check_counts

    def check(splits: "Splits") -> None:
        check_counts(splits, spec)
        if entry.subset_of:
            check_content(splits, spec)

    target, required = cache_of(entry, spec, config), not entry.is_bundled
    with writing(target.parent, create=required):
        for archive in entry.archives:
            check_archive(archive, target.parent / archive.name)
        if required:
            check_space(target.parent, 2 * spec.num_bytes)
        return make(
            lambda: raw(entry, spec, config, samples),
            target.parent,
            target.name,
            of=spec.content,
            required=required,
            check=check,
        )


def raw(
    entry: DatasetEntry, spec: DatasetSpec, config: DataConfig, samples: Callable[[], Iterable["Sample"]] | None = None
) -> "RawDataset":
    """Return the images of a set as its loader reads them, or as `samples` yields them."""
    from slbench.data.build import RawDataset

    paths = [folder_of(spec.name, config) / archive.name for archive in entry.archives]
    if samples is not None:
        read = samples()
    elif entry.subset_of:
        read = function_of(entry.loader)(spec.name, config)
    else:
        read = as_published(spec.name, paths, function_of(entry.loader)(*paths))
    return RawDataset(f"data set '{spec.name}'", read, spec.image_size if entry.sizes_differ else None)


def as_published(name: str, paths: Sequence[Path], samples: Iterable["Sample"]) -> Iterator["Sample"]:
    """Yield the samples of a loader. Errors in which it fails on another layout become an InputError."""
    try:
        yield from samples
    except InputError:
        raise
    except (ArithmeticError, AttributeError, LookupError, MemoryError, TypeError, ValueError) as error:
        files = ", ".join(map(str, paths)) or "its file in the package"
        raise InputError(f"data set '{name}': {files}: not laid out as published ({error!r})") from error


def verify_published(entry: DatasetEntry, spec: DatasetSpec, config: DataConfig) -> None:
    """Read a set again from its archives, which replaces its cache, and compare the two.

    Raises:
        InputError: if an archive or its cache is wrong.
    """
    from slbench.data.prepared import open_prepared
    from slbench.data.splits import check_content

    check_present(entry, config)
    native, folder = at_published_size(entry, spec), cache_of(entry, spec, config)
    with exclusive_lock(folder):
        before = open_prepared(folder, of=native.content, rehash=True)
        if entry.subset_of and before is not None and state_of(DATASETS[entry.subset_of], config) == "missing":
            after = before  # a copy, made from an npz file
        else:
            after = prepare(entry, native, config)
    check_content(after.splits(stream=True), native)
    if before is not None and before.index.content != after.index.content:
        raise InputError(f"{folder}: differed from its archives; it has been rebuilt")


def function_of(loader: str) -> Callable[..., Iterable["Sample"]]:
    """Import and return the function named "module:function"."""
    module, name = loader.split(":")
    function: Callable[..., Iterable[Sample]] = getattr(importlib.import_module(module), name)
    return function


def check_archive(archive: Archive, path: Path) -> None:
    """Raise InputError unless a file exists and is the archive."""
    if not path.exists():
        raise InputError(f"{path}: no such file; download it with: slbench data fetch {path.parent.name}")
    try:
        md5 = md5_of(path)
    except OSError as error:
        raise unreadable(path, error) from error
    if md5 != archive.md5:
        raise InputError(
            f"{path}: expected md5 {archive.md5} (got {md5}); delete it and download it again with: "
            f"slbench data fetch {path.parent.name}"
        )


def md5_of(path: Path) -> str:
    """Return the md5 of a file in hex: what publishers state; detects damage, not forgery."""
    digest = hashlib.md5(usedforsecurity=False)
    with open_regular(path) as file:
        while block := file.read(CHUNK):
            digest.update(block)
    return digest.hexdigest()
