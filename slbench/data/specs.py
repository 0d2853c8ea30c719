"""DatasetSpec: what of a data set enters a run's identity. Free of torch."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from slbench.errors import InputError

Count = Annotated[int, Field(ge=0)]
Counts = Count | tuple[Count, ...]  # of each class, by label; one number where all classes have as many
MAX_SIDE = 4096  # px, of an image as a network gets it
Side = Annotated[int, Field(ge=1, le=MAX_SIDE)]

TENTH = 10  # one training image in so many validates, of each class
ARRAYS = "arrays sha256:"  # of the ordered images, labels and split; see `splits.content_hash`
ARCHIVES = "archives md5:"  # of the published files, joined by "+"


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", strict=True, allow_inf_nan=False))
class DatasetSpec:
    """A data set as a run sees it: its content by checksum, and what a network must know of its images."""

    name: str
    content: str  # what was hashed, how, and the hash: ARRAYS or ARCHIVES and hex digits
    image_size: tuple[Side, Side]  # (height, width) in px, as the network gets them
    in_channels: Annotated[int, Field(ge=1)]
    num_classes: Annotated[int, Field(ge=2)]
    train_counts: Counts  # training images, those of the validation split among them
    validation_counts: Counts  # of them, under protocol holdout
    num_test: Annotated[int, Field(ge=1)]
    mean: tuple[float, ...]  # of each channel over the training images, in [0, 1]
    std: tuple[float, ...]
    # Of each class, of what is left for training when the validation split is out: all, a share, or so many.
    fraction: Annotated[float, Field(gt=0, le=1)] | None = None
    per_class: Annotated[int, Field(ge=1)] | None = None

    def __post_init__(self) -> None:
        if self.fraction is not None and self.per_class is not None:
            raise InputError(f"fraction {self.fraction:g} and per_class {self.per_class}: give one of the two")

    @property
    def num_train(self) -> int:
        """Training images, those of the validation split among them."""
        return sum(of_each(self.train_counts, self.num_classes))

    @property
    def num_validation(self) -> int:
        """Images of the validation split that protocol holdout takes out of them."""
        return sum(of_each(self.validation_counts, self.num_classes))

    @property
    def num_bytes(self) -> int:
        """Memory that all its images take, as uint8."""
        height, width = self.image_size
        return (self.num_train + self.num_test) * self.in_channels * height * width

    def without_validation(self, *, holdout: bool) -> tuple[int, ...]:
        """The training images of each class, less the validation split if `holdout`, before any subset is drawn."""
        there = of_each(self.train_counts, self.num_classes)
        if not holdout:
            return there
        validating = of_each(self.validation_counts, self.num_classes)
        return tuple(count - held_out for count, held_out in zip(there, validating, strict=True))

    def trained_on(self, *, holdout: bool) -> tuple[int, ...]:
        """The images of each class that are trained on, without the validation split if `holdout`.

        Raises:
            InputError: if `per_class` is more than there are of some class.
        """
        there = self.without_validation(holdout=holdout)
        if self.per_class is not None and self.per_class > min(there):
            label = there.index(min(there))
            raise InputError(f"per_class {self.per_class} is above the {there[label]} training images of class {label}")
        return tuple(self.subset_of(count) for count in there)

    def subset_of(self, count: int) -> int:
        """How many of so many images of a class are trained on; of a share at least one."""
        if self.per_class is not None:
            return self.per_class
        return count if self.fraction is None else max(1, round(self.fraction * count))


def of_each(counts: Counts, num_classes: int) -> tuple[int, ...]:
    """The images of each class, by label."""
    return (counts,) * num_classes if isinstance(counts, int) else counts


def as_counts(counts: Sequence[int]) -> Counts:
    """Images of each class as a spec holds them: one number where all classes have as many."""
    return counts[0] if len(set(counts)) == 1 else tuple(counts)


def short(content: str) -> str:
    """A spec's `content` in a line for a person: the first 12 hex digits."""
    kind, _, digits = content.rpartition(":")
    return f"{kind}:{digits[:12]}"
