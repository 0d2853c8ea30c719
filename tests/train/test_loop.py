"""Options of a recipe in the loop: accumulated batches, clipping, averaged weights, repeated images."""

import copy
import dataclasses
from collections import Counter
from typing import Any

import pytest
import torch

from slbench.data import load
from slbench.data.batches import Batch, Batches
from slbench.data.splits import ImageSet
from slbench.recipes import RECIPES
from slbench.torch_runtime import reproducible
from slbench.train.loop import Training, count_below_zero
from slbench.train.run import prepare
from tests.contracts.small import small
from tests.train.helpers import RECIPE, tiny

CPU = torch.device("cpu")


def training(**changes: Any) -> Training:
    spec = tiny("both", recipe=dataclasses.replace(RECIPE, **{"drop_path": 0.0, **changes}))
    with reproducible(1):
        return prepare(spec, load(spec.dataset), device=CPU, precision="fp32", on_progress=lambda progress: None)[0]


def batch(count: int) -> Batch:
    source = torch.Generator().manual_seed(count)
    images = torch.randn(count, 1, 32, 32, generator=source)
    labels = torch.randint(10, (2, count), generator=source)
    return Batch(images, labels[0], labels[1], 1.0)


def weights(training: Training) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in training.network.named_parameters()}


def test_accumulated_batches_step_as_one_large_batch() -> None:
    large = batch(8)
    halves = [
        Batch(large.images[part], large.labels[part], large.partners[part], 1.0) for part in (slice(0, 4), slice(4, 8))
    ]
    split, whole = training(), training()
    split._step(halves, epoch=1, first=0)
    whole._step([large], epoch=1, first=0)
    for name, parameter in weights(split).items():
        torch.testing.assert_close(parameter, weights(whole)[name], rtol=1e-5, atol=1e-6)


def norm_of_gradients(training: Training) -> float:
    return float(
        torch.cat(
            [parameter.grad.flatten() for parameter in training.network.parameters() if parameter.grad is not None]
        ).norm()
    )


def test_gradients_are_clipped_to_the_norm_of_the_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    norms: list[float] = []
    for limit in (None, 0.01):
        clipped = training(clip_norm=limit)
        monkeypatch.setattr(clipped.optimizer, "step", lambda clipped=clipped: norms.append(norm_of_gradients(clipped)))
        clipped._step([batch(8)], epoch=1, first=0)
    assert norms[0] > 0.02
    assert norms[1] == pytest.approx(0.01, rel=1e-3)


def test_averaged_weights_are_evaluated_and_not_trained() -> None:
    averaging, plain = training(ema_decay=0.75, lr=0.01), training(lr=0.01)
    path = []
    for number in range(3):
        for candidate in (averaging, plain):
            candidate._step([batch(8)], epoch=1, first=number)
        path.append(weights(plain))
    for name, parameter in averaging.evaluated.named_parameters():
        torch.testing.assert_close(weights(averaging)[name], path[-1][name])  # averaging changes no step
        average = 0.75 * (0.75 * path[0][name] + 0.25 * path[1][name]) + 0.25 * path[2][name]
        torch.testing.assert_close(parameter, average)
    before = copy.deepcopy(averaging.logits(averaging.test))
    with torch.no_grad():
        for parameter in averaging.network.parameters():
            parameter.zero_()
    assert torch.equal(averaging.logits(averaging.test), before)


def test_the_last_evaluation_is_not_computed_again_for_the_stored_outputs_but_that_of_other_weights_is() -> None:
    trained = training(epochs=1)
    (_,) = trained.epochs()
    evaluated = trained.test_logits
    assert evaluated is not None and trained.test_outputs() is evaluated
    assert torch.equal(evaluated, trained.logits(trained.test))
    state = trained.state()
    trained.restore(state)
    assert trained.test_logits is None  # a state says nothing of evaluations
    assert torch.equal(trained.test_outputs(), evaluated)
    trained._train_epoch(1)
    assert not torch.equal(trained.test_outputs(), evaluated)


def test_repeated_images_are_adjacent_and_augmented_independently() -> None:
    recipe = dataclasses.replace(RECIPES["paper"], batch_size=7, mixup=0.0, cutmix=0.0, erase=0.0, auto_augment="none")
    spec = tiny().dataset
    pixels = torch.randint(0, 256, (9, 1, 32, 32), dtype=torch.uint8).numpy()
    batches = Batches(ImageSet.of(pixels, torch.arange(9).numpy()), spec, device=CPU)
    epoch_batches = list(batches.training(recipe, seed=0, epoch=1))
    assert [len(item.labels) for item in epoch_batches] == [7, 7, 7, 6]
    labels = torch.cat([item.labels for item in epoch_batches])
    assert torch.equal(labels[0::3], labels[1::3]) and torch.equal(labels[0::3], labels[2::3])
    assert sorted(labels[::3].tolist()) == list(range(9))
    images = torch.cat([item.images for item in epoch_batches])
    equal = [torch.equal(images[i], images[i + 1]) for i in range(0, 27, 3)]
    assert sum(equal) < 3


def test_three_passes_contain_each_image_three_times_in_different_orders() -> None:
    recipe = dataclasses.replace(RECIPES["released"], batch_size=5)
    pixels = torch.zeros(20, 1, 32, 32, dtype=torch.uint8).numpy()
    batches = Batches(ImageSet.of(pixels, torch.arange(20).numpy()), tiny().dataset, device=CPU)
    order = batches.order(recipe, seed=0, epoch=1, images=20)
    assert Counter(order.tolist()) == dict.fromkeys(range(20), 3)
    assert len({tuple(part.tolist()) for part in order.reshape(3, 20)}) == 3
    once = batches.order(dataclasses.replace(recipe, passes=1), seed=0, epoch=1, images=20)
    assert torch.equal(order[:20], once)


def test_a_recipe_with_all_released_augmentations_trains() -> None:
    loop = training(auto_augment="imagenet", erase=0.25, erase_fill="raw-mean", cutmix=0.25, mixup=0.25, epochs=1)
    with reproducible(1):
        (metrics,) = loop.epochs()
    assert 0 < metrics.train_loss < 3
    assert metrics.scales_below_zero == 0


def test_negative_temperatures_are_counted() -> None:
    network = small("vit", "both")
    assert count_below_zero(network) == 0
    scale = dict(network.named_parameters())["blocks.1.attention.logits.scale"]
    with torch.no_grad():
        scale[1] = -0.01
    assert count_below_zero(network) == 1
    assert count_below_zero(small("vit", "none")) == 0
