"""A user's own images: an npz file or folders of image files, read and put in slbench's order.

The same images give the same arrays, labels and split from either.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import psutil

from slbench.data.image_arrays import ImageArrays
from slbench.data.images import resize
from slbench.data.lazy_images import LazyImages
from slbench.data.paths import STREAM_VARIABLE
from slbench.data.specs import MAX_SIDE
from slbench.data.splits import Images, ImageSet, Labels, Rows, Splits, content_order
from slbench.errors import InputError

TEST_SHARE = 5  # one image in so many of each class tests, where a folder comes undivided
COPIES = 3  # of all images while they are put in order


@dataclass(frozen=True)
class UnorderedImages:
    """Images of one size with their labels, in no order."""

    images: Images | LazyImages
    digests: Sequence[bytes]  # of the images as they came, before any resizing
    labels: Labels

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def order(self) -> Rows:
        return content_order(self.digests, self.labels)

    def take(self, rows: Rows) -> "UnorderedImages":
        return UnorderedImages(self.images[rows], [self.digests[row] for row in rows], self.labels[rows])

    def ordered(self) -> ImageSet:
        return ImageSet(self.images[self.order], self.labels[self.order])


@dataclass(frozen=True)
class RawDataset:
    """What a file or folder holds: labels count `classes`."""

    name: str  # as errors call it
    classes: tuple[str, ...]
    train: UnorderedImages
    validation: UnorderedImages | None
    test: UnorderedImages | None  # None: to be split off by us


def in_class_order(names: Iterable[str]) -> list[str]:
    """Class names in the order that numbers them: of text, but of numbers by value, so that 10 follows 9."""
    names = list(names)
    return sorted(names, key=int) if all(name.isdecimal() for name in names) else sorted(names)


def splits_of(raw: RawDataset) -> Splits:
    """The images in content order, the validation split among the training images.

    Raises:
        InputError: for less than two classes, or a class without training images.
    """
    check_classes(raw)
    train, test = (raw.train, raw.test) if raw.test is not None else split_off(raw.train)
    if raw.validation is None:
        return Splits(train.ordered(), test.ordered())
    both = UnorderedImages(
        joined(train.images, raw.validation.images),
        [*train.digests, *raw.validation.digests],
        np.append(train.labels, raw.validation.labels),
    )
    return Splits(both.ordered(), test.ordered(), given=np.flatnonzero(both.order >= len(train)))


def joined(first: Images | LazyImages, second: Images | LazyImages) -> Images | LazyImages:
    """The images of two parts of one set, one after the other."""
    if isinstance(first, LazyImages):
        assert isinstance(second, LazyImages) and first.digests is second.digests is None
        return first.joined(second)
    assert not isinstance(second, LazyImages)
    return np.concatenate([first, second])


def split_off(loose: UnorderedImages) -> tuple[UnorderedImages, UnorderedImages]:
    """Training and test images of a set that comes undivided: of each class the first fifth tests, in content order."""
    rows, labels = loose.order, loose.labels[loose.order]
    testing = np.zeros(len(rows), dtype=bool)
    for label in np.unique(labels):
        of_class = np.flatnonzero(labels == label)
        testing[of_class[: max(1, round(len(of_class) / TEST_SHARE))]] = True
    return loose.take(rows[~testing]), loose.take(rows[testing])


def check_classes(raw: RawDataset) -> None:
    """Raise InputError unless there are two classes, each with enough images to train on."""
    if len(raw.classes) < 2:
        raise InputError(f"{raw.name}: {len(raw.classes)} class, and a network needs two or more to tell apart")
    counts = np.bincount(raw.train.labels, minlength=len(raw.classes))
    needed = 1 if raw.test is not None else 2  # one of them will test
    if (counts < needed).any():
        name = raw.classes[int(np.argmin(counts))]
        raise InputError(f"{raw.name}: class '{name}' has {counts.min()} training images: add some or drop the class")


def common_size(name: str, sizes: Iterable[tuple[int, int]], image_size: tuple[int, int] | None) -> tuple[int, int]:
    """(height, width) that all images have, or, if they differ or are too large for a network, are to have."""
    different = sorted(set(sizes))
    if len(different) == 1 and max(different[0]) <= MAX_SIDE:
        return different[0]
    if image_size is None:
        if len(different) == 1:
            raise InputError(f"{name}: {too_large(different[0])}: set dataset.image_size")
        shown = " and ".join(f"{height} x {width}" for height, width in (different[0], different[-1]))
        raise InputError(f"{name}: images of {len(different)} sizes, {shown} px among them: set dataset.image_size")
    return image_size


def too_large(size: tuple[int, int]) -> str:
    """What is said of images with a side that no network gets."""
    return f"images of {size[0]} x {size[1]} px, and a side has at most {MAX_SIDE}"


def fits(needed: int) -> bool:
    """Whether decoded images of so many bytes can be put in order in the memory that is free."""
    return COPIES * needed <= psutil.virtual_memory().available


def streams(needed: int) -> bool:
    """Whether images are read when they are asked for: they do not fit into memory, or a user says so."""
    return os.environ.get(STREAM_VARIABLE, "") not in ("", "0") or not fits(needed)


def resized(splits: Splits, size: tuple[int, int]) -> Splits:
    """The same splits with every image brought to (height, width); in the order of the images as they came."""
    if splits.train.images.shape[2:] == size:
        return splits

    def part(of: ImageSet) -> ImageSet:
        if isinstance(of.images, LazyImages):
            return ImageSet(of.images.resized(size), of.labels)
        return ImageSet(np.stack([resize(image, size) for image in of.images]), of.labels)

    return Splits(part(splits.train), part(splits.test), given=splits.held_out)


def in_memory(splits: Splits) -> Splits:
    """The same splits with every image read."""
    parts = [ImageSet(np.stack(list(part.images)), part.labels) for part in (splits.train, splits.test)]
    return replace(splits, train=parts[0], test=parts[1])


def lazily(splits: Splits) -> Splits:
    """The same splits, an image of which is read only when it is asked for."""
    if splits.lazy:
        return splits
    parts = [ImageSet(ImageArrays.of(part.array), part.labels) for part in (splits.train, splits.test)]
    return replace(splits, train=parts[0], test=parts[1])
