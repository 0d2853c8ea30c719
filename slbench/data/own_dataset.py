"""A user's own data set: its spec, cached by the identity of its files, and its images."""

import contextlib
import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from slbench.data.paths import data_root
from slbench.data.specs import ARRAYS, DatasetSpec, as_counts
from slbench.errors import InputError, unreadable
from slbench.files import atomic_writer
from slbench.validation import adapter

if TYPE_CHECKING:
    from slbench.data.index_cache import IndexHeader
    from slbench.data.lazy_images import LazyImages
    from slbench.data.splits import DatasetStatistics, Splits

OWN = "own"  # name in a spec: equal images are equal data, whatever file holds them
VERSION = 2  # raise when the result for the same file changes
Size = tuple[int, int]


@dataclass(frozen=True)
class DatasetSource:
    """Path and kind of a user's own data."""

    kind: Literal["npz", "folder"]
    path: Path  # absolute

    def __str__(self) -> str:
        return f"{self.kind}:{self.path}"


def as_source(name: str) -> DatasetSource | None:
    """Return the source that `npz:PATH` or `folder:PATH` names; None for any other name.

    Raises:
        InputError: if no path follows.
    """
    kind, colon, path = name.partition(":")
    if not colon or kind not in ("npz", "folder"):
        return None
    if not path.strip() or "\0" in path:
        raise InputError(f"'{name}': missing path after the colon")
    return DatasetSource("npz" if kind == "npz" else "folder", Path(path).expanduser().absolute())


def find_spec(source: DatasetSource, image_size: Size | None) -> DatasetSpec:
    """Return the spec of a user's data, with the hash of its content in place of its path.

    Reads the images the first time, afterwards a cached note while size and time of the files are unchanged.

    Args:
        image_size: (height, width) to which images of different sizes are resized.
    Raises:
        InputError: for invalid data, in one line that names the file.
    """
    note = data_root() / "facts" / f"{identity(source, image_size)}.json"
    try:
        spec: DatasetSpec = adapter(DatasetSpec).validate_json(note.read_bytes())
        return spec
    except (OSError, ValueError):  # pydantic's ValidationError among them
        splits = read(source, image_size)
    if splits.lazy:
        from slbench.data.index_cache import with_statistics

        splits = with_statistics(splits)
    spec = spec_of(splits)
    with contextlib.suppress(OSError):  # without the note everything is read again: slower, not wrong
        cache_images(splits, spec, source)
        with atomic_writer(note) as file:
            file.write(json.dumps(dataclasses.asdict(spec)).encode())
    return spec


def cache_images(splits: "Splits", spec: DatasetSpec, source: DatasetSource) -> None:
    """Cache the images of a folder in canonical order, or the index of images that stay on the disk."""
    if splits.lazy:
        from slbench.data.index_cache import write_index

        write_index(splits, index_file(spec.content, source.kind), files=identity(source, None))
    elif source.kind == "folder":
        from slbench.data.prepared_cache import write_prepared

        write_prepared(splits, prepared_file(spec.content), of_content=spec.content)


def identity(source: DatasetSource, image_size: Size | None) -> str:
    """Return a hash of path, size and time of all files of a source."""
    if source.kind == "npz":
        files = [source.path]
    else:
        from slbench.data.folder import layout

        files = layout(source.path).files
    try:
        stats = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    except OSError as error:
        raise unreadable(error.filename or source.path, error) from error
    content = json.dumps([VERSION, source.kind, image_size, stats])
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def read(source: DatasetSource, image_size: Size | None, *, lazy: bool = False) -> "Splits":
    """Return the images of a source in canonical order, on the disk if asked or if memory is short."""
    from slbench.data.own_split import splits_of

    if source.kind == "npz":
        from slbench.data.npz import read_npz

        return splits_of(read_npz(source.path, lazy=lazy))
    from slbench.data.folder import layout, read_folder

    return splits_of(read_folder(layout(source.path), image_size, lazy=lazy))


def load_own(spec: DatasetSpec, source: DatasetSource) -> "Splits":
    """Return the images of a source seen by `find_spec`: as stored or, from the disk, at the spec's size."""
    from slbench.data.own_split import in_memory, use_lazy_images
    from slbench.data.prepared_cache import read_prepared

    if use_lazy_images(spec.num_bytes):
        return load_lazily(spec, source)
    splits = read_prepared(prepared_file(spec.content), of_content=spec.content) if source.kind == "folder" else None
    if splits is None and not index_file(spec.content, source.kind).exists():
        splits = read(source, spec.image_size)
    return splits if splits is not None and not splits.lazy else in_memory(load_lazily(spec, source))


def load_lazily(spec: DatasetSpec, source: DatasetSource) -> "Splits":
    """Return the images of a source on the disk at the spec's size, from an existing or a new index.

    Raises:
        InputError: if the data do not match the hash of the spec.
    """
    from slbench.data.index_cache import at_size, load_or_index
    from slbench.data.paths import exclusive_lock
    from slbench.data.splits import check_content

    def make() -> "Splits":
        return read(source, spec.image_size, lazy=True)

    def reopen(part: str, about: "IndexHeader") -> "LazyImages":
        return open_images(source, part, about)

    files, path = identity(source, None), index_file(spec.content, source.kind)
    with exclusive_lock(path):
        splits = load_or_index(path, make, reopen, files=files)
        check_content(splits, spec)
        return at_size(splits, spec.image_size, index_file(spec.content, source.kind, spec.image_size), files=files)


def open_images(source: DatasetSource, part: str, about: "IndexHeader") -> "LazyImages":
    """Return the images of a split of an indexed source, keys not set."""
    if source.kind == "npz":
        from slbench.data.npz import lazy_images

        return lazy_images(source.path)[part]
    import numpy as np

    from slbench.data.image_files import ImageFiles

    assert about.mode is not None
    return ImageFiles(root=source.path, keys=np.empty(0, dtype=np.bytes_), mode=about.mode, sizes=about.sizes)


def prepared_file(content: str) -> Path:
    return data_root() / "prepared" / f"{content.removeprefix(ARRAYS)}.npz"


def index_file(content: str, kind: str, size: Size | None = None) -> Path:
    """Path of the index of lazily read images, native or resized."""
    at = "" if size is None else f"-{size[0]}x{size[1]}"
    return data_root() / "prepared" / f"{content.removeprefix(ARRAYS)}{at}.{kind}.note.npz"


def spec_of(splits: "Splits") -> DatasetSpec:
    """Return sizes, counts, statistics and the content hash of images."""
    import numpy as np

    num_classes = int(splits.train.labels.max()) + 1
    validating = splits.train.labels[splits.held_out]
    _, channels, height, width = splits.train.images.shape
    statistics = statistics_of(splits)
    return DatasetSpec(
        name=OWN,
        content=ARRAYS + statistics.content,
        image_size=(height, width),
        in_channels=channels,
        num_classes=num_classes,
        train_counts=as_counts(np.bincount(splits.train.labels, minlength=num_classes).tolist()),
        validation_counts=as_counts(np.bincount(validating, minlength=num_classes).tolist()),
        num_test=len(splits.test),
        mean=statistics.mean,
        std=statistics.std,
    )


def statistics_of(splits: "Splits") -> "DatasetStatistics":
    """Return the statistics of images: stored ones, or computed from images in memory."""
    from slbench.data.pixel_statistics import levels, moments
    from slbench.data.splits import DatasetStatistics, content_hash

    if splits.statistics is not None:
        return splits.statistics
    return DatasetStatistics(content_hash(splits), *moments(levels(splits.train.array)))
