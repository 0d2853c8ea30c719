"""Batches of uint8 images from device memory, host memory or disk, augmented and normalised on the training device."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from slbench.data.augment.erasing import erase, rectangles
from slbench.data.augment.mixing import Mix, mixed
from slbench.data.augment.pipeline import augment
from slbench.data.images.source import Images, InMemoryImages, Rows
from slbench.data.specs import DatasetSpec
from slbench.data.splits import ImageSet
from slbench.recipes import Recipe
from slbench.rng import generator


@dataclass(frozen=True)
class Batch:
    """Images and labels of one training step."""

    images: Float[Tensor, "b c h w"]  # augmented and normalised
    labels: Int64[Tensor, " b"]
    partners: Int64[Tensor, " b"]  # labels of the images mixed in
    share: float  # weight of the images' own labels; 1 without mixing


class DeviceImages:
    """Images in device memory, or in host memory if they would fill more than half of the free device memory."""

    def __init__(self, images: Images, *, device: torch.device) -> None:
        self.images = torch.from_numpy(images).to(device if fits(images.nbytes, device) else "cpu")

    def batches_of(self, choices: Sequence[Rows]) -> Generator[UInt8[Tensor, "b c h w"], None, None]:
        """Yield the images of each selection of rows."""
        for rows in choices:
            yield self.images[torch.from_numpy(rows).to(self.images.device)]


def fits(size: int, device: torch.device) -> bool:
    """Return whether `size` bytes of images leave half of the free device memory."""
    return device.type != "cuda" or size <= torch.cuda.mem_get_info(device)[0] // 2


class Batches:
    """Normalised batches of an image set on a device."""

    def __init__(self, part: ImageSet, spec: DatasetSpec, *, device: torch.device) -> None:
        self.images = (
            DeviceImages(part.array, device=device) if isinstance(part.images, InMemoryImages) else part.images
        )
        self.labels = torch.from_numpy(part.labels).to(device)
        self.mean = torch.tensor(spec.mean, device=device)[:, None, None]
        self.std = torch.tensor(spec.std, device=device)[:, None, None]

    def __len__(self) -> int:
        return len(self.labels)

    def normalise(self, images: UInt8[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return (pixels / 255 - mean) / std, channel by channel."""
        return (images.float() / 255 - self.mean) / self.std

    def training(
        self, recipe: Recipe, *, seed: int, epoch: int, first: int = 0, images: int | None = None
    ) -> Iterator[Batch]:
        """Yield the batches of one epoch, shuffled and augmented by streams of (seed, epoch, batch number).

        Args:
            first: number of the first batch.
            images: images drawn per pass; more than there are repeats them; default: each image once.
        """
        images = len(self) if images is None else images
        order = self.order(recipe, seed=seed, epoch=epoch, images=images).numpy()
        numbers = range(first, recipe.batches(images))
        choices = [order[number * recipe.batch_size : (number + 1) * recipe.batch_size] for number in numbers]
        with closing(self.load(choices)) as batches:
            for number, (pixels, labels) in zip(numbers, batches, strict=True):
                augmented = augment(pixels, recipe, source=generator(seed, epoch, number, "augment"))
                yield self.finish(augmented, labels, recipe, seed=seed, epoch=epoch, number=number)

    def load(
        self, choices: Sequence[Rows]
    ) -> Generator[tuple[UInt8[Tensor, "b c h w"], Int64[Tensor, " b"]], None, None]:
        """Yield the images and labels of each selection of rows, on the device."""
        device = self.labels.device
        with closing(self.images.batches_of(choices)) as stacks:
            for rows, images in zip(choices, stacks, strict=True):
                yield torch.as_tensor(images).to(device), self.labels[torch.from_numpy(rows).to(device)]

    def order(self, recipe: Recipe, *, seed: int, epoch: int, images: int) -> Int64[Tensor, " n"]:
        """Return the image index at each position of an epoch: shuffled passes, each image `repeats` times in a row.

        Args:
            images: images drawn per pass of the recipe.
        """
        source = generator(seed, epoch, "order")
        count = images * recipe.passes
        shuffled = [torch.randperm(len(self), generator=source) for _ in range(-(-count // len(self)))]
        return torch.cat(shuffled)[:count].repeat_interleave(recipe.repeats)

    def finish(
        self,
        images: UInt8[Tensor, "b c h w"],
        labels: Int64[Tensor, " b"],
        recipe: Recipe,
        *,
        seed: int,
        epoch: int,
        number: int,
    ) -> Batch:
        """Return augmented images normalised, erased and mixed."""
        size = (images.shape[2], images.shape[3])
        batch = self.normalise(images)
        if recipe.erase:
            boxes = rectangles(len(batch), recipe, size=size, source=generator(seed, epoch, number, "erase"))
            raw = self.mean if recipe.erase_fill == "raw-mean" else torch.zeros_like(self.mean)
            batch = erase(batch, boxes.to(batch.device), fill=raw)
        if not (recipe.cutmix or recipe.mixup):
            return Batch(batch, labels, labels, 1.0)
        mix = Mix.sample(len(batch), recipe, size=size, source=generator(seed, epoch, number, "mix"))
        return Batch(mixed(batch, mix), labels, labels[mix.partners.to(labels.device)], mix.share)

    def in_order(self, batch_size: int) -> Iterator[tuple[Float[Tensor, "b c h w"], Int64[Tensor, " b"]]]:
        """Yield every image once, in order, without augmentation; the last batch may be smaller."""
        rows = np.arange(len(self))
        choices = [rows[start : start + batch_size] for start in range(0, len(self), batch_size)]
        with closing(self.load(choices)) as batches:
            for images, labels in batches:
                yield self.normalise(images), labels
