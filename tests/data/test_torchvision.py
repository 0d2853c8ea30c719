"""The other batch operations against torchvision on each image, with the same parameters."""

import dataclasses
import math

import pytest
import torch
from torchvision.transforms import v2  # type: ignore[import-untyped]
from torchvision.transforms.v2 import functional as theirs  # type: ignore[import-untyped]

from slbench.data import DATASETS
from slbench.data.augment.erasing import erase, rectangles
from slbench.data.augment.mixing import Mix, mixed
from slbench.data.augment.pipeline import flip, padded_crop
from slbench.data.batches import Batches
from slbench.data.splits import ImageSet
from slbench.recipes import RECIPES
from slbench.rng import generator

COUNT, HEIGHT, WIDTH = 23, 13, 17
SOURCE = torch.Generator().manual_seed(0)
PIXELS = torch.randint(0, 256, (COUNT, 3, HEIGHT, WIDTH), dtype=torch.uint8, generator=SOURCE)
VALUES = torch.randn(COUNT, 3, HEIGHT, WIDTH, generator=SOURCE)


def test_a_flipped_image_is_torchvisions() -> None:
    chosen = torch.arange(COUNT) % 3 == 0
    for image, result, mirrored in zip(PIXELS, flip(PIXELS, chosen), chosen.tolist(), strict=True):
        assert torch.equal(result, theirs.horizontal_flip(image) if mirrored else image)


def test_a_padded_crop_is_torchvisions() -> None:
    offsets = torch.stack([torch.arange(COUNT) % 9, torch.arange(COUNT) * 5 % 9], dim=1)
    for image, result, (top, left) in zip(
        PIXELS, padded_crop(PIXELS, offsets, padding=4), offsets.tolist(), strict=True
    ):
        assert torch.equal(result, theirs.crop(theirs.pad(image, [4]), top, left, HEIGHT, WIDTH))


def test_a_normalised_image_is_torchvisions() -> None:
    spec = DATASETS["cifar100"].spec
    batches = Batches(ImageSet.of(PIXELS.numpy(), torch.zeros(COUNT).long().numpy()), spec, device=torch.device("cpu"))
    for image, result in zip(PIXELS, batches.normalise(PIXELS), strict=True):
        torch.testing.assert_close(result, theirs.normalize(theirs.to_dtype(image, scale=True), spec.mean, spec.std))


def test_an_erased_image_is_torchvisions() -> None:
    recipe = dataclasses.replace(RECIPES["released"], erase=0.7)
    boxes = rectangles(COUNT, recipe, size=(HEIGHT, WIDTH), source=generator(0, "test"))
    fill = torch.tensor([0.1, 0.2, 0.3])[:, None, None]
    for image, result, (top, left, tall, wide) in zip(
        VALUES, erase(VALUES, boxes, fill=fill), boxes.tolist(), strict=True
    ):
        assert torch.equal(result, theirs.erase(image, top, left, tall, wide, fill))


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_a_mixed_batch_and_the_shares_of_its_labels_are_torchvisions(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Its partners are the previous images."""
    labels, share = torch.arange(COUNT), 0.375
    transform = (v2.MixUp if kind == "mixup" else v2.CutMix)(num_classes=COUNT)
    box = (2, 3, 5, 7)  # top, left, height, width
    params = {"lam": share}
    if kind == "cutmix":
        top, left, tall, wide = box
        share = 1 - tall * wide / (HEIGHT * WIDTH)
        params = {"box": (left, top, left + wide, top + tall), "lam_adjusted": share}  # type: ignore[dict-item]
    monkeypatch.setattr(transform, "make_params", lambda inputs: params)
    images, weights = transform(VALUES, labels)
    partners = torch.roll(labels, 1)
    ours = mixed(VALUES, Mix(kind, share, box if kind == "cutmix" else (0, 0, 0, 0), partners))
    torch.testing.assert_close(ours, images)
    for row in range(COUNT):
        assert math.isclose(weights[row, labels[row]].item(), share, rel_tol=1e-6)
        assert math.isclose(weights[row, partners[row]].item(), 1 - share, rel_tol=1e-6)
