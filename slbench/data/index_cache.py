"""Index files of data sets on the disk, made by reading every image once."""

import contextlib
import dataclasses
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter, ValidationError

from slbench.data.image_files import ImageFiles
from slbench.data.images import Pixels, digest_of
from slbench.data.lazy_images import Digests, LazyImages
from slbench.data.own_split import as_lazy, resized
from slbench.data.pixel_statistics import levels, moments
from slbench.data.splits import PARTS, DatasetStatistics, ImageSet, PartName, Splits, content_hash
from slbench.files import atomic_writer

ABOUT = "about"  # everything of an index but its arrays, as JSON


@dataclasses.dataclass(frozen=True)
class IndexHeader:
    """Fields of an index beside its arrays."""

    files: str  # identity of the indexed files
    mode: str | None  # mode of image files
    sizes: tuple[tuple[int, int], ...]  # see `LazyImages`
    survey: DatasetStatistics


Reopen = Callable[[PartName, IndexHeader], LazyImages]  # images of a split, keys not set


def load_or_index(path: Path, make: Callable[[], Splits], reopen: Reopen, *, files: str) -> Splits:
    """Return the indexed splits; if these files have no index, make and index them.

    Args:
        files: identity of the files.
    """
    indexed = read_index(path, reopen, files=files)
    if indexed is not None:
        return indexed
    splits = with_statistics(make())
    with contextlib.suppress(OSError):  # without an index everything is read again: slower, not wrong
        write_index(splits, path, files=files)
    return splits


def at_size(splits: Splits, size: tuple[int, int], path: Path, *, files: str) -> Splits:
    """Return splits resized to (height, width) on access.

    Args:
        path: index of the images at that size.
        files: identity of the splits' content.
    """
    if splits.train.images.shape[2:] == size:
        return splits
    native = as_lazy(splits)

    def reopen(part: PartName, _: IndexHeader) -> LazyImages:
        images = getattr(native, part).images
        assert isinstance(images, LazyImages)
        return images

    return load_or_index(path, lambda: resized(native, size), reopen, files=files)


def with_statistics(splits: Splits) -> Splits:
    """Return lazy splits with image digests and statistics. Reads each image once."""
    digests: list[bytes] = []
    histogram = np.zeros((splits.train.images.shape[1], 256), dtype=np.int64)

    def update(image: Pixels) -> None:
        if len(digests) < len(splits.train):
            np.add(histogram, levels(image[None]), out=histogram)
        digests.append(digest_of(image))

    content = content_hash(dataclasses.replace(splits, statistics=None), on_image=update)
    all_digests = np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(-1, 32)
    train, test = np.split(all_digests, [len(splits.train)])
    return Splits(
        with_digests(splits.train, train),
        with_digests(splits.test, test),
        validation=splits.validation,
        statistics=DatasetStatistics(content, *moments(histogram)),
    )


def with_digests(part: ImageSet, digests: Digests) -> ImageSet:
    assert isinstance(part.images, LazyImages)
    return ImageSet(dataclasses.replace(part.images, digests=digests), part.labels)


def write_index(splits: Splits, path: Path, *, files: str) -> None:
    """Write the index of lazy splits with statistics.

    Args:
        files: identity of the files; the index is ignored for others.
    Raises:
        OSError: if there is no space or no permission.
    """
    images, statistics = splits.train.images, splits.statistics
    assert isinstance(images, LazyImages) and statistics is not None
    mode = images.mode if isinstance(images, ImageFiles) else None
    about = json.dumps(dataclasses.asdict(IndexHeader(files, mode, images.sizes, statistics)))
    arrays: dict[str, np.ndarray] = {ABOUT: np.frombuffer(about.encode(), dtype=np.uint8)}
    for name, part in zip(PARTS, (splits.train, splits.test), strict=True):
        assert isinstance(part.images, LazyImages) and part.images.digests is not None
        arrays |= {f"{name}_keys": part.images.keys, f"{name}_digests": part.images.digests}
        arrays[f"{name}_labels"] = part.labels
    if splits.validation is not None:
        arrays["given"] = splits.validation
    with atomic_writer(path) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # numpy's stub takes the names for its own flags


def read_index(path: Path, reopen: Reopen, *, files: str) -> Splits | None:
    """Return the indexed splits; None if the index is missing, damaged or of other files."""
    try:
        with path.open("rb") as content, np.load(content, allow_pickle=False) as arrays:
            about: IndexHeader = TypeAdapter(IndexHeader).validate_json(arrays[ABOUT].tobytes())
            if about.files != files:
                return None
            keys_and_digests = {name: (arrays[f"{name}_keys"], arrays[f"{name}_digests"]) for name in PARTS}
            labels = {name: arrays[f"{name}_labels"] for name in PARTS}
            validation = arrays.get("given")
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, ValidationError):
        return None
    parts = []
    for name, (keys, digests) in keys_and_digests.items():
        images = dataclasses.replace(reopen(name, about), keys=keys, sizes=about.sizes, digests=digests)
        parts.append(ImageSet(images, labels[name]))
    return Splits(parts[0], parts[1], validation=validation, statistics=about.survey)
