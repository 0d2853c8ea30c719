"""DatasetSpec: the part of a run's identity that describes its data. Free of torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Le

from slbench.errors import InputError
from slbench.image_shape import MAX_CHANNELS, MAX_CLASSES, ImageShape
from slbench.image_shape import MAX_SIDE as MAX_SIDE
from slbench.validation import STRICT

MAX_IMAGES = 10**10
MAX_SEED = 2**63 - 1  # the largest integer of TOML
Count = Annotated[int, Ge(0), Le(MAX_IMAGES)]
Counts = Count | tuple[Count, ...]  # per class, by label; one number if all are equal
Side = Annotated[int, Ge(1), Le(MAX_SIDE)]

TENTH = 10  # one training image in so many is a validation image, per class
ARRAYS = "arrays sha256:"  # of the ordered images, labels and split; see `splits.content_hash`
WITH_PUBLISHED_TEST = ("imagenet", "fashion-mnist-10k")  # besides sets known by their archives
ARCHIVES = "archives md5:"  # of the published files, joined by "+"


@dataclass(frozen=True, kw_only=True)
class DatasetSpec:
    """Data set of a run: content by checksum, image shape, counts and normalisation."""

    __pydantic_config__ = STRICT

    name: str
    content: str  # ARRAYS or ARCHIVES (what was hashed), then hex digits
    image_size: tuple[Side, Side]  # (height, width) in px of a network's input
    in_channels: Annotated[int, Ge(1), Le(MAX_CHANNELS)]
    num_classes: Annotated[int, Ge(2), Le(MAX_CLASSES)]
    train_counts: Counts  # training images, including the validation split
    validation_counts: Counts  # of these, the validation split under protocol holdout
    num_test: Annotated[int, Ge(1), Le(MAX_IMAGES)]
    mean: tuple[float, ...]  # per channel over the training images, in [0, 1]
    std: tuple[float, ...]
    # Subset per class of the training images without the validation split: all, or one of the two.
    fraction: Annotated[float, Gt(0), Le(1)] | None = None  # share of the training images of each class
    per_class: Annotated[int, Ge(1), Le(MAX_IMAGES)] | None = None  # number of training images of each class
    split_seed: Annotated[int, Ge(0), Le(MAX_SEED)] = (
        0  # decides which images validate (and test, without published test images)
    )

    def __post_init__(self) -> None:
        if self.fraction is not None and self.per_class is not None:
            raise InputError(
                f"fraction and per_class: exclude each other (got {self.fraction:g} and {self.per_class}); set one"
            )

    @property
    def shape(self) -> ImageShape:
        """Shape of the images and number of classes, as networks are made for them."""
        return ImageShape(self.image_size, self.in_channels, self.num_classes)

    @property
    def has_published_test(self) -> bool:
        """Whether the test images are those that the set was published with, which no split seed changes."""
        return self.content.startswith(ARCHIVES) or self.name in WITH_PUBLISHED_TEST

    @property
    def num_train(self) -> int:
        """Number of training images, including the validation split."""
        return sum(of_each(self.train_counts, self.num_classes))

    @property
    def num_validation(self) -> int:
        """Number of images of the validation split of protocol holdout."""
        return sum(of_each(self.validation_counts, self.num_classes))

    @property
    def num_bytes(self) -> int:
        """Bytes of all images as uint8."""
        height, width = self.image_size
        return (self.num_train + self.num_test) * self.in_channels * height * width

    def without_validation(self, *, holdout: bool) -> tuple[int, ...]:
        """Return the training images per class before any subset, without the validation split if `holdout`."""
        counts = of_each(self.train_counts, self.num_classes)
        if not holdout:
            return counts
        validating = of_each(self.validation_counts, self.num_classes)
        return tuple(count - validation for count, validation in zip(counts, validating, strict=True))

    def trained_on(self, *, holdout: bool) -> tuple[int, ...]:
        """Return the number of images per class used for training, without the validation split if `holdout`.

        Raises:
            InputError: if some class has fewer than `per_class` images.
        """
        counts = self.without_validation(holdout=holdout)
        if self.per_class is not None and self.per_class > min(counts):
            label = counts.index(min(counts))
            raise InputError(
                f"dataset.per_class: must be at most {min(counts)}, the training images of class {label} "
                f"(got {self.per_class})"
            )
        return tuple(self.subset_of(count) for count in counts)

    def subset_of(self, count: int) -> int:
        """Return the number of images used of `count` of a class; at least one of a share."""
        if self.per_class is not None:
            return self.per_class
        return count if self.fraction is None else max(1, round(self.fraction * count))


def of_each(counts: Counts, num_classes: int) -> tuple[int, ...]:
    """Return the images per class, by label."""
    return (counts,) * num_classes if isinstance(counts, int) else counts


def as_counts(counts: Sequence[int]) -> Counts:
    """Return images per class as in a spec: one number if all classes are equal."""
    return counts[0] if len(set(counts)) == 1 else tuple(counts)


def short(content: str) -> str:
    """Return the first 12 hex digits of a spec's `content`."""
    kind, _, digits = content.rpartition(":")
    return f"{kind}:{digits[:12]}"
