"""Order, validation split and identity of a data set, all derived from the content of its images."""

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slbench.data.images.decode import Pixels
from slbench.data.images.source import Images, ImageSource, InMemoryImages, OnDiskImages, Rows
from slbench.data.specs import ARRAYS, TENTH, DatasetSpec, of_each, short
from slbench.errors import InputError

Labels = NDArray[np.int64]  # (n,)
PartName = Literal["train", "test"]
SamplePart = Literal["train", "validation", "test"]
PARTS: tuple[PartName, PartName] = ("train", "test")


class Sample(NamedTuple):
    """Image of a data set as a loader yields it, in any order."""

    part: SamplePart
    pixels: Pixels
    label: int
    digest: bytes | None = None  # of the image before resizing; None: of `pixels`


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """Images and their labels."""

    images: ImageSource
    labels: Labels

    @classmethod
    def of(cls, images: Images, labels: Labels) -> "ImageSet":
        """Return images in memory with their labels."""
        return cls(InMemoryImages(images), labels)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def array(self) -> Images:
        """The images, which must be in memory."""
        assert isinstance(self.images, InMemoryImages)
        return self.images.array

    def take(self, rows: Rows) -> "ImageSet":
        return ImageSet(self.images.take(rows), self.labels[rows])


@dataclasses.dataclass(frozen=True)
class Splits:
    """Training images (including validation) and test images of a data set."""

    train: ImageSet
    test: ImageSet
    validation: Rows | None = None  # rows of train of the validation split; None: a tenth per class
    content: str | None = None  # verified `content_hash`; None: not known yet

    @property
    def streamed(self) -> bool:
        """Whether images are read on access and not kept."""
        return isinstance(self.train.images, OnDiskImages)

    @property
    def held_out(self) -> Rows:
        """Rows of train, ascending, of the validation split of protocol holdout."""
        return validation_rows(self.train.labels) if self.validation is None else self.validation

    def for_protocol(self, protocol: str) -> tuple[ImageSet, ImageSet | None, ImageSet]:
        """Return the training, validation and test images of a protocol.

        "holdout" removes the validation split from the training images; "full" and "paper" train on
        all of them and have no validation split.
        """
        if protocol != "holdout":
            return self.train, None, self.test
        training_rows = np.setdiff1d(np.arange(len(self.train)), self.held_out)
        return self.train.take(training_rows), self.train.take(self.held_out), self.test


def in_content_order(part: ImageSet) -> ImageSet:
    """Return the images in `content_order`."""
    return part.take(content_order(part.images.image_digests(), part.labels))


def content_order(digests: Sequence[bytes], labels: Labels) -> Rows:
    """Return rows ordered by class and, within a class, by image digest.

    The order in the container does not matter.
    """
    return np.array(sorted(range(len(labels)), key=lambda row: (labels[row], digests[row])), dtype=np.int64)


def validation_rows(labels: Labels) -> Rows:
    """Return the rows of the validation split: the first tenth of each class, rounded, in content order.

    Ordering by a hash equals a shuffle that is the same for every seed and machine.
    """
    rows = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    return np.concatenate([of_class[: round(len(of_class) / TENTH)] for of_class in rows])


def content_hash(splits: Splits, *, on_image: Callable[[PartName, Pixels], None] = lambda part, image: None) -> str:
    """Return the sha256 over images, labels and validation rows, in order, with their shapes.

    Args:
        on_image: called with each image, training first; not called if the hash is known.
    """
    if splits.content is not None:
        return splits.content
    digest = hashlib.sha256()
    for name, part in zip(PARTS, (splits.train, splits.test), strict=True):
        digest.update(f"{np.dtype(np.uint8).str}{part.images.shape}".encode())
        for image in part.images:
            digest.update(image.tobytes())
            on_image(name, image)
        digest.update(as_bytes(part.labels))
    digest.update(as_bytes(splits.held_out))
    return digest.hexdigest()


def as_bytes(rows: Rows) -> bytes:
    """Return labels or rows with their shape as bytes."""
    return f"{rows.dtype.str}{rows.shape}".encode() + np.ascontiguousarray(rows).tobytes()


def check_content(splits: Splits, spec: DatasetSpec) -> None:
    """Raise InputError unless the data match the hash of the spec's arrays."""
    content = ARRAYS + content_hash(splits)
    if spec.content.startswith(ARRAYS) and content != spec.content:
        raise InputError(
            f"data set '{spec.name}': the images have changed: expected {short(spec.content)} (got {short(content)}); "
            "reinstall slbench or restore the file"
        )
    check_counts(splits, spec)


def check_counts(splits: Splits, spec: DatasetSpec) -> None:
    """Raise InputError unless counts per class and image size match the spec."""
    for part, labels, expected in (
        ("training", splits.train.labels, of_each(spec.train_counts, spec.num_classes)),
        ("validation", splits.train.labels[splits.held_out], of_each(spec.validation_counts, spec.num_classes)),
    ):
        if len(labels) and not 0 <= labels.min() <= labels.max() < spec.num_classes:
            raise InputError(
                f"data set '{spec.name}': labels from {labels.min()} to {labels.max()}; "
                f"expected 0 to {spec.num_classes - 1}"
            )
        counts = tuple(np.bincount(labels, minlength=spec.num_classes).tolist())
        if counts != expected:
            raise InputError(
                f"data set '{spec.name}': {sum(counts):,} {part} images in {len(counts)} classes; "
                f"expected {sum(expected):,} in {len(expected)}; counts of each class must match"
            )
    if len(splits.test) != spec.num_test:
        raise InputError(f"data set '{spec.name}': {len(splits.test):,} test images; expected {spec.num_test:,}")
