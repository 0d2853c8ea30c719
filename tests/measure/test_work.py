"""The work of a run, known before it: by hand, and against the count of a finished run."""

import dataclasses

import pytest

from slbench.gpu_check import CHANNELS, CLASSES, PAIRS, SMALL
from slbench.measure.compute_budget import ComputeBudget, forward_macs, total, work
from slbench.measure.macs import count
from slbench.measure.network import Network
from slbench.methods import METHODS
from tests.support import runs

FORWARD = 11_232  # multiply-adds of the tiny network of tests/support.py, by fvcore


def test_training_counts_three_times_and_evaluation_once() -> None:
    (run,) = runs(set={"recipe.epochs": 2, "recipe.batch_size": 512})
    trained = 2 * 17 * 512  # 9,000 images are left of 10,000, cut into batches of 512
    evaluated = 2 * (1_000 + 2_000)
    assert work(run.spec) == ComputeBudget(trained, FORWARD * (3 * trained + evaluated))


def test_without_a_validation_split_only_the_test_images_are_evaluated() -> None:
    (run,) = runs(set={"recipe.epochs": 1, "recipe.batch_size": 1000}, protocol="full")
    assert work(run.spec) == ComputeBudget(10_000, FORWARD * (30_000 + 2_000))


def test_the_work_of_runs_adds_up() -> None:
    found = runs({"seed": [0, 1], "method": ["none", "lsa"]})
    assert total(run.spec for run in found) == ComputeBudget(
        sum(work(run.spec).images for run in found), sum(work(run.spec).macs for run in found)
    )
    assert total([]) == ComputeBudget(0, 0)


@pytest.mark.parametrize("pair", [pair for pair in PAIRS if pair[1] in ("none", "both")])
def test_the_count_is_that_of_a_finished_run(pair: tuple[str, str]) -> None:
    spec, image_size = SMALL[pair[0]]
    network = Network.resolve(spec, METHODS[pair[1]], image_size=image_size, in_channels=CHANNELS, num_classes=CLASSES)
    assert forward_macs(network) == count(network.build(), image_size=image_size, in_channels=CHANNELS).macs
    assert forward_macs(dataclasses.replace(network, num_classes=CLASSES + 1)) != forward_macs(network)
