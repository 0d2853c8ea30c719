"""`dataset.split_seed`: other validation and test images of the same data set."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slbench.data import DataConfig, find, load
from slbench.data.splits import Splits, content_hash
from slbench.errors import InputError
from tests.data.test_own import npz
from tests.support import naming, runs

SIZES = (10_000, 1_000, 2_000)


def splits_of(seed: int, **config: Any) -> Splits:
    (run,) = runs({"dataset.split_seed": [seed]})
    return load(run.spec.dataset, config=DataConfig.read(**config) if config else None)


def digests(splits: Splits, part: str) -> list[bytes]:
    train = splits.train.images.image_digests()
    if part == "validation":
        return [train[row] for row in splits.held_out]
    return train if part == "train" else splits.test.images.image_digests()


def test_zero_is_todays_split_with_todays_ids() -> None:
    (default,), (zero,) = runs(), runs({"dataset.split_seed": [0]})
    assert zero.spec.run_id == default.spec.run_id
    (one,) = runs({"dataset.split_seed": [1]})
    assert one.spec.run_id != default.spec.run_id


def test_each_seed_has_other_validation_and_test_images_as_many_of_each_class() -> None:
    default, one, again, two = (splits_of(seed) for seed in (0, 1, 1, 2))
    assert content_hash(one) == content_hash(again)
    assert len({content_hash(each) for each in (default, one, two)}) == 3
    everything = sorted(digests(default, "train") + digests(default, "test"))
    for each in (one, two):
        assert (len(each.train), len(each.held_out), len(each.test)) == SIZES
        assert sorted(digests(each, "train") + digests(each, "test")) == everything
        assert np.bincount(each.test.labels).tolist() == [200] * 10
        assert np.bincount(each.train.labels[each.held_out]).tolist() == [100] * 10
        assert digests(each, "train") == [
            digest for _, digest in sorted(zip(each.train.labels, digests(each, "train"), strict=True))
        ], "in content order"
    for part, share in (("validation", 1_000 / 12_000), ("test", 2_000 / 12_000)):
        shared = len(set(digests(one, part)) & set(digests(two, part))) / len(digests(one, part))
        assert abs(shared - share) < 0.05, "as independent draws share"


def test_images_on_the_disk_are_split_alike() -> None:
    in_memory, streamed = splits_of(3), splits_of(3, stream=True)
    assert streamed.streamed and not in_memory.streamed
    assert content_hash(streamed) == content_hash(in_memory)


def test_own_data_are_split_alike_and_published_test_images_stay(tmp_path: Path) -> None:
    source = npz(tmp_path / "own.npz")
    spec, data = find(source).spec, find(source).source
    default, other = load(spec, data), load(replace(spec, split_seed=5), data)
    assert (len(other.train), len(other.test)) == (len(default.train), len(default.test))
    assert digests(other, "test") != digests(default, "test")
    assert find("cifar10").spec.has_published_test and not find(source).spec.has_published_test


def test_a_split_seed_that_changes_nothing_is_refused() -> None:
    grid = {"dataset": ["cifar10"], "dataset.split_seed": [1]}
    assert runs(grid)[0].spec.dataset.split_seed == 1
    for protocol in ("full", "paper"):
        with pytest.raises(InputError, match=naming("dataset.split_seed", "1", protocol, "holdout")):
            runs(grid, protocol=protocol)
    assert runs({"dataset.split_seed": [1]}, protocol="full")[0].spec.dataset.split_seed == 1
    with pytest.raises(InputError, match=naming("dataset.split_seed", "-1")):
        runs({"dataset.split_seed": [-1]})
