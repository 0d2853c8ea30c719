"""Order, validation split and identity of a data set, all decided by the content of its images."""

import dataclasses
import hashlib

import numpy as np
from numpy.typing import NDArray

from slbench.data.specs import ARRAYS, DatasetSpec, short
from slbench.errors import InputError

Images = NDArray[np.uint8]  # (n, channels, height, width)
Labels = NDArray[np.int64]  # (n,)

VALIDATION_SHARE = 10  # one training image in so many, of each class


@dataclasses.dataclass(frozen=True)
class Part:
    """Images and their labels, row by row."""

    images: Images
    labels: Labels

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: NDArray[np.int64]) -> "Part":
        return Part(self.images[rows], self.labels[rows])


@dataclasses.dataclass(frozen=True)
class Splits:
    """A data set: its training images (validation among them) and its test images."""

    train: Part
    test: Part

    def for_protocol(self, protocol: str) -> tuple[Part, Part | None, Part]:
        """What is trained on, what validates, what tests.

        "holdout" takes the validation split out of the training images; "full" and "paper" train on
        all of them and have none.
        """
        if protocol != "holdout":
            return self.train, None, self.test
        held_out = validation_rows(self.train.labels)
        rest = np.setdiff1d(np.arange(len(self.train)), held_out)
        return self.train.take(rest), self.train.take(held_out), self.test


def in_content_order(part: Part) -> Part:
    """The same images, by class and within a class by the sha256 of their bytes.

    So neither the container nor the order in it matters.
    """
    digests = [hashlib.sha256(image.tobytes()).digest() for image in part.images]
    order = sorted(range(len(part)), key=lambda row: (part.labels[row], digests[row]))
    return part.take(np.array(order, dtype=np.int64))


def validation_rows(labels: Labels) -> NDArray[np.int64]:
    """Rows of the validation split: of each class the first tenth, rounded, in content order.

    Order by a hash is as good as a shuffle, and is the same for every seed and machine.
    """
    rows = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    return np.concatenate([of_class[: round(len(of_class) / VALIDATION_SHARE)] for of_class in rows])


def content_hash(splits: Splits) -> str:
    """sha256 over the images, labels and validation rows, in order, with their shapes."""
    digest = hashlib.sha256()
    for array in (
        splits.train.images,
        splits.train.labels,
        splits.test.images,
        splits.test.labels,
        validation_rows(splits.train.labels),
    ):
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def check_content(splits: Splits, spec: DatasetSpec) -> None:
    """Raise InputError unless the data are those that the spec names by the hash of its arrays."""
    found = ARRAYS + content_hash(splits)
    if spec.content.startswith(ARRAYS) and found != spec.content:
        raise InputError(
            f"data set '{spec.name}': the images have changed: expected {short(spec.content)}, got {short(found)}; "
            "reinstall slbench or restore the file"
        )
