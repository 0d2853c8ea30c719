"""Batches of images that stay in memory, on the device that trains, as uint8."""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from slbench.data.augment import augment
from slbench.data.specs import DatasetSpec
from slbench.data.splits import Part
from slbench.recipes import Recipe
from slbench.streams import generator


class Batches:
    """A part of a data set on a device, given out in normalised batches."""

    def __init__(self, part: Part, spec: DatasetSpec, *, device: torch.device) -> None:
        self.images = torch.from_numpy(part.images).to(device)
        self.labels = torch.from_numpy(part.labels).to(device)
        self.mean = torch.tensor(spec.mean, device=device)[:, None, None]
        self.std = torch.tensor(spec.std, device=device)[:, None, None]

    def __len__(self) -> int:
        return len(self.labels)

    def normalise(self, images: UInt8[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Pixels over 255, less the mean, over the standard deviation, channel by channel."""
        return (images.float() / 255 - self.mean) / self.std

    def training(
        self, recipe: Recipe, *, seed: int, epoch: int
    ) -> Iterator[tuple[Float[Tensor, "b c h w"], Int64[Tensor, " b"]]]:
        """Full batches of one epoch, shuffled and augmented by streams of (seed, epoch, step)."""
        order = torch.randperm(len(self), generator=generator(seed, epoch, "order")).to(self.labels.device)
        for step in range(len(self) // recipe.batch_size):
            rows = order[step * recipe.batch_size : (step + 1) * recipe.batch_size]
            images = augment(self.images[rows], recipe, source=generator(seed, epoch, step, "augment"))
            yield self.normalise(images), self.labels[rows]

    def in_order(self, batch_size: int) -> Iterator[tuple[Float[Tensor, "b c h w"], Int64[Tensor, " b"]]]:
        """Every image once, in order, without augmentation; the last batch may be smaller."""
        for start in range(0, len(self), batch_size):
            rows = slice(start, start + batch_size)
            yield self.normalise(self.images[rows]), self.labels[rows]
