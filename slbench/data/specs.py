"""DatasetSpec: what of a data set enters a run's identity. Free of torch."""

from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", strict=True, allow_inf_nan=False))
class DatasetSpec:
    """A data set as a run sees it: its content by hash, and what a network must know of its images."""

    name: str
    sha256: str  # of the ordered images, labels and split; see `content_hash`
    image_size: tuple[int, int]  # (height, width) in px, as the network gets them
    in_channels: Annotated[int, Field(ge=1)]
    num_classes: Annotated[int, Field(ge=2)]
    num_train: Annotated[int, Field(ge=1)]  # training images, those of the validation split among them
    num_validation: Annotated[int, Field(ge=1)]  # of them, under protocol holdout
    num_test: Annotated[int, Field(ge=1)]
    mean: tuple[float, ...]  # of each channel over the training images, in [0, 1]
    std: tuple[float, ...]
