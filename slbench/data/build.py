"""Write the prepared cache of a data set from its samples, holding only a few images in memory."""

import contextlib
import dataclasses
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from slbench.data.images.decode import Pixels, digest_of, resize
from slbench.data.images.image_files import ImageFiles
from slbench.data.images.pixel_statistics import levels, moments
from slbench.data.images.source import ArrayFile, ImageReader, OnDiskImages, OpenFile, Rows, Size
from slbench.data.prepared import INDEX, Index, PreparedDataset
from slbench.data.specs import ARRAYS
from slbench.data.splits import PARTS, ImageSet, Labels, PartName, Sample, Splits, content_hash, content_order
from slbench.errors import InputError
from slbench.files import atomic_writer

TEST_SHARE = 5  # one in so many images per class is a test image, in an undivided set


@dataclasses.dataclass(frozen=True)
class RawDataset:
    """Data set as it is read: samples in any order."""

    name: str  # in errors
    samples: Iterable[Sample]
    size: Size | None = None  # to which images are resized; None: all must have one size
    undivided: bool = False  # without test images: a fifth of each class is split off
    files: ImageFiles | None = None  # image files, in the order of the samples, that are not copied


class Unordered(NamedTuple):
    """Images of a data set in the order of its samples."""

    images: ImageReader
    parts: list[str]
    labels: Labels
    digests: list[bytes]  # of the images before resizing


def build(raw: RawDataset, folder: Path, *, of: str = "") -> PreparedDataset:
    """Write the cache of a data set into an empty folder and open it.

    Args:
        of: see `Index`; default: as for a user's images, made from the hash of their content.
    Raises:
        InputError: if the data are unusable.
        OSError: if there is no space or no permission.
    """
    with tempfile.TemporaryFile(dir=folder) as spool:
        unordered = listed(raw) if raw.files is not None else spooled(raw, spool, folder)
        splits, rows = ordered(unordered, undivided=raw.undivided)
        index = write_parts(splits, folder, copied=raw.files is None)
    if raw.files is not None:
        paths: dict[str, Any] = {part: [raw.files.paths[row] for row in rows[part]] for part in PARTS}
        index = dataclasses.replace(index, paths={**paths, "root": str(raw.files.root), "mode": raw.files.mode})
    prepared = PreparedDataset(folder, dataclasses.replace(index, of=of or ARRAYS + index.content))
    files = {name: list(file.signature()) for name, file in prepared.files.items()}
    prepared.index = dataclasses.replace(prepared.index, files=files)
    prepared.index.write(folder / INDEX)
    return prepared


def spooled(raw: RawDataset, spool: IO[bytes], folder: Path) -> Unordered:
    """Copy the samples, resized, into a file that disappears with its process.

    Raises:
        InputError: if their sizes or channels differ.
    """
    shape: tuple[int, ...] = ()
    parts, labels, digests = list[str](), list[int](), list[bytes]()
    for sample in raw.samples:
        pixels = sample.pixels if raw.size is None else resize(sample.pixels, raw.size)
        shape = shape or pixels.shape
        if pixels.shape != shape:
            raise different_shapes(raw.name, shape, pixels.shape)
        spool.write(pixels.tobytes())
        parts.append(sample.part)
        labels.append(sample.label)
        digests.append(sample.digest or digest_of(sample.pixels))
    spool.flush()
    channels, height, width = shape or (1, 1, 1)
    file = OpenFile(folder / "images being sorted", spool.fileno())
    images = ArrayFile(file, (len(labels), channels, height, width))
    return Unordered(images, parts, np.array(labels, dtype=np.int64), digests)


def different_shapes(name: str, first: tuple[int, ...], second: tuple[int, ...]) -> InputError:
    if first[0] != second[0]:
        return InputError(f"{name}: images with {first[0]} and with {second[0]} channels; convert them to one mode")
    sizes = sorted((first[1:], second[1:]))
    examples = " and ".join(f"{height} x {width}" for height, width in sizes)
    return InputError(f"{name}: images of different sizes ({examples} px, ...); set dataset.image_size")


def listed(raw: RawDataset) -> Unordered:
    """Return image files that stay where they are."""
    assert raw.files is not None
    samples = [(sample.part, sample.label, sample.digest or digest_of(sample.pixels)) for sample in raw.samples]
    parts, labels, digests = zip(*samples, strict=True)
    return Unordered(raw.files, list(parts), np.array(labels, dtype=np.int64), list(digests))


def ordered(unordered: Unordered, *, undivided: bool) -> tuple[Splits, dict[PartName, Rows]]:
    """Return the splits in canonical order, validation among the training images, and their rows in the samples."""
    part_of, labels = np.array(unordered.parts), unordered.labels
    training, validating = np.flatnonzero(part_of == "train"), np.flatnonzero(part_of == "validation")
    validation = None
    if undivided:
        train, test = split_off(training[in_order(unordered, training)], labels)
    else:
        both, testing = np.append(training, validating), np.flatnonzero(part_of == "test")
        order = in_order(unordered, both)
        train, test = both[order], testing[in_order(unordered, testing)]
        validation = np.flatnonzero(order >= len(training)) if len(validating) else None
    sets = [ImageSet(OnDiskImages(unordered.images, rows), labels[rows]) for rows in (train, test)]
    return Splits(sets[0], sets[1], validation=validation), {"train": train, "test": test}


def in_order(unordered: Unordered, rows: Rows) -> Rows:
    return content_order([unordered.digests[row] for row in rows], unordered.labels[rows])


def split_off(rows: Rows, labels: Labels) -> tuple[Rows, Rows]:
    """Split an undivided set: the first fifth of each class in content order is the test set."""
    testing = np.zeros(len(rows), dtype=bool)
    for label in np.unique(labels):
        of_class = np.flatnonzero(labels[rows] == label)
        testing[of_class[: max(1, round(len(of_class) / TEST_SHARE))]] = True
    return rows[~testing], rows[testing]


def index_of(splits: Splits, *, on_image: Callable[[PartName, Pixels], None] = lambda part, image: None) -> Index:
    """Return the index of splits on the disk, of no data set yet. Reads each image once.

    Args:
        on_image: called with each image, training first.
    """
    _, channels, height, width = splits.train.images.shape
    digests: dict[PartName, list[str]] = {part: [] for part in PARTS}
    histogram = np.zeros((channels, 256), dtype=np.int64)

    def add(part: PartName, image: Pixels) -> None:
        digests[part].append(digest_of(image).hex())
        if part == "train":
            np.add(histogram, levels(image[None]), out=histogram)
        on_image(part, image)

    content = content_hash(dataclasses.replace(splits, content=None), on_image=add)
    validation = None if splits.validation is None else splits.validation.tolist()
    joined: dict[PartName, str] = {part: "".join(of_part) for part, of_part in digests.items()}
    return Index("", content, *moments(histogram), (channels, height, width), joined, validation)


def write_parts(splits: Splits, folder: Path, *, copied: bool) -> Index:
    """Write labels and, if `copied`, images; return the index. Reads each image once."""
    sets = dict(zip(PARTS, (splits.train, splits.test), strict=True))
    for name, part in sets.items():
        with atomic_writer(folder / f"{name}_labels.npy") as file:
            np.lib.format.write_array(file, part.labels, version=(1, 0), allow_pickle=False)
    if not copied:
        return index_of(splits)
    with contextlib.ExitStack() as stack:
        files = {name: stack.enter_context(atomic_writer(folder / f"{name}_images.npy")) for name in sets}
        for name, part in sets.items():
            head = {"descr": "|u1", "fortran_order": False, "shape": part.images.shape}
            np.lib.format.write_array_header_1_0(files[name], head)

        def write(name: PartName, image: Pixels) -> None:
            files[name].write(image.tobytes())

        return index_of(splits, on_image=write)
