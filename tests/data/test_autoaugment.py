"""AutoAugment: draws against their definition; operations and policies against torchvision: test_torchvision.py."""

from collections import Counter

import pytest
import torch
from scipy.stats import binomtest, chisquare

from slbench.data.augment import operations
from slbench.data.augment.policies import OPERATIONS, POLICIES, DrawnOperations, apply, auto_augment
from slbench.rng import generator
from tests.data.made import pictures


def test_every_operation_accepts_any_number_of_channels() -> None:
    images = pictures(len(OPERATIONS), channels=5)
    numbers, level = torch.arange(len(OPERATIONS)), torch.full((len(OPERATIONS),), 8)
    out = apply(images, numbers, level, numbers >= 0)
    assert out.shape == images.shape
    changed = (out != images).flatten(1).any(1)
    assert changed.sum() >= len(OPERATIONS) - 3  # some leave constant images unchanged


def test_color_leaves_grey_images_unchanged() -> None:
    images = pictures(4, channels=1)
    assert torch.equal(operations.coloured(images, torch.tensor([0.1, 0.5, 1.5, 1.9])), images)


def test_images_without_an_operation_are_unchanged() -> None:
    images = pictures(6)
    assert torch.equal(
        apply(images, torch.full((6,), -1), torch.full((6,), 9), torch.ones(6, dtype=torch.bool)), images
    )


def test_sub_policies_and_sides_are_equally_likely_and_chances_uniform() -> None:
    draws = DrawnOperations.sample(50_000, source=generator(0, "test"))
    assert chisquare(torch.bincount(draws.sub_policy, minlength=25).numpy()).pvalue > 0.001
    assert binomtest(int(draws.positive.sum()), 100_000).pvalue > 0.001
    tenths = torch.histc(draws.chance.flatten(), bins=10, min=0, max=1)
    assert chisquare(tenths.numpy()).pvalue > 0.001
    pairs = Counter(map(tuple, (draws.chance < 0.5).tolist()))  # the two operations act independently
    assert chisquare(list(pairs.values())).pvalue > 0.001


def test_operations_are_applied_with_their_probability() -> None:
    """The second sub-policy for CIFAR-10: rotate with 0.7, then translate with 0.3."""
    picture = pictures(1)[:1].expand(20_000, -1, -1, -1)
    draws = DrawnOperations.sample(20_000, source=generator(1, "test"))
    draws = DrawnOperations(torch.ones(20_000, dtype=torch.long), draws.chance, draws.positive)
    out = auto_augment(picture, "cifar10", draws)
    same = (out == picture).flatten(1).all(1).sum().item()
    assert binomtest(int(same), 20_000, 0.3 * 0.7).pvalue > 0.001


def test_images_of_a_batch_get_different_parameters() -> None:
    same = pictures(1)[:1].expand(500, -1, -1, -1)
    out = auto_augment(same, "cifar10", DrawnOperations.sample(500, source=generator(0, "test")))
    assert len({image.numpy().tobytes() for image in out}) > 60


@pytest.mark.gpu
def test_auto_augment_on_gpu_and_cpu_is_equal() -> None:
    images, draws = pictures(300), DrawnOperations.sample(300, source=generator(0, "test"))
    for name in POLICIES:
        assert torch.equal(auto_augment(images.cuda(), name, draws).cpu(), auto_augment(images, name, draws))
