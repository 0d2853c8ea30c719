"""Augmentation and checksums of data sets against torchvision, image by image.

All are slow tests, since importing torchvision takes seconds in each process.
"""

import dataclasses
import math

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import datasets
from torchvision.transforms import AutoAugment, AutoAugmentPolicy, InterpolationMode, v2
from torchvision.transforms.autoaugment import _apply_op
from torchvision.transforms.v2 import functional as theirs

from slbench.data import DATASETS
from slbench.data.augment.erasing import erase, rectangles
from slbench.data.augment.mixing import Mix, mixed
from slbench.data.augment.pipeline import flip, padded_crop
from slbench.data.augment.policies import OPERATIONS, POLICIES, DrawnOperations, apply, auto_augment
from slbench.data.batches import Batches
from slbench.data.splits import ImageSet
from slbench.recipes import RECIPES
from slbench.rng import generator
from tests.data.made import pictures

pytestmark = pytest.mark.slow

LEVELS = 10
SIGNED = {*OPERATIONS[:7], "Color", "Sharpness"}
COUNT, HEIGHT, WIDTH = 23, 13, 17
SOURCE = torch.Generator().manual_seed(0)
PIXELS = torch.randint(0, 256, (COUNT, 3, HEIGHT, WIDTH), dtype=torch.uint8, generator=SOURCE)
VALUES = torch.randn(COUNT, 3, HEIGHT, WIDTH, generator=SOURCE)


def test_flip_equals_torchvision() -> None:
    chosen = torch.arange(COUNT) % 3 == 0
    for image, result, mirrored in zip(PIXELS, flip(PIXELS, chosen), chosen.tolist(), strict=True):
        assert torch.equal(result, theirs.horizontal_flip(image) if mirrored else image)


def test_padded_crop_equals_torchvision() -> None:
    offsets = torch.stack([torch.arange(COUNT) % 9, torch.arange(COUNT) * 5 % 9], dim=1)
    for image, result, (top, left) in zip(
        PIXELS, padded_crop(PIXELS, offsets, padding=4), offsets.tolist(), strict=True
    ):
        assert torch.equal(result, theirs.crop(theirs.pad(image, [4]), top, left, HEIGHT, WIDTH))


def test_normalisation_equals_torchvision() -> None:
    spec = DATASETS["cifar100"].spec
    batches = Batches(ImageSet.of(PIXELS.numpy(), torch.zeros(COUNT).long().numpy()), spec, device=torch.device("cpu"))
    for image, result in zip(PIXELS, batches.normalise(PIXELS), strict=True):
        torch.testing.assert_close(result, theirs.normalize(theirs.to_dtype(image, scale=True), spec.mean, spec.std))


def test_erasing_equals_torchvision() -> None:
    recipe = dataclasses.replace(RECIPES["released"], erase=0.7)
    boxes = rectangles(COUNT, recipe, size=(HEIGHT, WIDTH), source=generator(0, "test"))
    fill = torch.tensor([0.1, 0.2, 0.3])[:, None, None]
    for image, result, (top, left, tall, wide) in zip(
        VALUES, erase(VALUES, boxes, fill=fill), boxes.tolist(), strict=True
    ):
        assert torch.equal(result, theirs.erase(image, top, left, tall, wide, fill))


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_mixed_images_and_label_weights_equal_torchvision(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """In torchvision the partner of an image is the previous one."""
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


def as_pillow(picture: torch.Tensor) -> Image.Image:
    array = picture.permute(1, 2, 0).numpy()
    return Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)


def as_tensor(image: Image.Image) -> torch.Tensor:
    array = np.asarray(image)
    return torch.from_numpy(array.reshape(*array.shape[:2], -1).copy()).permute(2, 0, 1)


def magnitude(name: str, level: int, positive: bool, size: tuple[int, int]) -> float:
    """Return torchvision's magnitude of a level."""
    space = AutoAugment(AutoAugmentPolicy.CIFAR10)._augmentation_space(LEVELS, size)
    table, signed = space[name]
    assert signed == (name in SIGNED)
    value = float(table[level]) if table.ndim else 0.0
    return -value if signed and not positive else value


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_equals_pillow_on_each_image(name: str, channels: int) -> None:
    cases = [(level, positive) for level in range(LEVELS) for positive in (False, True)] * 4
    images = pictures(len(cases), channels=channels)
    level = torch.tensor([case[0] for case in cases])
    positive = torch.tensor([case[1] for case in cases])
    out = apply(images, torch.full((len(cases),), OPERATIONS.index(name)), level, positive)
    for image, result, case in zip(images, out, cases, strict=True):
        expected = _apply_op(as_pillow(image), name, magnitude(name, *case, (13, 17)), InterpolationMode.NEAREST, None)
        assert torch.equal(result, as_tensor(expected)), case


@pytest.mark.parametrize("size", [(32, 32), (64, 64), (9, 30)])
def test_geometric_operations_equal_pillow_for_other_image_sizes(size: tuple[int, int]) -> None:
    for name in ("ShearX", "ShearY", "Rotate", "TranslateX", "TranslateY"):
        images = pictures(LEVELS, size=size)
        level = torch.arange(LEVELS)
        out = apply(images, torch.full((LEVELS,), OPERATIONS.index(name)), level, level % 2 == 0)
        for i in range(LEVELS):
            value = magnitude(name, i, i % 2 == 0, size)
            expected = _apply_op(as_pillow(images[i]), name, value, InterpolationMode.NEAREST, None)
            assert torch.equal(out[i], as_tensor(expected)), (name, i)


@pytest.mark.parametrize(("name", "policy"), [("cifar10", "CIFAR10"), ("svhn", "SVHN"), ("imagenet", "IMAGENET")])
def test_the_policies_are_the_published_ones(name: str, policy: str) -> None:
    policies = AutoAugment(AutoAugmentPolicy[policy]).policies
    assert len(policies) == len(POLICIES[name]) == 25
    for ours, published in zip(POLICIES[name], policies, strict=True):
        assert ours == tuple((operation, chance, level or 0) for operation, chance, level in published)


@pytest.mark.parametrize(("name", "policy"), [("cifar10", "CIFAR10"), ("svhn", "SVHN"), ("imagenet", "IMAGENET")])
def test_auto_augment_equals_torchvision_with_the_same_draws(
    monkeypatch: pytest.MonkeyPatch, name: str, policy: str
) -> None:
    images = pictures(200)
    draws = DrawnOperations.sample(200, source=generator(3, "test"))
    out = auto_augment(images, name, draws)
    transform = AutoAugment(AutoAugmentPolicy[policy])
    for i in range(200):
        parameters = int(draws.sub_policy[i]), draws.chance[i], draws.positive[i].long()
        monkeypatch.setattr(transform, "get_params", lambda count, parameters=parameters: parameters)
        assert torch.equal(out[i], as_tensor(transform(as_pillow(images[i])))), i


def test_checksums_and_urls_equal_torchvision() -> None:
    published = {
        "cifar10": [(datasets.CIFAR10.tgz_md5, datasets.CIFAR10.url)],
        "cifar100": [(datasets.CIFAR100.tgz_md5, datasets.CIFAR100.url)],
        "svhn": [(md5, url) for url, _, md5 in (datasets.SVHN.split_list[part] for part in ("train", "test"))],
        "fashion-mnist": [
            (md5, f"{datasets.FashionMNIST.mirrors[0]}{name}") for name, md5 in datasets.FashionMNIST.resources
        ],
    }
    for name, archives in published.items():
        for archive, (md5, url) in zip(DATASETS[name].archives, archives, strict=True):
            assert archive.md5 == md5
            assert url in archive.urls
            assert all(archive.name in mirror for mirror in archive.urls)
