"""DatasetSpec: what of a data set enters a run's identity. Free of torch."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

Count = Annotated[int, Field(ge=0)]
Counts = Count | tuple[Count, ...]  # of each class, by label; one number where all classes have as many

ARRAYS = "arrays sha256:"  # of the ordered images, labels and split; see `splits.content_hash`
ARCHIVES = "archives md5:"  # of the published files, joined by "+"


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", strict=True, allow_inf_nan=False))
class DatasetSpec:
    """A data set as a run sees it: its content by checksum, and what a network must know of its images."""

    name: str
    content: str  # what was hashed, how, and the hash: ARRAYS or ARCHIVES and hex digits
    image_size: tuple[int, int]  # (height, width) in px, as the network gets them
    in_channels: Annotated[int, Field(ge=1)]
    num_classes: Annotated[int, Field(ge=2)]
    train_counts: Counts  # training images, those of the validation split among them
    validation_counts: Counts  # of them, under protocol holdout
    num_test: Annotated[int, Field(ge=1)]
    mean: tuple[float, ...]  # of each channel over the training images, in [0, 1]
    std: tuple[float, ...]

    @property
    def num_train(self) -> int:
        """Training images, those of the validation split among them."""
        return sum(of_each(self.train_counts, self.num_classes))

    @property
    def num_validation(self) -> int:
        """Images of the validation split that protocol holdout takes out of them."""
        return sum(of_each(self.validation_counts, self.num_classes))


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
