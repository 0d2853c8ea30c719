"""Order, splits and identity of data."""

import dataclasses

import numpy as np
import pytest

from slbench.data import DATASETS, load
from slbench.data.specs import as_counts
from slbench.data.splits import ImageSet, Splits, check_content, content_hash, in_content_order, validation_rows
from slbench.errors import InputError
from tests.support import naming

SPEC = DATASETS["fashion-mnist-12k"].spec


def random_part(count: int, seed: int = 0) -> ImageSet:
    draw = np.random.default_rng(seed)
    return ImageSet.of(
        draw.integers(0, 256, (count, 1, 3, 5), dtype=np.uint8), draw.integers(0, 3, count).astype(np.int64)
    )


def test_the_embedded_data_are_as_their_spec_says() -> None:
    splits = load(SPEC)
    assert splits.train.images.shape == (SPEC.num_train, SPEC.in_channels, *SPEC.image_size)
    assert splits.test.images.shape == (SPEC.num_test, SPEC.in_channels, *SPEC.image_size)
    assert np.bincount(splits.train.labels).tolist() == [1000] * SPEC.num_classes
    assert np.bincount(splits.test.labels).tolist() == [200] * SPEC.num_classes
    pixels = splits.train.array / 255
    assert pixels.mean() == pytest.approx(SPEC.mean[0], abs=1e-5)
    assert pixels.std() == pytest.approx(SPEC.std[0], abs=1e-5)


def test_the_border_is_black_and_the_images_are_not() -> None:
    images = load(SPEC).test.array
    assert images[:, :, :2].max() == images[..., -2:].max() == 0
    assert (images[:, 0, 2:-2, 2:-2].max(axis=(1, 2)) > 100).all()


def test_holdout_takes_a_tenth_of_each_class_out_of_the_training_images() -> None:
    splits = load(SPEC)
    training, validation, test = splits.for_protocol("holdout")
    assert validation is not None
    assert (len(training), len(validation), len(test)) == (9000, SPEC.num_validation, 2000)
    assert np.bincount(validation.labels).tolist() == [100] * 10
    digests = [{image.tobytes() for image in part.images} for part in (training, validation, test)]
    assert not digests[0] & digests[1]
    assert not (digests[0] | digests[1]) & digests[2]


@pytest.mark.parametrize("protocol", ["full", "paper"])
def test_the_other_protocols_train_on_everything_and_validate_on_nothing(protocol: str) -> None:
    training, validation, _ = load(SPEC).for_protocol(protocol)
    assert validation is None
    assert len(training) == SPEC.num_train


def test_the_order_of_the_container_does_not_matter() -> None:
    part = random_part(41)
    shuffled = part.take(np.random.default_rng(1).permutation(41))
    ordered, again = in_content_order(part), in_content_order(shuffled)
    assert np.array_equal(ordered.array, again.array)
    assert np.array_equal(ordered.labels, again.labels)
    assert sorted(part.labels) == ordered.labels.tolist()


def test_the_validation_split_is_stratified_and_rounded() -> None:
    labels = np.repeat([0, 1, 2], [20, 14, 17])
    assert validation_rows(labels).tolist() == [0, 1, 20, 34, 35]


def test_one_changed_pixel_is_other_data() -> None:
    splits = Splits(random_part(41), random_part(13, seed=2))
    spec = dataclasses.replace(
        SPEC,
        content=f"arrays sha256:{content_hash(splits)}",
        num_classes=3,
        train_counts=as_counts(np.bincount(splits.train.labels).tolist()),
        validation_counts=as_counts(np.bincount(splits.train.labels[splits.held_out]).tolist()),
        num_test=13,
    )
    check_content(splits, spec)
    splits.test.array[7, 0, 1, 3] ^= 1
    with pytest.raises(InputError, match=naming("fashion-mnist-12k")):
        check_content(splits, spec)
