"""AutoAugment: operations against Pillow, image by image, and draws against their definition."""

from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import binomtest, chisquare
from torchvision.transforms import AutoAugment, AutoAugmentPolicy, InterpolationMode  # type: ignore[import-untyped]
from torchvision.transforms.autoaugment import _apply_op  # type: ignore[import-untyped]

from slbench.data.augment import operations
from slbench.data.augment.policies import OPERATIONS, POLICIES, DrawnOperations, apply, auto_augment
from slbench.rng import generator

LEVELS = 10
SIGNED = {*OPERATIONS[:7], "Color", "Sharpness"}


def pictures(count: int, *, channels: int = 3, size: tuple[int, int] = (13, 17)) -> torch.Tensor:
    """Return noise, ramps of few values and constant images, so that lookup tables vary."""
    source = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (count, channels, *size), dtype=torch.uint8, generator=source)
    noise[1::4] = noise[1::4] // 9 + 100
    noise[2::4] = torch.arange(size[1], dtype=torch.uint8) * 3
    noise[3::8] = 77
    return noise


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
def test_turning_and_shearing_hit_the_same_pixels_in_other_sizes(size: tuple[int, int]) -> None:
    for name in ("ShearX", "ShearY", "Rotate", "TranslateX", "TranslateY"):
        images = pictures(LEVELS, size=size)
        level = torch.arange(LEVELS)
        out = apply(images, torch.full((LEVELS,), OPERATIONS.index(name)), level, level % 2 == 0)
        for i in range(LEVELS):
            value = magnitude(name, i, i % 2 == 0, size)
            expected = _apply_op(as_pillow(images[i]), name, value, InterpolationMode.NEAREST, None)
            assert torch.equal(out[i], as_tensor(expected)), (name, i)


def test_any_number_of_channels_goes_through_every_operation() -> None:
    images = pictures(len(OPERATIONS), channels=5)
    numbers, level = torch.arange(len(OPERATIONS)), torch.full((len(OPERATIONS),), 8)
    out = apply(images, numbers, level, numbers >= 0)
    assert out.shape == images.shape
    changed = (out != images).flatten(1).any(1)
    assert changed.sum() >= len(OPERATIONS) - 3  # some leave constant images unchanged


def test_a_grey_picture_has_no_colour_to_enhance() -> None:
    images = pictures(4, channels=1)
    assert torch.equal(operations.coloured(images, torch.tensor([0.1, 0.5, 1.5, 1.9])), images)


def test_images_without_an_operation_are_unchanged() -> None:
    images = pictures(6)
    assert torch.equal(
        apply(images, torch.full((6,), -1), torch.full((6,), 9), torch.ones(6, dtype=torch.bool)), images
    )


@pytest.mark.parametrize(("name", "policy"), [("cifar10", "CIFAR10"), ("svhn", "SVHN"), ("imagenet", "IMAGENET")])
def test_the_policies_are_the_published_ones(name: str, policy: str) -> None:
    published = AutoAugment(AutoAugmentPolicy[policy]).policies
    assert len(published) == len(POLICIES[name]) == 25
    for ours, theirs in zip(POLICIES[name], published, strict=True):
        assert ours == tuple((operation, chance, level or 0) for operation, chance, level in theirs)


@pytest.mark.parametrize(("name", "policy"), [("cifar10", "CIFAR10"), ("svhn", "SVHN"), ("imagenet", "IMAGENET")])
def test_a_batch_equals_torchvision_on_each_image_with_the_same_draws(
    monkeypatch: pytest.MonkeyPatch, name: str, policy: str
) -> None:
    images = pictures(200)
    draws = DrawnOperations.sample(200, source=generator(3, "test"))
    out = auto_augment(images, name, draws)
    theirs = AutoAugment(AutoAugmentPolicy[policy])
    for i in range(200):
        parameters = int(draws.sub_policy[i]), draws.chance[i], draws.positive[i].long()
        monkeypatch.setattr(theirs, "get_params", lambda count, parameters=parameters: parameters)
        assert torch.equal(out[i], as_tensor(theirs(as_pillow(images[i])))), i


def test_sub_policies_and_sides_are_equally_likely_and_chances_uniform() -> None:
    draws = DrawnOperations.sample(50_000, source=generator(0, "test"))
    assert chisquare(torch.bincount(draws.sub_policy, minlength=25).numpy()).pvalue > 0.001
    assert binomtest(int(draws.positive.sum()), 100_000).pvalue > 0.001
    tenths = torch.histc(draws.chance.flatten(), bins=10, min=0, max=1)
    assert chisquare(tenths.numpy()).pvalue > 0.001
    pairs = Counter(map(tuple, (draws.chance < 0.5).tolist()))  # the two operations act independently
    assert chisquare(list(pairs.values())).pvalue > 0.001


def test_an_operation_acts_with_its_probability() -> None:
    """The second sub-policy for CIFAR-10: rotate with 0.7, then translate with 0.3."""
    picture = pictures(1)[:1].expand(20_000, -1, -1, -1)
    draws = DrawnOperations.sample(20_000, source=generator(1, "test"))
    draws = DrawnOperations(torch.ones(20_000, dtype=torch.long), draws.chance, draws.positive)
    out = auto_augment(picture, "cifar10", draws)
    same = (out == picture).flatten(1).all(1).sum().item()
    assert binomtest(int(same), 20_000, 0.3 * 0.7).pvalue > 0.001


def test_two_images_of_a_batch_get_parameters_of_their_own() -> None:
    same = pictures(1)[:1].expand(500, -1, -1, -1)
    out = auto_augment(same, "cifar10", DrawnOperations.sample(500, source=generator(0, "test")))
    assert len({image.numpy().tobytes() for image in out}) > 60


@pytest.mark.gpu
def test_a_gpu_gives_the_same_images() -> None:
    images, draws = pictures(300), DrawnOperations.sample(300, source=generator(0, "test"))
    for name in POLICIES:
        assert torch.equal(auto_augment(images.cuda(), name, draws).cpu(), auto_augment(images, name, draws))
