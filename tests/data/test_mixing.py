"""CutMix and Mixup: partners, shares and frequencies."""

import dataclasses
from collections import Counter

import pytest
import torch
from scipy.stats import binomtest, kstest

from slbench.data.augment.mixing import Mix, mixed
from slbench.recipes import RECIPES, Recipe
from slbench.rng import generator

RELEASED = RECIPES["released"]


def draws(recipe: Recipe, count: int, *, size: tuple[int, int] = (32, 32)) -> list[Mix]:
    return [Mix.sample(8, recipe, size=size, source=generator(0, "test", i)) for i in range(count)]


def only(kind: str, alpha: float = 1.0) -> Recipe:
    return dataclasses.replace(
        RELEASED, cutmix=float(kind == "cutmix"), mixup=float(kind == "mixup"), cutmix_alpha=alpha, mixup_alpha=alpha
    )


def test_mixup_is_a_sum_of_images_by_their_shares() -> None:
    images = torch.arange(3.0).reshape(3, 1, 1, 1).expand(3, 2, 4, 4)
    out = mixed(images, Mix("mixup", 0.75, (0, 0, 0, 0), torch.tensor([2, 0, 1])))
    assert out[:, 0, 0, 0].tolist() == [0.5, 0.75, 1.75]


def test_cutmix_takes_a_box_of_the_partner() -> None:
    images = torch.arange(2.0).reshape(2, 1, 1, 1).expand(2, 1, 3, 4)
    out = mixed(images, Mix("cutmix", 10 / 12, (1, 2, 1, 2), torch.tensor([1, 0])))
    assert out[0, 0].tolist() == [[0, 0, 0, 0], [0, 0, 1, 1], [0, 0, 0, 0]]
    assert out[1, 0].tolist() == [[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 1]]


def test_a_batch_that_is_not_mixed_stays() -> None:
    images = torch.randn(2, 1, 3, 3)
    assert mixed(images, Mix("none", 1.0, (0, 0, 0, 0), torch.tensor([1, 0]))) is images


def test_a_quarter_of_the_batches_is_cut_a_quarter_mixed_and_half_left() -> None:
    kinds = Counter(mix.kind for mix in draws(RELEASED, 2000))
    for kind, probability in (("cutmix", 0.25), ("mixup", 0.25), ("none", 0.5)):
        assert binomtest(kinds[kind], 2000, probability).pvalue > 0.001
    assert all(mix.share == 1.0 for mix in draws(RELEASED, 50) if mix.kind == "none")


@pytest.mark.parametrize("alpha", [1.0, 0.3])
def test_the_share_of_mixup_is_beta_distributed(alpha: float) -> None:
    shares = [mix.share for mix in draws(only("mixup", alpha), 2000)]
    assert kstest(shares, "beta", args=(alpha, alpha)).pvalue > 0.001


def test_the_share_of_cutmix_is_what_the_box_leaves() -> None:
    for mix in draws(only("cutmix"), 300, size=(24, 40)):
        top, left, tall, wide = mix.box
        assert 0 <= top <= top + tall <= 24 and 0 <= left <= left + wide <= 40
        assert mix.share == 1 - tall * wide / (24 * 40)


def test_boxes_have_the_shape_of_the_image_where_no_edge_cuts_them() -> None:
    """With Beta(1, 1) the uncut share of the area is uniform."""
    uncut = []
    for mix in draws(only("cutmix"), 3000, size=(4000, 4000)):
        top, left, tall, wide = mix.box
        if top > 0 and left > 0 and top + tall < 4000 and left + wide < 4000:
            assert tall == wide
            uncut.append(tall / 4000)
    assert len(uncut) > 300
    # A side s is uncut for (1 - s)^2 of the centres; its density is 2 s.
    assert kstest(uncut, lambda s: 6 * s**2 - 8 * s**3 + 3 * s**4).pvalue > 0.001


def test_partners_are_an_order_of_the_batch() -> None:
    mixes = draws(only("mixup"), 30)
    assert all(sorted(mix.partners.tolist()) == list(range(8)) for mix in mixes)
    assert len({tuple(mix.partners.tolist()) for mix in mixes}) == 30
