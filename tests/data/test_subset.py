"""Subsets: number and choice of images per class, and their place in the run id."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from slbench.data import DATASETS, load
from slbench.data.specs import DatasetSpec, as_counts
from slbench.data.splits import ImageSet
from slbench.data.subset import subset
from slbench.errors import InputError
from tests.support import missing, naming, runs, study

DRAW = np.random.default_rng(4)
PART = ImageSet.of(DRAW.integers(0, 256, (90, 1, 3, 5), dtype=np.uint8), np.repeat([0, 1, 2], [20, 47, 23]))
SPEC = dataclasses.replace(
    DATASETS["fashion-mnist-12k"].spec, num_classes=3, train_counts=as_counts([20, 47, 23]), validation_counts=0
)


def subset_of_part(*, seed: int = 0, **changes: Any) -> ImageSet:
    return subset(PART, dataclasses.replace(SPEC, **changes), seed=seed)


def rows(part: ImageSet) -> set[bytes]:
    return {image.tobytes() for image in part.images}


def test_a_fraction_is_taken_of_each_class() -> None:
    assert np.bincount(subset_of_part(fraction=0.1).labels).tolist() == [2, 5, 2]
    assert np.bincount(subset_of_part(per_class=7).labels).tolist() == [7, 7, 7]
    assert np.bincount(subset_of_part(fraction=0.001).labels).tolist() == [1, 1, 1]


def test_everything_is_left_as_it_is_without_a_share_and_with_a_whole_one() -> None:
    assert subset_of_part() is PART
    assert np.array_equal(subset_of_part(fraction=1.0).array, PART.array)


def test_a_small_subset_is_contained_in_every_larger_one() -> None:
    sizes = [rows(subset_of_part(fraction=fraction)) for fraction in (0.1, 0.2, 0.5)]
    assert sizes[0] < sizes[1] < sizes[2]
    assert rows(subset_of_part(per_class=3)) < rows(subset_of_part(per_class=4))


def test_each_seed_draws_a_different_subset() -> None:
    assert rows(subset_of_part(fraction=0.5)) == rows(subset_of_part(fraction=0.5))
    assert rows(subset_of_part(fraction=0.5)) != rows(subset_of_part(fraction=0.5, seed=1))


def test_labels_stay_with_their_images() -> None:
    whole = {image.tobytes(): label for image, label in zip(PART.images, PART.labels, strict=True)}
    part = subset_of_part(fraction=0.3)
    assert all(whole[image.tobytes()] == label for image, label in zip(part.images, part.labels, strict=True))


@pytest.mark.parametrize("protocol", ["holdout", "full"])
@pytest.mark.parametrize("change", [{"dataset.fraction": 0.15}, {"dataset.per_class": 123}])
def test_a_run_counts_the_images_that_it_trains_on(protocol: str, change: dict[str, Any]) -> None:
    (run,) = runs(set=change, protocol=protocol)
    spec = run.spec.dataset
    training, _, _ = load(spec).for_protocol(protocol)
    assert len(subset(training, spec, seed=3)) == run.spec.num_images
    share = {"holdout": 1350, "full": 1500}[protocol]
    assert run.spec.num_images == (1230 if spec.fraction is None else share)


def test_a_share_can_be_an_axis_and_is_another_run() -> None:
    resolved = study({"grid": {"method": ["none"], "dataset.fraction": [0.1, 0.2, 1.0]}}).runs
    assert [run.spec.num_images for run in resolved] == [900, 1800, 9000]
    assert len({run.spec.run_id for run in resolved}) == 3


def test_a_side_can_be_an_axis_and_is_a_square() -> None:
    resolved = study({"grid": {"method": ["none"], "dataset.image_size": [16, 64, [16, 24]]}}).runs
    assert [run.spec.dataset.image_size for run in resolved] == [(16, 16), (64, 64), (16, 24)]
    (pair,) = runs(set={"dataset.image_size": [48, 32]})
    assert pair.spec.dataset.image_size == (48, 32)


WRONG = {
    "more than there are": (
        {"dataset.per_class": 901},
        ("test.toml", "Tiny", "none", "fashion-mnist-12k", "per_class", "901", "900", "0"),
    ),
    "both": (
        {"dataset.per_class": 5, "dataset.fraction": 0.5},
        ("test.toml", "fashion-mnist-12k", "0.5", "per_class", "5"),
    ),
    "none": ({"dataset.fraction": 0.0}, ("test.toml", "set.dataset.fraction", "0", "0.0")),
    "above all": ({"dataset.fraction": 1.5}, ("test.toml", "set.dataset.fraction", "1", "1.5")),
    "no side": ({"dataset.image_size": 0}, ("test.toml", "set.dataset.image_size", "0", "1")),
    "a word": ({"dataset.image_size": "big"}, ("test.toml", "set.dataset.image_size", "big")),
    "what the data are": (
        {"dataset.num_classes": 3},
        (
            "test.toml",
            "set.dataset.num_classes",
            "dataset.num_classes",
            "dataset.per_class",
            "dataset.image_size",
            "dataset.fraction",
        ),
    ),
}


@pytest.mark.parametrize(("change", "complaint"), WRONG.values(), ids=WRONG)
def test_a_subset_or_size_that_cannot_be_is_refused_in_one_line(
    change: dict[str, Any], complaint: tuple[object, ...]
) -> None:
    with pytest.raises(InputError) as refused:
        runs(set=change)
    assert not missing(str(refused.value), *complaint)


def test_without_a_validation_image_holdout_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = DATASETS["fashion-mnist-12k"]
    small: DatasetSpec = dataclasses.replace(entry.spec, train_counts=4, validation_counts=0)
    monkeypatch.setitem(DATASETS, "fashion-mnist-12k", dataclasses.replace(entry, spec=small))
    with pytest.raises(InputError, match=naming("holdout", "40")):
        runs()
