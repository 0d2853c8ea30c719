"""Data sets by name. Free of torch and numpy.

- sets/: named sets: table, published archives, downloads, one loader a file; own/: npz files and folders of users
- build, prepared, cache: the one cache of prepared images; splits, subset, specs, config: values
- images/: images in memory or on the disk, decoding, prefetch, statistics; augment/, batches: what training sees
"""

import dataclasses
from typing import TYPE_CHECKING

from slbench.data.config import DataConfig
from slbench.data.own.facts import as_source, find_spec, load_own, own_cache
from slbench.data.sets import imagenet
from slbench.data.sets.catalog import DATASETS, DEFAULT_DATASET, DatasetEntry, auto_augment_policy
from slbench.data.sets.local import cache_of, check_present, load_published
from slbench.data.specs import DatasetSpec
from slbench.errors import InputError
from slbench.text import choices, shown

if TYPE_CHECKING:
    from slbench.data.prepared import PreparedDataset
    from slbench.data.splits import Splits

__all__ = [
    "DATASETS",
    "DEFAULT_DATASET",
    "DataConfig",
    "DatasetEntry",
    "ResolvedDataset",
    "auto_augment_policy",
    "check_available",
    "class_names",
    "find",
    "imagenet",
    "is_available",
    "load",
    "rehash",
    "verify",
]


@dataclasses.dataclass(frozen=True)
class ResolvedDataset:
    """Data set that a name resolves to."""

    spec: DatasetSpec
    label: str  # as tables print it
    source: str  # of a user's own data: "npz:/absolute/path"; empty for a named set


def find(name: str, *, image_size: tuple[int, int] | None = None, config: DataConfig | None = None) -> ResolvedDataset:
    """Resolve a name: one of DATASETS, `imagenet`, `npz:PATH` or `folder:PATH`.

    A named set need not be on this machine; a user's own is read the first time.

    Args:
        image_size: (height, width) to which images of different sizes are resized.
        config: default: as the environment says.
    Raises:
        InputError: for an unknown name or invalid data.
    """
    config = config or DataConfig.read()
    source = as_source(name)
    if source is not None:
        return ResolvedDataset(find_spec(source, image_size, config), source.path.stem or source.kind, str(source))
    if name == imagenet.NAME:
        return ResolvedDataset(imagenet.find_imagenet(image_size, config), name, str(imagenet.source(config)))
    if name not in DATASETS:
        known = [*DATASETS, imagenet.NAME, "npz:PATH", "folder:PATH"]
        raise InputError(f"unknown data set (got {shown(name)}){choices(known, name)}")
    entry = DATASETS[name]
    if not entry.sizes_differ:
        return ResolvedDataset(entry.spec, name, "")
    if image_size is None:
        raise InputError(f"data set '{name}': images of different sizes; set dataset.image_size")
    return ResolvedDataset(dataclasses.replace(entry.spec, image_size=image_size), name, "")


def load(spec: DatasetSpec, source: str = "", config: DataConfig | None = None) -> "Splits":
    """Return the images and labels of a data set in canonical order at the spec's size, in memory or on the disk.

    Args:
        source: as returned by `find`.
        config: default: as the environment says.
    Raises:
        InputError: if the data do not match the hash of the spec.
    """
    from slbench.data.cache import at_size
    from slbench.data.own.split import fits
    from slbench.data.resplit import resplit

    config = config or DataConfig.read()
    stream = config.stream or not fits(spec.num_bytes)
    splits = at_size(open_dataset(spec, source, config), spec.image_size, stream=stream)
    return resplit(splits, seed=spec.split_seed, test=not spec.has_published_test) if spec.split_seed else splits


def open_dataset(spec: DatasetSpec, source: str, config: DataConfig) -> "PreparedDataset":
    """Return the prepared cache of a data set. Raises like `load`."""
    from slbench.data.splits import check_content

    own = as_source(source)
    cache = load_published(DATASETS[spec.name], spec, config) if own is None else load_own(spec, own, config)
    check_content(cache.splits(stream=True), spec)
    return cache


def class_names(spec: DatasetSpec, source: str = "", config: DataConfig | None = None) -> tuple[str, ...] | None:
    """Return the names of the classes by label; None if they are unknown here.

    Args:
        source: as returned by `find`.
        config: of a user's own data, whose names are read where the data are; None for named sets only.
    """
    from slbench.data.own.facts import own_class_names
    from slbench.data.sets.class_names import CLASS_NAMES

    own = as_source(source)
    try:
        if own is None or config is None:
            return CLASS_NAMES.get(spec.name)
        return own_class_names(spec, own, config)
    except InputError:  # the data are gone or damaged
        return None


def verify(spec: DatasetSpec, source: str = "", config: DataConfig | None = None) -> None:
    """Read a data set again from its archives or files, and compare it with its spec and its cache.

    Raises:
        InputError: if they differ.
    """
    from slbench.data.own.facts import prepare_own
    from slbench.data.sets.local import verify_published
    from slbench.data.splits import check_content

    config = config or DataConfig.read()
    own = as_source(source)
    if own is None:
        verify_published(DATASETS[spec.name], spec, config)
    else:
        check_content(prepare_own(own, spec.image_size, config).splits(stream=True), spec)


def check_available(spec: DatasetSpec, config: DataConfig | None = None) -> None:
    """Raise InputError with the download command if a data set is not on this machine. Reads nothing."""
    if spec.name in DATASETS:
        check_present(DATASETS[spec.name], config or DataConfig.read())


def rehash(spec: DatasetSpec, config: DataConfig | None = None) -> None:
    """Hash the prepared images of a data set, so that jobs can trust them; remove them if they have changed.

    Images that are streamed are not hashed: each is checked when it is read.
    """
    from slbench.data.own.split import fits
    from slbench.data.prepared import open_prepared, remove_index

    config = config or DataConfig.read()
    if config.stream or not fits(spec.num_bytes):
        return
    entry = DATASETS.get(spec.name)
    folder = own_cache(spec, config) if entry is None else cache_of(entry, spec, config)
    if folder.exists() and open_prepared(folder, of=spec.content, rehash=True) is None:
        remove_index(folder)


def is_available(spec: DatasetSpec, config: DataConfig | None = None) -> bool:
    """Return whether a data set is on this machine."""
    try:
        check_available(spec, config)
    except InputError:
        return False
    return True
