"""Specs of the published data sets, which need no download."""

import pytest

from slbench.data import DATASETS
from slbench.data.sets.published import SVHN_COUNTS, tenths
from slbench.data.specs import as_counts, of_each
from tests.support import TINY, study

COUNTS = {  # training, validation and test images: the publications
    "cifar10": (50_000, 5_000, 10_000),
    "cifar100": (50_000, 5_000, 10_000),
    "svhn": (73_257, 7_326, 26_032),
    "tiny-imagenet": (100_000, 10_000, 10_000),
    "fashion-mnist": (60_000, 6_000, 10_000),
}


@pytest.mark.parametrize("name", COUNTS)
def test_image_counts_are_the_published_ones(name: str) -> None:
    spec = DATASETS[name].spec
    assert (spec.num_train, spec.num_validation, spec.num_test) == COUNTS[name]
    assert len(spec.mean) == len(spec.std) == spec.in_channels


@pytest.mark.parametrize("name", COUNTS)
def test_a_study_resolves_without_the_download(name: str) -> None:
    (run,) = study({"grid": {"backbone": [TINY], "method": ["none"], "dataset": [name]}}).runs
    assert run.spec.num_images == COUNTS[name][0] - COUNTS[name][1]


def test_class_counts_of_svhn_sum_to_its_published_size() -> None:
    assert sum(SVHN_COUNTS) == 73_257
    assert tenths(SVHN_COUNTS, 10) == (495, 1386, 1058, 850, 746, 688, 573, 560, 504, 466)


def test_the_identity_of_a_data_set_has_the_checksums_of_all_archives() -> None:
    contents = {name: DATASETS[name].spec.content for name in COUNTS}
    assert contents["svhn"] == "archives md5:e26dedcc434d2e4c54c9b2d4a06d8373+eb5a983be6a315427106f1b164d9cef3"
    assert contents["fashion-mnist"].count("+") == 3
    assert len(set(contents.values())) == len(contents)


def test_equal_class_counts_are_stored_as_one_number() -> None:
    assert as_counts([7, 7, 7]) == 7
    assert as_counts([7, 5, 7]) == (7, 5, 7)
    assert of_each(7, 3) == (7, 7, 7)
    assert of_each((7, 5, 7), 3) == (7, 5, 7)
