"""The state that a checkpoint is compared with is the one that training writes, for every network."""

import dataclasses

import pytest

from slbench.backbones import meta_network, resolve_network
from slbench.image_shape import ImageShape
from slbench.methods import METHODS
from slbench.recipes import RECIPES
from slbench.train.loss import CrossEntropy
from slbench.train.optim import make_optimizer
from slbench.train.parts import TrainingParts
from slbench.train.resume_check import check_optimizer, check_temperatures, check_tensors
from slbench.train.temperatures import TemperatureHistory
from tests.contracts.small import CHANNELS, CLASSES, PAIRS, SMALL, loss, small

RECIPE = dataclasses.replace(RECIPES["quick"], lr=0.001)
QUICK = {("vit", "both"), ("swin", "none")}
MARKED = [pair if pair in QUICK else pytest.param(*pair, marks=pytest.mark.slow) for pair in PAIRS]


@pytest.mark.parametrize(("backbone", "method"), MARKED)
def test_the_state_after_a_step_fits_the_network_of_the_spec(backbone: str, method: str) -> None:
    network = small(backbone, method)
    optimizer, history = make_optimizer(network, RECIPE), TemperatureHistory(network)
    loss(network, backbone).backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    history.add(1)

    unresolved, size = SMALL[backbone]
    shape = ImageShape(size, CHANNELS, CLASSES)
    spec, resolved_method = resolve_network(unresolved, METHODS[method], shape=shape)
    expected = meta_network(spec, resolved_method, shape=shape)
    parts = TrainingParts(
        loss=CrossEntropy(0.0), optimizer=make_optimizer(expected, RECIPE), schedule=lambda step: 0.001
    )
    check_tensors(network.state_dict(), expected.state_dict(), "network")
    check_optimizer(optimizer.state_dict(), parts)
    check_temperatures(history.state(), expected, epochs=1)
