"""Fewer images of each class, for curves over the size of a data set."""

import hashlib

import numpy as np

from slbench.data.images import digest_of
from slbench.data.lazy_images import LazyImages
from slbench.data.specs import DatasetSpec
from slbench.data.splits import Images, ImageSet
from slbench.rng import derive


def subset(part: ImageSet, spec: DatasetSpec, *, seed: int) -> ImageSet:
    """The training images that the spec's `fraction` or `per_class` leaves, in the order they had.

    Of each class those are taken whose digest, hashed with the seed, comes first: so a small subset lies inside every
    larger one of the same seed, and each seed draws its own.
    """
    if spec.fraction is None and spec.per_class is None:
        return part
    salt = derive(seed, "subset").to_bytes(8, "big")
    draws = [hashlib.sha256(salt + digest).digest() for digest in digests(part.images)]
    taken = []
    for label in np.unique(part.labels):
        rows = sorted(np.flatnonzero(part.labels == label).tolist(), key=lambda row: draws[row])
        taken += rows[: spec.subset_of(len(rows))]
    return part.take(np.array(sorted(taken), dtype=np.int64))


def digests(images: Images | LazyImages) -> list[bytes]:
    """sha256 of each image; of lazy ones as it was noted, without reading them."""
    if isinstance(images, LazyImages):
        assert images.digests is not None, "lazy images are surveyed first"
        return [digest.tobytes() for digest in images.digests]
    return [digest_of(image) for image in images]
