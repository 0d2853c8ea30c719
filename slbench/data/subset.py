"""Subsets of each class, for accuracy over data-set size."""

import hashlib

import numpy as np

from slbench.data.images import digest_of
from slbench.data.lazy_images import LazyImages
from slbench.data.specs import DatasetSpec
from slbench.data.splits import Images, ImageSet
from slbench.rng import derive


def subset(part: ImageSet, spec: DatasetSpec, *, seed: int) -> ImageSet:
    """Return the training images selected by the spec's `fraction` or `per_class`, in their order.

    Images are ranked per class by their digest hashed with the seed, so that a small subset is contained in every
    larger one of the same seed, and seeds draw different subsets.
    """
    if spec.fraction is None and spec.per_class is None:
        return part
    salt = derive(seed, "subset").to_bytes(8, "big")
    draws = [hashlib.sha256(salt + digest).digest() for digest in digests(part.images)]
    selected = []
    for label in np.unique(part.labels):
        rows = sorted(np.flatnonzero(part.labels == label).tolist(), key=lambda row: draws[row])
        selected += rows[: spec.subset_of(len(rows))]
    return part.take(np.array(sorted(selected), dtype=np.int64))


def digests(images: Images | LazyImages) -> list[bytes]:
    """Return the sha256 of each image; stored digests of lazy ones, without reading them."""
    if isinstance(images, LazyImages):
        assert images.digests is not None, "lazy images without digests"
        return [digest.tobytes() for digest in images.digests]
    return [digest_of(image) for image in images]
