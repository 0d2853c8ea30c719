"""Order and split of a user's own images from an npz file or folders.

Equal images become equal arrays, labels and splits from either.
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

TEST_SHARE = 5  # one in so many images per class is a test image, in an undivided folder
COPIES = 3  # copies of all images in memory while sorting


@dataclass(frozen=True)
class UnorderedImages:
    """Images of one size with their labels, unordered."""

    images: Images | LazyImages
    digests: Sequence[bytes]  # of the images before resizing
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
    """Images of a file or folder; labels index `classes`."""

    name: str  # name in errors
    classes: tuple[str, ...]
    train: UnorderedImages
    validation: UnorderedImages | None
    test: UnorderedImages | None  # None: split off by slbench


def in_class_order(names: Iterable[str]) -> list[str]:
    """Sort class names: as text, or by value if all are numbers, so that 10 follows 9."""
    names = list(names)
    return sorted(names, key=int) if all(name.isdecimal() for name in names) else sorted(names)


def splits_of(raw: RawDataset) -> Splits:
    """Return the images in content order, the validation split among the training images.

    Raises:
        InputError: for fewer than two classes, or a class without training images.
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
    return Splits(both.ordered(), test.ordered(), validation=np.flatnonzero(both.order >= len(train)))


def joined(first: Images | LazyImages, second: Images | LazyImages) -> Images | LazyImages:
    """Return the images of two splits of a set, concatenated."""
    if isinstance(first, LazyImages):
        assert isinstance(second, LazyImages) and first.digests is second.digests is None
        return first.joined(second)
    assert not isinstance(second, LazyImages)
    return np.concatenate([first, second])


def split_off(loose: UnorderedImages) -> tuple[UnorderedImages, UnorderedImages]:
    """Split an undivided set: the first fifth of each class in content order is the test set."""
    rows, labels = loose.order, loose.labels[loose.order]
    testing = np.zeros(len(rows), dtype=bool)
    for label in np.unique(labels):
        of_class = np.flatnonzero(labels == label)
        testing[of_class[: max(1, round(len(of_class) / TEST_SHARE))]] = True
    return loose.take(rows[~testing]), loose.take(rows[testing])


def check_classes(raw: RawDataset) -> None:
    """Raise InputError unless there are two classes with enough training images."""
    if len(raw.classes) < 2:
        raise InputError(f"{raw.name}: number of classes must be 2 or more, got {len(raw.classes)}")
    counts = np.bincount(raw.train.labels, minlength=len(raw.classes))
    needed = 1 if raw.test is not None else 2  # one of them becomes a test image
    if (counts < needed).any():
        name = raw.classes[int(np.argmin(counts))]
        raise InputError(
            f"{raw.name}: class '{name}' has {counts.min()} training images: add images or remove the class"
        )


def common_size(name: str, sizes: Iterable[tuple[int, int]], image_size: tuple[int, int] | None) -> tuple[int, int]:
    """Return the common (height, width), or `image_size` where sizes differ or are too large."""
    distinct = sorted(set(sizes))
    if len(distinct) == 1 and max(distinct[0]) <= MAX_SIDE:
        return distinct[0]
    if image_size is None:
        if len(distinct) == 1:
            raise InputError(f"{name}: {too_large(distinct[0])}; set dataset.image_size")
        examples = " and ".join(f"{height} x {width}" for height, width in (distinct[0], distinct[-1]))
        raise InputError(f"{name}: images of {len(distinct)} sizes ({examples} px, ...); set dataset.image_size")
    return image_size


def too_large(size: tuple[int, int]) -> str:
    """Return the error text for images larger than any network accepts."""
    return f"images of {size[0]} x {size[1]} px; allowed: at most {MAX_SIDE} per side"


def fits(needed: int) -> bool:
    """Return whether `needed` bytes of decoded images can be sorted in free memory."""
    return COPIES * needed <= psutil.virtual_memory().available


def use_lazy_images(needed: int) -> bool:
    """Return whether images are read on access: they do not fit into memory, or the user asked for it."""
    return os.environ.get(STREAM_VARIABLE, "") not in ("", "0") or not fits(needed)


def resized(splits: Splits, size: tuple[int, int]) -> Splits:
    """Return the splits with every image resized to (height, width), in the order of the original images."""
    if splits.train.images.shape[2:] == size:
        return splits

    def part(original: ImageSet) -> ImageSet:
        if isinstance(original.images, LazyImages):
            return ImageSet(original.images.resized(size), original.labels)
        return ImageSet(np.stack([resize(image, size) for image in original.images]), original.labels)

    return Splits(part(splits.train), part(splits.test), validation=splits.held_out)


def in_memory(splits: Splits) -> Splits:
    """Return the splits with every image read into memory."""
    parts = [ImageSet(np.stack(list(part.images)), part.labels) for part in (splits.train, splits.test)]
    return replace(splits, train=parts[0], test=parts[1])


def as_lazy(splits: Splits) -> Splits:
    """Return the splits with images read on access."""
    if splits.lazy:
        return splits
    parts = [ImageSet(ImageArrays.wrap(part.array), part.labels) for part in (splits.train, splits.test)]
    return replace(splits, train=parts[0], test=parts[1])
