"""Batches of images that stay in memory, on the device that trains, as uint8."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from slbench.data.augment import augment
from slbench.data.erasing import erase, rectangles
from slbench.data.mixing import Mix, mixed
from slbench.data.specs import DatasetSpec
from slbench.data.splits import Part
from slbench.recipes import Recipe
from slbench.streams import generator


@dataclass(frozen=True)
class Batch:
    """What one training step sees."""

    images: Float[Tensor, "b c h w"]  # augmented and normalised
    labels: Int64[Tensor, " b"]
    partners: Int64[Tensor, " b"]  # labels of what was mixed into the images
    share: float  # of the images' own labels; 1 where nothing was mixed


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

    def training(self, recipe: Recipe, *, seed: int, epoch: int, first: int = 0) -> Iterator[Batch]:
        """The batches of one epoch, shuffled and augmented by streams of (seed, epoch, number of the batch).

        Args:
            first: the number of the batch to begin with.
        """
        order = self.order(recipe, seed=seed, epoch=epoch).to(self.labels.device)
        for number in range(first, recipe.batches(len(self))):
            rows = order[number * recipe.batch_size : (number + 1) * recipe.batch_size]
            images = augment(self.images[rows], recipe, source=generator(seed, epoch, number, "augment"))
            yield self.finished(images, self.labels[rows], recipe, seed=seed, epoch=epoch, number=number)

    def order(self, recipe: Recipe, *, seed: int, epoch: int) -> Int64[Tensor, " n"]:
        """The image at each place of an epoch: shuffled passes in turn, each image `repeats` times in a row."""
        source = generator(seed, epoch, "order")
        passes = [torch.randperm(len(self), generator=source) for _ in range(recipe.passes)]
        return torch.cat(passes).repeat_interleave(recipe.repeats)

    def finished(
        self,
        images: UInt8[Tensor, "b c h w"],
        labels: Int64[Tensor, " b"],
        recipe: Recipe,
        *,
        seed: int,
        epoch: int,
        number: int,
    ) -> Batch:
        """Augmented images normalised, erased and mixed."""
        size = (images.shape[2], images.shape[3])
        batch = self.normalise(images)
        if recipe.erase:
            boxes = rectangles(len(batch), recipe, size=size, source=generator(seed, epoch, number, "erase"))
            raw = self.mean if recipe.erase_fill == "raw-mean" else torch.zeros_like(self.mean)
            batch = erase(batch, boxes.to(batch.device), fill=raw)
        if not (recipe.cutmix or recipe.mixup):
            return Batch(batch, labels, labels, 1.0)
        mix = Mix.of(len(batch), recipe, size=size, source=generator(seed, epoch, number, "mix"))
        return Batch(mixed(batch, mix), labels, labels[mix.partners.to(labels.device)], mix.share)

    def in_order(self, batch_size: int) -> Iterator[tuple[Float[Tensor, "b c h w"], Int64[Tensor, " b"]]]:
        """Every image once, in order, without augmentation; the last batch may be smaller."""
        for start in range(0, len(self), batch_size):
            rows = slice(start, start + batch_size)
            yield self.normalise(self.images[rows]), self.labels[rows]
