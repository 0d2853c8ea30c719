"""Augmentation with independent draws per image."""

import dataclasses

import pytest
import torch

from slbench.data import DATASETS
from slbench.data.augment.pipeline import augment, flip, padded_crop
from slbench.data.batches import Batches
from slbench.data.splits import ImageSet
from slbench.recipes import RECIPES
from slbench.rng import generator

RECIPE = dataclasses.replace(RECIPES["quick"], crop_padding=2, batch_size=4)


def images(count: int) -> torch.Tensor:
    return torch.randint(1, 256, (count, 3, 5, 7), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_only_the_chosen_images_are_mirrored() -> None:
    batch = torch.tensor([[1, 2, 3], [4, 5, 6]], dtype=torch.uint8).reshape(2, 1, 1, 3)
    flipped = flip(batch, torch.tensor([False, True]))
    assert flipped.flatten(1).tolist() == [[1, 2, 3], [6, 5, 4]]


def test_a_crop_is_a_window_of_the_padded_image() -> None:
    batch = torch.arange(1, 10, dtype=torch.uint8).reshape(1, 1, 3, 3).expand(3, 1, 3, 3)
    crops = padded_crop(batch, torch.tensor([[1, 1], [0, 0], [2, 1]]), padding=1)
    assert crops[0, 0].tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    assert crops[1, 0].tolist() == [[0, 0, 0], [0, 1, 2], [0, 4, 5]]
    assert crops[2, 0].tolist() == [[4, 5, 6], [7, 8, 9], [0, 0, 0]]


def test_every_image_is_one_of_the_crops_of_itself_or_its_mirror_image() -> None:
    batch = images(17)
    out = augment(batch, RECIPE, source=generator(0, "test"))
    offsets = [(down, right) for down in range(5) for right in range(5)]
    for image, result in zip(batch, out, strict=True):
        candidates = [
            padded_crop(flip(image[None], torch.tensor([mirrored])), torch.tensor([offset]), padding=2)[0]
            for mirrored in (False, True)
            for offset in offsets
        ]
        assert any(torch.equal(result, candidate) for candidate in candidates)


def test_images_of_one_batch_get_different_draws() -> None:
    same = images(1).expand(64, -1, -1, -1)
    out = augment(same, RECIPE, source=generator(0, "test"))
    assert len({image.numpy().tobytes() for image in out}) > 30  # of 50 equally likely results


def test_half_of_the_images_are_flipped_and_every_offset_is_as_likely() -> None:
    recipe = dataclasses.replace(RECIPE, crop_padding=1)
    same = torch.arange(1, 10, dtype=torch.uint8).reshape(1, 1, 3, 3).expand(9000, 1, 3, 3)
    out = augment(same, recipe, source=generator(0, "test"))
    kinds, counts = torch.unique(out.flatten(1), dim=0, return_counts=True)
    assert len(kinds) == 18
    chi_squared = ((counts - 500) ** 2 / 500).sum().item()
    assert chi_squared < 40.8  # 99.9 % quantile with 17 degrees of freedom


def test_turning_one_operation_off_leaves_the_draws_of_the_other() -> None:
    batch = images(17)
    cropped = augment(batch, dataclasses.replace(RECIPE, flip=False), source=generator(0, "test"))
    flipped = augment(batch, dataclasses.replace(RECIPE, crop_padding=0), source=generator(0, "test"))
    both = augment(batch, RECIPE, source=generator(0, "test"))
    mirrored = [not torch.equal(image, result) for image, result in zip(batch, flipped, strict=True)]
    for index, was_mirrored in enumerate(mirrored):
        if not was_mirrored:
            assert torch.equal(cropped[index], both[index])


def test_without_augmentation_the_batch_is_left_alone() -> None:
    batch = images(5)
    recipe = dataclasses.replace(RECIPE, flip=False, crop_padding=0)
    assert torch.equal(augment(batch, recipe, source=generator(0, "test")), batch)


def batches(count: int) -> Batches:
    labels = torch.arange(count)
    spec = dataclasses.replace(DATASETS["fashion-mnist-12k"].spec, mean=(0.5, 0.25, 0.0), std=(0.5, 1.0, 2.0))
    return Batches(ImageSet.of(images(count).numpy(), labels.numpy()), spec, device=torch.device("cpu"))


def test_normalisation_is_by_channel() -> None:
    pixels = torch.full((1, 3, 1, 1), 255, dtype=torch.uint8)
    assert batches(4).normalise(pixels).flatten().tolist() == [1, 0.75, 0.5]


def test_an_epoch_shows_every_image_once_in_full_batches() -> None:
    output = [batch.labels for batch in batches(14).training(RECIPE, seed=0, epoch=1)]
    assert [len(labels) for labels in output] == [4, 4, 4]
    assert len(set(torch.cat(output).tolist())) == 12


def test_seed_and_epoch_decide_the_order() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return torch.cat([batch.labels for batch in batches(14).training(RECIPE, seed=seed, epoch=epoch)]).tolist()

    assert order(0, 1) == order(0, 1)
    assert order(0, 1) != order(0, 2)
    assert order(0, 1) != order(1, 1)


def test_evaluation_shows_every_image_in_order() -> None:
    output = list(batches(14).in_order(5))
    assert torch.cat([labels for _, labels in output]).tolist() == list(range(14))
    assert [len(pixels) for pixels, _ in output] == [5, 5, 4]
    assert output[0][0].dtype == torch.float32


@pytest.mark.gpu
def test_a_gpu_augments_as_the_processor_does() -> None:
    batch = images(17)
    on_cpu = augment(batch, RECIPE, source=generator(0, "test"))
    on_gpu = augment(batch.cuda(), RECIPE, source=generator(0, "test"))
    assert torch.equal(on_cpu, on_gpu.cpu())
