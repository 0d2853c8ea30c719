"""The compute budget of a run before training: by hand, and against the count of a finished run."""

import dataclasses

import pytest

from slbench.image_shape import ImageShape
from slbench.measure.compute_budget import ComputeBudget, compute_budget, forward_macs, total
from slbench.measure.macs import count
from slbench.measure.network import Network
from slbench.methods import METHODS
from tests.contracts.small import CHANNELS, CLASSES, PAIRS, SMALL, small
from tests.support import runs

FORWARD = 11_232  # multiply-adds of the tiny network of tests/support.py, by fvcore


def test_training_counts_three_times_and_evaluation_once() -> None:
    (run,) = runs(set={"recipe.epochs": 2, "recipe.batch_size": 512})
    trained = 2 * 17 * 512  # batches of 512 of the 9,000 training images
    evaluated = 2 * (1_000 + 2_000)
    assert compute_budget(run.spec) == ComputeBudget(trained, FORWARD * (3 * trained + evaluated))


def test_without_a_validation_split_only_the_test_images_are_evaluated() -> None:
    (run,) = runs(set={"recipe.epochs": 1, "recipe.batch_size": 1000}, protocol="full")
    assert compute_budget(run.spec) == ComputeBudget(10_000, FORWARD * (30_000 + 2_000))


def test_the_total_is_the_sum_over_runs() -> None:
    study_runs = runs({"seed": [0, 1], "method": ["none", "lsa"]})
    assert total(run.spec for run in study_runs) == ComputeBudget(
        sum(compute_budget(run.spec).images for run in study_runs),
        sum(compute_budget(run.spec).macs for run in study_runs),
    )
    assert total([]) == ComputeBudget(0, 0)


def quick(backbone: str, method: str) -> bool:
    """Return whether the quick tests include a pair: ViT with SPT, LSA and both, others with both; one CNN."""
    few = (("vit", "none"), ("vit", "lsa"), ("resnet56", "none"))
    return (backbone, method) in few or (method == "both" and not backbone.endswith("-as-preset"))


def test_another_network_has_another_count() -> None:
    spec, image_size = SMALL["vit"]
    network = Network.resolve(spec, METHODS["none"], shape=ImageShape(image_size, CHANNELS, CLASSES))
    assert forward_macs(dataclasses.replace(network, num_classes=CLASSES + 1)) != forward_macs(network)


@pytest.mark.parametrize(
    ("backbone", "method"), [pytest.param(*pair, marks=() if quick(*pair) else pytest.mark.slow) for pair in PAIRS]
)
def test_the_counter_of_torch_agrees_with_the_count_of_a_finished_run(backbone: str, method: str) -> None:
    spec, image_size = SMALL[backbone]
    network = Network.resolve(spec, METHODS[method], shape=ImageShape(image_size, CHANNELS, CLASSES))
    cost = count(small(backbone, method), shape=network.shape)
    assert forward_macs(network) == cost.macs
