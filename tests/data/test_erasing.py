"""Random erasing: rectangles, their distribution, and the filled pixels."""

import dataclasses
from typing import Literal

import numpy as np
import pytest
import torch
from scipy.stats import binomtest, kstest

from slbench.data.augment.erasing import erase, rectangles
from slbench.recipes import RECIPES
from slbench.rng import generator

ALWAYS = dataclasses.replace(RECIPES["released"], erase=1.0)


def test_a_rectangle_is_filled_and_nothing_else() -> None:
    images = torch.ones(2, 3, 4, 5)
    boxes = torch.tensor([[1, 2, 2, 3], [0, 0, 0, 0]])
    out = erase(images, boxes, fill=torch.tensor([0.1, 0.2, 0.3])[:, None, None])
    assert out[0, 1].tolist() == [
        [1] * 5,
        [1, 1, *[pytest.approx(0.2)] * 3],
        [1, 1, *[pytest.approx(0.2)] * 3],
        [1] * 5,
    ]
    assert torch.equal(out[1], images[1])


def test_as_many_images_as_asked_have_one() -> None:
    boxes = rectangles(20_000, RECIPES["released"], size=(32, 32), source=generator(0, "test"))
    erased = (boxes[:, 2] > 0).sum().item()
    assert binomtest(int(erased), 20_000, 0.25).pvalue > 0.001


def test_rectangles_lie_within_the_image_and_reach_every_edge() -> None:
    boxes = rectangles(20_000, ALWAYS, size=(16, 24), source=generator(0, "test"))
    top, left, tall, wide = boxes.unbind(1)
    assert (tall > 0).all() and (wide > 0).all()
    assert top.min() == 0 and left.min() == 0
    assert (top + tall).max() == 16 and (left + wide).max() == 24


@pytest.mark.parametrize("draw", ["uniform", "log-uniform"])
def test_areas_and_aspects_are_distributed_as_defined(draw: Literal["uniform", "log-uniform"]) -> None:
    """On an image so large that rounding and rectangles that do not fit do not matter."""
    recipe = dataclasses.replace(ALWAYS, erase_aspect_draw=draw, erase_area=(0.01, 0.05))
    boxes = rectangles(5_000, recipe, size=(4000, 4000), source=generator(0, "test")).double().numpy()
    area, aspect = boxes[:, 2] * boxes[:, 3] / 4000**2, boxes[:, 2] / boxes[:, 3]
    assert kstest(area, "uniform", args=(0.01, 0.04)).pvalue > 0.001
    if draw == "uniform":
        assert kstest(aspect, "uniform", args=(0.3, 3.0)).pvalue > 0.001
    else:
        low, high = np.log(0.3), np.log(3.3)
        assert kstest(np.log(aspect), "uniform", args=(low, high - low)).pvalue > 0.001


def test_two_images_of_a_batch_get_rectangles_of_their_own() -> None:
    boxes = rectangles(50, ALWAYS, size=(32, 32), source=generator(0, "test"))
    assert len({tuple(box) for box in boxes.tolist()}) > 45
